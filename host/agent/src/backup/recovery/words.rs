//! Instants in words.

use jiff::Timestamp;

/// An instant as people write it, and as the spec of an object takes it.
pub fn instant(unix_ms: u64) -> String {
    let known = i64::try_from(unix_ms).ok();
    match known.and_then(|at| Timestamp::from_millisecond(at).ok()) {
        Some(at) => at.to_string(),
        None => format!("{unix_ms} ms after 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_to_the_millisecond() {
        assert_eq!(instant(1_796_000_000_250), "2026-11-30T00:53:20.25Z");
        assert_eq!(instant(u64::MAX), "18446744073709551615 ms after 1970");
    }
}
