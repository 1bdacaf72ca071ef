//! A primary that a script keeps busy, and servers that somebody wants down: nothing that was acknowledged is lost.

use super::api_server::{CLUSTERS, Operator, SHOP, condition, wait_for};
use super::cluster::Cluster;
use super::passwords::three;
use hera_core::agent::{AgentStatus, Link, NOT_GONE_YET, REDIS_PORT, Role, Script, ServerState};
use serde_json::{Value, json};

/// A cluster that serves. Nothing says yet that the replica of its first shard is in sync.
struct Shop {
    operator: Operator,
    cluster: Cluster,
    primary: &'static str,
    replica: &'static str,
}

impl Shop {
    async fn start(net: u8) -> Self {
        let operator = Operator::start().await;
        let cluster = Cluster::start(operator.server.store.clone(), net);
        let spec = json!({"version": "7.2", "masters": 3, "replicasPerMaster": 1});
        operator.apply_cluster("cache", spec);
        operator
            .wait_reason_of_cluster("cache", "Ready", "Serving")
            .await;
        let pods = ["cache-shard-0-0", "cache-shard-0-1"];
        let leads = |pod: &&str| cluster.told(SHOP, pod).unwrap().role == Role::Primary;
        let leading: Vec<&'static str> = pods.iter().copied().filter(leads).collect();
        let [primary] = leading.as_slice() else {
            panic!("{leading:?} lead");
        };
        let primary = *primary;
        let replica = pods.into_iter().find(|pod| *pod != primary).unwrap();
        Self {
            operator,
            cluster,
            primary,
            replica,
        }
    }

    fn is_in_sync(&self) {
        let store = &self.operator.server.store;
        let pod = store.find("pods", SHOP, self.primary).unwrap();
        let link = Link {
            host: pod["status"]["podIP"].as_str().unwrap().to_owned(),
            port: REDIS_PORT,
            up: true,
            syncing: false,
            quiet: false,
        };
        let change = |status: &mut AgentStatus| status.link = Some(link);
        self.cluster.tell(SHOP, self.replica, change);
    }

    fn is_busy(&self, has_written: bool) {
        is_busy(&self.cluster, self.primary, has_written);
    }

    fn fence(&self, pods: &str) {
        let store = &self.operator.server.store;
        store.edit(CLUSTERS, SHOP, "cache", |object| {
            object["metadata"]["annotations"]["cache.hera.io/fence"] = json!(pods);
        });
    }

    fn primary(&self) -> AgentStatus {
        self.cluster.told(SHOP, self.primary).unwrap()
    }

    async fn wait_server(&self, pod: &str, is_down: bool) {
        wait_for(&format!("the server of {pod} is down: {is_down}"), || {
            let told = self.cluster.told(SHOP, pod)?;
            ((told.server == ServerState::Fenced) == is_down).then_some(())
        })
        .await;
    }

    async fn wait_told(&self, words: &str) {
        wait_told(&self.operator, words).await;
    }

    /// What the agent of the primary answers whoever would end its server.
    fn refuses(&self, words: Option<&'static str>) {
        self.cluster.refuses_to_end(SHOP, self.primary, words);
    }

    /// Waits until it is told that what is asked for is not done, in these words.
    async fn wait_refused(&self, words: &str) {
        wait_for(&format!("it is refused: {words}"), || {
            let store = &self.operator.server.store;
            let degraded = condition(&store.find(CLUSTERS, SHOP, "cache")?, "Degraded")?;
            let is_refused = degraded["reason"] == "RequestRefused";
            (is_refused && has_words(&degraded["message"], words)).then_some(())
        })
        .await;
    }
}

/// Has a script keep the server of a pod busy.
fn is_busy(cluster: &Cluster, pod: &str, has_written: bool) {
    let script = Script {
        since_unix_ms: 1_000,
        has_written,
    };
    let change = |status: &mut AgentStatus| status.script = Some(script);
    cluster.tell(SHOP, pod, change);
}

/// Waits until an Event says that a server is down, for this reason.
async fn wait_told(operator: &Operator, words: &str) {
    wait_for("people are told", || {
        let events = operator.server.store.all("events");
        let mut fenced = events.iter().filter(|event| event["reason"] == "Fenced");
        fenced
            .any(|event| has_words(&event["note"], words))
            .then_some(())
    })
    .await;
}

/// What an agent answers that knows better.
const LACKS: &str = "no replica has all that the server had when it last answered";

fn has_words(text: &Value, words: &str) -> bool {
    text.as_str().is_some_and(|text| text.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_has_written_ends_with_its_server_once_a_replica_is_in_sync() {
    let shop = Shop::start(35).await;
    shop.is_busy(true);
    // Once this is done passes have seen the script.
    shop.fence(shop.replica);
    shop.wait_server(shop.replica, true).await;
    shop.fence("");
    shop.wait_server(shop.replica, false).await;
    assert!(shop.primary().script.is_some(), "nobody has what it has");
    shop.is_in_sync();
    wait_for("the script is gone", || {
        shop.primary().script.is_none().then_some(())
    })
    .await;
    shop.wait_told("a script that has written").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_is_fenced_on_request_only_if_it_is_busy_and_a_replica_is_in_sync() {
    let shop = Shop::start(36).await;
    shop.fence(shop.primary);
    shop.wait_refused("hand over first").await;
    shop.is_busy(false);
    shop.wait_refused("no replica is in sync").await;
    assert_ne!(shop.primary().server, ServerState::Fenced);
    shop.is_in_sync();
    shop.wait_server(shop.primary, true).await;
    shop.fence("cache-shard-0-9");
    shop.wait_refused("no data pod cache-shard-0-9").await;
    shop.wait_server(shop.primary, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_of_a_busy_primary_answers_who_asks_for_its_end_is_told() {
    let shop = Shop::start(37).await;
    shop.refuses(Some(LACKS));
    shop.is_busy(false);
    shop.is_in_sync();
    shop.fence(shop.primary);
    shop.wait_refused(LACKS).await;
    // The same, in other words: it is looked at again.
    shop.refuses(Some(NOT_GONE_YET));
    shop.fence(&format!("{},", shop.primary));
    shop.wait_told("somebody asked for it").await;
    shop.refuses(None);
    shop.wait_server(shop.primary, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_of_a_busy_primary_refuses_unasked_is_tried_again() {
    let shop = Shop::start(38).await;
    shop.refuses(Some(LACKS));
    shop.is_busy(true);
    shop.is_in_sync();
    wait_for("it is refused", || {
        (shop.cluster.refused_to_end(SHOP, shop.primary) > 1).then_some(())
    })
    .await;
    shop.refuses(None);
    shop.wait_told("a script that has written").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pod_is_fenced_by_a_request_for_all_while_a_primary_serves() {
    let shop = Shop::start(39).await;
    shop.fence(shop.replica);
    shop.wait_server(shop.replica, true).await;
    shop.fence("*");
    shop.wait_refused("serves as a primary").await;
    shop.wait_server(shop.replica, false).await;
    let pods = (0..3).flat_map(|shard| (0..2).map(move |pod| format!("cache-shard-{shard}-{pod}")));
    for pod in pods {
        let told = shop.cluster.told(SHOP, &pod).unwrap();
        assert_ne!(told.server, ServerState::Fenced, "{pod}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_busy_server_of_an_instance_was_killed_is_told_though_it_is_not_gone_yet() {
    let (operator, cluster) = three(50, json!({})).await;
    let pods = (0..3).map(|ordinal| format!("cache-{ordinal}"));
    let mut leading = pods.filter(|pod| cluster.told(SHOP, pod).unwrap().role == Role::Primary);
    let primary = leading.next().unwrap();
    cluster.refuses_to_end(SHOP, &primary, Some(NOT_GONE_YET));
    is_busy(&cluster, &primary, true);
    wait_told(&operator, "a script that has written").await;
    let told = cluster.told(SHOP, &primary).unwrap();
    assert!(told.script.is_some(), "it is not gone yet");
    cluster.refuses_to_end(SHOP, &primary, None);
    wait_for("the server is gone", || {
        let told = cluster.told(SHOP, &primary)?;
        told.script.is_none().then_some(())
    })
    .await;
}
