use std::collections::BTreeMap;

use super::directives;
use super::error::Problems;
use crate::schema::{MAX_DIRECTIVE_VALUE, MAX_DIRECTIVES};

/// The directives that are good, in the notation of redis.conf.
pub(super) fn check(
    config: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    if config.len() > MAX_DIRECTIVES {
        problems.add(
            "spec.config",
            format!("{} directives are more than {MAX_DIRECTIVES}", config.len()),
        );
    }
    let mut good = BTreeMap::new();
    for (directive, value) in config {
        let field = format!("spec.config.{}", shown(directive));
        match check_one(directive, value) {
            Ok(value) => {
                good.insert(directive.clone(), value);
            }
            Err(message) => problems.add(field, message),
        }
    }
    good
}

/// A name as it may stand in a message.
fn shown(directive: &str) -> String {
    directive
        .chars()
        .take(64)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

fn check_one(directive: &str, value: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if directive.is_empty() || directive.len() > 64 || !directive.bytes().all(plain) {
        return Err(
            "a directive is written in lower-case letters, digits and dashes, at most 64 of them"
                .to_owned(),
        );
    }
    if let Some(group) = directives::reserved(directive) {
        return Err(format!(
            "remove it, it belongs to the operator: {}",
            group.instead
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(
            "remove the line breaks and other control characters from its value".to_owned(),
        );
    }
    if value.len() > MAX_DIRECTIVE_VALUE {
        return Err(format!(
            "its value has more than {MAX_DIRECTIVE_VALUE} bytes"
        ));
    }
    if !is_balanced(value) {
        return Err(
            "close the quotes in its value, and leave a space after each quoted word".to_owned(),
        );
    }
    let value = value.trim_matches(' ');
    Ok(if value.is_empty() {
        "\"\"".to_owned()
    } else {
        value.to_owned()
    })
}

/// True if the server can split the value into words: quotes are closed, and a closing one is
/// followed by a space or the end.
fn is_balanced(value: &str) -> bool {
    let mut chars = value.chars().peekable();
    while let Some(quote) = chars.next() {
        if quote != '"' && quote != '\'' {
            continue;
        }
        loop {
            match chars.next() {
                None => return false,
                Some('\\') if quote == '"' || chars.peek() == Some(&'\'') => {
                    if chars.next().is_none() {
                        return false;
                    }
                }
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        if chars.peek().is_some_and(|next| *next != ' ') {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_as_it_is_written() {
        assert_eq!(
            check_one("notify-keyspace-events", "KEA"),
            Ok("KEA".to_owned())
        );
        assert_eq!(
            check_one("client-output-buffer-limit", " normal 0 0 0 "),
            Ok("normal 0 0 0".to_owned())
        );
    }

    #[test]
    fn an_empty_value_is_written_so_that_the_server_reads_it() {
        assert_eq!(
            check_one("notify-keyspace-events", ""),
            Ok("\"\"".to_owned())
        );
    }

    #[test]
    fn a_value_cannot_bring_a_second_directive() {
        for value in ["1\nrequirepass x", "1\r", "1\0", "\u{85}"] {
            assert!(check_one("hz", value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn open_quotes_are_refused_as_the_server_would() {
        for value in ["\"", "'a", "\"a\\\"", "\"a\"b", "a \"b"] {
            assert!(check_one("hz", value).is_err(), "{value:?}");
        }
        for value in ["\"\"", "'a b'", "\"a\\\"b\"", "x \"y z\" w", "'it\\'s'"] {
            assert!(check_one("hz", value).is_ok(), "{value:?}");
        }
    }

    #[test]
    fn a_reserved_directive_is_refused_by_name() {
        let mut problems = Problems::default();
        check(
            &BTreeMap::from([("slaveof".to_owned(), "1.2.3.4 6379".to_owned())]),
            &mut problems,
        );
        let error = problems.finish::<()>(None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.config.slaveof: remove it, it belongs to the operator: the operator decides who is the primary and who \
             follows it"
        );
    }
}
