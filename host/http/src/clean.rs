//! Takes control characters out of JSON, before it is read: no tree is built of it, which takes a hundred times
//! the bytes that tell it.

use std::borrow::Cow;

/// The text, without control characters in its strings, however they are written there.
pub fn text(text: &[u8]) -> Cow<'_, [u8]> {
    let is_suspect = |window: &[u8]| {
        matches!(
            window,
            [b'\\', b'u' | b'b' | b'f' | b'n' | b'r' | b't', ..] | [0x7f, ..]
        ) || matches!(window, [0xc2, 0x80..=0x9f, ..])
    };
    match text.windows(2).any(is_suspect) || text.last() == Some(&0x7f) {
        true => Cow::Owned(cleaned(text)),
        false => Cow::Borrowed(text),
    }
}

/// Outside of strings there is neither a backslash nor anything beyond ASCII: what is not JSON stays so.
fn cleaned(mut text: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(text.len());
    loop {
        text = match text {
            [] => return clean,
            [b'\\', b'u', a, b, c, d, rest @ ..] => {
                let digits = [*a, *b, *c, *d];
                match is_control(digits) {
                    true => clean.push(b' '),
                    false => clean.extend([b"\\u".as_slice(), &digits].concat()),
                }
                rest
            }
            [b'\\', b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => {
                clean.push(b' ');
                rest
            }
            [b'\\', escaped, rest @ ..] => {
                clean.extend([b'\\', *escaped]);
                rest
            }
            // Those beyond ASCII, as UTF-8.
            [0xc2, 0x80..=0x9f, rest @ ..] | [0x7f, rest @ ..] => rest,
            [other, rest @ ..] => {
                clean.push(*other);
                rest
            }
        };
    }
}

fn is_control(digits: [u8; 4]) -> bool {
    let code = std::str::from_utf8(&digits).ok();
    let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    code.and_then(char::from_u32).is_some_and(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::answer::parse;

    #[test]
    fn words_that_a_terminal_would_obey_lose_what_it_obeys() {
        let told = r#"{"words\u001b": ["\u001B]0;owned\u0007a\nb", 1], "c": {"d": "\u009b2J"}}"#;
        let raw = told.replace("2J", "\u{9b}\u{7f}2J");
        let expected = json!({"words ": [" ]0;owned a b", 1], "c": {"d": " 2J"}});
        assert_eq!(parse::<Value>(raw.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn words_of_people_stay_as_they_are() {
        let told = json!({"a": "grüße \\u001b \"quoted\" / €", "b\\": [true, null, -1.5]});
        assert_eq!(parse::<Value>(told.to_string().as_bytes()).unwrap(), told);
    }

    #[test]
    fn what_is_nested_without_end_is_refused_in_few_words() {
        let deep = "[".repeat(100_000);
        assert!(parse::<Value>(deep.as_bytes()).is_err());
        let strange = format!("\"{}\"", "x".repeat(100_000));
        let error = parse::<bool>(strange.as_bytes()).unwrap_err().to_string();
        assert!(error.len() < 300, "{}", error.len());
    }
}
