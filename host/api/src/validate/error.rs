use std::fmt;

use thiserror::Error;

/// One thing about a spec that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// Path of the field, as in `spec.users[1].name`.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            field: field.into(),
            message: message.to_string(),
        }
    }
}

/// Everything about a spec that cannot be; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct InvalidSpec(pub Vec<Invalid>);

/// Collects what is wrong, so that a user sees all of it at once.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Invalid>);

impl Problems {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl fmt::Display) {
        self.0.push(Invalid::new(field, message));
    }

    /// The value, or a problem with the field.
    pub(crate) fn take<T, E: fmt::Display>(
        &mut self,
        field: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// `value`, if nothing was wrong.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, InvalidSpec> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(InvalidSpec(self.0)),
        }
    }
}
