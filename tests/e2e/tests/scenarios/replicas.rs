//! Several pods: faults and planned changes under clients that write all along (issue 5).

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, progressing, ready};
use hera_tests_e2e::{Instance, Scenario, Space, Verifier, millis, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::scene::{ensure_gap, ensure_nothing_lost, note_settled, sizes};

pub const ALL: &[Scenario] = scenarios![Alone;
    three_pods_come_up_as_a_primary_and_two_replicas,
    a_switchover_on_request_loses_nothing,
    a_roll_of_all_pods_loses_nothing,
    a_primary_whose_pod_is_deleted_hands_over,
    pods_come_and_go_without_a_gap,
    all_pods_deleted_at_once_come_back_with_their_data,
    all_pods_end_with_snapshots_or_with_nothing,
    a_request_that_cannot_be_met_is_said,
];

const SOME: Duration = Duration::from_secs(60);
/// A roll of all pods.
const ROLL: Duration = Duration::from_secs(120);
/// Between two looks at what goes on.
const LOOK: Duration = Duration::from_millis(100);

async fn group<'a>(space: &'a Space<'_>, replicas: u32) -> Result<Instance<'a>> {
    group_of(space, "group", replicas).await
}

async fn group_of<'a>(space: &'a Space<'_>, name: &str, replicas: u32) -> Result<Instance<'a>> {
    space.wait_alone().await?;
    let instance = space.ready(name, json!({"replicas": replicas})).await?;
    wait_in_sync(&instance, replicas).await?;
    Ok(instance)
}

pub async fn wait_in_sync(instance: &Instance<'_>, replicas: u32) -> Result<()> {
    let wanted = i32::try_from(replicas)?;
    wait_for("all pods serve", SOME, async || {
        let ready = instance.status().await?.ready_replicas;
        ensure!(ready == Some(wanted), "{ready:?} of {wanted}");
        Ok(())
    })
    .await?;
    instance.wait_settled().await
}

pub fn address(pod: &Pod) -> Result<String> {
    let status = pod.status.as_ref();
    let ip = status.and_then(|status| status.pod_ip.clone());
    ip.context("no pod IP")
}

/// Another pod than this is the primary.
pub async fn wait_other_primary(instance: &Instance<'_>, old: &str) -> Result<String> {
    wait_for("another primary", SOME, async || {
        let primary = instance.status().await?.primary.context("none")?;
        ensure!(primary != old, "it is still {old}");
        Ok(primary)
    })
    .await
}

/// The label that shows people the primary is on these pods, and on no other.
pub async fn wait_labelled(space: &Space<'_>, primaries: &[&str]) -> Result<()> {
    let params = ListParams::default().labels("cache.hera.io/role=primary");
    wait_for("the label shows the primary", SOME, async || {
        let shown = space.api::<Pod>().list(&params).await?;
        let names: Vec<String> = shown.iter().map(ResourceExt::name_any).collect();
        ensure!(names == primaries, "it is on {names:?}");
        Ok(())
    })
    .await
}

/// Replicas that went on with the stream of a new primary, and none that took its data whole.
async fn ensure_resumed(instance: &Instance<'_>, primary: &str, replicas: u32) -> Result<()> {
    let pod = instance.primary_pod().await?;
    ensure!(pod.name_any() == primary, "{} leads", pod.name_any());
    let whole = instance.info_at(&pod, "sync_full").await?;
    let resumed = instance.info_at(&pod, "sync_partial_ok").await?;
    ensure!(
        whole == "0" && resumed.parse::<u32>()? >= replicas,
        "{whole} took the data whole, {resumed} went on with the stream"
    );
    Ok(())
}

/// Row: replication: Services, roles, reads at replicas.
async fn three_pods_come_up_as_a_primary_and_two_replicas(space: &Space<'_>) -> Result<()> {
    let start = Instant::now();
    let instance = space.ready("group", json!({"replicas": 3})).await?;
    wait_in_sync(&instance, 3).await?;
    let took = start.elapsed();
    space
        .bed()
        .figures
        .note("apply -> three pods in sync", millis(took));
    let app = instance.app().await?;
    let _: String = app.ask(&["SET", "key", "value"]).await?;
    let namespace = space.namespace();
    let words = [
        "-n",
        namespace,
        "get",
        "service",
        "group-replicas",
        "-o",
        "jsonpath={.spec.clusterIP}",
    ];
    let replicas = app.at(&space.bed().kubectl(&words).await?);
    wait_for("a replica has it", SOME, async || {
        let value: String = replicas.ask(&["GET", "key"]).await?;
        ensure!(value == "value", "it has {value}");
        Ok(())
    })
    .await?;
    let refused = replicas.ask::<String>(&["SET", "key", "other"]).await;
    let refused = refused.map_err(|error| format!("{error:?}"));
    ensure!(
        refused
            .as_ref()
            .is_err_and(|error| error.contains("ReadOnly")),
        "a replica that is written to says {refused:?}"
    );
    let primary = instance.primary_pod().await?;
    wait_labelled(space, &[&primary.name_any()]).await?;
    let budget = [
        "-n",
        namespace,
        "get",
        "pdb",
        "group",
        "-o",
        "jsonpath={.spec.maxUnavailable}",
    ];
    let budget = space.bed().kubectl(&budget).await?;
    ensure!(budget == "1", "the budget is {budget}");
    Ok(())
}

/// Row: planned: promote. Nothing lost, gap below 100 ms for a client that connects at once.
async fn a_switchover_on_request_loses_nothing(space: &Space<'_>) -> Result<()> {
    let instance = group(space, 3).await?;
    let primary = instance.primary_pod().await?;
    let verifier = Verifier::start(&instance, &address(&primary)?).await?;
    let other = match primary.name_any().as_str() {
        "group-2" => "group-1",
        _ => "group-2",
    };
    instance
        .annotate("cache.hera.io/promote", Some(other))
        .await?;
    let next = wait_other_primary(&instance, &primary.name_any()).await?;
    ensure!(next == other, "{next} leads");
    verifier.wait_for_more().await?;
    wait_in_sync(&instance, 3).await?;
    ensure_resumed(&instance, other, 2).await?;
    wait_labelled(space, &[other]).await?;
    let report = verifier.finish(&instance.app().await?).await?;
    space
        .bed()
        .figures
        .note("switchover on request", report.line());
    ensure_nothing_lost(&report)?;
    ensure!(
        report.longest_gap < Duration::from_millis(500),
        "{}",
        report.line()
    );
    space.wait_event("group", "SwitchedOver").await?;
    Ok(())
}

/// Row: planned: resources roll. One pod at a time, the primary last and by a handover.
async fn a_roll_of_all_pods_loses_nothing(space: &Space<'_>) -> Result<()> {
    let instance = group(space, 3).await?;
    let primary = instance.primary_pod().await?;
    let mut before = Vec::new();
    for ordinal in 0..3 {
        before.push(instance.pod_of(ordinal).await?.uid());
    }
    let verifier = Verifier::start(&instance, &address(&primary)?).await?;
    let start = Instant::now();
    let more = json!({"resources": {"limits": {"memory": "160Mi"}}});
    instance.patch_spec(more).await?;
    let mut replaced = Vec::new();
    while replaced.len() < 3 {
        ensure!(start.elapsed() < ROLL, "only {replaced:?} are others");
        for (ordinal, uid) in (0..3).zip(&before) {
            // It may be on its way: then it is no other yet.
            let now = instance.pod_of(ordinal).await.ok();
            let is_other = now.is_some_and(|pod| pod.uid() != *uid);
            if is_other && !replaced.contains(&ordinal) {
                let away = 3 - instance.status().await?.ready_replicas.unwrap_or(0);
                ensure!(away <= 1, "{away} pods are away when {ordinal} is replaced");
                replaced.push(ordinal);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    let last = replaced.last().map(|ordinal| format!("group-{ordinal}"));
    ensure!(
        last == Some(primary.name_any()),
        "{replaced:?} is the order, and {} led",
        primary.name_any()
    );
    wait_in_sync(&instance, 3).await?;
    let took = start.elapsed();
    verifier.wait_for_more().await?;
    let report = verifier.finish(&instance.app().await?).await?;
    let figures = &space.bed().figures;
    figures.note("roll of three pods", report.line());
    figures.note("roll of three pods: in all", millis(took));
    ensure_nothing_lost(&report)?;
    ensure!(
        report.longest_gap < Duration::from_secs(1),
        "{}",
        report.line()
    );
    Ok(())
}

/// Row: planned: drain. The agent's SIGTERM and the operator, bounded.
async fn a_primary_whose_pod_is_deleted_hands_over(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(3) {
        let instance = group_of(space, &format!("of-{replicas}"), replicas).await?;
        let primary = instance.primary_pod().await?;
        let verifier = Verifier::start(&instance, &address(&primary)?).await?;
        let namespace = space.namespace();
        let words = ["-n", namespace, "delete", "pod", &primary.name_any()];
        space.bed().kubectl(&words).await?;
        wait_other_primary(&instance, &primary.name_any()).await?;
        verifier.wait_for_more().await?;
        wait_in_sync(&instance, replicas).await?;
        let report = verifier.finish(&instance.app().await?).await?;
        space.bed().figures.note(
            format!("primary's pod deleted, {replicas} pods"),
            report.line(),
        );
        ensure_nothing_lost(&report)?;
        ensure!(
            report.longest_gap < Duration::from_secs(1),
            "{}",
            report.line()
        );
    }
    Ok(())
}

/// Row: planned: 1 -> 3 -> 5 -> 2 -> 1. The first pod is not restarted; the primary leaves last, by a
/// handover, where it is among those that go.
async fn pods_come_and_go_without_a_gap(space: &Space<'_>) -> Result<()> {
    space.wait_alone().await?;
    let instance = space.ready("group", json!({})).await?;
    let first = instance.pod_of(0).await?;
    let run_id = instance.run_id().await?;
    let verifier = Verifier::start(&instance, &address(&first)?).await?;
    for replicas in [3, 5, 2, 1] {
        if replicas == 2 {
            instance
                .annotate("cache.hera.io/promote", Some("group-4"))
                .await?;
            wait_other_primary(&instance, "group-0").await?;
            wait_in_sync(&instance, 5).await?;
        }
        instance.patch_spec(json!({"replicas": replicas})).await?;
        wait_in_sync(&instance, replicas)
            .await
            .with_context(|| format!("to {replicas}"))?;
        wait_for("as many pods", SOME, async || {
            let pods = instance.status().await?.replicas;
            ensure!(pods == Some(i32::try_from(replicas)?), "{pods:?}");
            Ok(())
        })
        .await?;
    }
    verifier.wait_for_more().await?;
    ensure!(
        instance.run_id().await? == run_id,
        "the first server restarted"
    );
    let report = verifier.finish(&instance.app().await?).await?;
    space
        .bed()
        .figures
        .note("1 -> 3 -> 5 -> 2 -> 1", report.line());
    ensure_nothing_lost(&report)?;
    ensure!(
        report.longest_gap < Duration::from_secs(1),
        "{}",
        report.line()
    );
    Ok(())
}

/// Row: restart of everything (P01, P08): every write is in the log. Asked to end, the primary serves on
/// until another pod can take over; killed soon after, its volume is what is left.
async fn all_pods_deleted_at_once_come_back_with_their_data(space: &Space<'_>) -> Result<()> {
    let by_force: &[&str] = &["--grace-period=0", "--force"];
    for (name, how) in [("deleted", &[][..]), ("deleted by force", by_force)] {
        for replicas in sizes(3) {
            let instance = group_of(
                space,
                &format!("{}-{replicas}", name.replace(' ', "-")),
                replicas,
            )
            .await?;
            fill(&instance).await?;
            let verifier =
                Verifier::start(&instance, &address(&instance.primary_pod().await?)?).await?;
            let fault = Instant::now();
            delete_all(space, &instance, replicas, how).await?;
            verifier.wait_for_more().await?;
            wait_in_sync(&instance, replicas).await?;
            let what = format!("all {replicas} pods {name} at once");
            note_settled(space, &what, &verifier, fault)?;
            let report = verifier.finish(&instance.app().await?).await?;
            space.bed().figures.note(what, report.line());
            ensure_gap(
                &report,
                Duration::from_secs(if how.is_empty() { 5 } else { 30 }),
            )?;
            ensure_filled(&instance).await?;
        }
    }
    Ok(())
}

/// Row: restart of everything, with snapshots and with neither: what the servers saved at their end is
/// there again; where all are killed and none has a volume nothing is, and the instance serves again all
/// the same.
async fn all_pods_end_with_snapshots_or_with_nothing(space: &Space<'_>) -> Result<()> {
    let filled = async |name, persistence: serde_json::Value| {
        let spec = json!({"replicas": 2, "persistence": persistence});
        let instance = space.ready(name, spec).await?;
        wait_in_sync(&instance, 2).await?;
        fill(&instance).await?;
        anyhow::Ok(instance)
    };
    let saved = async {
        let instance = filled("saved", json!({"aof": {"enabled": false}})).await?;
        delete_all(space, &instance, 2, &[]).await?;
        wait_in_sync(&instance, 2).await?;
        ensure_filled(&instance).await
    };
    let volatile = async {
        let instance = filled("volatile", json!({"enabled": false})).await?;
        let testbed = &space.bed().testbed;
        for ordinal in 0..2 {
            let uid = instance.pod_of(ordinal).await?.uid();
            testbed.kill_pod(&uid.context("no uid")?)?;
        }
        let app = instance.app().await?;
        wait_for("it is empty, and serves", SOME, async || {
            let size: i64 = app.ask(&["DBSIZE"]).await?;
            ensure!(size == 0, "{size} keys come from nowhere");
            app.ask::<String>(&["SET", "key:0", "value"]).await?;
            Ok(())
        })
        .await?;
        wait_in_sync(&instance, 2).await
    };
    tokio::try_join!(saved, volatile).map(drop)
}

/// A thousand keys.
async fn fill(instance: &Instance<'_>) -> Result<()> {
    let app = instance.app().await?;
    for number in 0..1000 {
        let key = format!("key:{number}");
        let _: String = app.ask(&["SET", &key, "value"]).await?;
    }
    Ok(())
}

/// All of the thousand are there.
async fn ensure_filled(instance: &Instance<'_>) -> Result<()> {
    let app = instance.app().await?;
    let mut ask = vec!["MGET".to_owned()];
    ask.extend((0..1000).map(|number| format!("key:{number}")));
    let ask: Vec<&str> = ask.iter().map(String::as_str).collect();
    let values: Vec<Option<String>> = app.ask(&ask).await?;
    let there = values.iter().flatten().filter(|value| *value == "value");
    let there = there.count();
    ensure!(there == 1000, "{there} keys of 1000");
    Ok(())
}

/// Deletes all pods of an instance at once, and waits until others are in their places and the old
/// servers have ended.
async fn delete_all(
    space: &Space<'_>,
    instance: &Instance<'_>,
    replicas: u32,
    how: &[&str],
) -> Result<()> {
    let (mut before, mut pids) = (Vec::new(), Vec::new());
    for ordinal in 0..replicas {
        let pod = instance.pod_of(ordinal).await?;
        pids.push(instance.pid_in(&pod, "redis-server")?);
        before.push(pod);
    }
    let names: Vec<String> = before.iter().map(kube::ResourceExt::name_any).collect();
    let mut words = vec!["-n", space.namespace(), "delete", "pods", "--wait=false"];
    words.extend(names.iter().map(String::as_str));
    words.extend(how);
    space.bed().kubectl(&words).await?;
    wait_for("all pods are others", SOME, async || {
        for (ordinal, old) in (0..replicas).zip(&before) {
            let now = instance.pod_of(ordinal).await?.uid();
            ensure!(now != old.uid(), "{} is the old one", old.name_any());
        }
        let mut pids = pids.iter();
        let runs = pids.find(|pid| Path::new(&format!("/proc/{pid}")).exists());
        ensure!(runs.is_none(), "server {runs:?} runs on");
        Ok(())
    })
    .await
}

/// Row: bad input: an annotation that names an unknown pod.
async fn a_request_that_cannot_be_met_is_said(space: &Space<'_>) -> Result<()> {
    let instance = group(space, 2).await?;
    instance
        .annotate("cache.hera.io/promote", Some("group-9"))
        .await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::REQUEST_REFUSED)
        .await?;
    ensure!(words.contains("no data pod group-9"), "{words}");
    let serves = instance.condition(ready::TYPE).await?;
    ensure!(serves.status == "True", "{serves:?}");
    instance.annotate("cache.hera.io/promote", None).await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    instance
        .wait_condition(progressing::TYPE, "False", progressing::SETTLED)
        .await?;
    Ok(())
}
