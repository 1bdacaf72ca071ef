//! What is told of the log: how far it is to who asks, and to everybody what is wrong with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hera_core::backup::log::Mark;
use hera_core::backup::{
    CaptureNews, CaptureOrder, CaptureState, Failure, FailureReason, Unbroken,
};

use super::stored::Since;
use crate::backup::failed;
use crate::control::status::Board;

/// A server that is not read for so long is told of: it starts anew, or another takes over, in less.
const UNREAD: Duration = Duration::from_secs(10);
/// So is one of which nobody says for so long how much there is, or for so many times the delay that is allowed.
const UNHEARD: Duration = Duration::from_secs(30);
const UNHEARD_DELAYS: u32 = 3;

/// What is told of the log.
#[derive(Default)]
pub struct Told(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// None while no log is kept.
    news: Option<CaptureNews>,
    state: CaptureState,
    /// The history that [`CaptureState::stored_offset`] is of.
    stored_id: String,
    /// What the store refuses.
    store: Option<Failure>,
    is_late: bool,
    /// Since when the server is not read.
    unread: Option<Instant>,
    /// Why.
    why: Option<Failure>,
    /// The last that a primary said of how much there is, and when that was new.
    look: Option<Mark>,
    heard: Option<Instant>,
    max_delay: Duration,
}

impl Told {
    /// A log is kept from now on.
    pub fn begins(&self, order: &CaptureOrder) {
        let mut inner = self.lock();
        let gaps = inner.state.gaps;
        *inner = Inner {
            news: Some(CaptureNews {
                shard: order.shard.clone(),
                uid: order.owner.uid.clone(),
                unbroken_since_unix_ms: None,
                unbroken: Vec::new(),
                after_gap: false,
                trouble: None,
            }),
            state: CaptureState {
                gaps,
                ..CaptureState::default()
            },
            unread: Some(Instant::now()),
            max_delay: Duration::from_millis(order.max_delay_ms),
            ..Inner::default()
        };
    }

    /// No log is kept any more.
    pub fn ends(&self) {
        self.lock().news = None;
    }

    /// The server is read: from here on, and without a gap since then, in these histories.
    pub fn links(&self, id: &str, at: u64, since: &Since, unbroken: &[Unbroken], is_gap: bool) {
        let mut inner = self.lock();
        inner.state.id = id.to_owned();
        inner.state.read_offset = at;
        inner.state.gaps += u64::from(is_gap);
        let unread = inner.unread.take();
        // What was told of as not read begins anew.
        match inner.heard {
            Some(_) if unread.is_some_and(|since| since.elapsed() < UNREAD) => {}
            _ => inner.heard = Some(Instant::now()),
        }
        inner.why = None;
        if let Some(news) = &mut inner.news {
            news.unbroken_since_unix_ms = Some(since.unix_ms);
            news.unbroken = unbroken.to_vec();
            news.after_gap = since.after_gap;
        }
    }

    /// It was read up to here.
    pub fn reads(&self, offset: u64) {
        self.lock().state.read_offset = offset;
    }

    /// It is not read any more, or cannot be.
    pub fn is_unread(&self, why: Option<Failure>) {
        let mut inner = self.lock();
        inner.unread.get_or_insert_with(Instant::now);
        if let Some(why) = why {
            set(&mut inner.why, why);
        }
    }

    /// The store has this history up to here, and this is the last that is known of times in it.
    pub fn stores(&self, id: &str, offset: u64, look: Option<Mark>) {
        let mut inner = self.lock();
        if inner.stored_id != id {
            inner.stored_id = id.to_owned();
        }
        inner.state.stored_offset = offset;
        inner.covers(look);
    }

    /// Nothing was written behind this offset until then.
    pub fn is_quiet(&self, id: &str, look: Mark) {
        let mut inner = self.lock();
        if inner.stored_id == id && look.offset <= inner.state.stored_offset {
            inner.covers(Some(look));
        }
    }

    /// What waits for the store.
    pub fn waits(&self, bytes: u64, is_late: bool) {
        let mut inner = self.lock();
        inner.state.queue_bytes = bytes;
        inner.is_late = is_late;
    }

    /// The store did not do what it was asked.
    pub fn store_fails(&self, failure: Failure) {
        set(&mut self.lock().store, failure);
    }

    /// The store did.
    pub fn store_heals(&self) {
        self.lock().store = None;
    }

    /// How far the log is; none where none is kept.
    pub fn state(&self) -> Option<CaptureState> {
        let inner = self.lock();
        inner.news.is_some().then(|| inner.state.clone())
    }

    /// Tells everybody, if anything changed.
    pub fn publish(&self, board: &Board) {
        let news = self.lock().news(Instant::now());
        board.change(|status| status.capture = news);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of its reason stays: words about another file each time would be news each time.
fn set(known: &mut Option<Failure>, failure: Failure) {
    if known
        .as_ref()
        .is_none_or(|known| known.reason != failure.reason)
    {
        *known = Some(failure);
    }
}

impl Inner {
    fn covers(&mut self, look: Option<Mark>) {
        if look.is_some() && self.look != look {
            self.look = look;
            self.heard = Some(Instant::now());
        }
        let look = look.map(|look| look.unix_ms);
        self.state.covered_unix_ms = self.state.covered_unix_ms.max(look);
    }

    fn news(&self, now: Instant) -> Option<CaptureNews> {
        let news = self.news.as_ref()?;
        Some(CaptureNews {
            trouble: self.trouble(now),
            ..news.clone()
        })
    }

    fn trouble(&self, now: Instant) -> Option<Failure> {
        if self.store.is_some() {
            return self.store.clone();
        }
        if self.is_late {
            let words = "the store takes the log more slowly than the server writes it: what was written last is not \
                         in the store yet";
            return Some(failed(FailureReason::LogBehind, words));
        }
        let unread = self
            .unread
            .map(|since| now.saturating_duration_since(since));
        // A link that breaks again and again is read each time, and brings no look to the store.
        if unread.is_none_or(|unread| unread < UNREAD) {
            return self.is_unheard(now);
        }
        let why = || {
            let words = "the server is not read: it does not serve, or is a replica without a link to its primary";
            failed(FailureReason::NoCopyFits, words)
        };
        Some(self.why.clone().unwrap_or_else(why))
    }

    /// What is stored can be brought to no instant of which nobody said how much there was.
    fn is_unheard(&self, now: Instant) -> Option<Failure> {
        let unheard = now.saturating_duration_since(self.heard?);
        let limit = self.max_delay.saturating_mul(UNHEARD_DELAYS).max(UNHEARD);
        (unheard >= limit).then(|| {
            let words = "the log is read, and the agent of the primary does not say how much there is: until it does, \
                         nothing can be brought to a later instant. Pods of an object are to reach one another's \
                         agents";
            failed(FailureReason::LogBehind, words)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::order;
    use super::*;

    fn began() -> Told {
        let told = Told::default();
        told.begins(&order("a"));
        told
    }

    fn trouble(told: &Told, seconds: u64) -> Option<FailureReason> {
        let later = Instant::now() + Duration::from_secs(seconds);
        let news = told.lock().news(later).unwrap();
        news.trouble.map(|trouble| trouble.reason)
    }

    fn mark(offset: u64, unix_ms: u64) -> Mark {
        Mark { offset, unix_ms }
    }

    #[test]
    fn all_before_a_look_is_covered_once_the_store_has_what_was_written_before_it() {
        let told = began();
        let covered = || told.state().unwrap().covered_unix_ms;
        told.links("a", 100, &Since::now("a", 100, 1_000, false), &[], false);
        told.stores("a", 100, None);
        assert_eq!(covered(), None);
        told.is_quiet("a", mark(100, 2_000));
        assert_eq!(covered(), Some(2_000));
        told.is_quiet("a", mark(101, 3_000));
        told.is_quiet("b", mark(100, 3_000));
        assert_eq!(covered(), Some(2_000), "the store does not have that");
        told.stores("a", 200, Some(mark(180, 3_500)));
        assert_eq!(covered(), Some(3_500));
        told.stores("b", 150, None);
        told.is_quiet("b", mark(150, 3_000));
        assert_eq!(covered(), Some(3_500), "it never goes back");
    }

    #[test]
    fn a_log_of_which_no_primary_says_how_much_there_is_is_behind() {
        let told = began();
        told.links("a", 100, &Since::now("a", 100, 1_000, false), &[], false);
        told.stores("a", 100, None);
        let long_ago = Instant::now().checked_sub(UNHEARD).unwrap();
        let forgets = |told: &Told| told.lock().heard = Some(long_ago);
        forgets(&told);
        assert_eq!(trouble(&told, 0), Some(FailureReason::LogBehind));
        told.is_quiet("a", mark(100, 2_000));
        assert_eq!(trouble(&told, 0), None);
        forgets(&told);
        told.is_quiet("a", mark(100, 2_000));
        told.stores("a", 200, None);
        assert_eq!(
            trouble(&told, 0),
            Some(FailureReason::LogBehind),
            "that is not new"
        );
        // A clock may have been set back.
        told.stores("a", 300, Some(mark(300, 1_500)));
        assert_eq!(trouble(&told, 0), None);
    }

    #[test]
    fn a_server_that_is_not_read_for_a_while_is_told_of_and_the_store_before_that() {
        let told = began();
        assert_eq!(trouble(&told, 5), None);
        assert_eq!(trouble(&told, 11), Some(FailureReason::NoCopyFits));
        told.is_unread(Some(failed(FailureReason::ServerRefused, "words")));
        assert_eq!(trouble(&told, 11), Some(FailureReason::ServerRefused));
        told.store_fails(failed(FailureReason::StoreUnreachable, "of one file"));
        told.store_fails(failed(FailureReason::StoreUnreachable, "of another"));
        let news = told.lock().news(Instant::now()).unwrap();
        assert_eq!(news.trouble.unwrap().message, "of one file");
        told.store_heals();
        told.links("a", 1, &Since::now("a", 1, 7, true), &[], true);
        assert_eq!(trouble(&told, 11), None);
        assert_eq!(trouble(&told, 31), Some(FailureReason::LogBehind));
        told.waits(1, true);
        assert_eq!(trouble(&told, 0), Some(FailureReason::LogBehind));
        let news = told.lock().news(Instant::now()).unwrap();
        assert_eq!(
            (news.unbroken_since_unix_ms, news.after_gap),
            (Some(7), true)
        );
        assert_eq!(told.state().unwrap().gaps, 1);
        told.ends();
        assert_eq!(told.state(), None);
        told.begins(&order("b"));
        assert_eq!(told.state().unwrap().gaps, 1, "they are counted further");
    }
}
