//! Which pod is meant.

use std::net::IpAddr;

use hera_core::agent::REDIS_PORT;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use thiserror::Error;

use crate::named::Object;

/// Which pod of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The one that serves writes; of a cluster, one of them.
    Primary,
    /// One that is in sync.
    Replica,
    /// This one.
    Pod(String),
}

/// Why there is no pod to reach.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum NoPod {
    /// Nothing serves writes.
    #[error("{0} has no primary now: kubectl hera status {0} says why")]
    NoPrimary(String),
    /// No pod of a cluster serves.
    #[error("{0} has no pod that is ready now: kubectl hera status {0} says why")]
    NoneReady(String),
    /// No replica serves.
    #[error("{0} has no replica in sync now: leave out --replica, or kubectl hera status {0}")]
    NoReplica(String),
    /// No such pod.
    #[error("{pod} is no pod of {target}; there are: {all}")]
    NotOfIt {
        /// The object.
        target: String,
        /// What was asked for.
        pod: String,
        /// Its pods.
        all: String,
    },
    /// No pod has the address to which a server leads.
    #[error("the server leads to {host}:{port}, which no pod of {target} has")]
    NotAt {
        /// The object.
        target: String,
        /// The address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Where a server says that another is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// An address, or a name; `?` or nothing if it does not know.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Among whom one is picked.
pub struct Candidates<'a> {
    /// As somebody calls the object, for words.
    pub target: &'a str,
    /// The object.
    pub object: &'a Object,
    /// Its pods.
    pub pods: &'a [Pod],
}

impl Candidates<'_> {
    /// The pod that is meant. Of pods that will do the first by name.
    ///
    /// # Errors
    /// As told by [`NoPod`].
    pub fn pick(&self, whom: &Whom) -> Result<String, NoPod> {
        match whom {
            Whom::Primary => self.primary(),
            Whom::Replica => {
                let primaries = primaries(self.object);
                let replica = self.first_ready(|name| !primaries.contains(&name));
                replica.ok_or_else(|| NoPod::NoReplica(self.target.to_owned()))
            }
            Whom::Pod(pod) if self.names().contains(pod) => Ok(pod.clone()),
            Whom::Pod(pod) => Err(NoPod::NotOfIt {
                target: self.target.to_owned(),
                pod: pod.clone(),
                all: self.names().join(", "),
            }),
        }
    }

    fn primary(&self) -> Result<String, NoPod> {
        let target = || self.target.to_owned();
        let primaries = primaries(self.object);
        match self.object {
            Object::Instance(_) => primaries
                .first()
                .map(|&name| name.to_owned())
                .ok_or_else(|| NoPod::NoPrimary(target())),
            // Any server names the one that has a key.
            Object::Cluster(_) => self
                .first_ready(|name| primaries.contains(&name))
                .or_else(|| self.first_ready(|_| true))
                .ok_or_else(|| NoPod::NoneReady(target())),
        }
    }

    /// The pod that has an address, or announces a name that begins with its own.
    ///
    /// # Errors
    /// [`NoPod::NotAt`].
    pub fn at(&self, announced: &Announced) -> Result<String, NoPod> {
        let host = announced.host.as_str();
        let address: Option<IpAddr> = host.parse().ok();
        let has = |pod: &&Pod| match address {
            Some(address) => addresses(pod).any(|own| own == address),
            None => host.split('.').next() == pod.metadata.name.as_deref(),
        };
        let found = self.pods.iter().find(has).map(ResourceExt::name_any);
        let found = found.filter(|_| announced.port == REDIS_PORT);
        found.ok_or_else(|| NoPod::NotAt {
            target: self.target.to_owned(),
            host: announced.host.clone(),
            port: announced.port,
        })
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.pods.iter().map(ResourceExt::name_any).collect();
        names.sort();
        names
    }

    fn first_ready(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let ready = self.pods.iter().filter(|pod| is_ready(pod));
        let names = ready.map(ResourceExt::name_any);
        names.filter(|name| fits(name)).min()
    }
}

/// Pods that serve writes, as the last pass found.
fn primaries(object: &Object) -> Vec<&str> {
    match object {
        Object::Instance(object) => {
            let status = object.status.iter();
            status
                .filter_map(|status| status.primary.as_deref())
                .collect()
        }
        Object::Cluster(object) => {
            let shards = object.status.iter().flat_map(|status| &status.shards);
            shards
                .filter_map(|shard| shard.primary.as_deref())
                .collect()
        }
    }
}

fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let status = pod.status.iter();
    let all = status.flat_map(|status| {
        let others = status.pod_ips.iter().flatten().map(|known| &known.ip);
        others.chain(&status.pod_ip)
    });
    all.filter_map(|text| text.parse().ok())
}

/// A pod is ready while its server serves: as the primary, or as a replica in sync.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::tests::{cluster, instance};
    use serde_json::json;

    fn pod(name: &str, ready: &str, ip: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "status": {
                "conditions": [{"type": "Ready", "status": ready}],
                "podIP": ip, "podIPs": [{"ip": ip}],
            },
        }))
        .unwrap()
    }

    fn pick(object: &Object, whom: &Whom, pods: &[Pod]) -> Result<String, String> {
        let candidates = Candidates {
            target: "cart",
            object,
            pods,
        };
        candidates.pick(whom).map_err(|error| error.to_string())
    }

    fn shards(primaries: &[&str]) -> Object {
        let shard = |(id, name): (usize, &&str)| json!({"id": id, "primary": name});
        let shards: Vec<_> = primaries.iter().enumerate().map(shard).collect();
        cluster(json!({"shards": shards}))
    }

    #[test]
    fn the_pod_of_an_instance_that_is_meant_is_found() {
        let pods = [
            pod("cart-2", "True", "10.0.0.2"),
            pod("cart-1", "True", "10.0.0.1"),
            pod("cart-0", "False", "10.0.0.0"),
        ];
        let led_by = |name: &str| instance(json!({"primary": name}));
        let pick = |whom, primary| pick(&led_by(primary), &whom, &pods).unwrap();
        assert_eq!(pick(Whom::Primary, "cart-2"), "cart-2");
        assert_eq!(pick(Whom::Replica, "cart-1"), "cart-2");
        assert_eq!(pick(Whom::Pod("cart-0".into()), "cart-1"), "cart-0");
    }

    #[test]
    fn who_is_not_there_is_told_with_what_to_do() {
        let pods = [
            pod("cart-0", "True", "10.0.0.0"),
            pod("cart-1", "False", "10.0.0.1"),
        ];
        let led = instance(json!({"primary": "cart-0"}));
        let words = |object, whom| pick(object, &whom, &pods).unwrap_err();
        let unled = instance(json!({}));
        let nobody = words(&unled, Whom::Primary);
        assert!(nobody.contains("kubectl hera status cart"), "{nobody}");
        assert!(words(&led, Whom::Replica).contains("no replica in sync"));
        let other = words(&led, Whom::Pod("cart-7".into()));
        assert!(other.contains("there are: cart-0, cart-1"), "{other}");
    }

    #[test]
    fn of_a_cluster_a_primary_that_is_ready_is_asked_first_or_whoever_is_ready() {
        let pods = [
            pod("cart-shard-0-0", "False", "10.0.0.1"),
            pod("cart-shard-0-1", "True", "10.0.0.2"),
            pod("cart-shard-1-0", "True", "10.0.0.3"),
        ];
        let object = shards(&["cart-shard-0-0", "cart-shard-1-0"]);
        let found = |object, whom| pick(object, &whom, &pods);
        assert_eq!(found(&object, Whom::Primary).unwrap(), "cart-shard-1-0");
        assert_eq!(found(&object, Whom::Replica).unwrap(), "cart-shard-0-1");
        let unled = shards(&[]);
        assert_eq!(found(&unled, Whom::Primary).unwrap(), "cart-shard-0-1");
        let nobody = pick(&unled, &Whom::Primary, &pods[..1]).unwrap_err();
        assert!(nobody.contains("no pod that is ready"), "{nobody}");
    }

    #[test]
    fn an_announced_address_or_name_leads_to_its_pod() {
        let object = shards(&[]);
        let pods = [
            pod("cart-shard-0-0", "True", "10.0.0.1"),
            pod("cart-shard-1-0", "True", "fd00::2"),
        ];
        let candidates = Candidates {
            target: "cart",
            object: &object,
            pods: &pods,
        };
        let at = |host: &str, port| {
            candidates.at(&Announced {
                host: host.to_owned(),
                port,
            })
        };
        assert_eq!(at("10.0.0.1", 6379).unwrap(), "cart-shard-0-0");
        assert_eq!(at("fd00:0::2", 6379).unwrap(), "cart-shard-1-0");
        let name = "cart-shard-1-0.cart-headless.shop.svc.cluster.local";
        assert_eq!(at(name, 6379).unwrap(), "cart-shard-1-0");
        for (host, port) in [("10.0.0.9", 6379), ("?", 6379), ("", 6379), ("10.0.0.1", 7)] {
            let words = at(host, port).unwrap_err().to_string();
            assert!(words.contains("which no pod of cart has"), "{words}");
        }
    }
}
