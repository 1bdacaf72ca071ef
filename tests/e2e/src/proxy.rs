use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};

use crate::http::http_get;
use crate::wait_for;

/// The kube-proxy that leads the scenarios' own clients.
const METRICS: &str = "127.0.0.1:10249";
const TAKEN_IN: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";
const QUEUED: &str = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds";
/// It takes in changes at most once in this time (its `minSyncPeriod`), in seconds.
const PERIOD: f64 = 1.0;
const BOUND: Duration = Duration::from_secs(60);

/// Waits until kube-proxy has taken in all changes, and would take in another at once: who meets it
/// busy measures it, and not the operator.
///
/// # Errors
/// When it stays busy.
pub(crate) async fn wait_calm() -> Result<()> {
    wait_for("kube-proxy is calm", BOUND, async || {
        let text = http_get(METRICS, "/metrics").await?;
        let (taken_in, queued) = (latest(&text, TAKEN_IN)?, latest(&text, QUEUED)?);
        let ago = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() - taken_in;
        ensure!(queued <= taken_in, "a change waits for it");
        ensure!(ago > PERIOD, "it took in a change {ago:.3} s ago");
        Ok(())
    })
    .await
}

/// The latest value of a metric over all families of addresses.
fn latest(text: &str, name: &str) -> Result<f64> {
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok());
    values
        .max_by(f64::total_cmp)
        .with_context(|| format!("kube-proxy tells no {name}"))
}
