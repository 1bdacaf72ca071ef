//! What passes from a snapshot to a store: checked, packed, and cut into parts.

use std::io::{self, Write};
use std::mem;

use hera_core::backup::{Failure, FailureReason};
use sha2::{Digest as _, Sha256};
use zstd::stream::write::Encoder;

use super::checksum::Crc64;
use super::failed;
use super::head::{self, Head};

/// Bytes of a part.
const PART: usize = 8 << 20;
/// Parts of one size: those after them are twice as large, as stores take ten thousand parts.
const OF_ONE_SIZE: u32 = 1000;
/// So often they get larger: a few of them are in memory.
const SIZES: u32 = 3;
/// More takes more time than a store does.
const LEVEL: i32 = 1;

/// Packs a snapshot while it passes.
pub struct Packer {
    sum: Crc64,
    first: Vec<u8>,
    raw_bytes: u64,
    encoder: Encoder<'static, Parts>,
}

/// A snapshot that has passed.
#[derive(Debug)]
pub struct Packed {
    /// What it tells of itself.
    pub head: Head,
    /// Bytes of it.
    pub raw_bytes: u64,
    /// Bytes of it, packed.
    pub stored_bytes: u64,
    /// SHA-256 of the latter, in hex.
    pub sha256: String,
    /// The checksum that it ends with, in hex; 0 if its server computes none.
    pub crc64: String,
}

/// Bytes that are ready for the store.
pub type Part = Vec<u8>;

impl Packer {
    /// For a snapshot that comes.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            sum: Crc64::new(),
            first: Vec::new(),
            raw_bytes: 0,
            encoder: Encoder::new(Parts::default(), LEVEL)?,
        })
    }

    /// Takes what comes next; answers the parts that are whole.
    ///
    /// # Errors
    /// It cannot be packed.
    pub fn pack(&mut self, chunk: &[u8]) -> io::Result<Vec<Part>> {
        let wanted = head::BYTES.saturating_sub(self.first.len());
        self.first.extend(chunk.iter().take(wanted));
        self.sum.update(chunk);
        self.raw_bytes += count(chunk);
        self.encoder.write_all(chunk)?;
        Ok(mem::take(&mut self.encoder.get_mut().whole))
    }

    /// The snapshot is over; answers the parts that are left.
    ///
    /// # Errors
    /// It is none, is not whole, or cannot be packed.
    pub fn finish(self) -> Result<(Packed, Vec<Part>), Failure> {
        let refused = |words: String| {
            let words = format!("what the server sent is no snapshot: {words}");
            failed(FailureReason::ServerRefused, words)
        };
        let head = head::read(&self.first);
        let head = head.ok_or_else(|| refused("it does not begin as one".to_owned()))?;
        let sum = self.sum.finish();
        let sum = sum.map_err(|error| refused(error.to_string()))?;
        let mut parts = self.encoder.finish().map_err(|error| unpacked(&error))?;
        if !parts.open.is_empty() {
            parts.close();
        }
        let packed = Packed {
            head,
            raw_bytes: self.raw_bytes,
            stored_bytes: parts.bytes,
            sha256: format!("{:x}", parts.sha256.finalize()),
            crc64: match sum.computed {
                true => format!("{:016x}", sum.crc64),
                false => "0".to_owned(),
            },
        };
        Ok((packed, parts.whole))
    }
}

/// What came cannot be packed.
pub fn unpacked(error: &dyn std::fmt::Display) -> Failure {
    let words = format!("the snapshot cannot be packed: {error}");
    failed(FailureReason::ServerRefused, words)
}

/// What is packed, cut into parts.
#[derive(Default)]
struct Parts {
    sha256: Sha256,
    bytes: u64,
    open: Part,
    whole: Vec<Part>,
    closed: u32,
}

impl Parts {
    fn size(&self) -> usize {
        PART << (self.closed / OF_ONE_SIZE).min(SIZES)
    }

    fn close(&mut self) {
        self.whole.push(mem::take(&mut self.open));
        self.closed += 1;
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.capacity() == 0 {
            self.open.reserve_exact(self.size());
        }
        let room = self.size().saturating_sub(self.open.len());
        let (taken, _) = bytes.split_at(room.min(bytes.len()));
        self.open.extend_from_slice(taken);
        self.sha256.update(taken);
        self.bytes += count(taken);
        if self.open.len() >= self.size() {
            self.close();
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use hera_core::digest::sha256_hex;

    use super::*;

    /// A snapshot of a server that computes no checksum, with so much in it that cannot be packed.
    fn snapshot(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        rand::fill(&mut noise[..]);
        let parts: [&[u8]; 4] = [b"REDIS0011", &noise, b"\xff", &[0; 8]];
        parts.concat()
    }

    fn pack(data: &[u8]) -> (Packed, Vec<Part>) {
        let mut packer = Packer::new().unwrap();
        let mut parts = Vec::new();
        for chunk in data.chunks(100_000) {
            parts.extend(packer.pack(chunk).unwrap());
        }
        let (packed, last) = packer.finish().unwrap();
        parts.extend(last);
        (packed, parts)
    }

    #[test]
    fn what_is_stored_is_the_snapshot_in_parts_of_one_size() {
        let data = snapshot(17 << 20);
        let (packed, parts) = pack(&data);
        let sizes: Vec<_> = parts.iter().map(Vec::len).collect();
        assert_eq!((sizes.len(), sizes[0], sizes[1]), (3, PART, PART));
        let stored = parts.concat();
        assert_eq!(packed.stored_bytes, count(&stored));
        assert_eq!(packed.raw_bytes, count(&data));
        assert_eq!(packed.sha256, sha256_hex(&stored));
        assert_eq!(
            (packed.head.magic.as_str(), packed.crc64.as_str()),
            ("REDIS0011", "0")
        );
        assert!(zstd::decode_all(stored.as_slice()).unwrap() == data);
    }

    #[test]
    fn what_is_cut_off_or_no_snapshot_is_not_finished() {
        let whole = snapshot(100);
        let all: [&[u8]; 3] = [&whole[..whole.len() - 1], b"+OK\r\n", b""];
        for data in all {
            let mut packer = Packer::new().unwrap();
            packer.pack(data).unwrap();
            let failure = packer.finish().unwrap_err();
            assert_eq!(failure.reason, FailureReason::ServerRefused, "{failure:?}");
        }
    }
}
