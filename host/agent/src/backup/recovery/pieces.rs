//! A piece of a log comes from the store and is compared with what was stored.

use std::io::{self, Read as _};

use hera_core::backup::log::{PieceError, PieceHeader, PieceName, decode, header_end};
use hera_core::backup::{Failure, FailureReason};
use hera_store::Store;
use zstd::stream::read::Decoder;

use super::origin::{Origin, Whose};
use super::patient::patiently;
use crate::backup::failed;

/// Bytes that are read to see a header: nearly all are shorter.
const HEAD: u64 = 64 << 10;
/// Bytes of the longest header.
const MOST_HEADER: u64 = 16 << 20;

/// What a piece says of itself.
///
/// # Errors
/// [`FailureReason::Corrupt`] if it is not what was stored; otherwise it does not come.
pub async fn header(
    store: &Store,
    origin: &Origin,
    name: &PieceName,
) -> Result<PieceHeader, Failure> {
    let path = origin.path(name);
    let mut start = first(store, &path, HEAD).await?;
    let end = header_end(&start).map_err(|error| of_piece(&path, &error))?;
    if end > start.len() {
        let bytes = u64::try_from(end).unwrap_or(u64::MAX);
        start = first(store, &path, bytes.min(MOST_HEADER)).await?;
    }
    let (header, _) = decode(&start).map_err(|error| of_piece(&path, &error))?;
    check(&path, &header, name, &origin.whose)?;
    Ok(header)
}

/// All of a piece, as it is stored.
///
/// # Errors
/// [`FailureReason::Corrupt`] if it is not there; otherwise it does not come.
pub async fn whole(store: &Store, origin: &Origin, name: &PieceName) -> Result<Vec<u8>, Failure> {
    let raw = bytes(name);
    // What cannot be packed takes a little more.
    let most = raw.saturating_add(raw / 8).saturating_add(MOST_HEADER);
    first(store, &origin.path(name), most).await
}

/// What a piece says of itself, and its bytes.
///
/// # Errors
/// [`FailureReason::Corrupt`] if they are not those that were stored.
pub fn unpack(
    path: &str,
    stored: &[u8],
    name: &PieceName,
    whose: &Whose,
) -> Result<(PieceHeader, Vec<u8>), Failure> {
    let (header, packed) = decode(stored).map_err(|error| of_piece(path, &error))?;
    check(path, &header, name, whose)?;
    let raw = unpacked(packed, bytes(name)).map_err(|error| {
        let words = format!("{path} is damaged: it cannot be unpacked: {error}");
        failed(FailureReason::Corrupt, words)
    })?;
    match header.check(&raw) {
        Ok(()) if u64::try_from(raw.len()) == Ok(bytes(name)) => Ok((header, raw)),
        Ok(()) => Err(of_piece(path, &PieceError::Changed)),
        Err(error) => Err(of_piece(path, &error)),
    }
}

/// No more than so many bytes, and one.
fn unpacked(packed: &[u8], bytes: u64) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    let decoder = Decoder::with_buffer(packed)?;
    decoder
        .take(bytes.saturating_add(1))
        .read_to_end(&mut raw)?;
    Ok(raw)
}

/// How many bytes of the log it has.
pub fn bytes(name: &PieceName) -> u64 {
    name.to.saturating_sub(name.from)
}

async fn first(store: &Store, path: &str, bytes: u64) -> Result<Vec<u8>, Failure> {
    let came = patiently(|| store.first(path, bytes)).await?;
    came.ok_or_else(|| {
        let words = format!("{path} is not in the store any more");
        failed(FailureReason::Corrupt, words)
    })
}

fn check(path: &str, header: &PieceHeader, name: &PieceName, whose: &Whose) -> Result<(), Failure> {
    let checked = header.check_name(name, &whose.uid, &whose.shard);
    checked.map_err(|error| of_piece(path, &error))
}

fn of_piece(path: &str, error: &PieceError) -> Failure {
    match error {
        PieceError::Later(_) => {
            let words = format!("{path} cannot be read: {error}");
            failed(FailureReason::VersionIncompatible, words)
        }
        _ => failed(
            FailureReason::Corrupt,
            format!("{path} is damaged: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use hera_core::backup::FORMAT;
    use hera_core::backup::log::{Evidence, Mark, encode};
    use hera_core::digest::sha256_hex;

    use super::*;

    fn whose() -> Whose {
        Whose {
            uid: "u".to_owned(),
            shard: "0".to_owned(),
        }
    }

    /// A piece with these bytes behind offset 100.
    fn piece(raw: &[u8]) -> (PieceName, Vec<u8>) {
        let raw_bytes = u64::try_from(raw.len()).unwrap();
        let mark = Mark {
            offset: 100 + raw_bytes,
            unix_ms: 5_000,
        };
        let header = PieceHeader {
            v: FORMAT,
            uid: "u".to_owned(),
            shard: "0".to_owned(),
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            id: "a".repeat(40),
            from: 100,
            to: 100 + raw_bytes,
            evidence: Evidence {
                marks: vec![mark],
                ..Evidence::default()
            },
            raw_bytes,
            sha256: sha256_hex(raw),
        };
        let packed = zstd::encode_all(raw, 3).unwrap();
        (header.name(), encode(&header, &packed))
    }

    #[test]
    fn a_piece_comes_out_as_it_went_in() {
        let raw = b"*1\r\n$4\r\nPING\r\n".repeat(1_000);
        let (name, stored) = piece(&raw);
        assert!(unpack("p", &stored, &name, &whose()).unwrap().1 == raw);
        assert_eq!(bytes(&name), 14_000);
    }

    #[test]
    fn no_flipped_byte_of_what_is_packed_goes_unseen_and_the_file_is_named() {
        let raw: Vec<u8> = (0..2_000_u32).flat_map(u32::to_le_bytes).collect();
        let (name, stored) = piece(&raw);
        let packed = zstd::encode_all(raw.as_slice(), 3).unwrap();
        for at in (stored.len() - packed.len()..stored.len()).step_by(97) {
            let mut damaged = stored.clone();
            damaged[at] ^= 0x20;
            let Err(failure) = unpack("log/p", &damaged, &name, &whose()) else {
                // Some bits of a frame's head say nothing of what is in it.
                assert!(unpack("log/p", &damaged, &name, &whose()).unwrap().1 == raw);
                continue;
            };
            assert_eq!(failure.reason, FailureReason::Corrupt, "byte {at}");
            assert!(failure.message.contains("log/p"), "{failure:?}");
        }
        for length in [0, 7, 20, stored.len() - 1] {
            let cut = unpack("log/p", &stored[..length], &name, &whose());
            assert_eq!(cut.unwrap_err().reason, FailureReason::Corrupt, "{length}");
        }
    }

    #[test]
    fn a_piece_of_another_object_or_of_another_place_is_none() {
        let (name, stored) = piece(b"*1\r\n$4\r\nPING\r\n");
        let other = Whose {
            uid: "v".to_owned(),
            ..whose()
        };
        assert!(unpack("p", &stored, &name, &other).is_err());
        let elsewhere = PieceName {
            from: name.from + 14,
            to: name.to + 14,
            ..name
        };
        assert!(unpack("p", &stored, &elsewhere, &whose()).is_err());
    }

    #[test]
    fn what_unpacks_to_more_than_its_name_says_is_not_held_in_memory() {
        let packed = zstd::encode_all(vec![0; 1 << 20].as_slice(), 3).unwrap();
        assert_eq!(unpacked(&packed, 1_000).unwrap().len(), 1_001);
    }
}
