//! A store that goes away for a moment does not make all begin anew.

use std::time::Duration;

use hera_core::backup::{Failure, FailureReason};
use hera_store::StoreError;
use tracing::warn;

/// After each of these a store that did not answer is asked again. It asks a few times by itself.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// What a store answers, which may take a few attempts.
///
/// # Errors
/// It does not, or answers with an error.
pub async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for pause in PAUSES {
        match ask().await {
            Err(error) if error.reason == FailureReason::StoreUnreachable => {
                warn!(%error, "the store is asked again");
                tokio::time::sleep(pause).await;
            }
            answer => return Ok(answer?),
        }
    }
    Ok(ask().await?)
}
