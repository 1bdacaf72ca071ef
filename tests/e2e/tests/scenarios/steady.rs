//! Nothing to do means nothing done.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{Scenario, Space, Writer, module, wait_for};
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::policies::with_worker;

pub const ALL: &[Scenario] = scenarios![Alone;
    idle_instances_with_traffic_cause_no_api_writes_and_no_reconciles,
];

const LEFT: Duration = Duration::from_secs(120);
const WATCHED: Duration = Duration::from_secs(60);

/// Row: steady state with client traffic: no API write but the lease, no reconcile loop,
/// `resourceVersion` of every child unchanged. Also the operator's memory and CPU meanwhile.
async fn idle_instances_with_traffic_cause_no_api_writes_and_no_reconciles(
    space: &Space<'_>,
) -> Result<()> {
    let bed = space.bed();
    // What earlier scenarios leave is not idle.
    wait_for("their namespaces are gone", LEFT, async || {
        let ours = ListParams::default().labels("hera-e2e=true");
        let spaces: Api<Namespace> = Api::all(bed.client.clone());
        let left: Vec<_> = spaces
            .list(&ours)
            .await?
            .iter()
            .map(Namespace::name_any)
            .collect();
        ensure!(left == [space.namespace()], "there are {left:?}");
        Ok(())
    })
    .await?;
    let (with_policy, _) = with_worker(space, &module("acl-no-delete").await?).await?;
    let other = space
        .ready("other", json!({"engine": "valkey", "version": "8.1"}))
        .await?;
    let instances = [&with_policy, &other];
    let mut writers = Vec::new();
    for instance in instances {
        writers.push(Writer::start("traffic", instance.app().await?));
    }
    let mut before = Vec::new();
    for instance in instances {
        before.push(instance.wait_quiet(Duration::from_secs(5)).await?);
    }
    let operator = bed.operator();
    let user = operator.user().await?;
    let (audit, usage, reconciles, written) = (
        bed.audit()?,
        operator.usage().await?,
        operator.metric("hera_reconciles_total").await?,
        writers.iter().map(Writer::count).sum::<usize>(),
    );
    tokio::time::sleep(WATCHED).await;
    let (requests, after) = (audit.requests_of(&user)?, operator.usage().await?);
    let reconciles = operator.metric("hera_reconciles_total").await? - reconciles;
    let written = writers.iter().map(Writer::count).sum::<usize>() - written;

    ensure!(written > 1000, "the clients wrote only {written} times");
    let leases = requests.iter().filter(|request| request.is_lease()).count();
    ensure!(
        leases > 10,
        "the audit log shows only {leases} requests about the Lease: is it read?"
    );
    let others: Vec<_> = requests
        .iter()
        .filter(|request| !request.is_lease())
        .collect();
    let mut counted = BTreeMap::<String, usize>::new();
    for request in &others {
        let about = format!("{} {} {}", request.verb, request.resource, request.object);
        *counted.entry(about).or_default() += 1;
    }
    ensure!(
        !others.iter().any(|request| request.is_write()),
        "writes: {counted:?}"
    );
    let reads = others
        .iter()
        .filter(|request| request.verb != "watch")
        .count();
    ensure!(reads == 0, "reads: {counted:?}");
    ensure!(reconciles == 0.0, "{reconciles} passes");
    for (instance, before) in instances.iter().zip(&before) {
        before
            .ensure_untouched(&instance.children().await?)
            .context(instance.name().to_owned())?;
    }
    let figures = &bed.figures;
    figures.note(
        "idle for 60 s: passes, API requests beside the Lease and watches",
        format!("{reconciles}, {reads}  (clients wrote {written} times)"),
    );
    for ((name, was), (_, is)) in usage.iter().zip(&after) {
        let share = (is.cpu_seconds - was.cpu_seconds) / WATCHED.as_secs_f64() * 100.0;
        figures.note(
            format!("operator {name}: resident memory, CPU while idle"),
            format!("{:.0} MiB, {share:.1} % of a core", is.rss_mib),
        );
    }
    for (writer, instance) in writers.into_iter().zip(instances) {
        writer.verify(&instance.app().await?).await?;
    }
    Ok(())
}
