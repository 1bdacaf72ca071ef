//! What an agent does about backups, as a test has it.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use hera_core::agent::{Refusal, Request};
use hera_core::backup::{
    BackupOrder, BackupState, BaseManifest, CaptureNews, CaptureOrder, FORMAT, Failure,
    FailureReason, OwnerFile, Paths, Run, RunState,
};

use super::agent::Told;

/// Since when logs have no gap, in milliseconds since 1970: before the data of any backup.
pub const SINCE: u64 = 1_700_000_000_000;

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

    /// The runs that go on are stored now.
    pub fn store(&self) {
        let mut script = self.lock();
        let orders = script.orders.clone();
        for order in orders {
            if let BackupOrder::Snapshot { run, owner, .. } = order {
                let runs = script.state.runs.iter_mut();
                for known in runs.filter(|known| known.run == run) {
                    if matches!(known.state, RunState::Running { .. }) {
                        known.state = stored(&run, &owner);
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
                Does::Stores => stored(&run, &owner),
                Does::Runs => RunState::Running {
                    read_bytes: 1,
                    stored_bytes: 0,
                },
                Does::Fails(reason) => failed(reason),
            };
            script.state.runs.push(Run { run, state });
        }
        BackupOrder::Commit { run, .. } => {
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

fn stored(run: &str, owner: &OwnerFile) -> RunState {
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
            taken_unix_ms: 1_800_000_000_000,
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
