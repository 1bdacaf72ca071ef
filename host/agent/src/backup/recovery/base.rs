//! A base comes from the store and is compared with what was stored.

use std::path::PathBuf;

use hera_core::backup::{BaseManifest, Failure, FailureReason, Paths};
use hera_store::Store;
use tokio::sync::mpsc;

use super::files;
use super::patient::patiently;
use super::unpack::{Unpacked, Unusable, unpack};
use crate::backup::failed;

/// Bytes that are asked for at once. Three such parts are in memory: one comes, one waits, one is unpacked.
const PART: u64 = 8 << 20;

/// Brings the data of the base to the volume.
///
/// # Errors
/// It is not what was stored, or does not come. What is there of the file is none to use.
pub async fn bring(store: &Store, base: &BaseManifest, to: PathBuf) -> Result<(), Failure> {
    let path = Paths::data(&base.path);
    let stored = store.size(&path).await?;
    if stored != Some(base.stored_bytes) {
        let is = stored.map_or("is missing".to_owned(), |bytes| {
            format!("has {bytes} bytes")
        });
        let words = format!("{path} {is}, and was stored with {}", base.stored_bytes);
        return Err(failed(FailureReason::Corrupt, words));
    }
    let (parts, received) = mpsc::channel(1);
    let raw_bytes = base.raw_bytes;
    let unpacking = tokio::task::spawn_blocking(move || unpack(received, &to, raw_bytes));
    let came = download(store, &path, base.stored_bytes, parts).await;
    // It ends in any case before its file is removed.
    let unpacked = unpacking.await;
    came?;
    let unpacked = unpacked.map_err(|error| {
        let words = format!("{path} cannot be unpacked: {error}");
        failed(FailureReason::Corrupt, words)
    })?;
    match unpacked {
        Ok(unpacked) => check(&path, base, &unpacked),
        Err(Unusable::Corrupt(words)) => Err(corrupt(&path, &words)),
        Err(Unusable::Volume(error)) => Err(files::of_volume(&error)),
    }
}

/// Reads what is stored, part after part, until who unpacks it takes no more.
async fn download(
    store: &Store,
    path: &str,
    stored_bytes: u64,
    parts: mpsc::Sender<Vec<u8>>,
) -> Result<(), Failure> {
    let mut at = 0;
    while at < stored_bytes {
        let end = at.saturating_add(PART).min(stored_bytes);
        let part = patiently(|| store.get_range(path, at..end)).await?;
        if parts.send(part).await.is_err() {
            return Ok(());
        }
        at = end;
    }
    Ok(())
}

/// Compares what came with what was stored.
fn check(path: &str, base: &BaseManifest, unpacked: &Unpacked) -> Result<(), Failure> {
    if unpacked.sha256 != base.sha256 {
        let words = format!(
            "its SHA-256 is {}, and was {}",
            unpacked.sha256, base.sha256
        );
        return Err(corrupt(path, &words));
    }
    if unpacked.raw_bytes != base.raw_bytes {
        let words = format!(
            "it unpacks to {} bytes, and had {}",
            unpacked.raw_bytes, base.raw_bytes
        );
        return Err(corrupt(path, &words));
    }
    if unpacked.magic != base.magic {
        let words = format!(
            "it begins with {}, and did with {}",
            unpacked.magic, base.magic
        );
        return Err(corrupt(path, &words));
    }
    if u64::from_str_radix(&base.crc64, 16) != Ok(unpacked.sum.crc64) {
        let words = format!(
            "it ends with the checksum {:x}, and did with {}",
            unpacked.sum.crc64, base.crc64
        );
        return Err(corrupt(path, &words));
    }
    Ok(())
}

fn corrupt(path: &str, words: &str) -> Failure {
    let words = format!("{path} is damaged: {words}; take another backup");
    failed(FailureReason::Corrupt, words)
}

#[cfg(test)]
mod tests {
    use hera_core::backup::FORMAT;

    use super::*;
    use crate::backup::checksum::Sum;

    fn base() -> BaseManifest {
        BaseManifest {
            v: FORMAT,
            uid: "u".to_owned(),
            shard: "0".to_owned(),
            engine: "redis".to_owned(),
            version: "7.0.15".to_owned(),
            magic: "REDIS0010".to_owned(),
            replication_id: "r".to_owned(),
            offset: 7,
            stream_db: 0,
            taken_unix_ms: 9,
            pod: "p-0".to_owned(),
            role: "primary".to_owned(),
            raw_bytes: 50,
            stored_bytes: 40,
            sha256: "aa".to_owned(),
            crc64: "0a".to_owned(),
            used_memory: 1,
            path: "shop.cache/u/base/0/r-7".to_owned(),
        }
    }

    fn unpacked() -> Unpacked {
        Unpacked {
            sha256: "aa".to_owned(),
            raw_bytes: 50,
            magic: "REDIS0010".to_owned(),
            sum: Sum {
                crc64: 10,
                computed: true,
            },
        }
    }

    #[test]
    fn whatever_differs_from_what_was_stored_is_named() {
        assert_eq!(check("b/data", &base(), &unpacked()), Ok(()));
        let named = |came: Unpacked, word: &str| {
            let failure = check("b/data", &base(), &came).unwrap_err();
            assert_eq!(failure.reason, FailureReason::Corrupt);
            let words = &failure.message;
            assert!(words.contains("b/data") && words.contains(word), "{words}");
        };
        let other = |change: fn(&mut Unpacked)| {
            let mut came = unpacked();
            change(&mut came);
            came
        };
        named(other(|came| came.sha256 = "bb".to_owned()), "SHA-256 is bb");
        named(other(|came| came.raw_bytes = 51), "51 bytes");
        named(
            other(|came| came.magic = "VALKEY080".to_owned()),
            "VALKEY080",
        );
        named(other(|came| came.sum.crc64 = 11), "checksum b");
    }

    #[test]
    fn a_snapshot_whose_server_computed_no_checksum_is_whole_without_one() {
        let mut came = unpacked();
        came.sum = Sum {
            crc64: 0,
            computed: false,
        };
        for none in ["0", "0000000000000000"] {
            let base = BaseManifest {
                crc64: none.to_owned(),
                ..base()
            };
            assert_eq!(check("b/data", &base, &came), Ok(()));
        }
        assert!(check("b/data", &base(), &came).is_err());
    }
}
