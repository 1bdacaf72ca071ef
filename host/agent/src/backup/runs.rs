//! The last snapshots for backups, of which one at most runs: everybody may know how far they are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hera_core::backup::{BaseManifest, Failure, FailureReason, Run, RunState};

use super::failed;
use super::job::{Job, cancelled};

/// Runs that are remembered.
const KEPT: usize = 4;

/// The last runs, the latest last.
#[derive(Default)]
pub struct Runs(Mutex<Vec<Known>>);

struct Known {
    run: String,
    stage: Stage,
}

/// How far a run is.
#[derive(Clone)]
enum Stage {
    Reads(Arc<Job>),
    Stored(Box<BaseManifest>),
    /// Its backup is being written. Another agent may have stored its base.
    Commits(Option<Box<BaseManifest>>),
    /// It is written; and what it holds, where that is not what this run stored.
    Committed(Option<Box<BaseManifest>>),
    Failed(Failure),
}

/// A run that has begun. One that is dropped has failed.
pub struct Begun {
    runs: Arc<Runs>,
    run: String,
    job: Arc<Job>,
}

/// What becomes of an order to begin.
pub enum Beginning {
    /// The run begins.
    New(Begun),
    /// It is known already.
    Known,
    /// Another runs.
    Busy,
}

/// What becomes of an order to write the backup of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committing {
    /// It is to be written now.
    New,
    /// That was done, or is being done.
    Known,
    /// The run has no base.
    NoBase,
}

impl Runs {
    /// What is told of them.
    pub fn told(&self) -> Vec<Run> {
        let told = |known: &Known| Run {
            run: known.run.clone(),
            state: known.stage.told(),
        };
        self.lock().iter().map(told).collect()
    }

    /// Begins a run.
    pub fn begin(self: &Arc<Self>, run: &str) -> Beginning {
        let mut runs = self.lock();
        if runs.iter().any(|known| known.run == run) {
            return Beginning::Known;
        }
        if runs.iter().any(|known| known.stage.is_under_way()) {
            return Beginning::Busy;
        }
        let job = Arc::<Job>::default();
        add(&mut runs, run, Stage::Reads(job.clone()));
        Beginning::New(Begun {
            runs: self.clone(),
            run: run.to_owned(),
            job,
        })
    }

    /// Begins to write the backup of a run. An agent that started meanwhile does not know the run, and may write it.
    pub fn begin_commit(&self, run: &str) -> Committing {
        let mut runs = self.lock();
        let Some(known) = runs.iter_mut().find(|known| known.run == run) else {
            add(&mut runs, run, Stage::Commits(None));
            return Committing::New;
        };
        let base = match &known.stage {
            Stage::Stored(base) => Some(base.clone()),
            Stage::Commits(_) | Stage::Committed(_) => return Committing::Known,
            Stage::Reads(_) | Stage::Failed(_) => return Committing::NoBase,
        };
        known.stage = Stage::Commits(base);
        Committing::New
    }

    /// The backup of a run is written, or is not. A store that does not answer now may do so a moment later.
    pub fn end_commit(&self, run: &str, ended: Result<Option<Box<BaseManifest>>, Failure>) {
        self.set(run, |stage| match (ended, stage) {
            (Ok(earlier), _) => Stage::Committed(earlier),
            (Err(failure), Stage::Commits(Some(base))) if failure.reason.is_of_store() => {
                Stage::Stored(base)
            }
            (Err(failure), _) => Stage::Failed(failure),
        });
    }

    /// Ends a run that is not over. One that reads ends by itself, soon.
    pub fn cancel(&self, run: &str) {
        self.set(run, |stage| match stage {
            Stage::Reads(job) => {
                job.cancel();
                Stage::Reads(job)
            }
            Stage::Stored(_) => Stage::Failed(cancelled()),
            // What is written cannot be called back.
            over => over,
        });
    }

    fn set(&self, run: &str, next: impl FnOnce(Stage) -> Stage) {
        let mut runs = self.lock();
        if let Some(known) = runs.iter_mut().find(|known| known.run == run) {
            known.stage = next(known.stage.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The oldest that is over makes room.
fn add(runs: &mut Vec<Known>, run: &str, stage: Stage) {
    if runs.len() >= KEPT
        && let Some(oldest) = runs.iter().position(|known| !known.stage.is_under_way())
    {
        runs.remove(oldest);
    }
    let run = run.to_owned();
    runs.push(Known { run, stage });
}

impl Stage {
    /// True while the server is read. Who writes the backup does not touch the server.
    fn is_under_way(&self) -> bool {
        matches!(self, Self::Reads(_))
    }

    fn told(&self) -> RunState {
        match self {
            Self::Reads(job) => RunState::Running {
                read_bytes: job.read_bytes(),
                stored_bytes: job.stored_bytes(),
            },
            Self::Commits(None) => RunState::Running {
                read_bytes: 0,
                stored_bytes: 0,
            },
            Self::Stored(base) | Self::Commits(Some(base)) => {
                RunState::Stored { base: base.clone() }
            }
            Self::Committed(earlier) => RunState::Committed {
                base: earlier.clone(),
            },
            Self::Failed(failure) => RunState::Failed {
                failure: failure.clone(),
            },
        }
    }
}

impl Begun {
    /// What it does.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// It is over.
    pub fn ends(self, ended: Result<Box<BaseManifest>, Failure>) {
        // Who ended it in the last moment is heard as well.
        let ended = ended.and_then(|base| self.job.goes_on().map(|()| base));
        let stage = match ended {
            Ok(base) => Stage::Stored(base),
            Err(failure) => Stage::Failed(failure),
        };
        self.runs.set(&self.run, |_| stage);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.runs.set(&self.run, |stage| match stage {
            Stage::Reads(_) => {
                let words = "the snapshot ended by a fault of the agent's, which its log tells of";
                Stage::Failed(failed(FailureReason::LostItsPod, words))
            }
            over => over,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Box<BaseManifest> {
        let text = serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.0.15", "magic": "REDIS0010",
            "replicationId": "a", "offset": 7, "streamDb": 0, "takenUnixMs": 1, "pod": "p", "role": "replica",
            "rawBytes": 2, "storedBytes": 1, "sha256": "", "crc64": "0", "usedMemory": 3, "path": "p",
        });
        Box::new(serde_json::from_value(text).unwrap())
    }

    fn begun(runs: &Arc<Runs>, run: &str) -> Begun {
        match runs.begin(run) {
            Beginning::New(begun) => begun,
            _ => panic!("{run} does not begin"),
        }
    }

    fn state(runs: &Runs, run: &str) -> Option<RunState> {
        let told = runs.told().into_iter().find(|told| told.run == run);
        told.map(|told| told.state)
    }

    #[test]
    fn one_runs_at_a_time_and_the_same_once() {
        let runs = Arc::new(Runs::default());
        let first = begun(&runs, "a-1");
        first.job().reads(9);
        first.job().stores(4);
        let running = RunState::Running {
            read_bytes: 9,
            stored_bytes: 4,
        };
        assert_eq!(state(&runs, "a-1"), Some(running));
        assert!(matches!(runs.begin("b-1"), Beginning::Busy));
        assert!(matches!(runs.begin("a-1"), Beginning::Known));
        first.ends(Ok(base()));
        assert!(matches!(runs.begin("a-1"), Beginning::Known));
        assert_eq!(state(&runs, "a-1"), Some(RunState::Stored { base: base() }));
        begun(&runs, "b-1").ends(Ok(base()));
    }

    #[test]
    fn a_backup_is_written_once_its_base_is_stored() {
        let runs = Arc::new(Runs::default());
        let first = begun(&runs, "a-1");
        assert_eq!(runs.begin_commit("a-1"), Committing::NoBase);
        first.ends(Ok(base()));
        assert_eq!(runs.begin_commit("a-1"), Committing::New);
        assert_eq!(state(&runs, "a-1"), Some(RunState::Stored { base: base() }));
        assert_eq!(runs.begin_commit("a-1"), Committing::Known);
        runs.end_commit("a-1", Ok(None));
        assert_eq!(
            state(&runs, "a-1"),
            Some(RunState::Committed { base: None })
        );
        runs.cancel("a-1");
        assert_eq!(
            state(&runs, "a-1"),
            Some(RunState::Committed { base: None }),
            "too late"
        );
        // The agent that stored it is another by now.
        assert_eq!(runs.begin_commit("c-1"), Committing::New);
        runs.end_commit("c-1", Ok(None));
        assert_eq!(
            state(&runs, "c-1"),
            Some(RunState::Committed { base: None })
        );
    }

    #[test]
    fn a_backup_that_a_store_did_not_take_is_written_later_unless_it_never_will() {
        let runs = Arc::new(Runs::default());
        let ends = |run: &str, reason| {
            assert_eq!(runs.begin_commit(run), Committing::New);
            runs.end_commit(run, Err(failed(reason, "words")));
            state(&runs, run).unwrap()
        };
        begun(&runs, "a-1").ends(Ok(base()));
        let later = ends("a-1", FailureReason::StoreUnreachable);
        assert_eq!(later, RunState::Stored { base: base() });
        for reason in [FailureReason::StoreUnreachable, FailureReason::PathOwned] {
            let never = ends(&format!("of another agent {reason:?}"), reason);
            assert!(matches!(never, RunState::Failed { .. }));
        }
        let never = ends("a-1", FailureReason::PathOwned);
        assert!(matches!(never, RunState::Failed { .. }));
    }

    #[test]
    fn what_was_ended_is_no_backup() {
        let runs = Arc::new(Runs::default());
        let first = begun(&runs, "a-1");
        runs.cancel("a-1");
        let failure = first.job().goes_on().unwrap_err();
        assert_eq!(failure.reason, FailureReason::Cancelled);
        first.ends(Err(failure));
        begun(&runs, "a-2").ends(Ok(base()));
        runs.cancel("a-2");
        runs.cancel("nobody's");
        for run in ["a-1", "a-2"] {
            assert!(matches!(state(&runs, run), Some(RunState::Failed { .. })));
            assert_eq!(runs.begin_commit(run), Committing::NoBase);
        }
    }

    #[test]
    fn a_run_that_nobody_ended_has_failed_and_the_last_four_are_told() {
        let runs = Arc::new(Runs::default());
        drop(begun(&runs, "0"));
        assert!(matches!(state(&runs, "0"), Some(RunState::Failed { .. })));
        let last = ["1", "2", "3", "4"];
        for run in last {
            begun(&runs, run).ends(Ok(base()));
        }
        let told: Vec<_> = runs.told().into_iter().map(|told| told.run).collect();
        assert_eq!(told, last);
    }
}
