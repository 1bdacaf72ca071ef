//! What depends on versions and on what is there alone.

use crate::cluster::{LargeKey, Way};

/// The first versions whose own way of moving slots has no fault that is known (redis-facts §1.4).
const IMPORT: [u16; 3] = [8, 4, 1];
const EXPORT: [u16; 3] = [9, 1, 2];

/// How slots move between these servers, each told by its engine and version: by the way of its own that every one
/// of them has, else key by key. A server of which that is not known has none.
pub fn way<'a>(servers: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>) -> Way {
    let of_one = |(engine, version): (Option<&str>, Option<&str>)| {
        let version = version.and_then(numbers)?;
        match engine? {
            "redis" if version >= IMPORT => Some(Way::Import),
            "valkey" if version >= EXPORT => Some(Way::Export),
            _ => None,
        }
    };
    let mut ways = servers.map(of_one);
    let first = ways.next().flatten();
    match first {
        Some(way) if ways.all(|other| other == first) => way,
        _ => Way::Keys,
    }
}

/// `8.6.3`, or the beginning of it; what follows a number is left out, as in `9.0.0-rc1`.
fn numbers(text: &str) -> Option<[u16; 3]> {
    let mut parts = text.split('.').map(|part| {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        part.get(..end).and_then(|digits| digits.parse().ok())
    });
    let first = parts.next().flatten()?;
    let mut rest = || parts.next().flatten().unwrap_or(0);
    Some([first, rest(), rest()])
}

/// Bytes in memory that are surely sent in a millisecond: 45 to 65 MB a second were measured on one slow core.
const BYTES_A_MILLISECOND: u64 = 40_000;

/// How many bytes of keys are sent in this time, in milliseconds: a key is sent in one piece, and its server serves
/// nobody meanwhile (redis-facts §1.3).
pub fn bytes_in(ms: u64) -> u64 {
    ms.max(1).saturating_mul(BYTES_A_MILLISECOND)
}

/// No step takes longer knowingly, whatever is allowed: a third of the node timeout of 5 seconds, after which the
/// others would vote for another.
const LONGEST_STALL_MS: u64 = 1_666;

/// True if a key that was told as too large is so for steps of this length, in milliseconds: more may be allowed than
/// when it was told.
pub fn is_too_large(key: &LargeKey, max_stall_ms: u64) -> bool {
    key.bytes > bytes_in(max_stall_ms.min(LONGEST_STALL_MS))
}

/// How many shards are there: those that the spec wants, and those of which a StatefulSet is left.
pub fn shards_there(wanted: u32, sets: impl Iterator<Item = u32>) -> u32 {
    let last = sets.max();
    wanted.max(last.map_or(0, |last| last.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(servers: &[(&str, &str)]) -> Way {
        way(servers
            .iter()
            .map(|(engine, version)| (Some(*engine), Some(*version))))
    }

    #[test]
    fn the_oldest_server_says_how_slots_move() {
        assert_eq!(of(&[("redis", "8.4.1"), ("redis", "8.6.3")]), Way::Import);
        assert_eq!(of(&[("valkey", "9.1.2")]), Way::Export);
        assert_eq!(of(&[("redis", "8.6.3"), ("redis", "8.4.0")]), Way::Keys);
        assert_eq!(of(&[("valkey", "9.1.2"), ("valkey", "8.1.4")]), Way::Keys);
        assert_eq!(of(&[("redis", "8.6.3"), ("valkey", "9.1.2")]), Way::Keys);
        assert_eq!(of(&[("redis", "10.0"), ("redis", "8.10.1")]), Way::Import);
        assert_eq!(of(&[("valkey", "9.1.2-rc1")]), Way::Export);
    }

    #[test]
    fn what_is_not_known_moves_key_by_key() {
        assert_eq!(of(&[]), Way::Keys);
        assert_eq!(of(&[("redis", "unstable")]), Way::Keys);
        let one_is_silent = [(Some("redis"), Some("8.6.3")), (Some("redis"), None)];
        assert_eq!(way(one_is_silent.into_iter()), Way::Keys);
    }

    #[test]
    fn what_is_too_large_follows_what_is_allowed_up_to_the_node_timeout() {
        let key = |bytes| LargeKey {
            bytes,
            ..LargeKey::default()
        };
        assert!(is_too_large(&key(4_000_001), 100));
        assert!(!is_too_large(&key(4_000_000), 100) && !is_too_large(&key(4_000_001), 101));
        assert!(is_too_large(&key(100_000_000), 5_000));
        assert!(!is_too_large(&key(40_000), 0));
    }

    #[test]
    fn a_shard_is_there_as_long_as_its_set_is() {
        assert_eq!(shards_there(3, [0, 1, 2].into_iter()), 3);
        assert_eq!(shards_there(3, [0, 1, 2, 4].into_iter()), 5);
        assert_eq!(shards_there(5, [0, 1, 2].into_iter()), 5);
        assert_eq!(shards_there(3, std::iter::empty()), 3);
    }
}
