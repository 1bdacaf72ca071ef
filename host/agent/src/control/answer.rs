//! Refusals of the control API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hera_core::agent::Refusal;

use crate::role::pauses::NoPause;
use crate::state::durable::FileError;

/// Why something was not done.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    refusal: Refusal,
}

impl Refused {
    /// With these words for people.
    pub fn new(status: StatusCode, words: impl Into<String>) -> Self {
        let refusal = Refusal {
            message: words.into(),
            term: None,
        };
        Self { status, refusal }
    }

    /// Why, for people.
    pub fn words(&self) -> &str {
        &self.refusal.message
    }

    /// It will not do.
    pub fn wrong(words: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, words)
    }

    /// It may do a moment later.
    pub fn later(words: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, words)
    }

    /// No Lease gives such a term: whoever sends it was lied to, and it is not kept.
    pub fn no_term(term: u64) -> Self {
        Self::wrong(format!(
            "{term} is no term: no Lease reaches it, and it is refused whoever sends it"
        ))
    }

    /// A later leader spoke before.
    pub fn old_term(term: u64, seen: u64) -> Self {
        let words = format!("term {seen} was seen, {term} is older");
        let mut refused = Self::new(StatusCode::CONFLICT, words);
        refused.refusal.term = Some(seen);
        refused
    }
}

impl From<NoPause> for Refused {
    fn from(error: NoPause) -> Self {
        Self::wrong(error.to_string())
    }
}

impl From<FileError> for Refused {
    fn from(error: FileError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<hera_redis::Error> for Refused {
    fn from(error: hera_redis::Error) -> Self {
        Self::later(error.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.refusal)).into_response()
    }
}
