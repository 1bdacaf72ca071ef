//! What stands in `deploy/monitoring`, with a real Prometheus: its monitors find what there is, its dashboards get
//! answers, its alerts fire and resolve (issue 20).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{
    Alert, Cluster, Instance, Prometheus, Scenario, Space, Writer, monitors, wait_for,
};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::replicas::{wait_in_sync, wait_other_primary};

pub const ALL: &[Scenario] = scenarios![Alone;
    what_dashboards_ask_is_answered,
    a_killed_pod_is_an_alert_until_it_is_back,
];

const SOME: Duration = Duration::from_secs(60);
/// What alerts have to wait for here.
const HOLD: &str = "2s";
const OF_DATA_PODS: u16 = 9121;
const OF_OPERATORS: u16 = 8080;
/// Data pods of the first scenario.
const INSTANCE_PODS: usize = 2;
const CLUSTER_PODS: usize = 6;
/// Panels that show nothing here, and why.
const EMPTY: &[(&str, &str)] = &[
    ("fleet: Need attention", "all is as it should be"),
    (
        "fleet: Answers that the guard refused",
        "the guard refuses none",
    ),
];

/// A query of a dashboard, for each object that it may be about.
struct Asked {
    /// The dashboard and the panel.
    place: String,
    queries: Vec<String>,
}

fn asked(space: &Space<'_>, dashboard: &str, objects: &[(&str, &str)]) -> Result<Vec<Asked>> {
    let board = monitors::dashboard(space.bed(), dashboard)?;
    let mut all = Vec::new();
    for panel in board["panels"].as_array().context("no panels")? {
        let title = panel["title"].as_str().unwrap_or_default();
        for target in panel["targets"].as_array().context("no targets")? {
            let asked = target["expr"].as_str().context("no query")?;
            // What a person chooses; the one name begins as the other does.
            let about = |(kind, name): &(&str, &str)| {
                asked
                    .replace("$__rate_interval", "30s")
                    .replace("$namespace", space.namespace())
                    .replace("$kind", kind)
                    .replace("$name", name)
            };
            all.push(Asked {
                place: format!("{dashboard}: {title}"),
                queries: objects.iter().map(about).collect(),
            });
        }
    }
    Ok(all)
}

/// What nothing answers, of which there should be an answer.
async fn unanswered<'a>(prometheus: &Prometheus, all: &'a [Asked]) -> Result<Vec<&'a str>> {
    let mut left = Vec::new();
    for asked in all {
        let mut answers = 0;
        for query in &asked.queries {
            answers += prometheus.query(query).await?.len();
        }
        let may_be_empty = EMPTY.iter().any(|(place, _)| *place == asked.place);
        if answers == 0 && !may_be_empty {
            left.push(asked.place.as_str());
        }
    }
    Ok(left)
}

/// Somebody asks for another primary, and the next one is lost: a pod that is deleted, however hard, hands over.
async fn change_primaries(space: &Space<'_>, instance: &Instance<'_>) -> Result<()> {
    let first = instance.primary_pod().await?.name_any();
    let said = space.hera(&["promote", instance.name()]).await?;
    said.with_code(0)?;
    let second = wait_other_primary(instance, &first).await?;
    wait_in_sync(instance, 2).await?;
    let uid = instance.primary_pod().await?.uid().context("no uid")?;
    space.bed().testbed.kill_pod(&uid)?;
    wait_other_primary(instance, &second).await?;
    wait_in_sync(instance, 2).await
}

async fn wait_targets(prometheus: &Prometheus, wanted: usize) -> Result<()> {
    wait_for("all targets answer", SOME, async || {
        let targets = prometheus.targets().await?;
        let down: Vec<&Value> = targets.iter().filter(|t| t["health"] != "up").collect();
        let count = targets.len();
        ensure!(
            count == wanted && down.is_empty(),
            "{count} of {wanted} targets, of which down: {down:?}"
        );
        Ok(())
    })
    .await
}

async fn wait_alert(prometheus: &Prometheus, space: &Space<'_>, name: &str) -> Result<()> {
    let wanted = Alert {
        name: name.to_owned(),
        state: "firing".to_owned(),
    };
    wait_for(&format!("{name} fires"), 2 * SOME, async || {
        let alerts = prometheus.alerts(space.namespace()).await?;
        ensure!(alerts.contains(&wanted), "there are {alerts:?}");
        Ok(())
    })
    .await
}

async fn wait_no_alert(prometheus: &Prometheus, space: &Space<'_>) -> Result<()> {
    wait_for("no alert", SOME, async || {
        let alerts = prometheus.alerts(space.namespace()).await?;
        ensure!(alerts.is_empty(), "there are {alerts:?}");
        Ok(())
    })
    .await
}

/// What a live agent and a live operator serve is read by promtool; of names that are Hera's own it would have none
/// otherwise. (Those of `redis_exporter` are what they are.)
async fn check_exposition(
    space: &Space<'_>,
    group: &Instance<'_>,
    shop: &Cluster<'_>,
) -> Result<()> {
    let bed = space.bed();
    let mut pods = vec![(group.primary_pod().await?, OF_DATA_PODS)];
    let cluster = shop.pods().await?.into_iter();
    pods.extend(cluster.map(|pod| (pod, OF_DATA_PODS)));
    let operators = bed.operator().pods().await?.into_iter();
    pods.extend(operators.map(|pod| (pod, OF_OPERATORS)));
    for (pod, port) in pods {
        let text = bed.metrics(&pod, port).await?;
        let advice = bed.check_metrics(&text).await?;
        let own: Vec<_> = advice
            .iter()
            .filter(|line| line.starts_with("hera_"))
            .collect();
        ensure!(own.is_empty(), "{}: {own:?}", pod.name_any());
    }
    Ok(())
}

/// Every query of both dashboards gets an answer, of an instance or of a cluster; targets have the labels by which
/// rules go, and a failover is an alert.
async fn what_dashboards_ask_is_answered(space: &Space<'_>) -> Result<()> {
    let bed = space.bed();
    let made = bed.kubectl(&["kustomize", "deploy/monitoring"]).await?;
    for kind in [
        "PodMonitor",
        "ServiceMonitor",
        "PrometheusRule",
        "ConfigMap",
    ] {
        ensure!(made.contains(&format!("kind: {kind}\n")), "no {kind}");
    }
    let group = space.ready("group", json!({"replicas": 2})).await?;
    wait_in_sync(&group, 2).await?;
    let shop = Cluster::ready(space, "shop", json!({})).await?;
    change_primaries(space, &group).await?;
    let app = group.app().await?;
    let _: String = app.ask(&["SET", "key", "text"]).await?;
    let refused = app.ask::<i64>(&["INCR", "key"]).await;
    ensure!(refused.is_err(), "it is {refused:?}");
    let writer = Writer::start("watched", app.clone());
    check_exposition(space, &group, &shop).await?;

    let prometheus = Prometheus::start(bed, space.namespace(), HOLD).await?;
    let operators = bed.operator().pods().await?.len();
    wait_targets(&prometheus, INSTANCE_PODS + CLUSTER_PODS + operators).await?;
    let of = format!("namespace=\"{}\",pod!=\"\"", space.namespace());
    for query in [
        format!(
            "count(redis_up{{{of},kind=\"redisinstance\",name=\"group\",shard=\"\"}} == 1) == {INSTANCE_PODS}"
        ),
        format!(
            "count(redis_up{{{of},kind=\"rediscluster\",name=\"shop\",shard=~\"[012]\"}} == 1) == {CLUSTER_PODS}"
        ),
        format!("hera_object_ready{{{of},kind=\"rediscluster\",name=\"shop\"}} == 1"),
    ] {
        wait_for(&query, SOME, async || {
            ensure!(!prometheus.query(&query).await?.is_empty(), "it is not so");
            Ok(())
        })
        .await?;
    }

    let mut all = asked(space, "fleet", &[("", "")])?;
    let objects = [("redisinstance", "group"), ("rediscluster", "shop")];
    all.extend(asked(space, "object", &objects)?);
    for (place, why) in EMPTY {
        ensure!(
            all.iter().any(|asked| asked.place == *place),
            "{place}, {why}"
        );
    }
    wait_for("every query is answered", SOME, async || {
        let left = unanswered(&prometheus, &all).await?;
        ensure!(left.is_empty(), "not {left:?}");
        Ok(())
    })
    .await?;
    wait_alert(&prometheus, space, "HeraFailover").await?;
    let written = writer.verify(&app).await?;
    ensure!(written > 0, "nothing was written meanwhile");
    Ok(())
}

/// The only pod of an instance is killed and stays down, as its kubelet stands still: both what Prometheus sees of
/// the pod and what the operator says of the object become alerts, and end once it is back.
async fn a_killed_pod_is_an_alert_until_it_is_back(space: &Space<'_>) -> Result<()> {
    let testbed = &space.bed().testbed;
    let instance = space.ready("lone", json!({})).await?;
    let prometheus = Prometheus::start(space.bed(), space.namespace(), HOLD).await?;
    let operators = space.bed().operator().pods().await?.len();
    wait_targets(&prometheus, 1 + operators).await?;
    wait_no_alert(&prometheus, space).await?;
    let pod = instance.pod().await?;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let node = node.context("it is on no node")?;
    let kubelet = testbed.pause_program(&format!("kubelet-{node}"))?;
    testbed.kill_pod(&instance.pod_uid().await?)?;
    wait_alert(&prometheus, space, "HeraAgentUnreachable").await?;
    wait_alert(&prometheus, space, "HeraNoPrimary").await?;
    kubelet.end()?;
    instance.wait_settled().await?;
    wait_no_alert(&prometheus, space).await
}
