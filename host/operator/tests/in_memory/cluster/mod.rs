//! What a cluster makes of StatefulSets: claims, pods that are ready at once, and in each an agent that
//! follows a script.
#![allow(dead_code, unused_imports, reason = "each test uses its part")]

mod agent;
mod backup;
mod manner;
mod recovering;
mod ring;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use hera_core::agent::{AgentStatus, Memory};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::api_server::Store;
use agent::Agent;
pub use backup::{Backups, Does, SINCE};
pub use manner::Manner;
pub use recovering::{BASE, Recoveries};
pub use ring::Ring;
use ring::Seat;

/// Pods run while this lives.
pub struct Cluster {
    store: Arc<Store>,
    pods: Pods,
    rings: Rings,
    recoveries: Recoveries,
    running: JoinHandle<()>,
}

/// By namespace and name of the object.
type Rings = Arc<Mutex<BTreeMap<(String, String), Arc<Ring>>>>;

/// By namespace and name.
type Pods = Arc<Mutex<BTreeMap<(String, String), Pod>>>;

struct Pod {
    uid: String,
    agent: Agent,
    /// Its node does not bring what Secrets have by now.
    is_late: bool,
}

impl Cluster {
    /// Runs the pods of all StatefulSets of an API server. Addresses begin with 127 and `net`, so that
    /// clusters of tests that run side by side have their own.
    pub fn start(store: Arc<Store>, net: u8) -> Self {
        Self::start_with(store, net, |_| Manner::Plain)
    }

    /// The same, with agents that behave in the manner of their namespace.
    pub fn start_with(store: Arc<Store>, net: u8, manner: fn(&str) -> Manner) -> Self {
        let (pods, rings) = (Pods::default(), Rings::default());
        let recoveries = Recoveries::default();
        let world = (pods.clone(), rings.clone(), recoveries.clone());
        let running = tokio::spawn(run(store.clone(), world, net, manner));
        Self {
            store,
            pods,
            rings,
            recoveries,
            running,
        }
    }

    /// The servers of a RedisCluster.
    pub fn ring(&self, namespace: &str, name: &str) -> Arc<Ring> {
        let mut rings = self.rings.lock().unwrap();
        let key = (namespace.to_owned(), name.to_owned());
        rings.entry(key).or_default().clone()
    }

    /// What agents do about data of backups.
    pub fn recoveries(&self) -> &Recoveries {
        &self.recoveries
    }

    /// What the agent of a pod tells.
    pub fn told(&self, namespace: &str, name: &str) -> Option<AgentStatus> {
        let pods = self.pods.lock().unwrap();
        let pod = pods.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(pod.agent.told.borrow().clone())
    }

    /// What the agent of a pod does about backups.
    pub fn backups(&self, namespace: &str, name: &str) -> Backups {
        let pods = self.pods.lock().unwrap();
        let pod = &pods[&(namespace.to_owned(), name.to_owned())];
        pod.agent.backups.clone()
    }

    /// Has the agent of a pod tell something else.
    pub fn tell(&self, namespace: &str, name: &str, change: impl FnOnce(&mut AgentStatus)) {
        let pods = self.pods.lock().unwrap();
        let pod = &pods[&(namespace.to_owned(), name.to_owned())];
        pod.agent.told.send_modify(change);
    }

    /// Has the node of a pod bring it no more what Secrets have by now, or bring it again.
    pub fn mounts_late(&self, namespace: &str, name: &str, is_late: bool) {
        let mut pods = self.pods.lock().unwrap();
        let key = (namespace.to_owned(), name.to_owned());
        let pod = pods.get_mut(&key).unwrap();
        pod.is_late = is_late;
        pod.mount(&self.store, &key);
    }

    /// The data that the agent of a pod fetches is there.
    pub fn fills(&self, namespace: &str, name: &str) {
        let pods = self.pods.lock().unwrap();
        let agent = &pods[&(namespace.to_owned(), name.to_owned())].agent;
        agent.told.send_modify(|status| agent.recovery.fill(status));
    }
}

impl Cluster {
    /// Has the agent of a pod not be heard, or be heard again.
    pub fn is_away(&self, namespace: &str, name: &str, away: bool) {
        let pods = self.pods.lock().unwrap();
        let agent = &pods[&(namespace.to_owned(), name.to_owned())].agent;
        agent.away.store(away, Ordering::SeqCst);
        // A line of news, which the stream ends with.
        agent.told.send_modify(|_| {});
    }

    /// Has the agent of a pod answer so whoever would end its server while that is busy, or obey again.
    pub fn refuses_to_end(&self, namespace: &str, name: &str, words: Option<&'static str>) {
        let pods = self.pods.lock().unwrap();
        let agent = &pods[&(namespace.to_owned(), name.to_owned())].agent;
        agent.refuses.lock().unwrap().words = words;
    }

    /// How many links of the server of a pod an order has ended.
    pub fn links_ended(&self, namespace: &str, name: &str) -> usize {
        let pods = self.pods.lock().unwrap();
        let agent = &pods[&(namespace.to_owned(), name.to_owned())].agent;
        agent.links_ended.load(Ordering::SeqCst)
    }

    /// How often it has refused that.
    pub fn refused_to_end(&self, namespace: &str, name: &str) -> usize {
        let pods = self.pods.lock().unwrap();
        let agent = &pods[&(namespace.to_owned(), name.to_owned())].agent;
        agent.refuses.lock().unwrap().times
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn run(
    store: Arc<Store>,
    (pods, rings, recoveries): (Pods, Rings, Recoveries),
    net: u8,
    manner: fn(&str) -> Manner,
) {
    let mut changes = store.subscribe();
    let mut addresses = (1..u16::MAX).map(move |number| {
        let [high, low] = number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(127, net, high, low))
    });
    // What a claim's volume remembers, by namespace and pod.
    let mut volumes: BTreeMap<(String, String), Memory> = BTreeMap::new();
    loop {
        changes.borrow_and_update();
        let mut wanted = BTreeMap::new();
        for set in store.all("statefulsets") {
            let count = set["spec"]["replicas"].as_u64().unwrap_or(1);
            for ordinal in 0..count {
                let name = format!("{}-{ordinal}", text(&set["metadata"]["name"]));
                let key = (text(&set["metadata"]["namespace"]), name);
                wanted.insert(key, (set.clone(), ordinal));
            }
        }
        {
            let mut pods = pods.lock().unwrap();
            // Pods that are not wanted any more, or that somebody deleted.
            pods.retain(|key, pod| {
                let live = store.find("pods", &key.0, &key.1);
                let is_there = live.is_some_and(|live| text(&live["metadata"]["uid"]) == pod.uid);
                let stays = is_there && wanted.contains_key(key);
                if !stays {
                    let memory = pod.agent.told.borrow().memory.clone();
                    volumes.insert(key.clone(), memory);
                    if let Some((ring, _)) = place(&rings, key) {
                        ring.leave(&pod.uid);
                    }
                }
                if is_there && !stays {
                    store.remove("pods", &key.0, &key.1);
                }
                stays
            });
            for (key, (set, ordinal)) in wanted {
                if pods.contains_key(&key) {
                    continue;
                }
                let Some(secret) = certificate(&store, &set) else {
                    continue;
                };
                claim(&store, &set, &key);
                let ip = addresses.next().unwrap();
                let uid = pod(&store, &set, &key, ordinal, ip);
                let memory = volumes.remove(&key).unwrap_or_default();
                let containers = set["spec"]["template"]["spec"]["containers"].as_array();
                let mut containers = containers.into_iter().flatten();
                let is_late = containers.any(|container| container["image"] == ring::IMAGE);
                let seat = place(&rings, &key)
                    .map(|(ring, shard)| Seat::new(ring, &uid, shard, ip, is_late));
                let recovery = recoveries.of(&store, &set, &key);
                let tls = (secret.0.as_slice(), secret.1.as_slice());
                let agent = Agent::start(ip, &uid, memory, tls, manner(&key.0), seat, recovery);
                let pod = Pod {
                    uid,
                    agent,
                    is_late: false,
                };
                pods.insert(key, pod);
            }
            for (key, pod) in pods.iter() {
                pod.mount(&store, key);
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

impl Pod {
    /// One of a RedisCluster mounts the password of replication, and its agent has the server take it.
    fn mount(&self, store: &Store, key: &(String, String)) {
        let Some((object, _)) = shard_of(&key.1).filter(|_| !self.is_late) else {
            return;
        };
        let secret = store.find("secrets", &key.0, &format!("{object}-system"));
        let Some(password) = secret.and_then(|secret| bytes(&secret, "replication-password"))
        else {
            return;
        };
        let login = Some(agent::logs_in(&password));
        self.agent.told.send_if_modified(|status| {
            let is_new = status.login != login;
            status.login = login;
            is_new
        });
    }
}

/// The object of a pod, and the number of its shard: `carts-shard-3-0`.
fn shard_of(pod: &str) -> Option<(&str, u32)> {
    let (set, _) = pod.rsplit_once('-')?;
    let (object, shard) = set.rsplit_once("-shard-")?;
    Some((object, shard.parse().ok()?))
}

/// What a Secret has under a key.
fn bytes(secret: &Value, key: &str) -> Option<Vec<u8>> {
    let bytes: k8s_openapi::ByteString =
        serde_json::from_value(secret["data"][key].clone()).ok()?;
    Some(bytes.0)
}

/// The servers among which that of a pod is, and its shard.
fn place(rings: &Rings, key: &(String, String)) -> Option<(Arc<Ring>, u32)> {
    let (object, shard) = shard_of(&key.1)?;
    let mut rings = rings.lock().unwrap();
    let ring = rings.entry((key.0.clone(), object.to_owned())).or_default();
    Some((ring.clone(), shard))
}

/// Those of the agents, once the operator made them.
fn certificate(store: &Store, set: &Value) -> Option<(Vec<u8>, Vec<u8>)> {
    let namespace = text(&set["metadata"]["namespace"]);
    let volumes = set["spec"]["template"]["spec"]["volumes"].as_array()?;
    let mut secrets = volumes
        .iter()
        .filter_map(|volume| volume["secret"]["secretName"].as_str())
        .filter_map(|name| store.find("secrets", &namespace, name));
    let secret = secrets.find(|secret| secret["data"]["tls.crt"].is_string())?;
    Some((bytes(&secret, "tls.crt")?, bytes(&secret, "tls.key")?))
}

/// The claims of a pod are bound, whoever made them.
fn claim(store: &Store, set: &Value, key: &(String, String)) {
    let templates = set["spec"]["volumeClaimTemplates"].as_array();
    for template in templates.into_iter().flatten() {
        let name = format!("{}-{}", text(&template["metadata"]["name"]), key.1);
        if store
            .find("persistentvolumeclaims", &key.0, &name)
            .is_none()
        {
            let mut claim = template.clone();
            claim["apiVersion"] = json!("v1");
            claim["kind"] = json!("PersistentVolumeClaim");
            claim["metadata"]["name"] = json!(name);
            claim["metadata"]["namespace"] = json!(key.0);
            store.put("persistentvolumeclaims", claim);
        }
        store.edit("persistentvolumeclaims", &key.0, &name, |claim| {
            claim["spec"]["volumeName"] = json!(format!("pv-of-{name}"));
            claim["status"] = json!({
                "phase": "Bound", "capacity": claim["spec"]["resources"]["requests"],
            });
        });
    }
}

/// Makes a pod that is ready; its uid.
fn pod(store: &Store, set: &Value, key: &(String, String), ordinal: u64, ip: IpAddr) -> String {
    let template = &set["spec"]["template"];
    let mut metadata = template["metadata"].clone();
    metadata["name"] = json!(key.1);
    metadata["namespace"] = json!(key.0);
    metadata["labels"]["apps.kubernetes.io/pod-index"] = json!(ordinal.to_string());
    metadata["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "StatefulSet", "controller": true,
        "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
    }]);
    let containers = template["spec"]["containers"].as_array();
    let running: Vec<Value> = containers
        .into_iter()
        .flatten()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "",
                "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            })
        })
        .collect();
    let mut spec = template["spec"].clone();
    spec["nodeName"] = json!("n1");
    let made = store.put(
        "pods",
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
            "status": {
                "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Ready", "status": "True"},
                ],
                "containerStatuses": running,
            },
        }),
    );
    text(&made["metadata"]["uid"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
