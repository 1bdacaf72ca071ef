//! What nothing needs is deleted: in the store by an agent, and here.
//!
//! Both reckon what is needed, and only what neither needs goes. What this process remembers of it may be lost: then it
//! is looked for once more.

mod failed;
mod kept;
mod look;
mod orders;
mod sweep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use hera_api::validate::BackupPlan;
use hera_core::backup::Keep;
use hera_policy::{FairQueue, Places};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tracing::{info, warn};

use crate::object::ObjectKey;
use crate::policies::now_unix_ms;
use crate::shared::Shared;
use failed::Failed;

/// Sweeps at a time, each of another object: stores of one namespace that say nothing keep no other waiting.
const PLACES: Places = Places {
    all: 8,
    of_owner: 2,
    waiting_of_owner: usize::MAX,
};
/// One that takes longer is cut; the next one goes on.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Which backups stay, by a spec; none if nothing is deleted.
pub fn keep_of(plan: &BackupPlan) -> Option<Keep> {
    plan.keep.map(|(for_ms, last)| Keep { for_ms, last })
}

/// A sweep that came to a good end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// When it began, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// The earliest instant that can be recovered, in milliseconds since 1970.
    pub first_unix_ms: Option<u64>,
}

/// What is known of the sweeps of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownSweep {
    /// The last one.
    pub swept: Option<Swept>,
    /// What stayed by it.
    pub keep: Option<Keep>,
    /// The next one is not to begin before, in milliseconds since 1970.
    pub not_before_unix_ms: u64,
    /// Why the last one failed, for people; none if it did not.
    pub failed: Option<String>,
    /// One is on its way.
    pub is_under_way: bool,
}

/// A sweep that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub object: ObjectKey,
    /// Uid of the object.
    pub uid: String,
    pub why: Why,
}

/// Why one is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is time.
    Due,
    /// Somebody wants this RedisBackup deleted.
    Drop { name: String, uid: String },
}

/// Sweeps that are wanted, and what is known of those that were.
pub struct Sweeps {
    wanted: UnboundedSender<Wanted>,
    queue: Mutex<Option<UnboundedReceiver<Wanted>>>,
    /// With the uid of the object.
    known: Mutex<HashMap<ObjectKey, (String, KnownSweep)>>,
}

impl Default for Sweeps {
    fn default() -> Self {
        let (wanted, queue) = mpsc::unbounded_channel();
        Self {
            wanted,
            queue: Mutex::new(Some(queue)),
            known: Mutex::default(),
        }
    }
}

impl Sweeps {
    /// What is known of those of the object with this uid.
    pub fn known(&self, object: &ObjectKey, uid: &str) -> KnownSweep {
        let known = self.lock();
        let known = known.get(object).filter(|(of, _)| of == uid);
        known.map(|(_, known)| known.clone()).unwrap_or_default()
    }

    /// It is time to sweep.
    pub fn is_due(&self, object: &ObjectKey, uid: &str) {
        self.want(Wanted {
            object: object.clone(),
            uid: uid.to_owned(),
            why: Why::Due,
        });
    }

    /// Somebody wants a RedisBackup deleted. False while another sweep is on its way: it is to be said again.
    pub fn drops(&self, object: &ObjectKey, uid: &str, name: &str, backup_uid: &str) -> bool {
        self.want(Wanted {
            object: object.clone(),
            uid: uid.to_owned(),
            why: Why::Drop {
                name: name.to_owned(),
                uid: backup_uid.to_owned(),
            },
        })
    }

    /// The object is gone.
    pub fn forget(&self, object: &ObjectKey) {
        self.lock().remove(object);
    }

    /// False while another is on its way.
    fn want(&self, wanted: Wanted) -> bool {
        let mut known = self.lock();
        let (uid, sweep) = known.entry(wanted.object.clone()).or_default();
        if *uid != wanted.uid {
            (*uid, *sweep) = (wanted.uid.clone(), KnownSweep::default());
        }
        let begins = !std::mem::replace(&mut sweep.is_under_way, true);
        if begins {
            // Nobody listens any more when the operator ends.
            let _ = self.wanted.send(wanted);
        }
        begins
    }

    fn ended(&self, wanted: &Wanted, done: &Result<Option<Done>, Failed>) {
        let mut known = self.lock();
        let known = known.get_mut(&wanted.object);
        let Some((_, sweep)) = known.filter(|(uid, _)| *uid == wanted.uid) else {
            return;
        };
        sweep.is_under_way = false;
        match done {
            Ok(Some(done)) => {
                sweep.swept = Some(done.swept);
                sweep.keep = Some(done.keep);
                sweep.not_before_unix_ms = 0;
                sweep.failed = None;
            }
            Ok(None) => {}
            Err(_) if wanted.why != Why::Due => {}
            Err(failed) => {
                let pause = u64::try_from(failed.pause().as_millis()).unwrap_or(u64::MAX);
                sweep.not_before_unix_ms = now_unix_ms().saturating_add(pause);
                if failed.is_told() {
                    sweep.failed = Some(failed.to_string());
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, (String, KnownSweep)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a sweep that was due.
pub struct Done {
    pub swept: Swept,
    pub keep: Keep,
}

/// Carries out the sweeps that are wanted, several at a time; never completes.
pub async fn serve(shared: Arc<Shared>) {
    let queue = &shared.backups.sweeps.queue;
    let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut queue) = queue else {
        return;
    };
    let wanted = stream::poll_fn(move |cx| queue.poll_recv(cx));
    let places = FairQueue::new(PLACES);
    // Of each object one is wanted at a time, which bounds how many wait.
    wanted
        .for_each_concurrent(None, |wanted| {
            let (shared, places) = (shared.clone(), places.clone());
            async move {
                let _turn = places.turn(&wanted.object.namespace).await.ok();
                Box::pin(one(&shared, &wanted)).await;
            }
        })
        .await;
}

async fn one(shared: &Shared, wanted: &Wanted) {
    let sweep = Box::pin(sweep::run(shared, wanted));
    let done = tokio::time::timeout(LIMIT, sweep).await;
    let done = done.unwrap_or(Err(Failed::TooSlow));
    let object = &wanted.object;
    match &done {
        Ok(_) => info!(%object, "what nothing needs of its backups is deleted"),
        Err(error) => warn!(%object, %error, "what nothing needs of its backups stays for now"),
    }
    shared.backups.sweeps.ended(wanted, &done);
    shared.references.wake_known(object);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> ObjectKey {
        ObjectKey::instance("shop", "cache")
    }

    fn due() -> Wanted {
        Wanted {
            object: cache(),
            uid: "u".to_owned(),
            why: Why::Due,
        }
    }

    fn waiting(sweeps: &Sweeps) -> usize {
        let queue = sweeps.queue.lock().unwrap();
        queue.as_ref().unwrap().len()
    }

    #[test]
    fn one_sweep_of_an_object_is_on_its_way_at_a_time() {
        let sweeps = Sweeps::default();
        sweeps.is_due(&cache(), "u");
        sweeps.is_due(&cache(), "u");
        assert!(!sweeps.drops(&cache(), "u", "nightly", "b"));
        assert_eq!(waiting(&sweeps), 1);
        assert!(sweeps.known(&cache(), "u").is_under_way);
        sweeps.ended(&due(), &Ok(None));
        assert!(sweeps.drops(&cache(), "u", "nightly", "b"));
        assert_eq!(waiting(&sweeps), 2);
        sweeps.is_due(&cache(), "v");
        assert_eq!(waiting(&sweeps), 3, "it is another object");
        assert_eq!(sweeps.known(&cache(), "u"), KnownSweep::default());
    }

    #[test]
    fn one_that_failed_is_told_and_comes_later_and_a_good_one_makes_up_for_it() {
        let sweeps = Sweeps::default();
        sweeps.is_due(&cache(), "u");
        sweeps.ended(&due(), &Err(Failed::NoAgent));
        let known = sweeps.known(&cache(), "u");
        assert!(known.failed.is_some() && known.not_before_unix_ms > now_unix_ms());
        let keep = Keep {
            for_ms: None,
            last: 2,
        };
        let swept = Swept {
            at_unix_ms: 7,
            first_unix_ms: None,
        };
        sweeps.ended(&due(), &Ok(Some(Done { swept, keep })));
        let expected = KnownSweep {
            swept: Some(swept),
            keep: Some(keep),
            ..KnownSweep::default()
        };
        assert_eq!(sweeps.known(&cache(), "u"), expected);
    }
}
