//! The watch over one primary, as this agent uses it. Pure.

use hera_core::agent::{Members, Question};
use hera_core::fence::Watch;

/// The watch over one primary.
pub struct Armed {
    watch: Watch,
    epoch: u64,
    /// Added to the numbers of the watch, so that an answer to an earlier watch is none to this.
    base: u64,
}

impl Armed {
    /// A primary that was confirmed at `since`.
    pub fn new(epoch: u64, uid: &str, since: u64, members: &Members, now: u64) -> Self {
        let mut watch = Watch::new(epoch, uid, since);
        let uids = members.pods.iter().map(|pod| pod.pod_uid.clone());
        watch.set_members(members.fence_after_ms, uids);
        Self {
            watch,
            epoch,
            base: now,
        }
    }

    /// Its epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The data pods are these from now on: see [`Watch::change_members`].
    pub fn change(&mut self, members: &Members, now: u64) {
        let uids = members.pods.iter().map(|pod| pod.pod_uid.clone());
        self.watch.change_members(now, members.fence_after_ms, uids);
    }

    /// A question, if one is due.
    pub fn ask(&mut self, now: u64) -> Option<Question> {
        let question = self.watch.ask(now)?;
        Some(Question {
            number: question.number.saturating_add(self.base),
            ..question
        })
    }

    /// The operator said yes.
    pub fn confirmed_by_operator(&mut self, number: u64, epoch: u64) {
        let number = number.saturating_sub(self.base);
        self.watch.confirmed_by_operator(number, epoch);
    }

    /// A peer said yes.
    pub fn vouched_by(&mut self, number: u64, peer: &str) {
        let number = number.saturating_sub(self.base);
        self.watch.vouched_by(number, peer);
    }

    /// When it must stop unless it is confirmed before; none if it is never fenced.
    pub fn deadline(&self) -> Option<u64> {
        self.watch.deadline()
    }

    /// True once it must stop.
    pub fn must_stop(&self, now: u64) -> bool {
        self.watch.must_stop(now)
    }
}

#[cfg(test)]
mod tests {
    use hera_core::agent::Peer;

    use super::*;

    fn members(fence_after_ms: u64, uids: &[&str]) -> Members {
        let peer = |uid: &&str| Peer {
            pod_uid: (*uid).to_owned(),
            ..Peer::default()
        };
        Members {
            pods: uids.iter().map(peer).collect(),
            fence_after_ms,
            revision: 1,
        }
    }

    #[test]
    fn an_answer_to_an_earlier_watch_is_none_to_this() {
        let two = members(1_000, &["a", "b"]);
        let mut earlier = Armed::new(1, "a", 0, &two, 5);
        let question = earlier.ask(100).unwrap();
        let mut armed = Armed::new(1, "a", 100, &two, 200);
        let own = armed.ask(300).unwrap();
        armed.confirmed_by_operator(question.number, 1);
        armed.vouched_by(question.number, "b");
        assert_eq!(armed.deadline(), Some(1_100));
        armed.vouched_by(own.number, "b");
        assert_eq!(armed.deadline(), Some(1_300));
    }

    #[test]
    fn another_limit_is_asked_for_at_once() {
        let (long, short) = (members(60_000, &["a", "b"]), members(5_000, &["a", "b"]));
        let mut armed = Armed::new(1, "a", 0, &long, 0);
        assert!(armed.ask(0).is_some() && armed.ask(10).is_none());
        armed.change(&short, 10);
        assert!(armed.ask(10).is_some());
        assert_eq!(armed.deadline(), Some(5_010));
    }
}
