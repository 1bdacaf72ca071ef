//! Keys that take too long to be sent: one is sent in one piece, and its server serves nobody meanwhile
//! (redis-facts §1.3).

use std::time::Duration;

use hera_core::cluster::LargeKey;
use hera_core::reshard;

use super::job::cut;

/// Bytes of a name that are told.
const NAME: usize = 64;

/// What is sent in this time.
pub fn bytes_in(time: Duration) -> u64 {
    reshard::bytes_in(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// How long so many bytes take.
pub fn time_of(bytes: u64) -> Duration {
    Duration::from_millis(bytes / reshard::bytes_in(1))
}

/// Those of these keys that are larger than `limit`.
pub fn larger(slot: u16, keys: &[Vec<u8>], sizes: &[Option<u64>], limit: u64) -> Vec<LargeKey> {
    let known = keys.iter().zip(sizes);
    let large = known.filter_map(|(key, size)| {
        let bytes = size.filter(|bytes| *bytes > limit)?;
        let key = cut(&String::from_utf8_lossy(key), NAME);
        Some(LargeKey { slot, key, bytes })
    });
    large.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_large_if_sending_it_takes_longer_than_a_stall() {
        let limit = bytes_in(Duration::from_millis(100));
        let keys = [b"small".to_vec(), b"la\nrge".to_vec(), b"gone".to_vec()];
        let sizes = [Some(limit), Some(limit + 1), None];
        let large = larger(7, &keys, &sizes, limit);
        assert_eq!(large.len(), 1);
        assert_eq!((large[0].slot, large[0].key.as_str()), (7, "la?rge"));
        assert!(time_of(limit) <= Duration::from_millis(100));
    }

    #[test]
    fn a_name_that_is_long_or_no_text_is_told_in_part() {
        let keys = [vec![0xff; 1_000]];
        let large = larger(7, &keys, &[Some(2)], 1);
        assert!(large[0].key.len() <= NAME && !large[0].key.is_empty());
    }
}
