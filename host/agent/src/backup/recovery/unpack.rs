//! What is stored of a snapshot becomes a file, in a thread of its own, while it comes.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use zstd::stream::write::Decoder;

use crate::backup::checksum::{Crc64, Sum};
use crate::backup::head::MAGIC;

/// What a whole file is.
#[derive(Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// SHA-256 of what is stored, in hex.
    pub sha256: String,
    /// Bytes of the file.
    pub raw_bytes: u64,
    /// Its first nine.
    pub magic: String,
    /// Its checksum.
    pub sum: Sum,
}

/// Why there is no such file.
#[derive(Debug)]
pub enum Unusable {
    /// What came is not what was stored.
    Corrupt(String),
    /// The volume does not take it.
    Volume(io::Error),
}

/// Writes what `parts` hold to `path`, unpacked, and syncs it. What is longer than `raw_bytes` is not written.
///
/// # Errors
/// The file is none to use.
pub fn unpack(
    mut parts: mpsc::Receiver<Vec<u8>>,
    path: &Path,
    raw_bytes: u64,
) -> Result<Unpacked, Unusable> {
    let file = File::create(path).map_err(Unusable::Volume)?;
    let mut decoder = Decoder::new(Sink::new(file, raw_bytes)).map_err(damaged)?;
    let mut sha256 = Sha256::new();
    while let Some(part) = parts.blocking_recv() {
        sha256.update(&part);
        let written = decoder.write_all(&part);
        written.map_err(|error| cause(&mut decoder, error))?;
    }
    let flushed = decoder.flush();
    flushed.map_err(|error| cause(&mut decoder, error))?;
    let sink = decoder.into_inner();
    sink.file.sync_all().map_err(Unusable::Volume)?;
    let magic = String::from_utf8_lossy(&sink.magic).into_owned();
    let sum = sink.sum.finish();
    Ok(Unpacked {
        sha256: format!("{:x}", sha256.finalize()),
        raw_bytes: sink.written,
        magic,
        sum: sum.map_err(|error| Unusable::Corrupt(error.to_string()))?,
    })
}

/// Of what fails in the decoder, the file is to blame, or else what came.
fn cause(decoder: &mut Decoder<'_, Sink>, error: io::Error) -> Unusable {
    decoder
        .get_mut()
        .failed
        .take()
        .unwrap_or_else(|| damaged(error))
}

fn damaged(error: io::Error) -> Unusable {
    Unusable::Corrupt(format!("it cannot be unpacked: {error}"))
}

/// Takes the unpacked bytes.
struct Sink {
    file: File,
    limit: u64,
    written: u64,
    magic: Vec<u8>,
    sum: Crc64,
    failed: Option<Unusable>,
}

impl Sink {
    fn new(file: File, limit: u64) -> Self {
        Self {
            file,
            limit,
            written: 0,
            magic: Vec::with_capacity(MAGIC),
            sum: Crc64::new(),
            failed: None,
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self
            .written
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if written > self.limit {
            let words = format!("it unpacks to more than {} bytes", self.limit);
            self.failed = Some(Unusable::Corrupt(words));
            return Err(io::Error::other("too long"));
        }
        if let Err(error) = self.file.write_all(bytes) {
            self.failed = Some(Unusable::Volume(error));
            return Err(io::Error::other("not written"));
        }
        self.written = written;
        let missing = MAGIC.saturating_sub(self.magic.len());
        self.magic.extend(bytes.iter().take(missing));
        self.sum.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc::{CRC_64_REDIS, Crc};

    fn snapshot() -> Vec<u8> {
        let mut bytes = b"REDIS0010".to_vec();
        bytes.extend((0..200_000_u32).flat_map(|n| (n & 0x7f7f_7f7f).to_le_bytes()));
        bytes.push(0xff);
        let sum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&bytes);
        bytes.extend(sum.to_le_bytes());
        bytes
    }

    /// Unpacks what is stored in parts of so many bytes; answers the file as well.
    fn unpacked(stored: &[u8], step: usize, limit: usize) -> (Result<Unpacked, Unusable>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("incoming.rdb");
        let (parts, received) = mpsc::channel(stored.len() / step + 1);
        for part in stored.chunks(step) {
            parts.try_send(part.to_vec()).unwrap();
        }
        drop(parts);
        let result = unpack(received, &path, u64::try_from(limit).unwrap());
        (result, std::fs::read(path).unwrap())
    }

    fn words(result: Result<Unpacked, Unusable>) -> String {
        match result {
            Err(Unusable::Corrupt(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_snapshot_comes_out_as_it_went_in_whatever_its_parts_are() {
        let raw = snapshot();
        let stored = zstd::encode_all(raw.as_slice(), 1).unwrap();
        for step in [1_000, 4_096, stored.len()] {
            let (result, file) = unpacked(&stored, step, raw.len());
            let result = result.unwrap();
            assert!(file == raw, "parts of {step}");
            assert_eq!(result.sha256, hera_core::digest::sha256_hex(&stored));
            assert_eq!(result.raw_bytes, u64::try_from(raw.len()).unwrap());
            assert_eq!(result.magic, "REDIS0010");
            assert!(result.sum.computed);
        }
    }

    #[test]
    fn what_unpacks_to_more_than_it_says_is_not_written() {
        let raw = snapshot();
        let stored = zstd::encode_all(raw.as_slice(), 1).unwrap();
        let (result, file) = unpacked(&stored, stored.len(), 100_000);
        assert!(words(result).contains("more than 100000 bytes"));
        assert!(file.len() <= 100_000);
    }

    #[test]
    fn what_is_cut_off_or_no_archive_is_corrupt() {
        let raw = snapshot();
        let stored = zstd::encode_all(raw.as_slice(), 1).unwrap();
        let (cut, _) = unpacked(&stored[..stored.len() / 2], 4_096, raw.len());
        assert!(words(cut).contains("cut off"));
        let (none, _) = unpacked(b"no archive at all", 4, raw.len());
        assert!(words(none).contains("cannot be unpacked"));
        let (other, _) = unpacked(&zstd::encode_all(&b"text"[..], 1).unwrap(), 4, 9);
        assert!(words(other).contains("cut off"));
    }
}
