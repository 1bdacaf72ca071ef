//! What a server says before it ends.

/// What a server says about the directive at which it gave up, if it did: name and reason.
pub fn refused_directive(words: &[String]) -> Option<(String, String)> {
    let at = words.iter().position(|line| line.starts_with(">>> '"))?;
    let line = words.get(at)?.strip_prefix(">>> '")?;
    let name = line.split([' ', '\'']).next()?.to_lowercase();
    let reason = words.get(at + 1).cloned().unwrap_or_default();
    (!name.is_empty()).then_some((name, reason))
}

/// The words that tell most about an end, at most 512 bytes: warnings, and what is no log line.
pub fn summary(words: &[String]) -> String {
    let last: Vec<&str> = words
        .iter()
        .rev()
        .filter_map(|line| telling(line))
        .take(3)
        .collect();
    let text = last.into_iter().rev().collect::<Vec<_>>().join(" | ");
    let mut end = text.len().min(512);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// A log line is `pid:role day month year time level text`; `#` is the level of warnings.
fn telling(line: &str) -> Option<&str> {
    let from_the_log = line
        .split_once(':')
        .is_some_and(|(pid, _)| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()));
    let text = if from_the_log {
        line.split_once(" # ")?.1
    } else {
        line
    };
    let tells = !text.trim().is_empty() && !text.contains("WARNING") && !text.starts_with("[info]");
    tells.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directive_at_which_a_server_gave_up_is_found() {
        let words = [
            "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***",
            "Reading the configuration file, at line 3",
            ">>> 'maxmemory-policy nonsense'",
            "argument(s) must be one of the following: volatile-lru",
        ]
        .map(str::to_owned);
        let (name, reason) = refused_directive(&words).unwrap();
        assert_eq!(name, "maxmemory-policy");
        assert!(reason.starts_with("argument(s) must be"));
        assert_eq!(refused_directive(&["ready".to_owned()]), None);
    }

    #[test]
    fn a_summary_is_made_of_warnings_and_of_what_is_no_log_line() {
        let words = [
            "8:C 24 Nov 2026 08:41:59.858 * Configuration loaded",
            "8:S 24 Nov 2026 08:41:59.858 # WARNING Memory overcommit must be enabled!",
            "8:S 24 Nov 2026 08:41:59.858 # Wrong signature trying to load DB from file",
            "[offset 9] Unexpected EOF",
            "[info] 0 keys read",
        ]
        .map(str::to_owned);
        let expected = "Wrong signature trying to load DB from file | [offset 9] Unexpected EOF";
        assert_eq!(summary(&words), expected);
        assert!(summary(&["x".repeat(600)]).len() <= 512);
    }
}
