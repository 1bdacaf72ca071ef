//! The job that moves slots of this pod's server: there is one at a time, and everybody may know how far it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hera_core::cluster::{LargeKey, Moving, MovingState};
use tokio::sync::watch;

/// Bytes of what is told of a failure.
const WORDS: usize = 256;
/// Large keys that are told.
const LARGE_KEYS: usize = 16;

/// Keys of a slot whose sending was cut off, and the digest of what was sent: the other may have them, though they did
/// not move.
pub type Doubts = BTreeMap<Vec<u8>, Option<String>>;

/// The job that runs, or the last one.
pub struct Jobs {
    told: watch::Sender<Option<Moving>>,
    stop: watch::Sender<bool>,
    /// By slot. The next job has to know as well.
    doubts: Mutex<BTreeMap<u16, Doubts>>,
}

/// A job that runs. One that is dropped has failed.
pub struct Job {
    jobs: Arc<Jobs>,
    ended: bool,
}

/// Why a job ended before all had moved.
#[derive(Debug, PartialEq, Eq)]
pub enum Broke {
    /// It was told to.
    Stopped,
    /// Something else, in words for people.
    Failed(String),
}

impl Broke {
    /// For this reason.
    pub fn failed(words: impl Into<String>) -> Self {
        Self::Failed(words.into())
    }
}

impl fmt::Display for Broke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("it was told to stop"),
            Self::Failed(words) => f.write_str(words),
        }
    }
}

impl From<hera_redis::Error> for Broke {
    fn from(error: hera_redis::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            told: watch::channel(None).0,
            stop: watch::channel(false).0,
            doubts: Mutex::default(),
        }
    }
}

impl Jobs {
    /// The job that runs, else the last one.
    pub fn told(&self) -> Option<Moving> {
        self.told.borrow().clone()
    }

    /// True while one runs.
    pub fn is_running(&self) -> bool {
        self.told.borrow().as_ref().is_some_and(runs)
    }

    /// True if this very job runs.
    pub fn runs_for(&self, moving: &Moving) -> bool {
        self.told.borrow().as_ref().is_some_and(|told| {
            let same = (&told.slots, &told.peer, told.takes);
            runs(told) && same == (&moving.slots, &moving.peer, moving.takes)
        })
    }

    /// Begins a job; none while another runs.
    pub fn begin(self: &Arc<Self>, moving: Moving) -> Option<Job> {
        let mut begun = false;
        self.told.send_if_modified(|told| {
            begun = !told.as_ref().is_some_and(runs);
            if begun {
                self.stop.send_replace(false);
                *told = Some(moving);
            }
            begun
        });
        begun.then(|| Job {
            jobs: self.clone(),
            ended: false,
        })
    }

    /// Asks the job that runs to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Completes once none runs.
    pub async fn until_none_runs(&self) {
        let mut told = self.told.subscribe();
        // The sender lives as long as this.
        let _ = told
            .wait_for(|told| !told.as_ref().is_some_and(runs))
            .await
            .map(|_| ());
    }

    fn doubts(&self) -> MutexGuard<'_, BTreeMap<u16, Doubts>> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Moving)) {
        self.told.send_if_modified(|told| {
            let Some(moving) = told else {
                return false;
            };
            change(moving);
            true
        });
    }
}

fn runs(moving: &Moving) -> bool {
    moving.state == MovingState::Running
}

impl Job {
    /// So many keys more have moved.
    pub fn moved(&self, keys: u64) {
        self.jobs
            .change(|moving| moving.keys = moving.keys.saturating_add(keys));
    }

    /// These keys stay where they are, and their slots with them.
    pub fn leaves(&self, keys: Vec<LargeKey>) {
        self.jobs.change(|moving| {
            moving.too_large.extend(keys);
            moving.too_large.truncate(LARGE_KEYS);
        });
    }

    /// The doubts about keys of a slot; none if there are none.
    pub fn doubts(&self, slot: u16) -> Option<Doubts> {
        self.jobs.doubts().get(&slot).cloned()
    }

    /// These are the doubts about keys of a slot now.
    pub fn doubts_are(&self, slot: u16, doubts: Doubts) {
        let mut known = self.jobs.doubts();
        match doubts.is_empty() {
            true => known.remove(&slot),
            false => known.insert(slot, doubts),
        };
    }

    /// It is asked to end.
    pub fn is_to_stop(&self) -> bool {
        *self.jobs.stop.borrow()
    }

    /// Completes once it is asked to end.
    pub async fn until_stop(&self) {
        let mut stop = self.jobs.stop.subscribe();
        // The sender lives as long as this.
        let _ = stop.wait_for(|stop| *stop).await.map(|_| ());
    }

    /// It ended.
    pub fn ends(mut self, how: Result<(), Broke>) {
        self.end(how);
    }

    fn end(&mut self, how: Result<(), Broke>) {
        self.ended = true;
        let (state, words) = match how {
            Ok(()) => (MovingState::Done, String::new()),
            Err(Broke::Stopped) => (MovingState::Stopped, String::new()),
            Err(Broke::Failed(words)) => (MovingState::Failed, cut(&words, WORDS)),
        };
        self.jobs.change(|moving| {
            moving.state = state;
            moving.words = words;
        });
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Err(Broke::failed("the job broke off")));
        }
    }
}

/// At most so many bytes of a text, fit to be printed.
pub fn cut(text: &str, most: usize) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() + c.len_utf8() > most {
            break;
        }
        shown.push(if c.is_control() { '?' } else { c });
    }
    shown
}

#[cfg(test)]
mod tests {
    use hera_core::cluster::SlotSet;

    use super::*;

    fn moving(peer: &str) -> Moving {
        Moving {
            slots: SlotSet::of([(1, 5)]),
            peer: peer.to_owned(),
            ..Moving::default()
        }
    }

    #[test]
    fn one_job_runs_at_a_time_and_the_last_one_is_told() {
        let jobs = Arc::new(Jobs::default());
        assert_eq!(jobs.told(), None);
        let job = jobs.begin(moving("a")).unwrap();
        assert!(jobs.runs_for(&moving("a")) && !jobs.runs_for(&moving("b")));
        assert!(jobs.begin(moving("b")).is_none());
        job.moved(3);
        job.ends(Ok(()));
        let told = jobs.told().unwrap();
        assert_eq!((told.state, told.keys), (MovingState::Done, 3));
        assert!(!jobs.runs_for(&moving("a")));
        assert!(jobs.begin(moving("b")).is_some());
    }

    #[test]
    fn who_was_asked_to_stop_is_not_the_next_one() {
        let jobs = Arc::new(Jobs::default());
        let job = jobs.begin(moving("a")).unwrap();
        jobs.stop();
        assert!(job.is_to_stop());
        job.ends(Err(Broke::Stopped));
        assert_eq!(jobs.told().unwrap().state, MovingState::Stopped);
        let next = jobs.begin(moving("a")).unwrap();
        assert!(!next.is_to_stop());
    }

    #[test]
    fn a_job_that_breaks_off_has_failed() {
        let jobs = Arc::new(Jobs::default());
        drop(jobs.begin(moving("a")).unwrap());
        let told = jobs.told().unwrap();
        assert!(told.state == MovingState::Failed && !told.words.is_empty());
    }

    #[test]
    fn what_is_told_is_bounded() {
        let jobs = Arc::new(Jobs::default());
        let job = jobs.begin(moving("a")).unwrap();
        for slot in 0..40 {
            job.leaves(vec![LargeKey {
                slot,
                ..LargeKey::default()
            }]);
        }
        job.ends(Err(Broke::failed("ä\n".repeat(300))));
        let told = jobs.told().unwrap();
        assert_eq!(told.too_large.len(), LARGE_KEYS);
        assert!(told.words.len() <= WORDS && told.words.starts_with("ä?ä?"));
    }

    #[test]
    fn the_next_job_knows_what_was_cut_off() {
        let jobs = Arc::new(Jobs::default());
        let doubts: Doubts = [(b"a".to_vec(), None)].into();
        let job = jobs.begin(moving("a")).unwrap();
        job.doubts_are(7, doubts.clone());
        job.ends(Err(Broke::Stopped));
        let next = jobs.begin(moving("b")).unwrap();
        assert_eq!(next.doubts(7), Some(doubts));
        assert_eq!(next.doubts(8), None);
        next.doubts_are(7, Doubts::new());
        assert_eq!(next.doubts(7), None);
    }

    #[tokio::test]
    async fn who_waits_for_the_end_hears_of_it() {
        let jobs = Arc::new(Jobs::default());
        jobs.until_none_runs().await;
        let job = jobs.begin(moving("a")).unwrap();
        let ends = async {
            job.until_stop().await;
            job.ends(Err(Broke::Stopped));
        };
        let stops = async {
            jobs.stop();
            jobs.until_none_runs().await;
        };
        tokio::join!(ends, stops);
    }
}
