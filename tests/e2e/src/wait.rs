use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::pace::paced;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until `probe` answers; its error says why it is not yet so. `bound` is where
/// it hangs on a machine of usual speed; a slower one has longer.
///
/// # Errors
/// After `bound`, with the last reason.
pub async fn wait_for<T>(
    what: &str,
    bound: Duration,
    probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    wait_within(what, paced(bound), probe).await
}

/// The same where `bound` is what is promised, on any machine.
///
/// # Errors
/// After `bound`, with the last reason.
pub async fn wait_within<T>(
    what: &str,
    bound: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let left = bound
            .saturating_sub(start.elapsed())
            .max(Duration::from_secs(1));
        let reason = match tokio::time::timeout(left, probe()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(reason)) => format!("{reason:#}"),
            Err(_) => "the look itself takes too long".to_owned(),
        };
        if start.elapsed() >= bound {
            let seconds = bound.as_secs_f64();
            return Err(anyhow!(
                "waited {seconds:.0} s in vain for: {what}; at last: {reason}"
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The reason of a probe that has not found what it looks for.
pub fn not_yet<T>(reason: impl std::fmt::Display) -> Result<T> {
    Err(anyhow!("{reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_with_the_last_reason() {
        let mut looks = 0;
        let result: Result<()> = wait_within("rain", Duration::from_millis(120), async || {
            looks += 1;
            not_yet("sun")
        })
        .await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "waited 0 s in vain for: rain; at last: sun"
        );
        assert!(looks >= 2);
    }
}
