//! What a server says before it ends.

/// What a server says about the directive at which it gave up, if it did: name and reason.
pub fn refused_directive(words: &[String]) -> Option<(String, String)> {
    let at = words.iter().position(|line| line.starts_with(">>> '"))?;
    let line = words.get(at)?.strip_prefix(">>> '")?;
    let name = line.split([' ', '\'']).next()?.to_lowercase();
    let reason = words.get(at + 1).cloned().unwrap_or_default();
    (!name.is_empty()).then_some((name, reason))
}

/// The words that tell most about an end, at most 512 bytes.
pub fn summary(words: &[String]) -> String {
    let telling = |line: &&String| {
        !line.trim().is_empty() && !line.contains("WARNING") && !line.contains("_.-")
    };
    let last: Vec<&String> = words.iter().filter(telling).rev().take(3).collect();
    let text = last
        .into_iter()
        .rev()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" | ");
    let mut end = text.len().min(512);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
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
}
