//! What an agent does about backups, as a test has it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use hera_core::agent::{Refusal, Request};
use hera_core::backup::retention::needed_simple;
use hera_core::backup::{
    BackupOrder, BackupState, BaseManifest, CaptureNews, CaptureOrder, FORMAT, Failure,
    FailureReason, Held, OwnerFile, Paths, Run, RunState, SweepOrder, SweepState,
};
use k8s_openapi::jiff::Timestamp;

use super::agent::Told;

/// Since when logs have no gap, in milliseconds since 1970: before the data of any backup.
pub const SINCE: u64 = 1_700_000_000_000;

/// When data of backups was taken unless a test says it, in milliseconds since 1970.
const TAKEN: u64 = 1_800_000_000_000;

/// What becomes of a snapshot that is ordered.
#[derive(Clone, Debug, Default)]
pub enum Does {
    /// It is stored at once.
    #[default]
    Stores,
    /// It runs on.
    Runs,
    /// Nothing comes of it.
    Fails(FailureReason),
}

/// What the agent of a pod does about backups, and was ordered.
#[derive(Clone, Debug, Default)]
pub struct Backups(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    does: Does,
    begins_late: bool,
    state: BackupState,
    orders: Vec<BackupOrder>,
    /// How long ago the data of backups was taken.
    ago: Option<Duration>,
    /// What the store has.
    held: Vec<Held>,
    /// Why nothing comes of a sweep.
    sweeps_fail: Option<FailureReason>,
}

impl Backups {
    /// From now on it does that.
    pub fn will(&self, does: Does) {
        self.lock().does = does;
    }

    /// A log that it is ordered to keep says nothing of gaps before a test does.
    pub fn begins_late(&self) {
        self.lock().begins_late = true;
    }

    /// Data of backups was taken so long ago from now on.
    pub fn takes(&self, ago: Duration) {
        self.lock().ago = Some(ago);
    }

    /// Nothing comes of sweeps from now on; or something does again.
    pub fn sweeps_fail(&self, reason: Option<FailureReason>) {
        self.lock().sweeps_fail = reason;
    }

    /// The store has a backup no more.
    pub fn lose(&self, id: &str) {
        self.lock().held.retain(|held| held.id != id);
    }

    /// Names of the backups that the store has.
    pub fn held(&self) -> Vec<String> {
        let held = &self.lock().held;
        held.iter().map(|held| held.id.clone()).collect()
    }

    /// What it was ordered about what the store has.
    pub fn sweeps(&self) -> Vec<SweepOrder> {
        let orders = self.orders().into_iter();
        let sweeps = orders.filter_map(|order| match order {
            BackupOrder::Sweep(order) => Some(*order),
            _ => None,
        });
        sweeps.collect()
    }

    /// The runs that go on are stored now.
    pub fn store(&self) {
        let mut script = self.lock();
        let (orders, taken) = (script.orders.clone(), script.taken_unix_ms());
        for order in orders {
            if let BackupOrder::Snapshot { run, owner, .. } = order {
                let runs = script.state.runs.iter_mut();
                for known in runs.filter(|known| known.run == run) {
                    if matches!(known.state, RunState::Running { .. }) {
                        known.state = stored(&run, &owner, taken);
                    }
                }
            }
        }
    }

    /// It was started again, and knows nothing.
    pub fn forget(&self) {
        self.lock().state = BackupState::default();
    }

    /// What it was ordered about a log.
    pub fn captures(&self) -> Vec<CaptureOrder> {
        let orders = self.orders().into_iter();
        let captures = orders.filter_map(|order| match order {
            BackupOrder::Capture(order) => Some(*order),
            _ => None,
        });
        captures.collect()
    }

    /// What it was ordered, as words without secrets.
    pub fn words(&self) -> Vec<String> {
        let orders = &self.lock().orders;
        orders.iter().map(|order| format!("{order:?}")).collect()
    }

    /// What it was ordered.
    pub fn orders(&self) -> Vec<BackupOrder> {
        self.lock().orders.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

impl Script {
    fn taken_unix_ms(&self) -> u64 {
        self.ago.map_or(TAKEN, |ago| {
            now_unix_ms() - u64::try_from(ago.as_millis()).unwrap()
        })
    }

    /// What goes goes at once.
    fn sweep(&mut self, order: &SweepOrder) -> SweepState {
        let id = order.id.clone();
        if let Some(reason) = self.sweeps_fail {
            let failure = Failure::new(reason, "as the test has it");
            return SweepState::Failed { id, failure };
        }
        let held = self.held.iter();
        let held: Vec<_> = held.map(|h| (h.id.clone(), h.instant_unix_ms)).collect();
        let kept: BTreeSet<String> = order.kept.iter().cloned().collect();
        let needed = needed_simple(&held, &order.keep, &kept, order.now_unix_ms).unwrap();
        let named = order.drop.iter().cloned();
        let (refused, dropped): (Vec<String>, Vec<String>) =
            named.partition(|id| needed.contains(id));
        self.held.retain(|held| !dropped.contains(&held.id));
        for held in &mut self.held {
            held.needed = needed.contains(&held.id);
        }
        SweepState::Done {
            id,
            held: self.held.clone(),
            dropped,
            refused,
            pieces: 0,
            has_more: false,
            first_unix_ms: self.held.iter().map(|held| held.instant_unix_ms).min(),
        }
    }
}

pub async fn state(Extension(backups): Extension<Backups>) -> Json<BackupState> {
    Json(backups.lock().state.clone())
}

pub async fn order(
    State(told): State<Told>,
    Extension(backups): Extension<Backups>,
    Json(given): Json<Request<BackupOrder>>,
) -> Result<Json<BackupState>, (StatusCode, Json<Refusal>)> {
    let mut script = backups.lock();
    let mut of_logs = script
        .orders
        .iter()
        .filter(|order| matches!(order, BackupOrder::Capture(_) | BackupOrder::StopCapture));
    let is_known = of_logs.next_back() == Some(&given.body);
    script.orders.push(given.body.clone());
    match given.body {
        BackupOrder::Snapshot { run, owner, .. } => {
            let runs = &script.state.runs;
            let is_busy = runs
                .iter()
                .any(|known| matches!(known.state, RunState::Running { .. }));
            if runs.iter().any(|known| known.run == run) {
                return Ok(Json(script.state.clone()));
            }
            if is_busy {
                let refusal = Refusal {
                    message: "another run goes on".to_owned(),
                    term: None,
                };
                return Err((StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)));
            }
            let state = match script.does {
                Does::Stores => stored(&run, &owner, script.taken_unix_ms()),
                Does::Runs => RunState::Running {
                    read_bytes: 1,
                    stored_bytes: 0,
                },
                Does::Fails(reason) => failed(reason),
            };
            script.state.runs.push(Run { run, state });
        }
        BackupOrder::Commit { run, manifest, .. } => {
            if !script.held.iter().any(|held| held.id == manifest.id) {
                script.held.push(Held {
                    id: manifest.id.clone(),
                    instant_unix_ms: manifest.instant_unix_ms,
                    stored_bytes: 2 << 20,
                    needed: false,
                });
            }
            let runs = script.state.runs.iter_mut();
            for known in runs.filter(|known| known.run == run) {
                known.state = RunState::Committed { base: None };
            }
        }
        BackupOrder::Cancel { run } => {
            let runs = script.state.runs.iter_mut();
            for known in runs.filter(|known| known.run == run) {
                if !matches!(
                    known.state,
                    RunState::Committed { .. } | RunState::Failed { .. }
                ) {
                    known.state = failed(FailureReason::Cancelled);
                }
            }
        }
        // Of an agent that was started since the order is new.
        BackupOrder::Capture(order) if !is_known || told.borrow().capture.is_none() => {
            let since = Some(SINCE).filter(|_| !script.begins_late);
            told.send_modify(|status| status.capture = Some(captured(&order, since)));
        }
        BackupOrder::Sweep(order) => {
            let swept = script.sweep(&order);
            script.state.sweep = Some(swept);
        }
        BackupOrder::StopCapture => told.send_modify(|status| status.capture = None),
        BackupOrder::Capture(_) | BackupOrder::Recover { .. } | BackupOrder::StartWithout => {}
    }
    Ok(Json(script.state.clone()))
}

/// Of a log with which nothing is wrong.
fn captured(order: &CaptureOrder, since: Option<u64>) -> CaptureNews {
    CaptureNews {
        shard: order.shard.clone(),
        uid: order.owner.uid.clone(),
        unbroken_since_unix_ms: since,
        unbroken: Vec::new(),
        after_gap: false,
        trouble: None,
    }
}

fn failed(reason: FailureReason) -> RunState {
    RunState::Failed {
        failure: Failure {
            reason,
            message: "as the test has it".to_owned(),
        },
    }
}

fn now_unix_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap()
}

fn stored(run: &str, owner: &OwnerFile, taken_unix_ms: u64) -> RunState {
    let paths = Paths::new(&owner.namespace, &owner.name, &owner.uid);
    RunState::Stored {
        base: Box::new(BaseManifest {
            v: FORMAT,
            uid: owner.uid.clone(),
            shard: "0".to_owned(),
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            magic: "REDIS0011".to_owned(),
            replication_id: "a".repeat(40),
            offset: 255,
            stream_db: 0,
            taken_unix_ms,
            pod: "a pod".to_owned(),
            role: "replica".to_owned(),
            raw_bytes: 3 << 20,
            stored_bytes: 2 << 20,
            sha256: "b".repeat(64),
            crc64: "c".repeat(16),
            used_memory: 5 << 20,
            path: paths.base("0", run, 255),
        }),
    }
}
