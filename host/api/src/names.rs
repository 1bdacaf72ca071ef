//! The names of everything that belongs to an object. Names are API: they never change.

use std::fmt;

use thiserror::Error;

use crate::Kind;

/// Longest name of an object: room for what is appended to it in the names and labels of its
/// children, for every kind and every release.
pub const MAX_NAME: usize = 40;

/// Name of the container in which the server runs.
pub const SERVER_CONTAINER: &str = "redis";
/// Name of the init container that brings the agent.
pub const INSTALL_CONTAINER: &str = "install-agent";
/// Name of the data volume and of its claim template.
pub const DATA_VOLUME: &str = "data";

/// The name of an object, known to be good for every child's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    kind: Kind,
    name: String,
}

/// A name from which children cannot be named.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the name {0:?} is not usable: create the object under a name of at most {MAX_NAME} lower-case letters, \
     digits and dashes that begins with a letter and ends with a letter or digit"
)]
pub struct NameError(pub String);

impl ObjectName {
    /// Checks the name of an object of this kind.
    ///
    /// # Errors
    /// No child could be named after it.
    pub fn new(kind: Kind, name: &str) -> Result<Self, NameError> {
        let ends = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-');
        let inside = name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if ends && inside && name.len() <= MAX_NAME {
            Ok(Self {
                kind,
                name: name.to_owned(),
            })
        } else {
            Err(NameError(name.chars().take(253).collect()))
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The object's kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The data pods of a shard; of the object's only one, where it has no shards.
    pub fn pods(&self, shard: Option<u32>) -> PodNames {
        PodNames(match shard {
            Some(shard) => format!("{}-shard-{shard}", self.name),
            None => self.name.clone(),
        })
    }

    /// The Service for clients. It has no selector; the operator fills its EndpointSlice.
    pub fn service(&self) -> String {
        self.name.clone()
    }

    /// The EndpointSlice of the Service for clients.
    pub fn endpoint_slice(&self) -> String {
        format!("{}-primary", self.name)
    }

    /// The Service for clients that only read. It has no selector; the operator fills its
    /// EndpointSlice.
    pub fn replicas_service(&self) -> String {
        format!("{}-replicas", self.name)
    }

    /// The EndpointSlice of the Service for clients that only read.
    pub fn replicas_slice(&self) -> String {
        format!("{}-replicas", self.name)
    }

    /// The Service that gives the pods their names.
    pub fn headless_service(&self) -> String {
        format!("{}-headless", self.name)
    }

    /// The ConfigMap with the server's configuration.
    pub fn config_map(&self) -> String {
        format!("{}-config", self.name)
    }

    /// The Secret of the application user.
    pub fn app_secret(&self) -> String {
        format!("{}-app", self.name)
    }

    /// The Secret with all users, their rules and password hashes.
    pub fn acl_secret(&self) -> String {
        format!("{}-acl", self.name)
    }

    /// The Secret with the password of replication.
    pub fn system_secret(&self) -> String {
        format!("{}-system", self.name)
    }

    /// The Secret with the agents' certificate.
    pub fn agent_tls_secret(&self) -> String {
        format!("{}-agent-tls", self.name)
    }

    /// The NetworkPolicy of its pods.
    pub fn network_policy(&self) -> String {
        self.name.clone()
    }

    /// The PodMonitor of its pods.
    pub fn pod_monitor(&self) -> String {
        self.name.clone()
    }

    /// The address for clients, from any namespace.
    pub fn service_host(&self, namespace: &str) -> String {
        format!("{}.{namespace}.svc", self.name)
    }

    /// The address for clients that only read, from any namespace.
    pub fn replicas_host(&self, namespace: &str) -> String {
        format!("{}.{namespace}.svc", self.replicas_service())
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The names of what belongs to one StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodNames(String);

impl PodNames {
    /// The StatefulSet.
    pub fn stateful_set(&self) -> String {
        self.0.clone()
    }

    /// The PodDisruptionBudget of its pods.
    pub fn disruption_budget(&self) -> String {
        self.0.clone()
    }

    /// A data pod.
    pub fn pod(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.0)
    }

    /// The claim of a data pod.
    pub fn claim(&self, ordinal: u32) -> String {
        format!("{DATA_VOLUME}-{}-{ordinal}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_children_never_change() {
        let name = ObjectName::new(Kind::RedisInstance, "my-redis").unwrap();
        let pods = name.pods(None);
        let children = [
            pods.stateful_set(),
            name.service(),
            name.endpoint_slice(),
            name.headless_service(),
            name.config_map(),
            name.app_secret(),
            name.acl_secret(),
            name.system_secret(),
            name.agent_tls_secret(),
            pods.pod(0),
            pods.claim(0),
            name.service_host("shop"),
            name.replicas_service(),
            name.replicas_slice(),
            pods.disruption_budget(),
            name.network_policy(),
            name.pod_monitor(),
        ];
        assert_eq!(
            children,
            [
                "my-redis",
                "my-redis",
                "my-redis-primary",
                "my-redis-headless",
                "my-redis-config",
                "my-redis-app",
                "my-redis-acl",
                "my-redis-system",
                "my-redis-agent-tls",
                "my-redis-0",
                "data-my-redis-0",
                "my-redis.shop.svc",
                "my-redis-replicas",
                "my-redis-replicas",
                "my-redis",
                "my-redis",
                "my-redis",
            ]
        );
    }

    #[test]
    fn names_of_a_shards_children_never_change() {
        let name = ObjectName::new(Kind::RedisCluster, "my-redis").unwrap();
        let pods = name.pods(Some(2));
        let children = [
            pods.stateful_set(),
            pods.disruption_budget(),
            pods.pod(0),
            pods.claim(1),
        ];
        assert_eq!(
            children,
            [
                "my-redis-shard-2",
                "my-redis-shard-2",
                "my-redis-shard-2-0",
                "data-my-redis-shard-2-1",
            ]
        );
    }

    /// A StatefulSet's controller puts up to eleven characters behind its name in a label.
    #[test]
    fn the_longest_name_leaves_room_for_the_labels_of_a_shards_pods() {
        let name = ObjectName::new(Kind::RedisCluster, &"a".repeat(MAX_NAME)).unwrap();
        let set = name.pods(Some(127)).stateful_set();
        assert!(set.len() + "-0123456789".len() <= 63);
    }

    #[test]
    fn names_that_would_break_a_child_are_refused() {
        let long = "a".repeat(MAX_NAME + 1);
        for name in ["", "9lives", "-a", "a-", "My", "a.b", "a_b", &long] {
            assert!(ObjectName::new(Kind::RedisCluster, name).is_err(), "{name}");
        }
        assert!(ObjectName::new(Kind::RedisInstance, &"a".repeat(MAX_NAME)).is_ok());
    }
}
