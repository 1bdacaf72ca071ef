//! A primary is not heard, and nothing proves that it is dead (issue 5, design §6).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{progressing, ready};
use hera_tests_e2e::{Fault, Patient, Scenario, Signal, Space, millis, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

use crate::replicas::{address, wait_in_sync, wait_labelled, wait_other_primary};
use crate::scene::{FENCED, LONG, Scene, ensure_gap, ensure_nothing_lost, sizes};

pub const ALL: &[Scenario] = scenarios![Few;
    a_stopped_server_is_given_up,
    a_frozen_pod_is_fenced_and_comes_back_as_a_replica,
    a_pod_deleted_by_force_is_followed_by_a_replica,
    a_partitioned_primary_stops_by_itself,
    a_primary_that_a_majority_confirms_goes_on_without_the_operator,
    a_cut_replica_link_moves_no_primary,
    where_fences_are_off_whoever_says_that_a_lost_primary_is_dead_is_believed,
];

/// Writes that wait for a server that sleeps.
const LATE: usize = 100;

/// A server that is stopped (SIGSTOP) answers nothing: after `hangAfter` its agent kills it.
async fn a_stopped_server_is_given_up(space: &Space<'_>) -> Result<()> {
    let stopped = async |replicas| {
        let scene = Scene::new(space, replicas).await?;
        let fault = Instant::now();
        let server = scene.server()?;
        space.bed().testbed.kill_process(server, Signal::SIGSTOP)?;
        scene.wait_other().await?;
        let report = scene.finish(space, "server stopped", fault).await?;
        ensure_gap(&report, FENCED)
    };
    tokio::try_join!(stopped(3), stopped(2)).map(drop)
}

/// The whole pod stands still for longer than its fence: it is followed by another, and its agent
/// kills the server when it wakes up. What that acknowledged meanwhile is reported.
async fn a_frozen_pod_is_fenced_and_comes_back_as_a_replica(space: &Space<'_>) -> Result<()> {
    let frozen = async |replicas| {
        let scene = Scene::new(space, replicas).await?;
        let app = scene.instance.app().await?;
        let mut patient = Patient::connect(&app.at(&address(&scene.primary)?)).await?;
        let fault = Instant::now();
        let frozen = space.bed().testbed.freeze_pod(&scene.uid()?)?;
        // The kernel takes them for the server that sleeps.
        patient.send("SET late yes", LATE).await?;
        scene.wait_other().await?;
        frozen.end()?;
        let late = patient.answers(LONG).await?;
        space.bed().figures.note(
            format!("pod frozen, {replicas} pods: acknowledged after it woke"),
            format!("{late} of {LATE} writes that waited for it"),
        );
        let report = scene.finish(space, "pod frozen", fault).await?;
        ensure_gap(&report, FENCED)
    };
    tokio::try_join!(frozen(3), frozen(2)).map(drop)
}

/// A deleted pod object proves nothing; here the kubelet ends its containers all the same.
async fn a_pod_deleted_by_force_is_followed_by_a_replica(space: &Space<'_>) -> Result<()> {
    let deleted = async |replicas| {
        let scene = Scene::new(space, replicas).await?;
        let name = scene.primary.name_any();
        let fault = Instant::now();
        let words = ["-n", space.namespace(), "delete", "pod", &name];
        let at_once = ["--grace-period=0", "--force", "--wait=false"];
        let words = [&words[..], &at_once[..]].concat();
        space.bed().kubectl(&words).await?;
        scene.wait_other().await?;
        let report = scene.finish(space, "pod deleted by force", fault).await?;
        ensure_gap(&report, FENCED)
    };
    tokio::try_join!(deleted(3), deleted(2)).map(drop)
}

/// Every packet between the two groups is dropped until the faults end.
async fn part(space: &Space<'_>, ones: &[String], others: &[String]) -> Result<Vec<Fault>> {
    let mut cuts = Vec::new();
    for one in ones {
        for other in others {
            cuts.push(space.bed().testbed.block(one, other)?);
            cuts.push(space.bed().testbed.block(other, one)?);
        }
    }
    Ok(cuts)
}

fn heal(cuts: Vec<Fault>) -> Result<()> {
    cuts.into_iter().try_for_each(Fault::end)
}

fn addresses(pods: &[Pod]) -> Result<Vec<String>> {
    pods.iter().map(address).collect()
}

/// A primary that reaches nobody stops within `fenceAfter`; only then another is promoted.
async fn a_partitioned_primary_stops_by_itself(space: &Space<'_>) -> Result<()> {
    let parted = async |replicas| {
        let scene = Scene::new(space, replicas).await?;
        let mut others = addresses(&scene.others().await?)?;
        others.extend(addresses(&space.bed().operator().pods().await?)?);
        let pid = scene.server()?;
        let fault = Instant::now();
        let cuts = part(space, &[address(&scene.primary)?], &others).await?;
        scene.wait_server_gone(pid, FENCED).await?;
        let stopped = fault.elapsed();
        scene.wait_other().await?;
        heal(cuts)?;
        space.bed().figures.note(
            "primary cut off: until its agent killed it",
            millis(stopped),
        );
        let report = scene.finish(space, "primary cut off", fault).await?;
        ensure_gap(&report, FENCED)
    };
    tokio::try_join!(parted(3), parted(2)).map(drop)
}

/// Row: asymmetric partition ({primary, replica} | {operator, replica}): the primary has a majority,
/// the operator has none, so nobody else is promoted, and clients notice nothing.
async fn a_primary_that_a_majority_confirms_goes_on_without_the_operator(
    space: &Space<'_>,
) -> Result<()> {
    for replicas in sizes(3) {
        let scene = Scene::new(space, replicas).await?;
        let mut others = scene.others().await?;
        let beside = others.pop().context("no replica")?;
        let mut far = addresses(&others)?;
        far.extend(addresses(&space.bed().operator().pods().await?)?);
        let pid = scene.server()?;
        let fault = Instant::now();
        let cuts = part(space, &[address(&scene.primary)?, address(&beside)?], &far).await?;
        // That long no majority would do without.
        tokio::time::sleep(FENCED).await;
        ensure!(scene.server()? == pid, "the server was started again");
        scene.ensure_same_primary().await?;
        heal(cuts)?;
        let report = scene
            .finish(space, "operator and one replica cut off", fault)
            .await?;
        ensure_nothing_lost(&report)?;
        ensure_gap(&report, Duration::from_secs(1))?;
    }
    Ok(())
}

/// A replica that is cut off from its primary is its own trouble.
async fn a_cut_replica_link_moves_no_primary(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(3) {
        let scene = Scene::new(space, replicas).await?;
        let replica = scene.others().await?.pop().context("no replica")?;
        let (from, to) = (address(&scene.primary)?, address(&replica)?);
        let fault = Instant::now();
        let cuts = part(space, &[from], &[to]).await?;
        // Its server takes the link for whole for a minute; it hears nothing, and is out of step.
        wait_for("the cut replica is out of step", LONG, async || {
            let ready = scene.instance.status().await?.ready_replicas;
            let wanted = i32::try_from(replicas - 1)?;
            ensure!(ready == Some(wanted), "{ready:?} are ready");
            Ok(())
        })
        .await?;
        space.bed().figures.note(
            format!("replica's link cut, {replicas} pods: until it counts as out of step"),
            millis(fault.elapsed()),
        );
        scene.verifier.wait_for_more().await?;
        heal(cuts)?;
        scene.ensure_same_primary().await?;
        let report = scene.finish(space, "replica's link cut", fault).await?;
        ensure!(report.lost == 0, "{}", report.line());
        ensure_gap(&report, Duration::from_secs(1))?;
    }
    Ok(())
}

/// The operator cannot reach the primary, and without fences no time makes it sure. Here the primary
/// lives, as the person was warned: it gives way once it is heard.
async fn where_fences_are_off_whoever_says_that_a_lost_primary_is_dead_is_believed(
    space: &Space<'_>,
) -> Result<()> {
    let spec = json!({"replicas": 3, "failover": {"fenceAfter": "0s"}});
    let instance = space.ready("group", spec).await?;
    wait_in_sync(&instance, 3).await?;
    let primary = instance.primary_pod().await?;
    let operators = addresses(&space.bed().operator().pods().await?)?;
    let cuts = part(space, &[address(&primary)?], &operators).await?;
    let fault = Instant::now();
    instance
        .wait_condition(ready::TYPE, "False", ready::NO_PRIMARY)
        .await?;
    // One that nothing fences asks nothing, so that only the silence of its stream tells.
    space.bed().figures.note(
        "fences off, the operator's link to the primary cut: until it is said",
        millis(fault.elapsed()),
    );
    wait_labelled(space, &[]).await?;
    let digest = wait_for("somebody is asked", LONG, async || {
        let approval = instance.status().await?.approval;
        Ok(approval.context("nothing to approve")?.digest)
    })
    .await?;
    let leads = instance.status().await?.primary;
    ensure!(leads.is_none(), "{leads:?} leads");
    let condition = instance.condition(progressing::TYPE).await?;
    ensure!(
        condition.reason == progressing::WAITING_FOR_APPROVAL
            && condition.message.contains("dead for good")
            && condition.message.contains(&digest),
        "{condition:?}"
    );
    let said = space.hera(&["approve", "group", &digest]).await?;
    ensure!(said.code == 0, "{said:?}");
    wait_other_primary(&instance, &primary.name_any()).await?;
    heal(cuts)?;
    wait_in_sync(&instance, 3).await?;
    wait_for("nothing is left to approve", LONG, async || {
        let left = instance.status().await?.approval;
        ensure!(left.is_none(), "{left:?}");
        Ok(())
    })
    .await
}
