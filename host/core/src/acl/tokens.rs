//! What may stand in a rule: nothing that a server could read as a second rule.

/// Longest command, category or user name.
pub const MAX_NAME: usize = 64;
/// Longest key or channel pattern.
pub const MAX_PATTERN: usize = 512;

/// A command (`get`, `config|get`) or category name: letters, digits and `_ . : -`, one `|`; `?` as a first argument
/// (`psync|?`).
pub fn is_command_name(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c))
    };
    match name.split_once('|') {
        Some((base, sub)) => name.len() <= MAX_NAME && part(base) && (part(sub) || sub == "?"),
        None => name.len() <= MAX_NAME && part(name),
    }
}

/// A user name: letters, digits and `. _ @ : -`, starting with a letter or digit.
pub fn is_user_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._@:-".contains(c))
}

/// A key or channel pattern: printable ASCII without spaces. A space would end the rule in the
/// server's ACL file and start another.
pub fn is_pattern(pattern: &str) -> bool {
    !pattern.is_empty()
        && pattern.len() <= MAX_PATTERN
        && pattern.chars().all(|c| c.is_ascii_graphic())
}

/// Text from a policy or spec, fit for a message: printable ASCII, cut at `max` bytes.
pub fn printable(text: &str, max: usize) -> String {
    let shown = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    };
    text.chars().map(shown).take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_commands_pass() {
        for name in [
            "get",
            "config|get",
            "ft.search",
            "_ft.debug",
            "client|no-evict",
            "host:",
        ] {
            assert!(is_command_name(name), "{name}");
        }
    }

    #[test]
    fn a_name_cannot_carry_another_rule() {
        let smuggled = [
            "",
            " ",
            "get nopass",
            "get\nuser x on nopass",
            "@all",
            "get|a|b",
            "|get",
            "get|",
            ">pw",
            "#hash",
            "~*",
            "(+@all",
            "+get",
            "g\u{e9}t",
            "get\0",
        ];
        for name in smuggled {
            assert!(!is_command_name(name), "{name:?}");
        }
        assert!(!is_command_name(&"a".repeat(MAX_NAME + 1)));
    }

    #[test]
    fn a_pattern_cannot_end_its_rule() {
        for pattern in ["", "a b", "a\tb", "a\nuser", "a\u{a0}b", "a\u{7f}"] {
            assert!(!is_pattern(pattern), "{pattern:?}");
        }
        assert!(!is_pattern(&"a".repeat(MAX_PATTERN + 1)));
        for pattern in ["*", "app:*", r"a\*b", "{tag}:[0-9]?"] {
            assert!(is_pattern(pattern), "{pattern:?}");
        }
    }

    #[test]
    fn text_for_people_is_cut_and_printable() {
        assert_eq!(printable("a\nb\u{1b}[31m\u{e9}c", 6), "a?b?[3");
    }
}
