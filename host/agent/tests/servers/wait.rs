//! Waits with a bound.

use std::time::Duration;

use tokio::time::Instant;

/// What a test waits for comes long before this, or never.
pub const LIMIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After [`LIMIT`], with the last that `ask` saw.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        let seen = match ask().await {
            Ok(answer) => return answer,
            Err(seen) => seen,
        };
        assert!(start.elapsed() < LIMIT, "not in time: {what}; last: {seen}");
        tokio::time::sleep(LOOK).await;
    }
}
