//! What is done next about a backup that is under way: by what the agent of its run says, what came of its attempts,
//! and the time.

use super::{BaseManifest, Failure, FailureReason, Paths, RunState};

/// As many attempts come to nothing because of the copy that was read.
const COPIES: u32 = 4;
/// Between two of them.
const AFTER_COPY_MS: [u64; 3] = [5_000, 30_000, 120_000];
/// After the first attempt in a row that the store foiled; twice as long after each further one.
const AFTER_STORE_MS: u64 = 5_000;
/// And no longer than this: what was put right counts within it.
const AFTER_STORE_AT_MOST_MS: u64 = 60_000;
/// Between two looks at what an attempt needs and is not there.
const HELD_UP_MS: u64 = 5_000;
/// A store, an object, a copy that is not there is waited for so long; and a base that is stored, for its backup.
const PATIENCE_MS: u64 = 3_600_000;
/// But it was looked at for at least so long by then, since nobody did: the hour also runs while another backup has its
/// turn, or no operator is there.
const LOOKED_MS: u64 = 60_000;
/// After so long without a look nobody did.
const AWAY_MS: u64 = 300_000;
/// Of the time between two looks no more than this counts as looked at.
const LOOK_COUNTS_MS: u64 = 10_000;
/// A run that gets no further for longer is over: agents let go much sooner by themselves.
const STUCK_MS: u64 = 600_000;
/// An agent that says nothing for longer has lost its run.
const SILENCE_MS: u64 = 30_000;

/// What was heard of a run.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// Its pod is gone.
    Gone,
    /// Its agent has not answered for so many milliseconds.
    Silent(u64),
    /// Its agent knows nothing of it, as one that was started again.
    Unknown,
    /// What its agent says.
    Told {
        /// It.
        state: &'a RunState,
        /// For so many milliseconds it has said the same.
        same_for_ms: u64,
    },
}

/// What a look at a run leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// It goes on.
    GoesOn,
    /// The base is stored: the backup is to be written.
    Commit(&'a BaseManifest),
    /// The backup is written; and what it holds, where that is not what was stored last.
    Done(Option<&'a BaseManifest>),
    /// Nothing came of it.
    Lost(Failure),
}

/// Looks at a run that reads `shard` of the object with this uid and these paths.
pub fn look<'a>(heard: Heard<'a>, uid: &str, paths: &Paths, shard: &str) -> Look<'a> {
    let lost = |reason, words: &str| Look::Lost(Failure::new(reason, words));
    let (state, same_for_ms) = match heard {
        Heard::Gone => return lost(FailureReason::LostItsPod, "the pod that was read is gone"),
        Heard::Silent(ms) if ms < SILENCE_MS => return Look::GoesOn,
        Heard::Silent(_) => {
            let words = "the agent of the pod that was read does not answer";
            return lost(FailureReason::LostItsPod, words);
        }
        Heard::Unknown => {
            let words = "the agent of the pod that was read knows nothing of it, as one that was started again";
            return lost(FailureReason::LostItsPod, words);
        }
        Heard::Told { state, same_for_ms } => (state, same_for_ms),
    };
    match state {
        RunState::Running { .. } if same_for_ms < STUCK_MS => Look::GoesOn,
        RunState::Running { .. } => {
            let words =
                "its agent says that it runs, and has read and stored nothing for ten minutes";
            lost(FailureReason::SnapshotTooSlow, words)
        }
        RunState::Stored { base } | RunState::Committed { base: Some(base) }
            if !is_of(base, uid, paths, shard) =>
        {
            let words = "what the agent tells of the snapshot that it stored cannot be";
            lost(FailureReason::ServerRefused, words)
        }
        RunState::Stored { .. } if same_for_ms >= PATIENCE_MS => {
            let words = "the snapshot is stored, and the file that makes a backup of it could not be written";
            lost(FailureReason::StoreUnreachable, words)
        }
        RunState::Stored { base } => Look::Commit(base),
        RunState::Committed { base } => Look::Done(base.as_deref()),
        RunState::Failed { failure } => Look::Lost(failure.clone()),
    }
}

/// True if that may be said of a base of this object. A pod of a tenant may speak in the place of ours: what it says
/// of another object's files, or what no status has room for, is not taken.
fn is_of(base: &BaseManifest, uid: &str, paths: &Paths, shard: &str) -> bool {
    let folder = format!("{}/base/{shard}/", paths.root());
    let short = |text: &str, most: usize| text.len() <= most;
    let numbers = [
        base.offset,
        base.raw_bytes,
        base.stored_bytes,
        base.used_memory,
        base.taken_unix_ms,
    ];
    base.uid == uid
        && base.shard == shard
        && base.path.strip_prefix(&folder).is_some_and(|name| {
            !name.is_empty()
                && short(name, 200)
                && !name.contains(['/', '\\'])
                && !name.contains("..")
        })
        && ["redis", "valkey"].contains(&base.engine.as_str())
        && ["primary", "replica"].contains(&base.role.as_str())
        && short(&base.pod, 63)
        && short(&base.version, 32)
        && short(&base.replication_id, 64)
        && numbers.iter().all(|number| i64::try_from(*number).is_ok())
}

/// What comes after an attempt of which nothing came, or that could not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another after so many milliseconds.
    After(u64),
    /// Nothing: it is given up.
    GiveUp,
}

/// What came of the attempts at a backup, as long as the process remembers that looks after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// Attempts that came to nothing because of the copy that was read.
    copies: u32,
    /// Attempts in a row that the store foiled.
    store: u32,
    /// Since when something beside the copy has been in the way, without a break.
    held_up_since_ms: Option<u64>,
    /// For how long it had been by then, as others wrote down.
    held_up_before_ms: u64,
    /// The last look.
    looked_ms: Option<u64>,
    /// For how long it has been looked at since nobody did.
    looked_for_ms: u64,
}

impl Tries {
    /// Those of a backup of which only that is written down: how many attempts came to nothing, whether the store
    /// foiled the last one, and for how long something has been in the way, if it is. So many cannot be those of
    /// copies: it would have been given up.
    pub fn recalled(
        attempts: u32,
        by_store: bool,
        held_up_for_ms: Option<u64>,
        now_ms: u64,
    ) -> Self {
        let (copies, store) = match by_store || attempts >= COPIES {
            true => (0, attempts),
            false => (attempts, 0),
        };
        Self {
            copies,
            store,
            held_up_since_ms: held_up_for_ms.map(|_| now_ms),
            held_up_before_ms: held_up_for_ms.unwrap_or(0),
            looked_ms: None,
            looked_for_ms: 0,
        }
    }

    /// It is looked at.
    pub fn looked_at(&mut self, now_ms: u64) {
        let last = self.looked_ms.replace(now_ms);
        let since = last.map(|last| now_ms.saturating_sub(last));
        self.looked_for_ms = match since {
            Some(since) if since <= AWAY_MS => {
                self.looked_for_ms.saturating_add(since.min(LOOK_COUNTS_MS))
            }
            _ => 0,
        };
    }

    /// True while something beside the copy is in the way: since when is to be written down.
    pub fn is_held_up(&self) -> bool {
        self.held_up_since_ms.is_some()
    }

    /// An attempt begins: all that it needs is there. The hour of a store that fails again and again runs on.
    pub fn begins(&mut self) {
        if self.store == 0 {
            self.goes_on();
        }
    }

    fn goes_on(&mut self) {
        (self.held_up_since_ms, self.held_up_before_ms) = (None, 0);
    }

    /// An attempt cannot begin now.
    pub fn held_up(&mut self, now_ms: u64) -> Next {
        self.looked_at(now_ms);
        match self.is_patient(now_ms) {
            true => Next::After(HELD_UP_MS),
            false => Next::GiveUp,
        }
    }

    /// Nothing came of an attempt.
    pub fn lost(&mut self, reason: FailureReason, now_ms: u64) -> Next {
        self.looked_at(now_ms);
        if is_final(reason) {
            return Next::GiveUp;
        }
        if reason.is_of_store() {
            let doubled = AFTER_STORE_MS.saturating_mul(1 << self.store.min(8));
            self.store = self.store.saturating_add(1);
            return match self.is_patient(now_ms) {
                true => Next::After(doubled.min(AFTER_STORE_AT_MOST_MS)),
                false => Next::GiveUp,
            };
        }
        self.store = 0;
        self.goes_on();
        let before = usize::try_from(self.copies).unwrap_or(usize::MAX);
        self.copies = self.copies.saturating_add(1).min(COPIES);
        AFTER_COPY_MS
            .get(before)
            .map_or(Next::GiveUp, |wait| Next::After(*wait))
    }

    fn is_patient(&mut self, now_ms: u64) -> bool {
        let since = *self.held_up_since_ms.get_or_insert(now_ms);
        let waited = now_ms.saturating_sub(since);
        self.held_up_before_ms.saturating_add(waited) < PATIENCE_MS
            || self.looked_for_ms < LOOKED_MS
    }
}

impl FailureReason {
    /// True if it is the store that is in the way, and not the copy that was read.
    pub fn is_of_store(self) -> bool {
        matches!(self, Self::StoreUnreachable | Self::CredentialsRefused)
    }
}

/// No other attempt does better.
fn is_final(reason: FailureReason) -> bool {
    matches!(
        reason,
        FailureReason::PathOwned | FailureReason::Cancelled | FailureReason::Corrupt
    )
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn paths() -> Paths {
        Paths::new("shop", "cache", "uid-1")
    }

    fn base() -> BaseManifest {
        BaseManifest {
            v: 1,
            uid: "uid-1".to_owned(),
            shard: "0".to_owned(),
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            magic: "REDIS0011".to_owned(),
            replication_id: "0".repeat(40),
            offset: 255,
            stream_db: 0,
            taken_unix_ms: 1_800_000_000_000,
            pod: "cache-1".to_owned(),
            role: "replica".to_owned(),
            raw_bytes: 10,
            stored_bytes: 5,
            sha256: String::new(),
            crc64: String::new(),
            used_memory: 100,
            path: paths().base("0", "backup-uid-1", 255),
        }
    }

    fn stored(base: &BaseManifest) -> RunState {
        RunState::Stored {
            base: Box::new(base.clone()),
        }
    }

    fn seen(state: &RunState, same_for_ms: u64) -> Look<'_> {
        let heard = Heard::Told { state, same_for_ms };
        look(heard, "uid-1", &paths(), "0")
    }

    fn lost_by(look: &Look<'_>) -> Option<FailureReason> {
        match look {
            Look::Lost(failure) => Some(failure.reason),
            _ => None,
        }
    }

    #[test]
    fn a_run_goes_on_until_its_base_is_stored_and_is_done_once_the_backup_is_written() {
        let running = RunState::Running {
            read_bytes: 1,
            stored_bytes: 0,
        };
        assert_eq!(seen(&running, 0), Look::GoesOn);
        assert_eq!(seen(&stored(&base()), 0), Look::Commit(&base()));
        let written = RunState::Committed { base: None };
        assert_eq!(seen(&written, 0), Look::Done(None));
    }

    #[test]
    fn a_run_that_gets_no_further_is_lost() {
        let running = RunState::Running {
            read_bytes: 1,
            stored_bytes: 0,
        };
        assert_eq!(seen(&running, STUCK_MS - 1), Look::GoesOn);
        let lost = seen(&running, STUCK_MS);
        assert_eq!(lost_by(&lost), Some(FailureReason::SnapshotTooSlow));
    }

    #[test]
    fn a_backup_of_an_earlier_attempt_is_told_with_what_it_holds() {
        let earlier = RunState::Committed {
            base: Some(Box::new(base())),
        };
        assert_eq!(seen(&earlier, 0), Look::Done(Some(&base())));
        let mut others = base();
        others.uid = "uid-2".to_owned();
        let lie = RunState::Committed {
            base: Some(Box::new(others)),
        };
        assert_eq!(lost_by(&seen(&lie, 0)), Some(FailureReason::ServerRefused));
    }

    #[test]
    fn a_run_is_lost_with_its_pod_or_its_agent_and_not_by_a_moment_of_silence() {
        let seen = |heard| look(heard, "uid-1", &paths(), "0");
        assert_eq!(seen(Heard::Silent(SILENCE_MS - 1)), Look::GoesOn);
        for heard in [Heard::Gone, Heard::Unknown, Heard::Silent(SILENCE_MS)] {
            let lost = seen(heard);
            assert_eq!(lost_by(&lost), Some(FailureReason::LostItsPod), "{heard:?}");
        }
    }

    #[test]
    fn a_base_that_does_not_become_a_backup_is_given_up() {
        let base = stored(&base());
        let lost = seen(&base, PATIENCE_MS);
        assert_eq!(lost_by(&lost), Some(FailureReason::StoreUnreachable));
    }

    #[test]
    fn what_an_agent_says_of_files_of_another_object_is_not_taken() {
        let other = Paths::new("bank", "vault", "uid-2");
        let changes: [fn(&mut BaseManifest); 9] = [
            |base| base.uid = "uid-2".to_owned(),
            |base| base.shard = "1".to_owned(),
            |base| base.path = "shop.cache/uid-1/base/0/../../../bank.vault".to_owned(),
            |base| base.path = "shop.cache/uid-1/base/0/".to_owned(),
            |base| base.role = "owner".to_owned(),
            |base| base.engine = "else".to_owned(),
            |base| base.version = "7".repeat(33),
            |base| base.pod = "p".repeat(64),
            |base| base.raw_bytes = u64::MAX,
        ];
        let mut anothers = base();
        anothers.path = other.base("0", "backup-uid-1", 255);
        let wrong = changes.map(|change| {
            let mut base = base();
            change(&mut base);
            base
        });
        for base in wrong.into_iter().chain([anothers]) {
            let state = stored(&base);
            let lost = lost_by(&seen(&state, 0));
            assert_eq!(lost, Some(FailureReason::ServerRefused), "{base:?}");
        }
    }

    #[test]
    fn after_a_copy_of_which_nothing_came_the_next_is_tried_three_times() {
        let mut tries = Tries::default();
        let lost = |_| tries.lost(FailureReason::SnapshotTooSlow, 0);
        let next: Vec<_> = (0..4).map(lost).collect();
        assert_eq!(
            next,
            [
                Next::After(5_000),
                Next::After(30_000),
                Next::After(120_000),
                Next::GiveUp
            ]
        );
    }

    #[test]
    fn a_store_is_tried_for_an_hour_at_least_once_a_minute_and_costs_no_attempt_at_a_copy() {
        let mut tries = Tries::default();
        let (mut now, mut count) = (0, 0);
        while let Next::After(wait) = tries.lost(FailureReason::CredentialsRefused, now) {
            assert!((5_000..=60_000).contains(&wait), "{wait}");
            now += wait;
            count += 1;
        }
        assert!((PATIENCE_MS..PATIENCE_MS + 60_000).contains(&now), "{now}");
        assert!(count > 60, "{count}");
        let mut tries = Tries::default();
        for _ in 0..10 {
            tries.lost(FailureReason::StoreUnreachable, 0);
        }
        let next = tries.lost(FailureReason::NoHeadroom, 0);
        assert_eq!(next, Next::After(5_000));
    }

    #[test]
    fn what_is_not_there_is_waited_for_an_hour_from_when_it_was_missed() {
        let mut tries = Tries::default();
        assert_eq!(given_up_ms(&mut tries, 7), 7 + PATIENCE_MS);
        tries.begins();
        assert_eq!(tries.held_up(8 + PATIENCE_MS), Next::After(HELD_UP_MS));
    }

    /// When it is given up that cannot begin from `now` on.
    fn given_up_ms(tries: &mut Tries, mut now: u64) -> u64 {
        while let Next::After(wait) = tries.held_up(now) {
            now += wait;
        }
        now
    }

    #[test]
    fn one_that_nobody_looked_at_for_an_hour_is_given_up_only_after_a_minute_of_looks() {
        let mut tries = Tries::default();
        assert_eq!(tries.held_up(0), Next::After(HELD_UP_MS));
        assert_eq!(tries.held_up(HELD_UP_MS), Next::After(HELD_UP_MS));
        // Another has had its turn meanwhile.
        let later = 2 * PATIENCE_MS;
        assert_eq!(given_up_ms(&mut tries, later), later + LOOKED_MS);
    }

    #[test]
    fn an_attempt_that_takes_long_is_looked_at_meanwhile() {
        let mut tries = Tries::default();
        let unreachable = FailureReason::StoreUnreachable;
        assert_eq!(tries.lost(unreachable, 0), Next::After(AFTER_STORE_MS));
        for second in 5..PATIENCE_MS / 1_000 {
            tries.looked_at(second * 1_000);
        }
        assert_eq!(tries.lost(unreachable, PATIENCE_MS), Next::GiveUp);
    }

    #[test]
    fn whose_path_is_anothers_or_who_was_ended_is_not_tried_again() {
        for reason in [FailureReason::PathOwned, FailureReason::Cancelled] {
            assert_eq!(Tries::default().lost(reason, 0), Next::GiveUp);
        }
    }

    #[test]
    fn who_was_not_there_goes_by_the_count_that_is_written_down() {
        let mut tries = Tries::recalled(3, false, None, 0);
        assert_eq!(tries.lost(FailureReason::LostItsPod, 0), Next::GiveUp);
        let mut tries = Tries::recalled(30, true, None, 0);
        let next = tries.lost(FailureReason::StoreUnreachable, 0);
        assert_eq!(next, Next::After(AFTER_STORE_AT_MOST_MS));
    }

    #[test]
    fn an_hour_that_others_began_to_wait_goes_on_and_ends_with_what_was_in_the_way() {
        let recalled = |waited| Tries::recalled(0, false, Some(waited), 7);
        let left = 2 * LOOKED_MS;
        let mut tries = recalled(PATIENCE_MS - left);
        assert!(tries.is_held_up());
        assert_eq!(given_up_ms(&mut tries, 7), 7 + left);
        // Nobody was there when it ended.
        let mut tries = recalled(2 * PATIENCE_MS);
        assert_eq!(given_up_ms(&mut tries, 7), 7 + LOOKED_MS);
        let mut tries = recalled(PATIENCE_MS);
        tries.begins();
        assert!(!tries.is_held_up());
        assert_eq!(given_up_ms(&mut tries, 7), 7 + PATIENCE_MS);
        let mut of_store = Tries::recalled(2, true, Some(PATIENCE_MS), 7);
        let (mut now, mut count) = (7, 0);
        of_store.begins();
        while let Next::After(wait) = of_store.lost(FailureReason::StoreUnreachable, now) {
            now += wait;
            count += 1;
            of_store.begins();
        }
        assert!((3..20).contains(&count), "{count}");
        assert!(now < PATIENCE_MS / 4, "{now}");
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Lost(FailureReason),
        HeldUp,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            1 => Just(Event::Lost(FailureReason::SnapshotTooSlow)),
            1 => Just(Event::Lost(FailureReason::LostItsPod)),
            4 => Just(Event::Lost(FailureReason::StoreUnreachable)),
            4 => Just(Event::HeldUp),
        ]
    }

    proptest! {
        /// Ten hours are four times an hour of patience, and what attempts take.
        #[test]
        fn whatever_happens_it_ends_and_not_before_its_time(
            recalled in (0..8_u32, any::<bool>()),
            events in vec((event(), 0..60_000_u64), 2_000),
        ) {
            let mut tries = Tries::recalled(recalled.0, recalled.1, None, 0);
            let before = if recalled.1 || recalled.0 >= COPIES { 0 } else { recalled.0 };
            let (mut now, mut copies, mut since) = (0_u64, before, None);
            for (event, took) in events {
                now += took;
                let next = match event {
                    Event::HeldUp => {
                        since.get_or_insert(now);
                        tries.held_up(now)
                    }
                    Event::Lost(reason) => {
                        tries.begins();
                        if reason.is_of_store() {
                            since.get_or_insert(now);
                        } else {
                            since = None;
                            copies += 1;
                        }
                        tries.lost(reason, now)
                    }
                };
                match next {
                    Next::After(wait) => {
                        prop_assert!((1..=120_000).contains(&wait));
                        now += wait;
                    }
                    Next::GiveUp => {
                        let waited = since.is_some_and(|since| now - since >= PATIENCE_MS);
                        prop_assert!(copies >= COPIES || waited);
                        return Ok(());
                    }
                }
            }
            prop_assert!(now < 10 * PATIENCE_MS, "it never ends");
        }
    }
}
