//! The checksum with which a snapshot ends, computed while it passes.

use crc::{CRC_64_REDIS, Crc, Digest, Table};
use thiserror::Error;

/// Sixteen tables: the bytes of a dataset pass faster than a store takes or gives them.
type Tables = Table<16>;

static CRC: Crc<u64, Tables> = Crc::<u64, Tables>::new(&CRC_64_REDIS);
/// A snapshot ends with this and eight bytes of checksum.
const END: u8 = 0xFF;
const TRAILER: usize = 8;

/// What passes is no whole snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotASnapshot {
    /// It is cut off.
    #[error("it does not end as a snapshot does: it is cut off")]
    NoEnd,
    /// Its bytes are not those of which the checksum is.
    #[error("its bytes have the checksum {computed:016x}, and it ends with {stored:016x}")]
    Checksum {
        /// Of what passed.
        computed: u64,
        /// At its end.
        stored: u64,
    },
}

/// The checksum of a whole snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The one that it ends with; 0 if its server computes none.
    pub crc64: u64,
    /// It has one, and that is right.
    pub computed: bool,
}

/// Computes the checksum of a snapshot whose end is not known before it comes.
pub struct Crc64 {
    digest: Digest<'static, u64, Tables>,
    /// The last byte that is in `digest`.
    last: Option<u8>,
    /// What may be the trailer, which is not part of what it is the checksum of.
    tail: Vec<u8>,
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

impl Crc64 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self {
            digest: CRC.digest(),
            last: None,
            tail: Vec::with_capacity(2 * TRAILER),
        }
    }

    /// These bytes come next.
    pub fn update(&mut self, bytes: &[u8]) {
        let (front, back) = bytes.split_at(bytes.len().saturating_sub(TRAILER));
        // All of the tail if `front` has a byte: `back` is as long as a trailer then.
        let passed = (self.tail.len() + back.len()).saturating_sub(TRAILER);
        let before: Vec<u8> = self.tail.drain(..passed).collect();
        for part in [before.as_slice(), front] {
            self.digest.update(part);
            self.last = part.last().copied().or(self.last);
        }
        self.tail.extend_from_slice(back);
    }

    /// The snapshot is over.
    ///
    /// # Errors
    /// It is none, or not whole.
    pub fn finish(self) -> Result<Sum, NotASnapshot> {
        let trailer = <[u8; TRAILER]>::try_from(self.tail.as_slice());
        let (Ok(trailer), Some(END)) = (trailer, self.last) else {
            return Err(NotASnapshot::NoEnd);
        };
        let stored = u64::from_le_bytes(trailer);
        let computed = self.digest.finalize();
        match stored {
            0 => Ok(Sum {
                crc64: 0,
                computed: false,
            }),
            _ if stored == computed => Ok(Sum {
                crc64: stored,
                computed: true,
            }),
            _ => Err(NotASnapshot::Checksum { computed, stored }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a Redis 7 writes that has no data, without what it tells of itself.
    fn snapshot(trailer: impl Fn(u64) -> u64) -> Vec<u8> {
        let mut bytes = b"REDIS0010\xff".to_vec();
        let sum = CRC.checksum(&bytes);
        bytes.extend(trailer(sum).to_le_bytes());
        bytes
    }

    fn sum_of(bytes: &[u8], step: usize) -> Result<Sum, NotASnapshot> {
        let mut sum = Crc64::new();
        bytes.chunks(step).for_each(|part| sum.update(part));
        sum.finish()
    }

    #[test]
    fn the_checksum_is_that_of_the_servers() {
        assert_eq!(CRC.checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_snapshot_comes() {
        let whole = snapshot(|sum| sum);
        let expected = Ok(Sum {
            crc64: CRC.checksum(&whole[..10]),
            computed: true,
        });
        for step in 1..=whole.len() {
            assert_eq!(sum_of(&whole, step), expected, "pieces of {step}");
        }
    }

    #[test]
    fn a_server_that_computes_none_is_believed_and_a_wrong_one_is_not() {
        let none = sum_of(&snapshot(|_| 0), 7).unwrap();
        assert_eq!((none.crc64, none.computed), (0, false));
        let wrong = sum_of(&snapshot(|sum| sum ^ 1), 7);
        assert!(matches!(wrong, Err(NotASnapshot::Checksum { .. })));
    }

    #[test]
    fn what_is_cut_off_is_no_snapshot() {
        let whole = snapshot(|_| 0);
        for length in 0..whole.len() {
            let cut = sum_of(&whole[..length], 4);
            assert_eq!(cut, Err(NotASnapshot::NoEnd), "{length} bytes");
        }
    }
}
