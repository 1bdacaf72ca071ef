//! Nothing to do means nothing done.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{Bed, Cluster, Request, Scenario, Space, Writer, module};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::json;

use crate::policies::with_worker;
use crate::replicas::wait_in_sync;

pub const ALL: &[Scenario] = scenarios![Alone;
    idle_instances_with_traffic_cause_no_api_writes_and_no_reconciles,
];

const PASSES: &str = "hera_reconciles_total";
const WATCHED: Duration = Duration::from_secs(60);
/// In the command line of agents.
const AGENT: &str = "hera-agent run";
/// An agent that does nothing takes less of a core than this: about a hundredth, unoptimised; one that
/// looks at its server without a pause takes a quarter or more.
const BUSY: f64 = 0.1;

/// What the operator did in a minute in which nobody wanted anything of it.
struct Minute {
    requests: Vec<Request>,
    /// Name, resident memory in MiB, and seconds of processor time of each pod.
    usage: Vec<(String, f64, f64)>,
    /// The data pod whose agent took most of a core, and how much of it.
    busiest: (String, f64),
    passes: f64,
    /// What clients wrote meanwhile.
    written: usize,
}

impl Minute {
    async fn watch(bed: &Bed, writers: &[Writer], pods: &[Pod]) -> Result<Self> {
        let operator = bed.operator();
        let user = operator.user().await?;
        let count = || writers.iter().map(Writer::count).sum::<usize>();
        let (audit, before) = (bed.audit()?, operator.usage().await?);
        let passes = operator.metric(PASSES).await?;
        let written = count();
        let agents = || pods.iter().map(|pod| bed.usage(pod, AGENT));
        let agents_before: Vec<_> = agents().collect::<Result<_>>()?;
        tokio::time::sleep(WATCHED).await;
        let mut busiest = (String::new(), 0.0);
        for ((pod, was), is) in pods.iter().zip(agents_before).zip(agents()) {
            let share = (is?.cpu_seconds - was.cpu_seconds) / WATCHED.as_secs_f64();
            if share >= busiest.1 {
                busiest = (pod.name_any(), share);
            }
        }
        let (requests, after) = (audit.requests_of(&user)?, operator.usage().await?);
        let usage = before.iter().zip(after).map(|((_, was), (name, is))| {
            let cpu_seconds = is.cpu_seconds - was.cpu_seconds;
            (name, is.rss_mib, cpu_seconds)
        });
        Ok(Self {
            requests,
            usage: usage.collect(),
            busiest,
            passes: operator.metric(PASSES).await? - passes,
            written: count() - written,
        })
    }

    /// The API server ended a watch and knew no more from where to go on.
    fn watch_began_anew(&self) -> bool {
        self.requests.iter().any(|request| request.verb == "list")
    }
}

/// Row: steady state with client traffic, of servers alone, of one with replicas and of a cluster: no API write but the
/// lease, no reconcile loop, `resourceVersion` of every child unchanged. Also the operator's memory and CPU meanwhile.
async fn idle_instances_with_traffic_cause_no_api_writes_and_no_reconciles(
    space: &Space<'_>,
) -> Result<()> {
    let bed = space.bed();
    space.wait_alone().await?;
    let (with_policy, _) = with_worker(space, &module("acl-no-delete").await?).await?;
    let other = space
        .ready("other", json!({"engine": "valkey", "version": "8.1"}))
        .await?;
    let group = space.ready("group", json!({"replicas": 3})).await?;
    wait_in_sync(&group, 3).await?;
    let cluster = Cluster::ready(space, "shards", json!({})).await?;
    let lanes = cluster.lanes().await?;
    let instances = [&with_policy, &other, &group];
    let mut writers = Vec::new();
    for instance in instances {
        writers.push(Writer::start("traffic", instance.app().await?));
    }
    let mut before = Vec::new();
    for instance in instances {
        before.push(instance.wait_quiet(Duration::from_secs(5)).await?);
    }
    let pods = space.api::<Pod>().list(&ListParams::default()).await?.items;
    ensure!(pods.len() == 11, "{} pods", pods.len());
    let mut minute = Minute::watch(bed, &writers, &pods).await?;
    if minute.watch_began_anew() {
        // As each does now and then; twice in a row would be no coincidence.
        minute = Minute::watch(bed, &writers, &pods).await?;
    }
    let Minute {
        requests,
        usage,
        busiest: (pod, share),
        passes,
        written,
    } = minute;

    ensure!(written > 1000, "the clients wrote only {written} times");
    for lane in &lanes {
        let written = lane.writer().count();
        ensure!(written > 500, "a shard was written only {written} times");
    }
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
    ensure!(passes == 0.0, "{passes} passes");
    for (instance, before) in instances.iter().zip(&before) {
        before
            .ensure_untouched(&instance.children().await?)
            .context(instance.name().to_owned())?;
    }
    let figures = &bed.figures;
    figures.note(
        "idle for 60 s: passes, API requests beside the Lease and watches",
        format!("{passes}, {reads}  (clients wrote {written} times)"),
    );
    figures.note(
        "agents: CPU while idle, the busiest of five",
        format!("{:.1} % of a core ({pod})", share * 100.0),
    );
    ensure!(
        share < BUSY,
        "the agent of {pod} takes {share:.2} of a core"
    );
    for (name, rss_mib, cpu_seconds) in usage {
        let share = cpu_seconds / WATCHED.as_secs_f64() * 100.0;
        figures.note(
            format!("operator {name}: resident memory, CPU while idle"),
            format!("{rss_mib:.0} MiB, {share:.1} % of a core"),
        );
    }
    for (writer, instance) in writers.into_iter().zip(instances) {
        writer.verify(&instance.app().await?).await?;
    }
    Ok(())
}
