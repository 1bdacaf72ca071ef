//! A server alone is replaced without being away: a temporary pod takes over (issue 5).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, progressing, ready};
use hera_tests_e2e::{Instance, Report, Scenario, Space, Verifier, Writer, millis, wait_for};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::replicas::{address, wait_in_sync};

pub const ALL: &[Scenario] = scenarios![Few;
    a_server_without_a_volume_keeps_its_data_through_a_roll,
    of_two_pods_one_is_in_sync_all_along,
    without_surge_a_server_alone_is_restarted_where_it_is,
    a_temporary_pod_that_finds_no_place_harms_nothing_and_says_so,
    a_supervised_server_alone_waits_with_its_temporary_pod_beside_it,
];

pub const ALONE: &[Scenario] = scenarios![Alone;
    a_version_of_a_server_alone_changes_without_it_being_away,
    resources_of_a_server_alone_change_without_it_being_away,
    an_operator_that_is_killed_in_the_middle_changes_nothing,
];

const SOME: Duration = Duration::from_secs(60);
const ROLL: Duration = Duration::from_secs(120);

/// As it is when the roll is over: the first pod, another than before, and nothing beside it.
async fn wait_rolled(instance: &Instance<'_>, before: &str) -> Result<()> {
    wait_for("the first pod is another and leads", ROLL, async || {
        let uid = instance.pod_uid().await?;
        ensure!(uid != before, "it is the old one");
        let status = instance.status().await?;
        let first = format!("{}-0", instance.name());
        ensure!(status.primary == Some(first), "{:?} leads", status.primary);
        ensure!(status.replicas == Some(1), "{:?} pods", status.replicas);
        Ok(())
    })
    .await?;
    instance.wait_settled().await
}

/// The claim of the temporary pod goes with it.
async fn wait_no_claim_left(space: &Space<'_>) -> Result<()> {
    wait_for("one claim is left", SOME, async || {
        let claims = space.api::<PersistentVolumeClaim>();
        let names: Vec<String> = claims
            .list(&ListParams::default())
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        ensure!(names == ["data-cache-0"], "there are {names:?}");
        Ok(())
    })
    .await
}

fn ensure_seamless(report: &Report) -> Result<()> {
    ensure!(
        report.lost == 0 && report.lost_at_old_address == 0,
        "{}",
        report.line()
    );
    // Two handovers, seen through the Service, beside other scenarios.
    ensure!(
        report.longest_gap < Duration::from_secs(3),
        "{}",
        report.line()
    );
    Ok(())
}

/// Changes the spec under clients that write all along.
async fn roll(
    space: &Space<'_>,
    instance: &Instance<'_>,
    spec: serde_json::Value,
    what: &str,
) -> Result<()> {
    let pod = instance.pod().await?;
    let uid = pod.uid().context("a pod without uid")?;
    let verifier = Verifier::start(instance, &address(&pod)?).await?;
    let start = Instant::now();
    instance.patch_spec(spec).await?;
    wait_rolled(instance, &uid).await?;
    let took = start.elapsed();
    verifier.wait_for_more().await?;
    let report = verifier.finish(&instance.app().await?).await?;
    let figures = &space.bed().figures;
    figures.note(what, report.line());
    figures.note(format!("{what}: in all"), millis(took));
    ensure_seamless(&report)
}

/// Row: planned: version upgrade of a single pod with surge.
async fn a_version_of_a_server_alone_changes_without_it_being_away(
    space: &Space<'_>,
) -> Result<()> {
    space.wait_alone().await?;
    let instance = space.ready("cache", json!({"version": "7.0"})).await?;
    for (version, exact) in [("7.2", "7.2."), ("8.0", "8.")] {
        let what = format!("one pod with surge, to {version}");
        roll(space, &instance, json!({"version": version}), &what).await?;
        let runs = instance.info("redis_version").await?;
        ensure!(runs.starts_with(exact), "the server is {runs}");
        let told = instance.status().await?.version;
        ensure!(told == Some(runs), "the status tells of {told:?}");
        wait_no_claim_left(space).await?;
    }
    space.wait_event("cache", "SwitchedOver").await?;
    Ok(())
}

/// Row: planned: resources roll, of a single pod.
async fn resources_of_a_server_alone_change_without_it_being_away(space: &Space<'_>) -> Result<()> {
    space.wait_alone().await?;
    let instance = space.ready("cache", json!({})).await?;
    let claim = instance.claim().await?.uid();
    let more = json!({"resources": {"limits": {"memory": "160Mi"}}});
    roll(space, &instance, more, "one pod with surge, resources").await?;
    ensure!(instance.claim().await?.uid() == claim, "another claim");
    wait_no_claim_left(space).await?;
    // The kubectl plugin's way to ask for the same.
    let uid = instance.pod_uid().await?;
    instance
        .annotate("cache.hera.io/restart", Some("now"))
        .await?;
    wait_rolled(&instance, &uid).await
}

/// Without a volume it is the temporary pod that saves the data.
async fn a_server_without_a_volume_keeps_its_data_through_a_roll(space: &Space<'_>) -> Result<()> {
    let volatile = json!({"persistence": {"enabled": false}});
    let instance = space.ready("cache", volatile).await?;
    let more = json!({"resources": {"limits": {"memory": "160Mi"}}});
    roll(space, &instance, more, "one pod with surge, no volume").await
}

/// Of two pods, one is replaced while a third has the data too.
async fn of_two_pods_one_is_in_sync_all_along(space: &Space<'_>) -> Result<()> {
    let durable = json!({"replicas": 2, "durability": {"minReplicasToWrite": 1}});
    let instance = space.ready("cache", durable).await?;
    wait_in_sync(&instance, 2).await?;
    let primary = instance.primary_pod().await?;
    let before = [
        instance.pod_of(0).await?.uid(),
        instance.pod_of(1).await?.uid(),
    ];
    let verifier = Verifier::start(&instance, &address(&primary)?).await?;
    let rolled = json!({"podTemplate": {"metadata": {"annotations": {"rolled": "yes"}}}});
    instance.patch_spec(rolled).await?;
    wait_for(
        "both pods are others, and no third is left",
        ROLL,
        async || {
            for (ordinal, uid) in (0..2).zip(&before) {
                let now = instance.pod_of(ordinal).await?.uid();
                ensure!(now != *uid, "cache-{ordinal} is the old one");
            }
            let pods = instance.status().await?.replicas;
            ensure!(pods == Some(2), "{pods:?} pods");
            Ok(())
        },
    )
    .await?;
    wait_in_sync(&instance, 2).await?;
    verifier.wait_for_more().await?;
    // A write is refused while no replica is in sync: a gap would show it.
    let report = verifier.finish(&instance.app().await?).await?;
    let figures = &space.bed().figures;
    figures.note("two pods with surge, minReplicasToWrite 1", report.line());
    ensure_seamless(&report)?;

    // What nobody but the primary would have is refused, and taken again with a replica.
    let name = match instance.primary_pod().await?.name_any().as_str() {
        "cache-0" => "cache-1",
        _ => "cache-0",
    };
    space.hera(&["fence", "cache", name]).await?;
    let app = instance.app().await?;
    wait_for("a write is refused", SOME, async || {
        let answer = app.ask::<String>(&["SET", "alone", "yes"]).await;
        let words = answer.err().context("it is taken")?;
        ensure!(format!("{words:#}").contains("NOREPLICAS"), "{words:#}");
        Ok(())
    })
    .await?;
    space.hera(&["unfence", "cache", name]).await?;
    // The primary counts a replica once that has told how far it is.
    wait_for("a write is taken", SOME, async || {
        app.ask::<String>(&["SET", "alone", "no more"])
            .await
            .map(drop)
    })
    .await
}

/// `surge: Never`: no second pod, and nothing acknowledged is lost either.
async fn without_surge_a_server_alone_is_restarted_where_it_is(space: &Space<'_>) -> Result<()> {
    let off = json!({"updateStrategy": {"surge": "Never"}});
    let instance = space.ready("cache", off).await?;
    let uid = instance.pod_uid().await?;
    let writer = Writer::start("along", instance.app().await?);
    writer.wait_for_more(100, SOME).await?;
    let more = json!({"resources": {"limits": {"memory": "160Mi"}}});
    instance.patch_spec(more).await?;
    wait_for("another pod", ROLL, async || {
        let pods = space.api::<Pod>().list(&ListParams::default()).await?;
        ensure!(pods.items.len() <= 1, "a second pod");
        ensure!(instance.pod_uid().await? != uid, "it is the old one");
        Ok(())
    })
    .await?;
    instance.wait_settled().await?;
    writer.wait_for_more(50, SOME).await?;
    writer.verify(&instance.app().await?).await?;
    Ok(())
}

/// Row: every wait says for what. It serves on, and the roll ends once the spec is mended.
async fn a_temporary_pod_that_finds_no_place_harms_nothing_and_says_so(
    space: &Space<'_>,
) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let (uid, run_id) = tokio::try_join!(instance.pod_uid(), instance.run_id())?;
    let writer = Writer::start("along", instance.app().await?);
    writer.wait_for_more(100, SOME).await?;
    let nowhere = json!({"podTemplate": {"spec": {"nodeSelector": {"there-is": "no-such-node"}}}});
    instance.patch_spec(nowhere).await?;
    wait_for("what it waits for is said", SOME, async || {
        let condition = instance.condition(progressing::TYPE).await?;
        ensure!(
            condition.reason == progressing::ROLLING_OUT
                && condition.message.contains("cache-1, a temporary pod")
                && condition.message.contains("node"),
            "{condition:?}"
        );
        Ok(())
    })
    .await?;
    let serves = instance.condition(ready::TYPE).await?;
    ensure!(serves.status == "True", "{serves:?}");
    let now = tokio::try_join!(instance.pod_uid(), instance.run_id())?;
    ensure!(now == (uid, run_id), "the first pod was touched");
    // Its node can be drained all the same.
    let budgets = ["-n", space.namespace(), "get", "pdb", "-o", "name"];
    let budgets = space.bed().kubectl(&budgets).await?;
    ensure!(budgets.trim().is_empty(), "a budget: {budgets}");

    let back = json!({"podTemplate": {"spec": {"nodeSelector": null}}});
    instance.patch_spec(back).await?;
    instance.wait_settled().await?;
    wait_no_claim_left(space).await?;
    let pods = space.api::<Pod>().list(&ListParams::default()).await?;
    ensure!(pods.items.len() == 1, "{} pods are left", pods.items.len());
    ensure!(instance.pod_uid().await? == now.0, "the pod was replaced");
    writer.verify(&instance.app().await?).await?;
    Ok(())
}

/// Approval is for the handover; the temporary pod comes before. One that comes late is said.
async fn a_supervised_server_alone_waits_with_its_temporary_pod_beside_it(
    space: &Space<'_>,
) -> Result<()> {
    let strategy = json!({"updateStrategy": {"mode": "Supervised", "maxWait": "1m"}});
    let instance = space.ready("cache", strategy).await?;
    let uid = instance.pod_uid().await?;
    let more = json!({"resources": {"limits": {"memory": "160Mi"}}});
    instance.patch_spec(more).await?;
    instance
        .wait_condition(progressing::TYPE, "True", progressing::WAITING_FOR_APPROVAL)
        .await?;
    let status = instance.status().await?;
    let approval = status.approval.context("nothing to approve")?;
    ensure!(
        status.ready_replicas == Some(2),
        "{:?}",
        status.ready_replicas
    );
    ensure!(instance.pod_uid().await? == uid, "the primary was touched");
    wait_for("that it waits too long is said", ROLL, async || {
        let condition = instance.condition(degraded::TYPE).await?;
        ensure!(
            condition.reason == degraded::ROLL_STOPPED
                && condition.message.contains(&approval.digest),
            "{condition:?}"
        );
        Ok(())
    })
    .await?;
    instance
        .annotate("cache.hera.io/approve", Some(&approval.digest))
        .await?;
    wait_rolled(&instance, &uid).await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    let left = instance.status().await?.approval;
    ensure!(left.is_none(), "{left:?}");
    Ok(())
}

/// Nothing of a roll is remembered by the operator.
async fn an_operator_that_is_killed_in_the_middle_changes_nothing(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let uid = instance.pod_uid().await?;
    let verifier = Verifier::start(&instance, &address(&instance.pod().await?)?).await?;
    let more = json!({"resources": {"limits": {"memory": "160Mi"}}});
    instance.patch_spec(more).await?;
    let operator = space.bed().operator();
    // Once beside the temporary pod, and once while that leads.
    wait_for("the temporary pod", SOME, async || instance.pod_of(1).await).await?;
    // It may lead again once its container is started again.
    operator.kill(&operator.leader().await?).await?;
    wait_for("the temporary pod leads", ROLL, async || {
        let primary = instance.status().await?.primary;
        let uid_now = instance.pod_uid().await.ok();
        ensure!(
            primary.as_deref() == Some("cache-1") || uid_now.is_some_and(|now| now != uid),
            "{primary:?} leads"
        );
        Ok(())
    })
    .await?;
    operator.kill(&operator.leader().await?).await?;
    wait_rolled(&instance, &uid).await?;
    operator.wait_rolled_out(SOME).await?;
    verifier.wait_for_more().await?;
    let report = verifier.finish(&instance.app().await?).await?;
    let what = "one pod with surge, the operator killed twice";
    space.bed().figures.note(what, report.line());
    ensure!(
        report.lost == 0 && report.lost_at_old_address == 0,
        "{}",
        report.line()
    );
    Ok(())
}
