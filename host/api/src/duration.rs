//! Durations as a spec writes them: `500ms`, `15s`, `2m`, `168h`.

/// Longest text of one.
pub(crate) const MAX_LENGTH: usize = 16;

/// Milliseconds of a duration; none if it is none.
pub fn parse_millis(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(split)?;
    if digits.is_empty() || digits.len() > 6 {
        return None;
    }
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, want) in [
            ("0s", 0),
            ("250ms", 250),
            ("15s", 15_000),
            ("2m", 120_000),
            ("168h", 604_800_000),
            ("999999m", 59_999_940_000),
        ] {
            assert_eq!(parse_millis(text), Some(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_none() {
        for text in [
            "", "0", "s", "15", "15 s", "1.5s", "-1s", "+1s", "1d", "1s1s", "1000000s", "1S", "é",
        ] {
            assert_eq!(parse_millis(text), None, "{text}");
        }
    }
}
