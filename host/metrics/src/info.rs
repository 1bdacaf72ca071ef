//! The lines of `INFO` and `CLUSTER INFO`.

use std::collections::HashMap;

/// Fields by name, each as its text.
pub struct Info<'a> {
    fields: HashMap<&'a str, &'a str>,
    /// In the order of the server.
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Info<'a> {
    /// Reads lines of `name:value`; all others are skipped.
    pub fn of(text: &'a str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let lines: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
        Self {
            fields: lines.iter().copied().collect(),
            lines,
        }
    }

    /// A field as text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).copied()
    }

    /// A field as a number. What says yes is 1, and what says no 0.
    pub fn number(&self, name: &str) -> Option<f64> {
        number(self.text(name)?)
    }

    /// Fields whose names begin so, each with the rest of its name, in the order of the server.
    pub fn under(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lines = self.lines.iter();
        lines.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, *value)))
    }
}

/// `a=1,b=2` by name.
pub fn parts(value: &str) -> HashMap<&str, &str> {
    let parts = value.split(',');
    parts.filter_map(|part| part.split_once('=')).collect()
}

/// A number; what says yes is 1, and what says no 0.
pub fn number(text: &str) -> Option<f64> {
    match text {
        "ok" | "yes" | "up" | "true" => Some(1.0),
        "err" | "fail" | "no" | "down" | "false" => Some(0.0),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}
