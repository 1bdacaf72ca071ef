//! Content digests, written `sha256:<hex>` as container tools do.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Lower-case hexadecimal SHA-256 of `bytes`, without a prefix (the form of ACL password hashes).
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Digest of `bytes` as `sha256:<hex>`.
pub fn of(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256_hex(bytes))
}

/// Its first 16 digits: for people to type.
pub fn short_hex(bytes: &[u8]) -> String {
    let mut digest = sha256_hex(bytes);
    digest.truncate(16);
    digest
}
