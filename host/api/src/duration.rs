//! Durations as a spec writes them, in Go's notation: `500ms`, `15s`, `1m30s`, `168h`.

use std::str::FromStr as _;

/// Longest text of one.
pub(crate) const MAX_LENGTH: usize = 16;

/// Milliseconds of a duration; none if it is none, or negative, or too long a text.
pub fn parse_millis(text: &str) -> Option<u64> {
    if text.len() > MAX_LENGTH || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    // Without a unit there would be no telling what a number means.
    if !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let duration = kube::core::Duration::from_str(text).ok()?;
    u64::try_from(std::time::Duration::from(duration).as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_in_several() {
        for (text, want) in [
            ("0s", 0),
            ("250ms", 250),
            ("15s", 15_000),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("168h0m0s", 604_800_000),
        ] {
            assert_eq!(parse_millis(text), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in [
            "",
            "0",
            "s",
            "15",
            "15 s",
            "-1s",
            "+1s",
            "1d",
            "1S",
            "é",
            "1e5s",
            "1s ",
            "1_0s",
            "0x1s",
            "999999999999999h",
        ] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
    }
}
