//! What a leading operator remembers of one instance. A new leader remembers nothing, and waits anew.
//!
//! Times are milliseconds of a clock that goes on while the machine sleeps.

use std::collections::BTreeMap;

use super::candidates::{candidates, last_candidate, unproven};
use super::elect::SOON;
use super::{Candidate, MemberList, Observation, Permit, Remembered};
use crate::agent::Question;
use crate::fence::{Desk, Promise, Wait};

/// What a leading operator remembers of one instance.
#[derive(Clone, Debug, Default)]
pub struct Leader {
    term: u64,
    leads_since: u64,
    desk: Desk,
    leaderless_since: Option<u64>,
    woke_at: Option<u64>,
    proven: u64,
    highest: u64,
    /// By uid of the pod.
    promises: BTreeMap<String, Promise>,
    /// When each candidate was first seen. Whoever has it was promoted with a token that was given before,
    /// for no epoch is given twice.
    candidates_since: BTreeMap<Candidate, u64>,
}

impl Leader {
    /// One that leads since `now`.
    pub fn new(term: u64, now: u64) -> Self {
        Self {
            term,
            leads_since: now,
            ..Self::default()
        }
    }

    /// Its term.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The process was stopped, and goes on: it waits for copies as a new leader does.
    pub fn wakes(&mut self, now: u64) {
        self.woke_at = Some(now);
        self.leaderless_since = self.leaderless_since.map(|_| now);
    }

    /// True if it confirms the primary that asks.
    pub fn confirm(&mut self, question: &Question, now: u64) -> bool {
        self.desk.confirm(question, now)
    }

    /// The primary is known to go by the last list alone: it may count its fence from when it took it.
    pub fn note_change(&mut self, now: u64) {
        self.desk.note_change(now);
    }

    /// Notes what was seen, and tells what is remembered. Where nothing proved that the last primary
    /// is dead and another may be promoted all the same, it is confirmed no more from now on.
    pub fn remember(&mut self, seen: &Observation, fence_after_ms: u64, now: u64) -> Remembered {
        self.note(seen, now);
        if let Some(primary) = seen.primary() {
            self.leaderless_since = None;
            // A lone server that was dead leads in the same epoch again.
            let before = primary.epoch().saturating_sub(1);
            self.proven = self.proven.min(before);
            // Whoever led before is confirmed no more, also one that only a person called dead.
            self.desk.promise(before);
            return self.remembered(now, None);
        }
        self.leaderless_since.get_or_insert(now);
        let mut candidates = unproven(seen);
        candidates.retain(|candidate| candidate.epoch > self.proven);
        let permits: Vec<Permit> = candidates
            .iter()
            .map(|candidate| self.permit(seen, candidate, fence_after_ms, now))
            .collect();
        if permits.is_empty() {
            let candidate = last_candidate(seen).map_or(0, |candidate| candidate.epoch);
            self.proven = self.proven.max(candidate);
        }
        let permit = permits.into_iter().max();
        if permit == Some(Permit::Granted) {
            // Until then a primary that is heard again is confirmed again, and waited for anew.
            let last = candidates.iter().map(|candidate| candidate.epoch).max();
            self.desk.promise(last.unwrap_or(0));
        }
        self.remembered(now, permit)
    }

    /// What it hears comes later than it was said: no time is taken for earlier than it was.
    fn note(&mut self, seen: &Observation, now: u64) {
        let is_there = |uid: &String| seen.members.iter().any(|member| member.uid() == uid);
        self.promises.retain(|uid, _| is_there(uid));
        for member in &seen.members {
            let Some(status) = member.agent.status() else {
                continue;
            };
            let (promised, quiet) = (status.memory.promised_epoch, status.memory.quiet_ms);
            let known = self.promises.get(member.uid());
            if known.is_none_or(|known| known.promised_epoch != promised) {
                let vouched = now.saturating_sub(quiet);
                let promise = Promise {
                    promised_epoch: promised,
                    vouched,
                };
                self.promises.insert(member.uid().to_owned(), promise);
            }
        }
        let candidates = candidates(seen);
        let last = candidates.first().map_or(0, |candidate| candidate.epoch);
        // After the last number that there is none comes: it is not kept longer than somebody tells it.
        if last < u64::MAX {
            self.highest = self.highest.max(last);
        }
        self.candidates_since
            .retain(|candidate, _| candidates.contains(candidate));
        for candidate in candidates {
            self.candidates_since.entry(candidate).or_insert(now);
        }
    }

    fn remembered(&self, now: u64, permit: Option<Permit>) -> Remembered {
        Remembered {
            leaderless_ms: self
                .leaderless_since
                .map_or(0, |since| now.saturating_sub(since)),
            just_woke: self.woke_at.is_some_and(|at| now < at + SOON),
            proven: self.proven,
            permit,
            promised_epoch: self.desk.promised(),
            highest: self.highest,
            term: self.term,
        }
    }

    /// Every list of data pods that the old primary may go by must have promised, and every limit
    /// that it may go by must have passed. What it promises itself proves nothing.
    fn permit(
        &self,
        seen: &Observation,
        candidate: &Candidate,
        fence_after_ms: u64,
        now: u64,
    ) -> Permit {
        let mut promised = BTreeMap::new();
        for member in &seen.members {
            let Some(status) = member.agent.status() else {
                continue;
            };
            // A pod whose volume another has vouches for nobody any more, and its promises stay.
            let former = status.memory.former.iter().map(String::as_str);
            let uids = former.chain([member.uid()]);
            let Some(promise) = self.promises.get(member.uid()) else {
                continue;
            };
            promised.extend(uids.map(|uid| (uid, *promise)));
        }
        let mut worst = Permit::Granted;
        for list in possible_lists(seen, candidate, fence_after_ms) {
            let peers = list.uids.iter().filter(|uid| **uid != candidate.uid);
            let promises: Vec<Promise> = peers
                .filter_map(|uid| promised.get(uid.as_str()).copied())
                .collect();
            // Alone it is never fenced.
            let fence_after = match list.uids.len() {
                0 | 1 => 0,
                _ => list.fence_after_ms,
            };
            let candidates_since = self.candidates_since.get(candidate).copied().unwrap_or(now);
            let (epoch, since) = (candidate.epoch, candidates_since.max(self.leads_since));
            let asked =
                self.desk
                    .may_promote(epoch, &promises, list.uids.len(), fence_after, since, now);
            worst = worst.max(match asked {
                Ok(()) => Permit::Granted,
                Err(Wait::Until(at)) => Permit::Wait(at.saturating_sub(now)),
                Err(Wait::Promises { .. }) => Permit::Promises,
                Err(Wait::Proof) => Permit::Never,
            });
        }
        worst
    }
}

/// The lists that the primary may have: what was written down before anybody was told, and what the
/// agents that are heard have. A list without it, it does not take.
fn possible_lists(
    seen: &Observation,
    candidate: &Candidate,
    fence_after_ms: u64,
) -> Vec<MemberList> {
    let told = seen.members.iter().filter_map(|member| {
        let members = &member.agent.status()?.members;
        (!members.pods.is_empty()).then(|| MemberList::of(members))
    });
    let mut lists: Vec<MemberList> = told.chain(seen.lists.iter().cloned()).collect();
    if seen.lists.is_empty() {
        lists.push(MemberList {
            revision: 0,
            uids: seen.members.iter().map(|m| m.uid().to_owned()).collect(),
            fence_after_ms,
        });
    }
    let with_it = |list: &MemberList| list.uids.contains(&candidate.uid);
    if lists.iter().any(with_it) {
        lists.retain(with_it);
    }
    lists.sort();
    lists.dedup();
    lists
}
