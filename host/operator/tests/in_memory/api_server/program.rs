//! The operator's own program.

use std::process::Stdio;

use hera_api::{RedisBackup, RedisBackupStore, RedisCluster, RedisInstance};
use kube::CustomResourceExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{ApiServer, condition, wait_for};

/// Set to see what the operator logs.
const LOG: &str = "HERA_TEST_LOG";
/// Where the operator is.
pub const HOME: &str = "hera-system";
/// Where instances are.
pub const SHOP: &str = "shop";
/// What clusters are called in paths.
pub const CLUSTERS: &str = "redisclusters";

/// An operator that leads, against an API server of its own.
pub struct Operator {
    pub server: ApiServer,
    program: Child,
    folder: TempDir,
}

impl Operator {
    pub async fn start() -> Self {
        let server = ApiServer::start().await;
        for crd in [
            RedisInstance::crd(),
            RedisCluster::crd(),
            RedisBackup::crd(),
            RedisBackupStore::crd(),
        ] {
            let crd = serde_json::to_value(crd).unwrap();
            server.store.put("customresourcedefinitions", crd);
        }
        server.store.put(
            "configmaps",
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"namespace": HOME, "name": "hera-catalog"},
                "data": {"redis-7.2": "redis:7.2"},
            }),
        );
        vacate(&server);
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("kubeconfig");
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server.url}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
        });
        std::fs::write(&config, content.to_string()).unwrap();
        let program = spawn(&folder);
        Self {
            server,
            program,
            folder,
        }
    }

    /// Kills it, and starts another that leads.
    pub async fn restart(&mut self) {
        self.program.kill().await.unwrap();
        let store = &self.server.store;
        store.edit("leases", HOME, "hera-operator", |lease| {
            lease["spec"]["holderIdentity"] = json!("");
        });
        self.program = spawn(&self.folder);
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.program.id().unwrap()
    }

    /// Makes an instance, or changes its spec.
    pub fn apply(&self, name: &str, spec: Value) {
        self.apply_of("redisinstances", "RedisInstance", name, spec);
    }

    /// Makes an instance in a namespace.
    pub fn apply_in(&self, namespace: &str, name: &str, spec: Value) {
        self.server.store.put(
            "redisinstances",
            json!({
                "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
                "metadata": {"namespace": namespace, "name": name}, "spec": spec,
            }),
        );
    }

    /// Makes a cluster, or changes its spec.
    pub fn apply_cluster(&self, name: &str, spec: Value) {
        self.apply_of(CLUSTERS, "RedisCluster", name, spec);
    }

    fn apply_of(&self, plural: &str, kind: &str, name: &str, spec: Value) {
        let store = &self.server.store;
        if store.find(plural, SHOP, name).is_some() {
            store.edit(plural, SHOP, name, |object| object["spec"] = spec);
            return;
        }
        store.put(
            plural,
            json!({
                "apiVersion": "cache.hera.io/v1alpha1", "kind": kind,
                "metadata": {"namespace": SHOP, "name": name}, "spec": spec,
            }),
        );
    }

    /// A condition of an instance.
    pub fn condition(&self, name: &str, type_: &str) -> Option<Value> {
        condition(
            &self.server.store.find("redisinstances", SHOP, name)?,
            type_,
        )
    }

    /// Waits until a condition has this reason.
    pub async fn wait_reason(&self, name: &str, type_: &str, reason: &str) -> Value {
        let what = format!("{type_} of {name} is {reason}");
        let found = wait_for(&what, || {
            self.condition(name, type_)
                .filter(|c| c["reason"] == reason)
        });
        found.await
    }

    /// The same of a cluster.
    pub async fn wait_reason_of_cluster(&self, name: &str, type_: &str, reason: &str) -> Value {
        let what = format!("{type_} of cluster {name} is {reason}");
        let found = wait_for(&what, || {
            let object = self.server.store.find(CLUSTERS, SHOP, name)?;
            condition(&object, type_).filter(|c| c["reason"] == reason)
        });
        found.await
    }

    /// Waits until an object of the namespace of instances is there, and as `check` says.
    pub async fn wait_object(
        &self,
        plural: &str,
        name: &str,
        check: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("{plural} {name} are as they should be");
        let found = wait_for(&what, || {
            let found = self.server.store.find(plural, SHOP, name);
            found.filter(|object| check(object))
        });
        found.await
    }
}

/// The Lease of one that ended: else nobody leads before it would have run out.
fn vacate(server: &ApiServer) {
    server.store.put(
        "leases",
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": HOME, "name": "hera-operator"},
            "spec": {"holderIdentity": "", "leaseTransitions": 1},
        }),
    );
}

fn spawn(folder: &TempDir) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hera-operator"))
        .args(["--namespace", HOME, "--identity", "test"])
        .args(["--agent-image", "agent:test"])
        .args(["--http-address", "127.0.0.1:0"])
        .args(["--inspect-address", "127.0.0.1:0"])
        .env("KUBECONFIG", folder.path().join("kubeconfig"))
        .env_remove("HTTP_PROXY")
        .env_remove("HTTPS_PROXY")
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .stdout(match std::env::var_os(LOG) {
            Some(_) => Stdio::inherit(),
            None => Stdio::null(),
        })
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
