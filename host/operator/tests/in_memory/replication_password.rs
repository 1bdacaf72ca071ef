//! The password with which servers log in at each other is replaced.

use std::sync::Arc;
use std::time::Duration;

use hera_core::agent::Role;
use serde_json::{Value, json};

use super::api_server::{CLUSTERS, Operator, SHOP, condition, wait_for};
use super::cluster::Cluster;
use super::passwords::{hash, hashes, replica, rotated, secret, settled, sorted, three};

const INSTANCES: &str = "redisinstances";
const ROTATE: &str = "cache.hera.io/rotate-replication";

fn ask(operator: &Operator, plural: &str, token: &str) {
    let store = &operator.server.store;
    store.edit(plural, SHOP, "cache", |object| {
        object["metadata"]["annotations"][ROTATE] = json!(token);
    });
}

async fn taken_away(operator: &Operator, plural: &str) {
    wait_for("the request is taken away", || {
        let object = operator.server.store.find(plural, SHOP, "cache")?;
        let asked = &object["metadata"]["annotations"][ROTATE];
        asked.is_null().then_some(())
    })
    .await;
}

fn shown(operator: &Operator) -> String {
    secret(operator, "cache-system", "replication-password").unwrap()
}

/// What is written down of the rotation.
fn phase(operator: &Operator) -> Option<Value> {
    let text = secret(operator, "cache-system", "replication-rotation")?;
    let rotation: Value = serde_json::from_str(&text).unwrap();
    Some(rotation["phase"].clone())
}

/// The hashes that servers accept.
fn accepted(operator: &Operator) -> Vec<String> {
    hashes(operator, "hera-replication").1
}

/// Waits until the password of replication is another, and its rotation has come to its end.
async fn ended(operator: &Operator, before: &str) -> String {
    rotated(|| phase(operator), || shown(operator), before).await
}

/// What `Progressing` says once it has this reason.
async fn progress(operator: &Operator, plural: &str, reason: &str) -> String {
    progress_says(operator, plural, reason, "").await
}

/// The same once it says this as well: several steps have one reason.
async fn progress_says(operator: &Operator, plural: &str, reason: &str, says: &str) -> String {
    let what = format!("Progressing is {reason} and says {says:?}");
    wait_for(&what, || {
        let object = operator.server.store.find(plural, SHOP, "cache")?;
        let found = condition(&object, "Progressing")?;
        let words = found["message"].as_str()?.to_owned();
        (found["reason"] == reason && words.contains(says)).then_some(words)
    })
    .await
}

/// Kills the operator. By then the next one has looked at the object, and had the time to act: it hears pods for two
/// seconds at first.
async fn restarted(operator: &mut Operator) {
    operator.restart().await;
    let store = &operator.server.store;
    let looks = || {
        store.count(|asked| {
            asked.verb == "list" && asked.plural == "pods" && asked.namespace == SHOP
        })
    };
    let before = looks();
    wait_for("the next operator looks", || {
        (looks() > before).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// Waits until so many pods of the instance are in sync, by its status.
async fn in_sync(operator: &Operator, count: u32) {
    wait_for(&format!("{count} are in sync"), || {
        let object = operator.server.store.find(INSTANCES, SHOP, "cache")?;
        (object["status"]["readyReplicas"] == count).then_some(())
    })
    .await;
}

/// With which password the server of a pod logs in, as a hash.
fn login(cluster: &Cluster, pod: &str) -> Option<String> {
    let login = cluster.told(SHOP, pod).unwrap().login?;
    Some(login.password_sha256)
}

#[tokio::test(flavor = "multi_thread")]
async fn that_of_an_instance_is_replaced_once_for_each_request_and_no_link_ends() {
    let (operator, cluster) = three(52, json!({})).await;
    let (before, app) = (shown(&operator), secret(&operator, "cache-app", "password"));
    assert_eq!(phase(&operator), None, "nothing is written before");
    let pods = || (0..3).map(|ordinal| format!("cache-{ordinal}"));
    let links = || {
        let links = pods().map(|pod| {
            let told = cluster.told(SHOP, &pod).unwrap();
            (told.pod_uid, told.link, cluster.links_ended(SHOP, &pod))
        });
        links.collect::<Vec<_>>()
    };
    let linked = links();
    ask(&operator, INSTANCES, "one");
    let now = ended(&operator, &before).await;
    assert_eq!(accepted(&operator), [hash(&now)]);
    for pod in pods() {
        let follows = cluster.told(SHOP, &pod).unwrap().role == Role::Replica;
        assert_eq!(login(&cluster, &pod), follows.then(|| hash(&now)), "{pod}");
    }
    assert_eq!(links(), linked);
    assert_eq!(secret(&operator, "cache-app", "password"), app);
    taken_away(&operator, INSTANCES).await;
    settled(&operator).await;

    ask(&operator, INSTANCES, "one");
    taken_away(&operator, INSTANCES).await;
    wait_for("it is told that it was done before", || {
        let events = operator.server.store.all("events");
        let mut told = events.iter().filter(|e| e["reason"] == "RotatedBefore");
        let says = |event: &Value| {
            event["note"]
                .as_str()
                .is_some_and(|note| note.contains(ROTATE))
        };
        told.any(says).then_some(())
    })
    .await;
    // With a rotation the request is taken away once that is written down.
    assert_eq!(phase(&operator).unwrap()["name"], "settled");
    assert_eq!(shown(&operator), now);
    ask(&operator, INSTANCES, "two");
    let third = ended(&operator, &now).await;
    assert_eq!(accepted(&operator), [hash(&third)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_away_holds_the_old_one_open_also_through_a_restart_of_the_operator() {
    let (mut operator, cluster) = three(53, json!({})).await;
    let before = shown(&operator);
    let away = replica(&cluster);
    cluster.is_away(SHOP, &away, true);
    ask(&operator, INSTANCES, "one");
    let words = progress(&operator, INSTANCES, "RotationWaiting").await;
    assert!(
        words.contains("password of replication") && words.contains(&away),
        "{words}"
    );
    let next = phase(&operator).unwrap()["next"].clone();
    let next = next.as_str().unwrap().to_owned();
    assert_eq!(shown(&operator), before);
    assert_eq!(accepted(&operator), sorted([&before, &next]));

    restarted(&mut operator).await;
    assert_eq!(shown(&operator), before);
    assert_eq!(accepted(&operator), sorted([&before, &next]));
    cluster.is_away(SHOP, &away, false);
    assert_eq!(ended(&operator, &before).await, next);
    assert_eq!(accepted(&operator), [hash(&next)]);
    assert_eq!(login(&cluster, &away), Some(hash(&next)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_a_cluster_that_mounts_the_old_one_keeps_it_accepted_everywhere() {
    let mut operator = Operator::start().await;
    let cluster = Cluster::start(Arc::clone(&operator.server.store), 54);
    let spec = json!({"version": "7.2", "masters": 3, "replicasPerMaster": 1});
    operator.apply_cluster("cache", spec);
    let cluster_settled = async |operator: &Operator| {
        let ready = operator.wait_reason_of_cluster("cache", "Ready", "Serving");
        ready.await;
        progress(operator, CLUSTERS, "Settled").await
    };
    cluster_settled(&operator).await;
    let (before, late) = (shown(&operator), "cache-shard-1-0");
    cluster.mounts_late(SHOP, late, true);
    ask(&operator, CLUSTERS, "one");
    let now = wait_for("another is shown", || {
        let now = shown(&operator);
        let overlaps = phase(&operator)?["name"] == "overlap";
        (now != before && overlaps).then_some(now)
    })
    .await;
    let says = "logs in at its primary with the new password";
    let words = progress_says(&operator, CLUSTERS, "PasswordSpreading", says).await;
    assert!(words.contains(late), "{words}");
    assert_eq!(accepted(&operator), sorted([&before, &now]));
    assert_eq!(login(&cluster, late), Some(hash(&before)));

    restarted(&mut operator).await;
    progress(&operator, CLUSTERS, "PasswordSpreading").await;
    assert_eq!(accepted(&operator), sorted([&before, &now]));
    cluster.mounts_late(SHOP, late, false);
    assert_eq!(ended(&operator, &before).await, now);
    assert_eq!(accepted(&operator), [hash(&now)]);
    cluster_settled(&operator).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_paused_nothing_of_it_is_replaced_and_it_is_told_that_two_may_be_accepted() {
    let (operator, cluster) = three(55, json!({})).await;
    let before = shown(&operator);
    let away = replica(&cluster);
    cluster.is_away(SHOP, &away, true);
    ask(&operator, INSTANCES, "one");
    progress(&operator, INSTANCES, "RotationWaiting").await;
    in_sync(&operator, 2).await;
    let spec = |paused: bool| json!({"version": "7.2", "replicas": 3, "paused": paused});
    operator.apply("cache", spec(true));
    let words = progress(&operator, INSTANCES, "Paused").await;
    assert!(words.contains("two passwords of replication"), "{words}");
    let written = phase(&operator).unwrap();
    let next = written["next"].as_str().unwrap();
    cluster.is_away(SHOP, &away, false);
    in_sync(&operator, 3).await;
    // All are there: one that went on would be over within this.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(phase(&operator).as_ref(), Some(&written));
    assert_eq!(shown(&operator), before);
    assert_eq!(accepted(&operator), sorted([&before, next]));
    operator.apply("cache", spec(false));
    assert_eq!(ended(&operator, &before).await, next);
    assert_eq!(accepted(&operator), [hash(next)]);
}

/// Both are of one age: nobody has to think of either.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_old_enough_is_replaced_by_itself() {
    let (operator, _cluster) = three(56, json!({})).await;
    let before = shown(&operator);
    // This API server makes everything on the first of January.
    let spec = json!({
        "version": "7.2", "replicas": 3, "auth": {"rotateAfter": "1h", "overlap": "0s"},
    });
    operator.apply("cache", spec);
    let now = ended(&operator, &before).await;
    assert_eq!(accepted(&operator), [hash(&now)]);
}
