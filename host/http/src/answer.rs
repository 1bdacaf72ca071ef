//! What is read of an answer: no more than its bound.

use reqwest::Response;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::clean;

/// An answer of an agent: a status is a few kilobytes, the table of a server's commands about thirty.
pub const USUAL: usize = 256 * 1024;
/// Characters of what is said of an answer that is not understood.
const WORDS: usize = 200;

/// Why an answer cannot be used.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// It broke off, or came too late.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// It is longer than any good one.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It is not what was asked for.
    #[error("the answer is not understood: {0}")]
    Strange(String),
}

/// The body of an answer of at most `limit` bytes. How deep it may be nested, `serde_json` bounds.
///
/// # Errors
/// See [`AnswerError`].
pub async fn json<T: DeserializeOwned>(response: Response, limit: usize) -> Result<T, AnswerError> {
    parse(&bytes(response, limit).await?)
}

/// What somebody wrote in JSON, without control characters in its strings: words of it end in logs, statuses and
/// terminals, where they would be obeyed. Line ends and tabs become spaces.
///
/// # Errors
/// It is not what is expected.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, AnswerError> {
    serde_json::from_slice(&clean::text(text)).map_err(|error| {
        // It quotes what somebody wrote.
        AnswerError::Strange(error.to_string().chars().take(WORDS).collect())
    })
}

/// The body as it is.
async fn bytes(mut response: Response, limit: usize) -> Result<Vec<u8>, AnswerError> {
    let told = response.content_length().unwrap_or(0);
    let mut body = Vec::new();
    if usize::try_from(told).is_ok_and(|told| told <= limit) {
        while let Some(chunk) = response.chunk().await? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(AnswerError::TooLong(limit));
            }
            body.extend_from_slice(&chunk);
        }
        return Ok(body);
    }
    Err(AnswerError::TooLong(limit))
}
