//! How answers reach people and programs.

use std::io::{ErrorKind, Write as _};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::args::{Color, Format};

/// Characters of a message in a table.
const CELL: usize = 80;

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub struct Output(Format);

impl Output {
    /// Answers in this format; colour as asked for, on both streams.
    pub fn new(format: Format, color: Color) -> Self {
        let choice = match color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        Self(format)
    }

    /// True if answers are for people.
    pub fn is_text(self) -> bool {
        self.0 == Format::Text
    }

    /// Prints an answer: as it is for programs, with `text` for people.
    ///
    /// # Errors
    /// When it cannot be written; that nobody reads on (`| head`) is none.
    pub fn print<T: Serialize>(
        self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = match self.0 {
            Format::Text => text(answer),
            Format::Json => serde_json::to_string_pretty(answer)? + "\n",
            Format::Yaml => serde_saphyr::to_string(answer)?,
        };
        let mut stdout = anstream::stdout().lock();
        let written = stdout.write_all(text.as_bytes());
        match written.and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        }
    }
}

fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Something that is as it should be.
pub fn good(text: &str) -> String {
    paint(AnsiColor::Green.on_default(), text)
}

/// Something that is not.
pub fn bad(text: &str) -> String {
    paint(AnsiColor::Red.on_default().bold(), text)
}

/// Something to look at.
pub fn odd(text: &str) -> String {
    paint(AnsiColor::Yellow.on_default(), text)
}

/// What matters less.
pub fn faint(text: &str) -> String {
    paint(Style::new().dimmed(), text)
}

/// A heading.
pub fn strong(text: &str) -> String {
    paint(Style::new().bold(), text)
}

/// `sha256:` and the first twelve digits.
pub fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// A time in milliseconds since 1970 as people write it; none if it is no date.
pub fn moment(unix_ms: u64) -> Option<String> {
    let at = i64::try_from(unix_ms).ok()?;
    Some(jiff::Timestamp::from_millisecond(at).ok()?.to_string())
}

/// A bar of this many characters, of which as large a part is full.
pub fn bar(part: u64, whole: u64, width: u64) -> String {
    let full = (part.min(whole) * width + whole / 2)
        .checked_div(whole)
        .unwrap_or(0);
    (0..width)
        .map(|at| if at < full { '█' } else { '░' })
        .collect()
}

/// Bytes as people write them.
pub fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut unit, mut name) = (1024, "KiB");
    for larger in ["MiB", "GiB", "TiB"] {
        if bytes / 1024 < unit {
            break;
        }
        unit *= 1024;
        name = larger;
    }
    let tenths = bytes.saturating_mul(10) / unit;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// A time that something takes, about.
pub fn lasting(seconds: u64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

/// A message for a cell: a longer one is cut, as the whole of it stands with its object.
pub fn cut(message: &str) -> String {
    match message.char_indices().nth(CELL) {
        Some((end, _)) => message.split_at(end).0.to_owned() + "…",
        None => message.to_owned(),
    }
}

/// Columns as wide as what stands in them; cells without colour.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain(head.get(column).map(|title| title.chars().count()))
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(&format!("{cell:<width$}   "));
        }
        text.trim_end().to_owned() + "\n"
    };
    let mut text = strong(&line(&mut head.iter().copied()));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_sizes_and_times_are_short() {
        assert_eq!(bar(1, 4, 8), "██░░░░░░");
        assert_eq!(
            (bar(9, 4, 2), bar(0, 0, 2)),
            ("██".to_owned(), "░░".to_owned())
        );
        let sizes = [0, 1_023, 1_024, 1_536, 1 << 20, 5 << 30, u64::MAX].map(size);
        assert_eq!(
            sizes[..6],
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB"]
        );
        assert!(sizes[6].ends_with(" TiB"), "{}", sizes[6]);
        assert_eq!([119, 120, 7_200].map(lasting), ["119 s", "2 min", "2 h"]);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "longer".to_owned()]];
        let text = anstream::adapter::strip_str(&table(&["NAME", "X"], &rows)).to_string();
        assert_eq!(text, "NAME   X\na      longer\n");
    }
}
