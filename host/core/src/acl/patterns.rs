//! Which patterns are narrower than which.

/// True if everything that `pattern` matches, `asked` matches too, as far as it can be told
/// without doubt: they are equal, or `asked` is a literal prefix with one `*` behind it and
/// `pattern` starts with that same literal text.
pub fn is_within(pattern: &str, asked: &str) -> bool {
    if pattern == asked {
        return true;
    }
    match asked.strip_suffix('*') {
        // An escape in `asked` is no literal text; only equality is certain then.
        Some(prefix) if literal_prefix(prefix) == prefix => {
            literal_prefix(pattern).starts_with(prefix)
        }
        _ => false,
    }
}

/// The text before the first character that could mean something other than itself.
fn literal_prefix(pattern: &str) -> &str {
    match pattern.find(['*', '?', '[', ']', '\\', '^']) {
        Some(end) => pattern.get(..end).unwrap_or_default(),
        None => pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_patterns_are_within_each_other() {
        for pattern in ["*", "app:*", "app:1", "a?b[0-9]", r"a\*b"] {
            assert!(is_within(pattern, pattern), "{pattern}");
        }
    }

    #[test]
    fn a_longer_literal_prefix_is_narrower() {
        assert!(is_within("app:user:*", "app:*"));
        assert!(is_within("app:1", "app:*"));
        assert!(is_within("app:[0-9]?", "app:*"));
        assert!(is_within("anything*", "*"));
    }

    #[test]
    fn a_shorter_or_other_prefix_is_not() {
        for pattern in [
            "*", "ap*", "app*", "app?x", "other:*", "[a]pp:x", r"app\:x", "",
        ] {
            assert!(!is_within(pattern, "app:*"), "{pattern}");
        }
    }

    #[test]
    fn where_it_cannot_be_told_only_equality_counts() {
        assert!(!is_within("a1b", "a?b"));
        assert!(!is_within("a:x:b", "a:*:b"));
        assert!(!is_within(r"a\*b", r"a\**"));
        assert!(!is_within("app:1", "app:1x"));
        assert!(!is_within("app:*", "app:1"));
        // `*\*` matches what ends in a star: the last character is no wildcard.
        assert!(!is_within("x", r"\*"));
    }
}
