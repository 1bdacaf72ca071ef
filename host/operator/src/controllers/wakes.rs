//! What objects were woken for. A pass sees all that is there when it begins: what was told before it began
//! is no reason for another one, however often it was told.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::object::ObjectKey;

/// A timer may be early by as much.
const EARLY: Duration = Duration::from_millis(5);

/// News of objects, and which of it their last passes have seen.
#[derive(Default)]
pub struct Wakes(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// News that concerned everybody.
    of_all: u64,
    objects: HashMap<ObjectKey, Object>,
}

#[derive(Default)]
struct Object {
    news: u64,
    /// News of it and of everybody when its last pass began; none before the first.
    seen: Option<(u64, u64)>,
    /// When the next pass is due without news.
    due: Option<Instant>,
}

/// Whether a pass that was asked for begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    /// Something is new, or its time has come.
    Begins,
    /// Nothing is new; when the next is due, if ever.
    NothingNew(Option<Duration>),
}

impl Wakes {
    /// Something about an object is new.
    pub fn note(&self, object: &ObjectKey) {
        self.lock().objects.entry(object.clone()).or_default().news += 1;
    }

    /// Something that concerns every object is new.
    pub fn note_all(&self) {
        self.lock().of_all += 1;
    }

    /// Asks whether a pass begins now; if so, it has seen everything that was noted so far.
    pub fn begin(&self, object: &ObjectKey) -> Turn {
        let mut known = self.lock();
        let of_all = known.of_all;
        let object = known.objects.entry(object.clone()).or_default();
        let now = (object.news, of_all);
        let left = object
            .due
            .map(|due| due.saturating_duration_since(Instant::now()));
        if object.seen == Some(now) && left.is_none_or(|left| left > EARLY) {
            return Turn::NothingNew(left);
        }
        object.seen = Some(now);
        object.due = None;
        Turn::Begins
    }

    /// The next pass is due after this, if there is no news.
    pub fn due(&self, object: &ObjectKey, after: Option<Duration>) {
        let due = after.and_then(|after| Instant::now().checked_add(after));
        self.lock().objects.entry(object.clone()).or_default().due = due;
    }

    /// Drops what is known of an object that is gone.
    pub fn forget(&self, object: &ObjectKey) {
        self.lock().objects.remove(object);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(900);

    fn cart() -> ObjectKey {
        ObjectKey::instance("shop", "cart")
    }

    #[test]
    fn what_was_told_before_a_pass_began_is_no_reason_for_another() {
        let wakes = Wakes::default();
        wakes.note(&cart());
        wakes.note(&cart());
        assert_eq!(wakes.begin(&cart()), Turn::Begins);
        wakes.due(&cart(), Some(LONG));
        let Turn::NothingNew(Some(left)) = wakes.begin(&cart()) else {
            panic!("it begins again");
        };
        assert!(left <= LONG);
    }

    #[test]
    fn what_is_told_while_a_pass_runs_is() {
        let wakes = Wakes::default();
        wakes.note(&cart());
        assert_eq!(wakes.begin(&cart()), Turn::Begins);
        wakes.note(&cart());
        wakes.due(&cart(), Some(LONG));
        assert_eq!(wakes.begin(&cart()), Turn::Begins);
        wakes.note_all();
        wakes.due(&cart(), None);
        assert_eq!(wakes.begin(&cart()), Turn::Begins);
        assert_eq!(wakes.begin(&cart()), Turn::NothingNew(None));
    }

    #[test]
    fn a_pass_whose_time_has_come_begins_without_news() {
        let wakes = Wakes::default();
        assert_eq!(wakes.begin(&cart()), Turn::Begins);
        wakes.due(&cart(), Some(Duration::ZERO));
        assert_eq!(wakes.begin(&cart()), Turn::Begins);
    }
}
