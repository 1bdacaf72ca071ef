//! A line as people type it, as words: the notation of redis-cli.

use thiserror::Error;

/// A line that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadLine {
    /// A quote is open at the end.
    #[error("a quote is not closed")]
    Open,
    /// Something follows a closing quote.
    #[error("a space must follow a closing quote")]
    Glued,
}

/// Splits a line at spaces. A word in double quotes may hold `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` and
/// any other character after a backslash; one in single quotes holds all as it is but `\'`.
///
/// # Errors
/// As told by [`BadLine`].
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, BadLine> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Ok(words)
}

/// The first word, and what follows it.
fn word(line: &[u8]) -> Result<(Vec<u8>, &[u8]), BadLine> {
    let mut word = Vec::new();
    let mut rest = line;
    loop {
        match rest {
            [] => return Ok((word, rest)),
            [b'"', after @ ..] => {
                rest = closed(double(after, &mut word)?)?;
                return Ok((word, rest));
            }
            [b'\'', after @ ..] => {
                rest = closed(single(after, &mut word)?)?;
                return Ok((word, rest));
            }
            [byte, ..] if byte.is_ascii_whitespace() => return Ok((word, rest)),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

fn double<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], BadLine> {
    loop {
        rest = match rest {
            [] => return Err(BadLine::Open),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(digit(*high) << 4 | digit(*low));
                after
            }
            [b'\\', byte, after @ ..] => {
                word.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

fn single<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], BadLine> {
    loop {
        rest = match rest {
            [] => return Err(BadLine::Open),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

fn closed(rest: &[u8]) -> Result<&[u8], BadLine> {
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => Err(BadLine::Glued),
        _ => Ok(rest),
    }
}

fn digit(hex: u8) -> u8 {
    char::from(hex)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = split(line.as_bytes()).unwrap();
        let text = |word: Vec<u8>| String::from_utf8(word).unwrap();
        words.into_iter().map(text).collect()
    }

    #[test]
    fn words_are_split_as_redis_cli_does() {
        assert_eq!(words("  set a  b\r\n"), ["set", "a", "b"]);
        assert_eq!(words(r#"set a "b c\n\"d\"""#), ["set", "a", "b c\n\"d\""]);
        assert_eq!(words(r"set a 'b \n \'c'"), ["set", "a", r"b \n 'c"]);
        assert_eq!(words(r#"set "" '' "#), ["set", "", ""]);
        assert!(words("   ").is_empty());
        assert_eq!(split(br#""\x00\xff\xg""#).unwrap(), [b"\x00\xffxg"]);
    }

    #[test]
    fn a_line_that_means_nothing_is_refused() {
        assert_eq!(split(br#"set "a"#), Err(BadLine::Open));
        assert_eq!(split(b"set 'a"), Err(BadLine::Open));
        assert_eq!(split(br#"set "a"b"#), Err(BadLine::Glued));
    }
}
