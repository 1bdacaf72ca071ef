//! How a key of a Secret is read.

/// The text of a key of a Secret; none if there is none, or if it is no text.
///
/// One line end at the end is not part of it: editors and `echo` leave one, and
/// `kubectl create secret --from-file` takes it along, where nobody could type it.
pub fn secret_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    })
}

/// The password in a key of a Secret, as [`secret_text`]; an empty one is none.
pub fn secret_password(bytes: &[u8]) -> Option<&str> {
    secret_text(bytes).filter(|password| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_at_the_end_is_not_part_of_it() {
        for written in ["secret", "secret\n", "secret\r\n"] {
            assert_eq!(secret_text(written.as_bytes()), Some("secret"));
        }
        assert_eq!(secret_text(b"secret\n\n"), Some("secret\n"));
        assert_eq!(secret_text(b"secret\r"), Some("secret\r"));
        assert_eq!(secret_text(b"\nsecret "), Some("\nsecret "));
    }

    #[test]
    fn a_line_end_alone_is_as_empty_as_nothing() {
        for nothing in ["", "\n", "\r\n"] {
            assert_eq!(secret_password(nothing.as_bytes()), None, "{nothing:?}");
        }
        assert_eq!(secret_password(b"x\n"), Some("x"));
        assert_eq!(secret_password(&[0xff]), None);
    }
}
