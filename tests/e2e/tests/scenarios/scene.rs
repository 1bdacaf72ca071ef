//! An instance, its primary, and clients that write while something breaks.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{Instance, Report, Space, Verifier, millis, wait_within};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::replicas::{address, wait_in_sync, wait_other_primary};

/// Without proof: `fenceAfter` and its margin, and what noticing and promoting take.
pub const FENCED: Duration = Duration::from_secs(15 + 8);
/// Anything that comes to an end.
pub const LONG: Duration = Duration::from_secs(120);

/// Set in `make report`: see [`sizes`].
const BOTH: &str = "HERA_E2E_BOTH";

/// With how many pods a scenario is played: in `make test` with so many, in `make report` with three
/// and with two.
pub fn sizes(usual: u32) -> Vec<u32> {
    match std::env::var_os(BOTH) {
        Some(_) => vec![3, 2],
        None => vec![usual],
    }
}

/// An instance, its primary, and clients that write.
pub struct Scene<'a> {
    pub instance: Instance<'a>,
    pub primary: Pod,
    pub verifier: Verifier,
    pub replicas: u32,
}

impl<'a> Scene<'a> {
    /// One of so many pods.
    pub async fn new(space: &'a Space<'_>, replicas: u32) -> Result<Self> {
        Self::with(space, replicas, json!({})).await
    }

    /// One of so many pods, with these fields in its spec.
    pub async fn with(space: &'a Space<'_>, replicas: u32, mut spec: Value) -> Result<Self> {
        spec["replicas"] = json!(replicas);
        let instance = space.ready(&format!("of-{replicas}"), spec).await?;
        wait_in_sync(&instance, replicas).await?;
        Self::of(instance, replicas).await
    }

    /// Clients begin to write to an instance that is whole.
    pub async fn of(instance: Instance<'a>, replicas: u32) -> Result<Self> {
        let primary = instance.primary_pod().await?;
        let verifier = Verifier::start(&instance, &address(&primary)?).await?;
        Ok(Self {
            instance,
            primary,
            verifier,
            replicas,
        })
    }

    /// The data pods but the primary.
    pub async fn others(&self) -> Result<Vec<Pod>> {
        let mut others = Vec::new();
        for ordinal in 0..self.replicas {
            let pod = self.instance.pod_of(ordinal).await?;
            if pod.name_any() != self.primary.name_any() {
                others.push(pod);
            }
        }
        Ok(others)
    }

    /// The pid of the primary's server.
    pub fn server(&self) -> Result<i32> {
        self.instance.pid_in(&self.primary, "redis-server")
    }

    /// The uid of the primary's pod.
    pub fn uid(&self) -> Result<String> {
        self.primary.uid().context("no uid")
    }

    /// Waits until another leads.
    pub async fn wait_other(&self) -> Result<String> {
        wait_other_primary(&self.instance, &self.primary.name_any()).await
    }

    /// Waits until the server that was the primary has ended.
    pub async fn wait_server_gone(&self, pid: i32, bound: Duration) -> Result<()> {
        wait_within("the old server has ended", bound, async || {
            let now = self.instance.pid_in(&self.primary, "redis-server");
            ensure!(now.map_or(true, |now| now != pid), "it runs");
            Ok(())
        })
        .await
    }

    /// It leads still.
    pub async fn ensure_same_primary(&self) -> Result<()> {
        let primary = self.instance.status().await?.primary;
        let before = self.primary.name_any();
        ensure!(primary.as_deref() == Some(&before), "{primary:?} leads");
        Ok(())
    }

    /// All are in sync again, and this is what clients saw.
    pub async fn finish(self, space: &Space<'_>, what: &str, fault: Instant) -> Result<Report> {
        self.verifier.wait_for_more().await?;
        wait_in_sync(&self.instance, self.replicas).await?;
        let what = format!("{what}, {} pods", self.replicas);
        note_settled(space, &what, &self.verifier, fault)?;
        let report = self.verifier.finish(&self.instance.app().await?).await?;
        space.bed().figures.note(what, report.line());
        Ok(report)
    }
}

/// Since when after a fault one server alone serves, and how clients get on. No two may serve at a time.
pub fn note_settled(
    space: &Space<'_>,
    what: &str,
    verifier: &Verifier,
    fault: Instant,
) -> Result<()> {
    let settled = verifier.settled(fault).context("no write")?;
    let (before, after) = verifier.rates(fault, settled.after);
    space.bed().figures.note(
        format!("{what}: one server alone"),
        format!(
            "after {}; by two {}; {before:.0} writes a second before, {after:.0} after",
            millis(settled.after),
            settled.by_two
        ),
    );
    ensure!(
        settled.by_two == 0,
        "{what}: two servers acknowledged, {} writes",
        settled.by_two
    );
    Ok(())
}

/// Clients had to wait no longer than this.
pub fn ensure_gap(report: &Report, bound: Duration) -> Result<()> {
    ensure!(report.longest_gap < bound, "{}", report.line());
    Ok(())
}

/// Nothing that was acknowledged is missing.
pub fn ensure_nothing_lost(report: &Report) -> Result<()> {
    let lost = report.lost + report.lost_at_old_address;
    ensure!(lost == 0, "{}", report.line());
    Ok(())
}
