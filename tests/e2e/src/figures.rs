use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What was measured, for the table at the end.
#[derive(Debug, Default)]
pub struct Figures(Mutex<Vec<(String, String)>>);

impl Figures {
    /// Notes a figure.
    pub fn note(&self, what: impl Into<String>, value: impl Into<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((what.into(), value.into()));
    }

    /// Notes durations: each of them, and their median.
    pub fn note_times(&self, what: impl Into<String>, times: &[Duration]) {
        let mut sorted: Vec<_> = times.iter().map(Duration::as_millis).collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        let all: Vec<_> = sorted.iter().map(ToString::to_string).collect();
        self.note(what, format!("{median} ms  (of {})", all.join(", ")));
    }

    /// The table; empty if nothing was noted.
    pub fn table(&self) -> String {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let width = rows
            .iter()
            .map(|(what, _)| what.chars().count())
            .max()
            .unwrap_or(0);
        rows.iter()
            .map(|(what, value)| format!("  {what:<width$}  {value}\n"))
            .collect()
    }
}

/// A duration as it stands in the table.
pub fn millis(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_shows_the_median() {
        let figures = Figures::default();
        figures.note("a", "1");
        figures.note_times("longer", &[3, 1, 2].map(Duration::from_millis));
        assert_eq!(
            figures.table(),
            "  a       1\n  longer  2 ms  (of 1, 2, 3)\n"
        );
    }
}
