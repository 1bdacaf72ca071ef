//! Which names of a long log an instant needs. The others make no wrong answer: who gets none from these looks at all.

use super::PieceName;
use crate::backup::BaseManifest;

/// Bases from which the log is looked at: the newest is taken, the others if that is damaged.
const BASES: usize = 3;
/// A piece that has a byte begins at most so much before it, in bytes.
const LONGEST: u64 = 96 << 20;
/// So long after the instant a piece may begin that says what is next to it, in milliseconds.
const BESIDE_MS: u64 = 600_000;

/// The pieces of a history that an instant needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// They begin at this offset or behind it.
    pub from: u64,
    until_ms: u64,
}

impl Window {
    /// Those of the history `id` for an instant, in milliseconds since 1970; none is the latest.
    pub fn new(bases: &[BaseManifest], id: &str, unix_ms: Option<u64>) -> Self {
        let fit = |base: &&BaseManifest| {
            let is_before = unix_ms.is_none_or(|unix_ms| base.taken_unix_ms <= unix_ms);
            base.replication_id == id && is_before
        };
        let fit = bases.iter().filter(fit).map(|base| base.offset);
        let mut offsets: Vec<u64> = fit.collect();
        offsets.sort_unstable();
        let oldest = offsets.iter().rev().nth(BASES - 1);
        Self {
            // An earlier history may have the base where this one has few.
            from: oldest.map_or(0, |offset| offset.saturating_sub(LONGEST)),
            until_ms: unix_ms.map_or(u64::MAX, |unix_ms| unix_ms.saturating_add(BESIDE_MS)),
        }
    }

    /// True if this piece, and those behind it, began too late.
    pub fn is_over(self, piece: &PieceName) -> bool {
        piece.t0 > self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn base(id: &str, mib: u64, taken_unix_ms: u64) -> BaseManifest {
        serde_json::from_value(serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.2.4",
            "magic": "REDIS0011", "replicationId": id, "offset": mib * MIB, "streamDb": 0,
            "takenUnixMs": taken_unix_ms, "pod": "p-0", "role": "primary", "rawBytes": 5,
            "storedBytes": 5, "sha256": "", "crc64": "0", "usedMemory": 9, "path": "p",
        }))
        .unwrap()
    }

    #[test]
    fn a_history_is_needed_from_before_its_third_base_before_the_instant() {
        let bases = [
            base("a", 400, 40),
            base("a", 100, 10),
            base("b", 900, 35),
            base("a", 300, 30),
            base("a", 200, 20),
        ];
        let from = |id, unix_ms| Window::new(&bases, id, unix_ms).from;
        assert_eq!(from("a", None), 104 * MIB);
        assert_eq!(from("a", Some(40)), 104 * MIB);
        assert_eq!(from("a", Some(39)), 4 * MIB);
        assert_eq!(from("a", Some(29)), 0, "two of them");
        assert_eq!(from("b", None), 0);
    }

    #[test]
    fn it_is_needed_until_a_while_after_the_instant() {
        let piece = |t0| PieceName {
            id: "a".to_owned(),
            from: 0,
            to: 1,
            t0,
            t1: t0,
        };
        let window = Window::new(&[], "a", Some(1_000));
        assert!(!window.is_over(&piece(601_000)));
        assert!(window.is_over(&piece(601_001)));
        assert!(!Window::new(&[], "a", None).is_over(&piece(u64::MAX)));
    }
}
