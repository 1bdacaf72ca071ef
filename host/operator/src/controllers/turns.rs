//! The place that a pass has among all passes, and when it may be cut.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hera_policy::{FairQueue, Places, Turn};
use tokio::task_local;

use crate::object::ObjectKey;

/// Passes side by side. The controller itself takes in everything at once: of what waits for it, it would
/// take any next, and some of it never while others change all the time.
const PASSES: Places = Places {
    all: 16,
    of_owner: 8,
    waiting_of_owner: usize::MAX,
};
/// Places that are kept for objects that nobody leads.
const LEADERLESS: Places = Places {
    all: 8,
    of_owner: 2,
    waiting_of_owner: usize::MAX,
};
/// A pass that takes longer is cut, and the next one begins anew; with twice the time for each that was cut
/// before it: an API server may be slow.
const LIMIT: Duration = Duration::from_secs(10);
/// So that no pass has more than 40 s.
const MOST_CUTS: u32 = 2;
/// A pass in the middle of a change of roles goes on for this long at most.
const LONGEST_CHANGE: Duration = Duration::from_secs(60);
/// Between two looks at what may have changed meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// For a place that was given up this is waited at most.
const SOON: Duration = Duration::from_millis(200);

/// The places of passes.
pub struct Turns {
    all: FairQueue,
    leaderless: FairQueue,
    cuts: Cuts,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: FairQueue::new(PASSES),
            leaderless: FairQueue::new(LEADERLESS),
            cuts: Cuts::default(),
        }
    }
}

impl Turns {
    /// `is_led` is asked while it waits: the news that nobody leads may come meanwhile.
    async fn take(&self, namespace: &str, is_led: impl Fn() -> bool) -> Option<Turn> {
        let kept = async {
            while is_led() {
                tokio::time::sleep(LOOK).await;
            }
            self.leaderless.turn(namespace).await.ok()
        };
        // Nothing bounds how many wait: nobody is refused.
        tokio::select! {
            biased;
            turn = self.all.turn(namespace) => turn.ok(),
            turn = kept => turn,
        }
    }

    /// The same, if a place is free at once.
    async fn take_free(&self, namespace: &str) -> Option<Turn> {
        tokio::time::timeout(SOON, self.all.turn(namespace))
            .await
            .ok()?
            .ok()
    }
}

/// How often passes of each object were cut; fewer again with each that was not.
#[derive(Default)]
pub struct Cuts(Mutex<HashMap<ObjectKey, u32>>);

impl Cuts {
    fn of(&self, object: &ObjectKey) -> u32 {
        let cuts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cuts.get(object).copied().unwrap_or(0)
    }

    fn note(&self, object: &ObjectKey, cut: bool) {
        let mut cuts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = cuts.get(object).copied().unwrap_or(0);
        match (cut, before) {
            (true, _) => cuts.insert(object.clone(), (before + 1).min(MOST_CUTS)),
            (false, 0 | 1) => cuts.remove(object),
            (false, _) => cuts.insert(object.clone(), before - 1),
        };
    }
}

/// A pass under way.
#[derive(Clone)]
pub struct Pass(Arc<State>);

struct State {
    turns: Arc<Turns>,
    object: ObjectKey,
    turn: Mutex<Option<Turn>>,
    /// Changes of roles that are under way.
    changes: AtomicUsize,
}

task_local! {
    static PASS: Pass;
}

/// A change of roles under way: until it is dropped its pass is not cut.
#[must_use]
pub struct Change(Option<Pass>);

impl Pass {
    /// Waits for its turn; an object that nobody leads has places of its own.
    pub async fn begin(turns: &Arc<Turns>, object: &ObjectKey, is_led: impl Fn() -> bool) -> Self {
        let turn = turns.take(&object.namespace, is_led).await;
        Self(Arc::new(State {
            turns: turns.clone(),
            object: object.clone(),
            turn: Mutex::new(turn),
            changes: AtomicUsize::new(0),
        }))
    }

    /// Carries out the work of the pass; none if it is cut.
    pub async fn carry_out<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let cuts = &self.0.turns.cuts;
        let limit = LIMIT.saturating_mul(1 << cuts.of(&self.0.object));
        let done = self.within(limit, work).await;
        cuts.note(&self.0.object, done.is_none());
        done
    }

    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let work = PASS.scope(self.clone(), work);
        tokio::pin!(work);
        if let Ok(done) = tokio::time::timeout(limit, &mut work).await {
            return Some(done);
        }
        // Cut in the middle of a change it would leave nobody in the lead.
        let begun = Instant::now();
        while self.0.changes.load(Ordering::Relaxed) > 0 && begun.elapsed() < LONGEST_CHANGE {
            if let Ok(done) = tokio::time::timeout(LOOK, &mut work).await {
                return Some(done);
            }
        }
        None
    }
}

/// From here on roles change, in the pass that runs this.
pub fn roles_change() -> Change {
    let pass = PASS.try_with(Clone::clone).ok();
    if let Some(pass) = &pass {
        pass.0.changes.fetch_add(1, Ordering::Relaxed);
    }
    Change(pass)
}

impl Drop for Change {
    fn drop(&mut self) {
        if let Some(pass) = &self.0 {
            pass.0.changes.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Waits, without the place of the pass that runs this: others have it meanwhile. Where none is free afterwards
/// the pass goes on without: a handover that was waited for waits for nobody else.
pub async fn aside(wait: Duration) {
    let pass = PASS.try_with(Clone::clone).ok().filter(|_| !wait.is_zero());
    let Some(pass) = pass else {
        return;
    };
    drop(held(&pass.0.turn).take());
    tokio::time::sleep(wait).await;
    let again = pass.0.turns.take_free(&pass.0.object.namespace).await;
    *held(&pass.0.turn) = again;
}

fn held(turn: &Mutex<Option<Turn>>) -> MutexGuard<'_, Option<Turn>> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(namespace: &str) -> ObjectKey {
        ObjectKey::instance(namespace, "cache")
    }

    async fn begin(turns: &Arc<Turns>, namespace: &str, led: bool) -> Option<Pass> {
        let object = object(namespace);
        let pass = Pass::begin(turns, &object, || led);
        tokio::time::timeout(LOOK * 3, pass).await.ok()
    }

    async fn full() -> (Arc<Turns>, Vec<Pass>) {
        let turns = Arc::<Turns>::default();
        let mut passes = Vec::new();
        for namespace in ["one", "other"] {
            for _ in 0..PASSES.of_owner {
                passes.push(begin(&turns, namespace, true).await.unwrap());
            }
        }
        (turns, passes)
    }

    #[tokio::test]
    async fn where_all_places_are_taken_one_is_kept_for_who_is_led_by_nobody() {
        let (turns, _passes) = full().await;
        assert!(begin(&turns, "shop", true).await.is_none());
        assert!(begin(&turns, "shop", false).await.is_some());
        let (first, second) = (
            begin(&turns, "one", false).await,
            begin(&turns, "one", false).await,
        );
        assert!(first.is_some() && second.is_some());
        assert!(
            begin(&turns, "one", false).await.is_none(),
            "two of each namespace"
        );
    }

    #[tokio::test]
    async fn who_waits_aside_leaves_its_place_and_is_kept_by_nobody_afterwards() {
        let (turns, mut passes) = full().await;
        let pass = passes.pop().unwrap();
        let waits = pass.carry_out(aside(LOOK * 2));
        let other = async {
            tokio::time::sleep(LOOK).await;
            begin(&turns, "shop", true).await
        };
        let (done, other) = tokio::join!(waits, other);
        assert!(done.is_some() && other.is_some());
    }

    #[tokio::test]
    async fn a_pass_is_cut_unless_roles_change_and_then_once_they_have() {
        let turns = Arc::<Turns>::default();
        let pass = begin(&turns, "shop", true).await.unwrap();
        let endless = pass.within(LOOK, std::future::pending::<()>());
        assert!(endless.await.is_none());
        let changes = pass.within(LOOK, async {
            let change = roles_change();
            tokio::time::sleep(LOOK * 3).await;
            drop(change);
            std::future::pending::<()>().await;
        });
        let begun = Instant::now();
        assert!(changes.await.is_none());
        assert!(begun.elapsed() >= LOOK * 3);
        let ends = pass.within(LOOK, async {
            let _change = roles_change();
            tokio::time::sleep(LOOK * 3).await;
            7
        });
        assert_eq!(ends.await, Some(7));
    }

    #[test]
    fn who_was_cut_has_more_time_until_it_needs_none() {
        let (cuts, object) = (Cuts::default(), object("shop"));
        for _ in 0..5 {
            cuts.note(&object, true);
        }
        assert_eq!(cuts.of(&object), MOST_CUTS);
        for _ in 0..MOST_CUTS {
            cuts.note(&object, false);
        }
        assert_eq!(cuts.of(&object), 0);
    }
}
