//! How long an object was without a primary when that last moved, as this process saw it. Another that leads
//! later knows nothing of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::object::ObjectKey;

/// A pod that ends hands over by itself for 20 s at most; then there is a moment until that is seen. (A server that
/// is told to take over gives up after 5 s.)
const ORDER_LASTS: Duration = Duration::from_secs(25);

/// A move of a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// How long nobody served writes.
    pub took: Duration,
    /// When it was over, since 1970.
    pub at: Duration,
}

impl Moved {
    fn after(took: Duration) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            took,
            at: now.unwrap_or_default(),
        }
    }
}

/// The last moves of an object's primaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// One handed over.
    pub handover: Option<Moved>,
    /// Another took over from one that was lost.
    pub failover: Option<Moved>,
}

/// One primary of an object, under one leader.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The object.
    pub object: &'a ObjectKey,
    /// The shard; 0 where there are none.
    pub shard: u32,
    /// The leader's term: what was seen under another says nothing of how long it lasted.
    pub term: u64,
    /// The pod that led as the object's status has it. At the first look of a term it tells one that was lost
    /// before from one that never was.
    pub before: Option<&'a str>,
}

/// What is known of all objects.
#[derive(Debug, Default)]
pub struct Moves(Mutex<HashMap<ObjectKey, Object>>);

#[derive(Debug, Default)]
struct Object {
    term: u64,
    shards: BTreeMap<u32, Seen>,
    last: Last,
}

#[derive(Debug, Default)]
struct Seen {
    /// Name of the pod that led last.
    primary: Option<String>,
    /// Since when nobody leads.
    lost: Option<Instant>,
    /// When another was told to take over.
    ordered: Option<Instant>,
    /// Since when the pod that leads is to end, and has another take over by itself.
    leaving: Option<Instant>,
}

impl Moves {
    /// The pod of this name leads now, or nobody does.
    pub fn sees(&self, place: &Place<'_>, primary: Option<&str>, now: Instant) {
        self.with(place, |seen, last| {
            let Some(name) = primary else {
                // One that never led is not lost.
                if seen.primary.is_some() {
                    seen.lost.get_or_insert(now);
                }
                return;
            };
            if seen.primary.as_deref().is_some_and(|led| led != name) {
                let since = |at: Instant| now.saturating_duration_since(at);
                let asked = [seen.ordered.take(), seen.leaving.take()].into_iter();
                let asked = asked.flatten().map(since);
                let ordered = asked.filter(|took| *took < ORDER_LASTS).max();
                match (ordered, seen.lost.map(since)) {
                    (Some(took), _) => last.handover = Some(Moved::after(took)),
                    (None, Some(took)) => last.failover = Some(Moved::after(took)),
                    (None, None) => {}
                }
            }
            seen.lost = None;
            if seen.primary.as_deref() != Some(name) {
                seen.primary = Some(name.to_owned());
            }
        });
    }

    /// Nobody is to lead.
    pub fn rests(&self, place: &Place<'_>) {
        self.with(place, |seen, _| *seen = Seen::default());
    }

    /// The pod that leads is to end, or is not: one that is hands over by itself.
    pub fn leaves(&self, place: &Place<'_>, is_leaving: bool, now: Instant) {
        self.with(place, |seen, _| match is_leaving {
            true => {
                seen.leaving.get_or_insert(now);
            }
            false => seen.leaving = None,
        });
    }

    /// Another is told to take over, and does so by itself: it has from then until it is seen.
    pub fn ordered(&self, place: &Place<'_>, now: Instant) {
        self.with(place, |seen, _| seen.ordered = Some(now));
    }

    /// The pod of this name took over, with nobody serving writes for so long.
    pub fn handed_over(&self, place: &Place<'_>, to: &str, took: Duration) {
        self.with(place, |seen, last| {
            last.handover = Some(Moved::after(took));
            *seen = Seen {
                primary: Some(to.to_owned()),
                ..Seen::default()
            };
        });
    }

    /// The last moves of an object's primaries.
    pub fn last(&self, object: &ObjectKey) -> Last {
        self.lock()
            .get(object)
            .map_or_else(Last::default, |known| known.last)
    }

    /// Drops what is known of an object that is gone.
    pub fn forget(&self, object: &ObjectKey) {
        self.lock().remove(object);
    }

    fn with(&self, place: &Place<'_>, work: impl FnOnce(&mut Seen, &mut Last)) {
        let mut objects = self.lock();
        let object = objects.entry(place.object.clone()).or_default();
        if object.term != place.term {
            object.term = place.term;
            object.shards.clear();
        }
        let seen = object.shards.entry(place.shard).or_insert_with(|| Seen {
            primary: place.before.map(str::to_owned),
            ..Seen::default()
        });
        work(seen, &mut object.last);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Object>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen of one object, a second after the other.
    struct Story {
        moves: Moves,
        object: ObjectKey,
        now: Instant,
        term: u64,
        before: Option<&'static str>,
    }

    impl Story {
        fn new() -> Self {
            Self {
                moves: Moves::default(),
                object: ObjectKey::instance("shop", "cache"),
                now: Instant::now(),
                term: 1,
                before: None,
            }
        }

        fn place(&self) -> Place<'_> {
            Place {
                object: &self.object,
                shard: 0,
                term: self.term,
                before: self.before,
            }
        }

        fn sees(&mut self, primary: Option<&str>) {
            self.now += Duration::from_secs(1);
            self.moves.sees(&self.place(), primary, self.now);
        }

        /// Seconds of the last handover and of the last failover.
        fn last(&self) -> (Option<u64>, Option<u64>) {
            let last = self.moves.last(&self.object);
            let seconds = |moved: Option<Moved>| moved.map(|moved| moved.took.as_secs());
            (seconds(last.handover), seconds(last.failover))
        }
    }

    #[test]
    fn a_failover_lasts_from_when_nobody_led_until_another_does() {
        let mut story = Story::new();
        for primary in [Some("a"), None, None, None, Some("b"), Some("b")] {
            story.sees(primary);
        }
        assert_eq!(story.last(), (None, Some(3)));
    }

    #[test]
    fn the_first_primary_and_one_that_comes_back_are_no_failover() {
        let mut story = Story::new();
        for primary in [None, None, Some("a"), None, Some("a")] {
            story.sees(primary);
        }
        assert_eq!(story.last(), (None, None));
    }

    #[test]
    fn a_handover_is_what_it_was_measured_as_and_no_failover() {
        let mut story = Story::new();
        story.sees(Some("a"));
        let took = Duration::from_secs(7);
        story.moves.handed_over(&story.place(), "b", took);
        story.sees(None);
        story.sees(Some("b"));
        assert_eq!(story.last(), (Some(7), None));
    }

    #[test]
    fn one_that_servers_do_by_themselves_lasts_until_it_is_seen() {
        let mut story = Story::new();
        story.sees(Some("a"));
        story.moves.ordered(&story.place(), story.now);
        for primary in [Some("a"), None, Some("b")] {
            story.sees(primary);
        }
        assert_eq!(story.last(), (Some(3), None));
    }

    #[test]
    fn a_pod_that_ends_hands_over_by_itself_and_that_is_no_failover() {
        let mut story = Story::new();
        story.sees(Some("a"));
        story.moves.leaves(&story.place(), true, story.now);
        story.now += Duration::from_secs(1);
        story.moves.leaves(&story.place(), true, story.now);
        story.sees(None);
        story.sees(Some("b"));
        assert_eq!(story.last(), (Some(3), None));
        story.moves.leaves(&story.place(), false, story.now);
        story.sees(None);
        story.sees(Some("c"));
        assert_eq!(story.last(), (Some(3), Some(1)));
    }

    #[test]
    fn one_that_ends_without_handing_over_in_time_was_lost() {
        let mut story = Story::new();
        story.sees(Some("a"));
        story.moves.leaves(&story.place(), true, story.now);
        story.now += ORDER_LASTS;
        story.moves.leaves(&story.place(), true, story.now);
        story.sees(None);
        story.sees(Some("b"));
        assert_eq!(story.last(), (None, Some(1)));
    }

    #[test]
    fn a_handover_that_failed_long_ago_hides_none_that_a_pod_does_by_itself() {
        let mut story = Story::new();
        story.sees(Some("a"));
        story.moves.ordered(&story.place(), story.now);
        story.now += ORDER_LASTS;
        story.moves.leaves(&story.place(), true, story.now);
        story.sees(Some("b"));
        assert_eq!(story.last(), (Some(1), None));
    }

    #[test]
    fn a_primary_that_was_lost_before_this_term_is_a_failover_from_the_first_look_on() {
        let mut story = Story::new();
        story.before = Some("a");
        for primary in [None, None, Some("b")] {
            story.sees(primary);
        }
        assert_eq!(story.last(), (None, Some(2)));
    }

    #[test]
    fn one_that_leads_as_before_this_term_or_as_nobody_saw_how_is_no_failover() {
        let mut story = Story::new();
        story.before = Some("a");
        story.sees(Some("b"));
        assert_eq!(story.last(), (None, None));
        story.term = 2;
        story.before = Some("b");
        for primary in [None, Some("b")] {
            story.sees(primary);
        }
        assert_eq!(story.last(), (None, None));
        // What the status said goes by what is seen later.
        story.before = Some("c");
        story.sees(Some("b"));
        story.sees(None);
        story.sees(Some("b"));
        assert_eq!(story.last(), (None, None));
    }

    #[test]
    fn an_order_that_came_to_nothing_makes_no_later_failover_a_handover() {
        let mut story = Story::new();
        story.sees(Some("a"));
        story.moves.ordered(&story.place(), story.now);
        story.now += ORDER_LASTS;
        story.sees(None);
        story.sees(Some("b"));
        assert_eq!(story.last(), (None, Some(1)));
    }

    #[test]
    fn who_rests_is_not_lost_and_another_term_begins_anew() {
        let mut story = Story::new();
        story.sees(Some("a"));
        story.moves.rests(&story.place());
        story.sees(None);
        story.sees(Some("b"));
        assert_eq!(story.last(), (None, None));
        story.sees(None);
        story.term = 2;
        story.sees(Some("c"));
        assert_eq!(story.last(), (None, None));
    }

    #[test]
    fn shards_move_each_for_itself_and_nothing_is_kept_of_what_is_gone() {
        let story = Story::new();
        let (object, term) = (&story.object, 1);
        let at = |shard: u32| Place {
            object,
            shard,
            term,
            before: None,
        };
        let later = story.now + Duration::from_secs(2);
        for shard in 0..2 {
            story.moves.sees(&at(shard), Some("a"), story.now);
        }
        story.moves.sees(&at(1), None, story.now);
        story.moves.sees(&at(0), Some("b"), later);
        assert_eq!(story.last(), (None, None));
        story.moves.sees(&at(1), Some("b"), later);
        assert_eq!(story.last(), (None, Some(2)));
        story.moves.forget(object);
        assert_eq!(story.last(), (None, None));
    }
}
