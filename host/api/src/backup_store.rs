use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::validate::messages;

/// Where backups of objects of this namespace are kept.
#[allow(clippy::duplicated_attributes, reason = "columns have a type each")]
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "cache.hera.io",
    version = "v1alpha1",
    kind = "RedisBackupStore",
    plural = "redisbackupstores",
    shortname = "rdbs",
    category = "hera",
    namespaced,
    status = "RedisBackupStoreStatus",
    derive = "PartialEq",
    doc = "Where backups are kept.",
    printcolumn(name = "Backend", type_ = "string", json_path = ".status.backend"),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].reason",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RedisBackupStoreSpec {
    /// A bucket of S3, or of what speaks like it.
    pub s3: S3Store,
}

/// A bucket of S3, or of what speaks like it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(schema::BUCKET_IS_A_HOST).message(messages::BUCKET_IS_A_HOST))]
pub struct S3Store {
    /// Name of the bucket. It is not made.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = Rule::new(schema::BUCKET).message(messages::BUCKET))]
    pub bucket: String,

    /// Folder in the bucket. Who may name the store reads every backup below it: one for each tenant.
    #[serde(default)]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(schema::PREFIX).message(messages::PREFIX))]
    pub prefix: String,

    /// Region of the bucket.
    #[serde(default = "default_region")]
    #[schemars(length(min = 1, max = 64), regex(pattern = schema::REGION))]
    pub region: String,

    /// Where the bucket is, such as `https://minio.storage.svc:9000`; of Amazon if absent. Over http:// what is stored
    /// travels in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    #[x_kube(validation = Rule::new(schema::ENDPOINT).message(messages::ENDPOINT))]
    pub endpoint: Option<String>,

    /// The bucket is part of the path, and not of the host's name.
    #[serde(default)]
    pub addressing: Addressing,

    /// The authority of the endpoint's certificate, as PEM in a Secret, beside those that everybody trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_ref: Option<StoreSecretKey>,

    /// The id of an access key.
    pub access_key_id_ref: StoreSecretKey,

    /// The secret of that key.
    pub secret_access_key_ref: StoreSecretKey,
}

/// Where the name of a bucket stands in an address.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum Addressing {
    /// In the path: `https://host/bucket/key`, as most stores that are not Amazon's want it.
    #[default]
    Path,
    /// In the host's name: `https://bucket.host/key`.
    VirtualHost,
}

/// A key of a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StoreSecretKey {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub name: String,

    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DATA_KEY))]
    pub key: String,
}

/// What was found of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisBackupStoreStatus {
    /// What kind of store it is: `s3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub backend: Option<String>,

    /// Available: as the last backup that used it found it; absent before any has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}
