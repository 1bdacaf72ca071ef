//! Answers as redis-cli prints them: quoted and numbered for people, as they are for programs.

use std::io::{self, Write};

use hera_redis::Value;

/// For whom an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people: quoted, numbered, with its type.
    Quoted,
    /// For programs: the bytes.
    Raw,
}

/// Prints an answer and a line end.
///
/// # Errors
/// When `out` takes nothing.
pub fn print(out: &mut dyn Write, answer: &Value, style: Style) -> io::Result<()> {
    match style {
        Style::Quoted => quoted(out, answer, ""),
        Style::Raw => {
            raw(out, answer)?;
            out.write_all(b"\n")
        }
    }
}

/// True if it is an error, or holds one as a transaction's may.
pub fn is_error(answer: &Value) -> bool {
    match answer {
        Value::ServerError(_) => true,
        Value::Array(items) | Value::Set(items) => items.iter().any(is_error),
        Value::Attribute { data, .. } => is_error(data),
        _ => false,
    }
}

fn quoted(out: &mut dyn Write, answer: &Value, indent: &str) -> io::Result<()> {
    match answer {
        Value::Nil => writeln!(out, "(nil)"),
        Value::Int(number) => writeln!(out, "(integer) {number}"),
        Value::BulkString(bytes) => writeln!(out, "{}", quote(bytes)),
        Value::SimpleString(text) => writeln!(out, "{text}"),
        Value::Okay => writeln!(out, "OK"),
        Value::Double(number) => writeln!(out, "(double) {number}"),
        Value::Boolean(truth) => writeln!(out, "({truth})"),
        Value::VerbatimString { text, .. } => writeln!(out, "{text}"),
        Value::ServerError(error) => writeln!(out, "(error) {}", words(error)),
        Value::Attribute { data, .. } => quoted(out, data, indent),
        Value::Array(items) => list(out, items, indent, (')', "array")),
        Value::Push { data, .. } => list(out, data, indent, (')', "push")),
        Value::Set(items) => list(out, items, indent, ('~', "set")),
        Value::Map(pairs) => map(out, pairs, indent),
        other => writeln!(out, "{}", String::from_utf8_lossy(&plain(other))),
    }
}

fn list(
    out: &mut dyn Write,
    items: &[Value],
    indent: &str,
    (mark, kind): (char, &str),
) -> io::Result<()> {
    if items.is_empty() {
        return writeln!(out, "(empty {kind})");
    }
    let width = items.len().to_string().len();
    let inner = format!("{indent}{}", " ".repeat(width + 2));
    for (at, item) in items.iter().enumerate() {
        // What is around it has already begun the first line.
        let before = if at == 0 { "" } else { indent };
        write!(out, "{before}{:>width$}{mark} ", at + 1)?;
        quoted(out, item, &inner)?;
    }
    Ok(())
}

fn map(out: &mut dyn Write, pairs: &[(Value, Value)], indent: &str) -> io::Result<()> {
    if pairs.is_empty() {
        return writeln!(out, "(empty hash)");
    }
    let width = pairs.len().to_string().len();
    let inner = format!("{indent}{}", " ".repeat(width + 2));
    for (at, (key, value)) in pairs.iter().enumerate() {
        let before = if at == 0 { "" } else { indent };
        write!(out, "{before}{:>width$}# ", at + 1)?;
        let mut text = Vec::new();
        quoted(&mut text, key, &inner)?;
        out.write_all(text.trim_ascii_end())?;
        write!(out, " => ")?;
        quoted(out, value, &inner)?;
    }
    Ok(())
}

fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            7 => text.push_str("\\a"),
            8 => text.push_str("\\b"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
    }
    text.push('"');
    text
}

fn raw(out: &mut dyn Write, answer: &Value) -> io::Result<()> {
    let joined = |out: &mut dyn Write, items: &[Value]| {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.write_all(b"\n")?;
            }
            raw(out, item)?;
        }
        Ok(())
    };
    match answer {
        Value::Array(items) | Value::Set(items) | Value::Push { data: items, .. } => {
            joined(out, items)
        }
        Value::Attribute { data, .. } => raw(out, data),
        Value::Map(pairs) => {
            for (at, (key, value)) in pairs.iter().enumerate() {
                if at > 0 {
                    out.write_all(b"\n")?;
                }
                raw(out, key)?;
                out.write_all(b" ")?;
                raw(out, value)?;
            }
            Ok(())
        }
        plain_one => out.write_all(&plain(plain_one)),
    }
}

/// The bytes of an answer that is no list.
fn plain(answer: &Value) -> Vec<u8> {
    match answer {
        Value::BulkString(bytes) | Value::BigNumber(bytes) => bytes.clone(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone().into_bytes(),
        Value::Okay => b"OK".to_vec(),
        Value::Int(number) => number.to_string().into_bytes(),
        Value::Double(number) => number.to_string().into_bytes(),
        Value::Boolean(truth) => format!("({truth})").into_bytes(),
        Value::ServerError(error) => format!("{}\n", words(error)).into_bytes(),
        _ => Vec::new(),
    }
}

fn words(error: &hera_redis::ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn shown(answer: &Value, style: Style) -> String {
        let mut out = Vec::new();
        print(&mut out, answer, style).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn quoted(answer: &Value) -> String {
        shown(answer, Style::Quoted)
    }

    fn raw(answer: &Value) -> String {
        shown(answer, Style::Raw)
    }

    #[test]
    fn people_see_what_kind_of_answer_it_is() {
        assert_eq!(quoted(&Value::Nil), "(nil)\n");
        assert_eq!(quoted(&Value::Int(-3)), "(integer) -3\n");
        assert_eq!(quoted(&Value::Okay), "OK\n");
        let odd = Value::BulkString(b"a \"b\"\\\n\r\t\x07\x08\x00\xff".to_vec());
        assert_eq!(
            quoted(&odd),
            "\"a \\\"b\\\"\\\\\\n\\r\\t\\a\\b\\x00\\xff\"\n"
        );
        assert_eq!(quoted(&Value::Array(vec![])), "(empty array)\n");
        assert_eq!(quoted(&Value::Boolean(true)), "(true)\n");
        assert_eq!(quoted(&Value::Double(1.5)), "(double) 1.5\n");
    }

    #[test]
    fn lists_are_numbered_and_lists_in_them_indented() {
        let inner = Value::Array(vec![bulk("x"), bulk("y")]);
        let mut items: Vec<Value> = (1..10).map(Value::Int).collect();
        items.push(inner);
        let text = quoted(&Value::Array(items));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], " 1) (integer) 1");
        assert_eq!(lines[9], "10) 1) \"x\"");
        assert_eq!(lines[10], "    2) \"y\"");
        let map = Value::Map(vec![(bulk("k"), bulk("v")), (bulk("l"), Value::Nil)]);
        assert_eq!(quoted(&map), "1# \"k\" => \"v\"\n2# \"l\" => (nil)\n");
    }

    #[test]
    fn programs_get_the_bytes() {
        assert_eq!(raw(&bulk("a \"b\"")), "a \"b\"\n");
        assert_eq!(raw(&Value::Nil), "\n");
        assert_eq!(raw(&Value::Int(7)), "7\n");
        let list = Value::Array(vec![bulk("a"), Value::Array(vec![bulk("b"), bulk("c")])]);
        assert_eq!(raw(&list), "a\nb\nc\n");
        let map = Value::Map(vec![(bulk("k"), bulk("v"))]);
        assert_eq!(raw(&map), "k v\n");
    }
}
