//! The fence: what lets a primary serve, and what must have happened before another is promoted
//! without proof that it is dead (design §6).
//!
//! Times are milliseconds of a clock that goes on while the machine sleeps (CLOCK_BOOTTIME), each
//! side its own; nothing compares the clocks of two machines.

use std::collections::{BTreeMap, BTreeSet};

use crate::agent::Question;

/// The operator waits this much longer than a primary may serve unconfirmed.
pub const MARGIN_MS: u64 = 2_000;
/// Questions of a primary in one `fenceAfter`, at least.
const QUESTIONS: u64 = 15;
/// And no less often than this: two missed ones are taken for silence.
const ASKS_EVERY_MS: u64 = 1_000;
/// Questions that may still be answered.
const OPEN: usize = 16;

/// A primary's side: whether it may still serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    epoch: u64,
    pod_uid: String,
    fence_after: u64,
    /// Data pods, this one included.
    members: BTreeSet<String>,
    /// When the last question that was confirmed had been sent.
    confirmed: u64,
    /// Questions that may still be answered: when each was sent, and which peers said yes.
    open: BTreeMap<u64, (u64, BTreeSet<String>)>,
    next: u64,
    due: u64,
}

impl Watch {
    /// A primary since `since`: when it gave out the token with which it was promoted.
    pub fn new(epoch: u64, pod_uid: &str, since: u64) -> Self {
        Self {
            epoch,
            pod_uid: pod_uid.to_owned(),
            fence_after: 0,
            members: BTreeSet::new(),
            confirmed: since,
            open: BTreeMap::new(),
            next: 1,
            due: since,
        }
    }

    /// The data pods, for a new watch; [`Self::change_members`] for one that is in use.
    pub fn set_members(&mut self, fence_after: u64, members: impl IntoIterator<Item = String>) {
        self.fence_after = fence_after;
        self.members = members.into_iter().collect();
    }

    /// The data pods are these from now on. It asks at once. A shorter limit counts from now, so that
    /// it stops nobody whose last question is older; one that had none is confirmed now. What the
    /// former limit allowed is never exceeded by that, and one that must stop stays so: another may
    /// have been promoted since.
    pub fn change_members(
        &mut self,
        now: u64,
        fence_after: u64,
        members: impl IntoIterator<Item = String>,
    ) {
        if self.must_stop(now) {
            return;
        }
        let before = self.deadline();
        self.set_members(fence_after, members);
        if self.is_armed() {
            let allowed = before.map_or(now, |at| now.min(at.saturating_sub(fence_after)));
            self.confirmed = self.confirmed.max(allowed);
            self.due = self.due.min(now);
        }
    }

    /// A lone pod is never fenced, and 0 turns fences off.
    pub fn is_armed(&self) -> bool {
        self.fence_after > 0 && self.members.len() > 1
    }

    /// A question for the operator and all peers, if one is due. It counts as sent now.
    pub fn ask(&mut self, now: u64) -> Option<Question> {
        if !self.is_armed() || now < self.due {
            return None;
        }
        let next = (self.fence_after / QUESTIONS).min(ASKS_EVERY_MS);
        self.due = now.saturating_add(next);
        let number = self.next;
        self.next += 1;
        self.open.insert(number, (now, BTreeSet::new()));
        while self.open.len() > OPEN {
            self.open.pop_first();
        }
        Some(Question {
            number,
            pod_uid: self.pod_uid.clone(),
            epoch: self.epoch,
        })
    }

    /// The operator said yes.
    pub fn confirmed_by_operator(&mut self, number: u64, epoch: u64) {
        if epoch == self.epoch
            && let Some((sent, _)) = self.open.get(&number)
        {
            self.confirmed = self.confirmed.max(*sent);
        }
    }

    /// A peer said yes. A strict majority of the data pods, this one included, is as good as the
    /// operator.
    pub fn vouched_by(&mut self, number: u64, peer: &str) {
        if !self.members.contains(peer) || peer == self.pod_uid {
            return;
        }
        let Some((sent, peers)) = self.open.get_mut(&number) else {
            return;
        };
        peers.insert(peer.to_owned());
        let yes = peers.iter().filter(|peer| self.members.contains(*peer));
        if (yes.count() + 1) * 2 > self.members.len() {
            self.confirmed = self.confirmed.max(*sent);
        }
    }

    /// When it must stop unless it is confirmed before; none if it is never fenced.
    pub fn deadline(&self) -> Option<u64> {
        self.is_armed()
            .then(|| self.confirmed.saturating_add(self.fence_after))
    }

    /// True once it must stop.
    pub fn must_stop(&self, now: u64) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }
}

/// A peer's side: true if it vouches for the asker. `promised` is durable; `known` is the primary
/// that it follows, or followed last.
pub fn vouches(question: &Question, promised: u64, known: (u64, &str)) -> bool {
    let (epoch, uid) = known;
    question.epoch > promised
        && (question.epoch > epoch || (question.epoch == epoch && question.pod_uid == uid))
}

/// The operator's side, for one instance. Kept in memory: a new leader waits anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desk {
    /// Epochs up to here are confirmed no more: somebody may have been promoted since.
    promised_epoch: u64,
    /// When it last confirmed a primary.
    answered: u64,
}

/// What the agent of a data pod promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// It vouches for nobody of this epoch or an earlier one.
    pub promised_epoch: u64,
    /// It did so last at this time, or earlier.
    pub vouched: u64,
}

/// Why nobody may be promoted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Too few agents have promised.
    Promises {
        /// That have.
        given: usize,
        /// That must.
        needed: usize,
    },
    /// The old primary may serve until then.
    Until(u64),
    /// Without fences only proof of death will do.
    Proof,
}

impl Desk {
    /// True if the operator, which holds the Lease, may say yes. Noted as said now.
    pub fn confirm(&mut self, question: &Question, now: u64) -> bool {
        let yes = question.epoch > self.promised_epoch;
        if yes {
            self.answered = self.answered.max(now);
        }
        yes
    }

    /// A primary is known to have another list of data pods or another limit now: it may count from
    /// there, as if it had been confirmed ([`Watch::change_members`]).
    pub fn note_change(&mut self, now: u64) {
        self.answered = self.answered.max(now);
    }

    /// The highest epoch that is confirmed no more.
    pub fn promised(&self) -> u64 {
        self.promised_epoch
    }

    /// From now on nobody of this epoch or an earlier one is confirmed.
    pub fn promise(&mut self, epoch: u64) {
        self.promised_epoch = self.promised_epoch.max(epoch);
    }

    /// Whether another may be promoted although nothing proves that the primary of `epoch` is dead.
    /// `promises` are those of agents of data pods that are `members` in number. Before `since` it was
    /// promoted, and whoever held the Lease before confirmed it last.
    ///
    /// No majority without one of half the data pods: what the primary was told last by its peers, they
    /// said before the last of so many vouched last.
    ///
    /// # Errors
    /// What is waited for.
    pub fn may_promote(
        &self,
        epoch: u64,
        promises: &[Promise],
        members: usize,
        fence_after: u64,
        since: u64,
        now: u64,
    ) -> Result<(), Wait> {
        if fence_after == 0 {
            return Err(Wait::Proof);
        }
        let given = promises
            .iter()
            .filter(|promise| promise.promised_epoch >= epoch);
        let mut vouched: Vec<u64> = given.map(|promise| promise.vouched).collect();
        vouched.sort_unstable();
        let needed = members.div_ceil(2).max(1);
        let Some(vouched) = vouched.get(needed - 1) else {
            let given = vouched.len();
            return Err(Wait::Promises { given, needed });
        };
        let since = since.max(self.answered).max(*vouched);
        let until = since.saturating_add(fence_after).saturating_add(MARGIN_MS);
        match now >= until {
            true => Ok(()),
            false => Err(Wait::Until(until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(members: &[&str]) -> Watch {
        let mut watch = Watch::new(7, "a", 0);
        watch.set_members(1_000, members.iter().map(|name| (*name).to_owned()));
        watch
    }

    #[test]
    fn an_answer_counts_from_when_it_was_asked_for() {
        let mut watch = watch(&["a", "b", "c"]);
        let question = watch.ask(100).unwrap();
        watch.confirmed_by_operator(question.number, 7);
        assert_eq!(watch.deadline(), Some(1_100));
        watch.confirmed_by_operator(question.number, 7);
        assert!(!watch.must_stop(1_099) && watch.must_stop(1_100));
    }

    #[test]
    fn with_a_long_limit_it_asks_as_often() {
        let mut watch = Watch::new(7, "a", 0);
        watch.set_members(300_000, ["a", "b"].map(str::to_owned));
        assert!(watch.ask(0).is_some());
        assert!(watch.ask(999).is_none() && watch.ask(1_000).is_some());
    }

    #[test]
    fn a_strict_majority_of_peers_is_as_good_as_the_operator() {
        let mut of_three = watch(&["a", "b", "c"]);
        let number = of_three.ask(500).unwrap().number;
        of_three.vouched_by(number, "b");
        assert_eq!(of_three.deadline(), Some(1_500));

        let mut of_four = watch(&["a", "b", "c", "d"]);
        let number = of_four.ask(500).unwrap().number;
        of_four.vouched_by(number, "b");
        of_four.vouched_by(number, "b");
        of_four.vouched_by(number, "a");
        of_four.vouched_by(number, "stranger");
        assert_eq!(of_four.deadline(), Some(1_000));
        of_four.vouched_by(number, "c");
        assert_eq!(of_four.deadline(), Some(1_500));
    }

    #[test]
    fn another_limit_stops_nobody_at_once_and_allows_no_more_than_the_former_did() {
        let pods = || ["a", "b"].map(str::to_owned);
        let mut watch = Watch::new(7, "a", 0);
        watch.set_members(15_000, pods());
        let question = watch.ask(1_000).unwrap();
        watch.confirmed_by_operator(question.number, 7);
        watch.change_members(3_900, 1_000, pods());
        assert_eq!(watch.deadline(), Some(4_900), "from now");
        assert!(watch.ask(3_900).is_some(), "at once");
        watch.change_members(4_000, 60_000, pods());
        assert_eq!(watch.deadline(), Some(63_900));
        watch.change_members(63_500, 1_000, pods());
        assert_eq!(watch.deadline(), Some(63_900), "the former limit");
    }

    /// A pod that was frozen reads what waited for it before its agent has looked at the clock.
    #[test]
    fn no_other_limit_revives_a_primary_that_must_stop() {
        for (fence_after, pods) in [(0, &["a", "b"][..]), (60_000, &["a", "b"]), (1_000, &["a"])] {
            let mut watch = watch(&["a", "b"]);
            watch.change_members(
                20_000,
                fence_after,
                pods.iter().map(|pod| (*pod).to_owned()),
            );
            assert!(watch.must_stop(20_000), "{fence_after} {pods:?}");
        }
    }

    #[test]
    fn a_pod_that_was_alone_counts_as_confirmed_when_it_gets_peers() {
        let mut watch = watch(&["a"]);
        watch.change_members(50_000, 1_000, ["a", "b"].map(str::to_owned));
        assert_eq!(watch.deadline(), Some(51_000));
        assert!(watch.ask(50_000).is_some());
    }

    #[test]
    fn a_lone_pod_is_never_fenced() {
        let mut watch = watch(&["a"]);
        assert_eq!((watch.ask(5_000), watch.deadline()), (None, None));
    }

    #[test]
    fn a_peer_vouches_for_the_primary_it_knows_or_a_later_one() {
        let question = |epoch, uid: &str| Question {
            number: 1,
            pod_uid: uid.to_owned(),
            epoch,
        };
        assert!(vouches(&question(7, "a"), 6, (7, "a")));
        assert!(vouches(&question(8, "b"), 7, (7, "a")));
        assert!(!vouches(&question(7, "b"), 6, (7, "a")), "another's epoch");
        assert!(!vouches(&question(7, "a"), 7, (7, "a")), "promised");
        assert!(!vouches(&question(6, "a"), 0, (7, "b")), "an earlier one");
    }

    #[test]
    fn without_proof_the_operator_waits_for_promises_and_then_longer_than_the_primary_may_serve() {
        let mut desk = Desk::default();
        let question = Question {
            number: 1,
            pod_uid: "a".to_owned(),
            epoch: 7,
        };
        assert!(desk.confirm(&question, 10));
        let promise = |promised_epoch, vouched| Promise {
            promised_epoch,
            vouched,
        };
        let few = desk.may_promote(7, &[promise(7, 0)], 3, 1_000, 0, 20);
        assert_eq!(
            few,
            Err(Wait::Promises {
                given: 1,
                needed: 2
            })
        );
        let both = [promise(7, 5), promise(9, 40)];
        assert_eq!(
            desk.may_promote(7, &both, 3, 1_000, 0, 50),
            Err(Wait::Until(3_040)),
            "one of them vouched until then"
        );
        assert_eq!(desk.may_promote(7, &both, 3, 1_000, 0, 3_040), Ok(()));
        assert_eq!(
            desk.may_promote(7, &both, 3, 1_000, 500, 3_040),
            Err(Wait::Until(3_500)),
            "another leader may have answered until then"
        );
        let quiet = [promise(7, 5), promise(9, 40), promise(7, 0)];
        assert_eq!(
            desk.may_promote(7, &quiet, 3, 1_000, 0, 50),
            Err(Wait::Until(3_010)),
            "no majority without one of the two that were quiet; the operator itself said yes later"
        );
        assert!(desk.confirm(&question, 3_100), "nobody is promoted yet");
        assert_eq!(
            desk.may_promote(7, &both, 3, 1_000, 500, 3_500),
            Err(Wait::Until(6_100)),
            "and it counts from there"
        );
        desk.promise(7);
        assert!(!desk.confirm(&question, 3_600), "somebody may be");
        desk.note_change(4_000);
        assert_eq!(
            desk.may_promote(7, &both, 3, 1_000, 500, 5_000),
            Err(Wait::Until(7_000)),
            "it got another limit and counts from there"
        );
        assert_eq!(
            desk.may_promote(7, &both, 3, 0, 0, 90_000),
            Err(Wait::Proof)
        );
    }
}
