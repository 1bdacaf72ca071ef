use std::fmt;

use serde::{Deserialize, Serialize};

/// How a store is reached: a `RedisBackupStore` and what the Secrets that it names hold. In memory only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreAccess {
    /// Name of the `RedisBackupStore`, for words.
    pub name: String,
    /// A bucket.
    pub s3: S3Access,
}

/// A bucket of S3, or of what speaks like it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Access {
    /// Its name.
    pub bucket: String,
    /// Before every path, without a slash at its ends; may be empty.
    pub prefix: String,
    /// Its region.
    pub region: String,
    /// Where it is, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// The bucket is part of the path, and not of the host.
    pub force_path_style: bool,
    /// Authorities of the endpoint's certificate beside the public ones, as PEM.
    pub ca: Option<String>,
    /// Who asks.
    pub access_key_id: String,
    /// With which secret.
    pub secret_access_key: String,
}

/// Not the secret.
impl fmt::Debug for S3Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Access")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
