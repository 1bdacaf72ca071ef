//! Copies of the data that are lost, old, empty, or one too many (issue 5, design §5): what is right
//! is found by evidence, and nothing is taken for empty that is only unknown.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use hera_core::agent::Order;
use hera_tests_e2e::{Forger, Instance, Scenario, Signal, Space, millis, wait_for};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use kube::api::Api;
use serde_json::json;

use crate::replicas::{address, wait_in_sync, wait_other_primary};
use crate::scene::{FENCED, LONG, Scene, ensure_gap, ensure_nothing_lost, sizes};

pub const ALL: &[Scenario] = scenarios![Few;
    a_lost_volume_is_filled_from_a_replica,
    a_stale_volume_is_no_evidence,
    an_empty_restart_empties_no_replica,
    two_primaries_by_force_are_told_apart_by_their_epochs,
    exchanged_addresses_mix_no_data,
];

/// The folder on this machine that a pod's volume is.
pub async fn volume(space: &Space<'_>, pod: &Pod) -> Result<std::path::PathBuf> {
    let claims: Api<PersistentVolumeClaim> = space.api();
    let claim = claims.get(&format!("data-{}", pod.name_any())).await?;
    let name = claim.spec.and_then(|spec| spec.volume_name);
    let name = name.context("the claim is not bound")?;
    Ok(space.bed().testbed.volume_folder(&name))
}

fn empty(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => std::fs::remove_dir_all(&path)?,
            false => std::fs::remove_file(&path)?,
        }
    }
    Ok(())
}

/// `cp -a`, which keeps owners and times.
async fn copy(from: &Path, to: &Path) -> Result<()> {
    let contents = from.join(".");
    let status = tokio::process::Command::new("cp")
        .arg("-a")
        .args([&contents, to])
        .status()
        .await?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

/// A pod dies and what `change` does to its volume happens before it starts again.
async fn die_and(
    space: &Space<'_>,
    pod: &Pod,
    change: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let uid = pod.uid().context("no uid")?;
    let frozen = space.bed().testbed.freeze_pod(&uid)?;
    change().await?;
    // They die when they wake up.
    space.bed().testbed.kill_pod(&uid)?;
    frozen.end()
}

/// Row: volume lost. The primary dies and its volume is empty when it comes back.
async fn a_lost_volume_is_filled_from_a_replica(space: &Space<'_>) -> Result<()> {
    let lost = async |replicas| {
        let scene = Scene::new(space, replicas).await?;
        let folder = volume(space, &scene.primary).await?;
        let fault = Instant::now();
        die_and(space, &scene.primary, async || empty(&folder)).await?;
        scene.wait_other().await?;
        let report = scene.finish(space, "volume lost", fault).await?;
        ensure_gap(&report, FENCED)?;
        // What asynchronous replication had not sent, and no more.
        ensure!(report.lost < 50, "{}", report.line());
        Ok(())
    };
    tokio::try_join!(lost(3), lost(2)).map(drop)
}

/// Row: volume stale. The last primary's volume is put back to an earlier time while all pods are
/// down: it was a primary's then as well, yet others have a later epoch.
async fn a_stale_volume_is_no_evidence(space: &Space<'_>) -> Result<()> {
    for replicas in sizes(3) {
        let scene = Scene::new(space, replicas).await?;
        let (first, next) = (scene.primary.name_any(), scene.others().await?);
        let next = next.first().context("no replica")?.name_any();
        let (folder, kept) = (volume(space, &scene.primary).await?, tempfile::tempdir()?);
        copy(&folder, kept.path()).await?;
        for (from, to) in [(&first, &next), (&next, &first)] {
            scene
                .instance
                .annotate("cache.hera.io/promote", Some(to))
                .await?;
            wait_other_primary(&scene.instance, from).await?;
            wait_in_sync(&scene.instance, replicas).await?;
        }
        scene.verifier.wait_for_more().await?;
        let Scene {
            instance,
            primary,
            verifier,
            ..
        } = scene;
        let report = verifier.finish(&instance.app().await?).await?;
        ensure_nothing_lost(&report)?;
        let keys = instance.app().await?.ask::<i64>(&["DBSIZE"]).await?;

        let fault = Instant::now();
        let mut others = Vec::new();
        for ordinal in 0..replicas {
            let pod = instance.pod_of(ordinal).await?;
            if pod.name_any() != primary.name_any() {
                others.push(pod);
            }
        }
        die_and(space, &primary, async || {
            for pod in &others {
                let uid = pod.uid().context("no uid")?;
                space.bed().testbed.kill_pod(&uid)?;
            }
            empty(&folder)?;
            copy(kept.path(), &folder).await
        })
        .await?;
        let app = instance.app().await?;
        wait_for("the data is back", LONG, async || {
            let now: i64 = app.ask(&["DBSIZE"]).await?;
            ensure!(now == keys, "{now} keys of {keys}");
            Ok(())
        })
        .await?;
        space.bed().figures.note(
            format!("all {replicas} pods killed, last primary's volume stale: to the data"),
            millis(fault.elapsed()),
        );
        for ordinal in 0..replicas {
            wait_for("every copy has it", LONG, async || {
                let pod = instance.pod_of(ordinal).await?;
                let at: i64 = app.at(&address(&pod)?).ask(&["DBSIZE"]).await?;
                ensure!(at == keys, "{} has {at} keys of {keys}", pod.name_any());
                Ok(())
            })
            .await?;
        }
        wait_in_sync(&instance, replicas).await?;
    }
    Ok(())
}

/// Row: empty restart of the primary with persistence off: replicas keep the data, one is promoted.
async fn an_empty_restart_empties_no_replica(space: &Space<'_>) -> Result<()> {
    let restarted = async |replicas| {
        let without = json!({"persistence": {"enabled": false}});
        let scene = Scene::with(space, replicas, without).await?;
        let fault = Instant::now();
        let pid = scene.server()?;
        space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
        scene.wait_other().await?;
        let report = scene.finish(space, "empty restart", fault).await?;
        ensure_gap(&report, FENCED)?;
        ensure!(report.lost < 50, "{}", report.line());
        Ok(())
    };
    tokio::try_join!(restarted(3), restarted(2)).map(drop)
}

/// Row: two primaries made by force with different datasets: the one of the later epoch stays, the
/// other is fenced, and comes back as its replica; a condition and an Event say so.
async fn two_primaries_by_force_are_told_apart_by_their_epochs(space: &Space<'_>) -> Result<()> {
    let scene = Scene::new(space, 3).await?;
    let forger = Forger::new(space.bed()).await?;
    let term = space.bed().operator().term().await?;
    let usurper = scene.others().await?.pop().context("no replica")?;
    let pid = scene.server()?;

    // An order of an earlier leader is none.
    let again = Order::Promote { epoch: 1, token: 0 };
    let (status, words) = forger
        .order(&usurper, term.saturating_sub(1), again)
        .await?;
    ensure!(status == 409, "an older term is answered {status}: {words}");

    // Enough that taking it over takes a while.
    let app = scene.instance.app().await?;
    let value = "x".repeat(1 << 20);
    for number in 0..24 {
        let key = format!("large:{number}");
        let _: String = app.ask(&["SET", &key, &value]).await?;
    }
    let position = forger.position(&usurper).await?;
    let epoch = (term << 24) + (1 << 20);
    let token = position.token;
    let fault = Instant::now();
    let (status, words) = forger
        .order(&usurper, term, Order::Promote { epoch, token })
        .await?;
    ensure!(status == 200, "{status}: {words}");
    // One that is fenced within a pass is no lasting condition: the Event tells of it.
    let said = space.wait_event("of-3", "Fenced").await?;
    ensure!(said.contains(&scene.primary.name_any()), "{said}");
    scene.wait_server_gone(pid, LONG).await?;
    let next = scene.wait_other().await?;
    ensure!(next == usurper.name_any(), "{next} leads");
    let lost = space.wait_event("of-3", "WritesGivenUp").await?;
    let name = scene.primary.name_any();
    ensure!(lost.contains(&name) && lost.contains("epoch"), "{lost}");
    scene.verifier.wait_for_more().await?;
    wait_one_dataset(&scene.instance, 3).await?;
    wait_in_sync(&scene.instance, 3).await?;
    // What the loser acknowledged beside the other is lost, and counted.
    let settled = scene.verifier.settled(fault).context("no write")?;
    let report = scene.verifier.finish(&app).await?;
    space.bed().figures.note(
        "two primaries by force, 3 pods",
        format!(
            "{}; one alone after {}, by two {}",
            report.line(),
            millis(settled.after),
            settled.by_two
        ),
    );
    ensure_gap(&report, FENCED)
}

/// Waits until all pods have one replication id; gives it.
async fn wait_one_dataset(instance: &Instance<'_>, replicas: u32) -> Result<String> {
    wait_for("one dataset", LONG, async || {
        let ids = datasets(instance, replicas).await?;
        ensure!(ids.len() == 1, "there are several: {ids:?}");
        ids.into_iter().next().context("none")
    })
    .await
}

/// The replication ids of all pods of an instance.
async fn datasets(instance: &Instance<'_>, replicas: u32) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for ordinal in 0..replicas {
        let pod = instance.pod_of(ordinal).await?;
        ids.insert(instance.info_at(&pod, "master_replid").await?);
    }
    Ok(ids)
}

/// Row: two instances whose pods exchange addresses (P06). Whoever asks for the one reaches the other: no
/// password, no certificate and no replication fits, so that nothing is taken over or over-written.
async fn exchanged_addresses_mix_no_data(space: &Space<'_>) -> Result<()> {
    let (one, two) = (Scene::new(space, 2).await?, Scene::new(space, 3).await?);
    let (a, b) = (address(&one.primary)?, address(&two.primary)?);
    let replicas = [one.others().await?, two.others().await?].concat();
    let before = (
        wait_one_dataset(&one.instance, 2).await?,
        wait_one_dataset(&two.instance, 3).await?,
    );
    let turned_away = async || -> Result<u64> {
        let mut count = 0;
        for scene in [&one, &two] {
            let denied = "acl_access_denied_auth";
            let denied = scene.instance.info_at(&scene.primary, denied).await?;
            count += denied.parse::<u64>()?;
        }
        Ok(count)
    };
    let already = turned_away().await?;
    let fault = Instant::now();
    let exchange = space.bed().testbed.exchange(&a, &b)?;
    // Their links are made anew, and lead to the other instance now.
    for replica in &replicas {
        let pid = one.instance.pid_in(replica, "redis-server")?;
        space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
    }
    let refused = wait_for("a replica was turned away", LONG, async || {
        ensure!(turned_away().await? > already, "none was");
        Ok(())
    })
    .await;
    exchange.end()?;
    refused?;
    one.ensure_same_primary().await?;
    two.ensure_same_primary().await?;
    let after = (
        wait_one_dataset(&one.instance, 2).await?,
        wait_one_dataset(&two.instance, 3).await?,
    );
    ensure!(before == after, "{before:?} became {after:?}");
    for scene in [one, two] {
        let report = scene.finish(space, "addresses exchanged", fault).await?;
        ensure_nothing_lost(&report)?;
    }
    Ok(())
}
