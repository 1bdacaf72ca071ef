//! What agents do about the data of a backup with which their object is to begin.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use hera_core::agent::{AgentStatus, Refusal, Request, Role, ServerState};
use hera_core::backup::{BackupOrder, BackupState, Failure, FailureReason, RecoveryNews};
use serde_json::Value;

use super::super::api_server::Store;
use super::agent::{Told, running};

/// When the data of backups is from, in milliseconds since 1970.
pub const TAKEN: u64 = 1_767_225_600_000;
/// The folder of the snapshot.
pub const BASE: &str = "shop.old/uid-of-old/base/0/run-1-00000000000000ff";

/// By namespace and name of the pod.
#[derive(Clone, Default)]
pub struct Recoveries(Arc<Mutex<BTreeMap<(String, String), Volume>>>);

#[derive(Default)]
struct Volume {
    /// Uid of the object for which it was filled.
    filled_for: Option<String>,
    has_data: bool,
    is_slow: bool,
    fails: Option<Failure>,
    orders: Vec<String>,
}

/// Of one pod.
#[derive(Clone)]
pub struct Recovery {
    all: Recoveries,
    key: (String, String),
    /// Uid of the object that is to begin with a backup.
    waits: Option<String>,
}

impl Recoveries {
    /// Of the pod of a StatefulSet, by the ConfigMap that it mounts.
    pub fn of(&self, store: &Store, set: &Value, key: &(String, String)) -> Recovery {
        let volumes = set["spec"]["template"]["spec"]["volumes"].as_array();
        let mut volumes = volumes.into_iter().flatten();
        let map = volumes.find_map(|volume| volume["configMap"]["name"].as_str());
        let map = map.and_then(|name| store.find("configmaps", &key.0, name));
        let waits = map.and_then(|map| {
            let file: Value = serde_json::from_str(map["data"]["recovery.json"].as_str()?).ok()?;
            Some(file["uid"].as_str()?.to_owned())
        });
        Recovery {
            all: self.clone(),
            key: key.clone(),
            waits,
        }
    }

    /// The volume of a pod has data, or has none any more.
    pub fn has_data(&self, namespace: &str, pod: &str, has: bool) {
        self.with(namespace, pod, |volume| volume.has_data = has);
    }

    /// From now on what the agent of a pod fetches comes to its end only with [`super::Cluster::fills`].
    pub fn is_slow(&self, namespace: &str, pod: &str) {
        self.with(namespace, pod, |volume| volume.is_slow = true);
    }

    /// From now on what it fetches fails so, or does not.
    pub fn fails(&self, namespace: &str, pod: &str, failure: Option<Failure>) {
        self.with(namespace, pod, |volume| volume.fails = failure);
    }

    /// What the agent of a pod was ordered.
    pub fn orders(&self, namespace: &str, pod: &str) -> Vec<String> {
        self.with(namespace, pod, |volume| volume.orders.clone())
    }

    fn with<A>(&self, namespace: &str, pod: &str, look: impl FnOnce(&mut Volume) -> A) -> A {
        let mut all = self.0.lock().unwrap();
        look(
            all.entry((namespace.to_owned(), pod.to_owned()))
                .or_default(),
        )
    }
}

impl Recovery {
    fn with<A>(&self, look: impl FnOnce(&mut Volume) -> A) -> A {
        self.all.with(&self.key.0, &self.key.1, look)
    }

    /// What an agent tells that has just started.
    pub fn begins(&self, status: &mut AgentStatus) {
        let Some(uid) = &self.waits else {
            return;
        };
        let (is_filled, has_data) = self.with(|volume| {
            let is_filled = volume.filled_for.as_ref() == Some(uid);
            (is_filled, volume.has_data)
        });
        match (is_filled, has_data) {
            (true, _) => status.recovery = Some(done()),
            (false, true) => hold(status, data_present()),
            (false, false) => hold(status, RecoveryNews::Waiting),
        }
    }

    /// The data is there, and the server reads it.
    pub fn fill(&self, status: &mut AgentStatus) {
        self.with(|volume| volume.filled_for.clone_from(&self.waits));
        status.recovery = Some(done());
        starts(status);
    }
}

/// True while the server is held down.
pub fn holds(status: &AgentStatus) -> bool {
    status.recovery.as_ref().is_some_and(RecoveryNews::holds)
}

/// An order about the data; those about others are none of this agent's.
pub async fn obey(
    State(told): State<Told>,
    Extension(recovery): Extension<Recovery>,
    Json(given): Json<Request<BackupOrder>>,
) -> Result<Json<BackupState>, (StatusCode, Json<Refusal>)> {
    recovery.with(|volume| volume.orders.push(format!("{:?}", given.body)));
    let waits = holds(&told.borrow());
    let (fails, is_slow, has_data) =
        recovery.with(|volume| (volume.fails.clone(), volume.is_slow, volume.has_data));
    match given.body {
        BackupOrder::Recover { .. } if waits => told.send_modify(|status| match fails {
            _ if has_data => status.recovery = Some(data_present()),
            Some(failure) => status.recovery = Some(RecoveryNews::Failed { failure }),
            None if is_slow => status.recovery = Some(RecoveryNews::Running),
            None => recovery.fill(status),
        }),
        BackupOrder::StartWithout if waits => told.send_modify(|status| {
            status.recovery = None;
            starts(status);
        }),
        _ => {
            let message = "it does not wait for that".to_owned();
            let refusal = Refusal {
                message,
                term: None,
            };
            return Err((StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)));
        }
    }
    Ok(Json(BackupState::default()))
}

fn hold(status: &mut AgentStatus, news: RecoveryNews) {
    status.server = ServerState::Fenced;
    status.role = Role::Unknown;
    status.version = None;
    status.recovery = Some(news);
}

fn starts(status: &mut AgentStatus) {
    status.server = running(&status.pod_uid);
    status.role = Role::Held;
    status.version = Some("7.2.4".to_owned());
}

fn done() -> RecoveryNews {
    RecoveryNews::Done {
        taken_unix_ms: TAKEN,
        base: BASE.to_owned(),
    }
}

fn data_present() -> RecoveryNews {
    RecoveryNews::Failed {
        failure: Failure {
            reason: FailureReason::DataPresent,
            message: "dump.rdb is there".to_owned(),
        },
    }
}
