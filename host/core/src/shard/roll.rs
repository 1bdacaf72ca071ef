//! A roll: outdated pods are replaced one at a time, replicas first, the primary once another leads.

use super::cause::why_not_in_sync;
use super::member::Member;
use super::step::{Stall, Wait};
use super::wanted::Shard;

/// What a roll does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move<'a> {
    /// No pod is to be replaced; if there is a temporary one still, what it is needed for.
    Done(Option<Wait>),
    /// The pod is made anew.
    Replace {
        /// The pod.
        pod: &'a Member,
        /// Why, for people.
        reason: String,
    },
    /// Another is to lead, so that this one can be made anew.
    SwitchOver {
        /// The primary.
        from: &'a Member,
        /// Why, for people.
        reason: String,
    },
    /// Not yet.
    Wait(Wait),
}

/// What a step waits for, and since when.
struct Other {
    what: String,
    since_ms: Option<u64>,
}

impl<'a> Shard<'a> {
    /// The next outdated pod, if all others are as they should be.
    pub fn next_move(&self) -> Move<'a> {
        let temporary = self.temporary();
        let takes_part = |ordinal| self.wanted.keeps(ordinal) || temporary == Some(ordinal);
        let outdated: Vec<(&'a Member, String)> = self
            .members
            .iter()
            .filter(|member| takes_part(member.ordinal))
            .filter(|member| !member.would_lose_volume())
            .filter_map(|member| Some((member, member.why_outdated(&self.wanted.revision)?)))
            .collect();
        // Replicas first, from the last; before all others one that is of no use as it is.
        let next = outdated
            .iter()
            .filter(|(member, _)| !self.is_primary(member))
            .max_by_key(|(member, _)| (self.is_away(member), member.ordinal))
            .or_else(|| outdated.first());
        let Some((member, reason)) = next else {
            return Move::Done(temporary.and_then(|_| self.last_copy_missing()));
        };
        if let Some(other) = self.waits_for(member) {
            let words = format!("{reason}; it waits until {}", other.what);
            return Move::Wait(self.wait(words, other.since_ms));
        }
        let reason = reason.clone();
        if !self.is_primary(member) {
            return Move::Replace {
                pod: member,
                reason,
            };
        }
        if let Err(wait) = self.approval(member, &reason) {
            return Move::Wait(wait);
        }
        match self.wanted.is_single() && !self.wanted.surges() {
            true => Move::Replace {
                pod: member,
                reason,
            },
            false => Move::SwitchOver {
                from: member,
                reason,
            },
        }
    }

    /// What must be so before a pod that is in sync is taken: all others are too.
    fn waits_for(&self, besides: &Member) -> Option<Other> {
        let Some(primary) = self.primary else {
            let alone = self.wanted.is_single() && self.members.len() <= 1;
            let what = match alone {
                true if besides.may_serve() => "its server is heard",
                true => return None,
                false => "there is a primary",
            };
            return Some(Other {
                what: what.to_owned(),
                since_ms: self.changing_since_ms,
            });
        };
        // To take one that is of no use as it is costs no copy.
        if besides.is_away(primary) {
            return None;
        }
        let taken = |member: &Member| {
            [besides, primary]
                .iter()
                .any(|m| m.ordinal == member.ordinal)
        };
        let fine = |member: &Member| {
            let is_current = member.why_outdated(&self.wanted.revision).is_none();
            let in_roll = !self.is_spare(member) || is_current;
            taken(member) || (in_roll && !member.is_away(primary))
        };
        let mut company = self
            .members
            .iter()
            .filter(|member| self.wanted.keeps(member.ordinal) || self.is_spare(member));
        if let Some(member) = company.find(|member| !fine(member)) {
            return Some(self.in_sync(member));
        }
        let Some(ordinal) = self.wanted.spare_ordinal() else {
            return self.one_too_many(primary);
        };
        if self.members.iter().any(|member| self.is_spare(member)) {
            return None;
        }
        Some(self.in_sync(&Member {
            ordinal,
            ..Member::default()
        }))
    }

    /// A server alone is restarted in place once nobody else is there: the agent of a pod that is one of
    /// several waits for another to take over.
    fn one_too_many(&self, primary: &Member) -> Option<Other> {
        let wanted = self.wanted;
        let beyond = |member: &&Member| {
            !wanted.keeps(member.ordinal)
                && member.ordinal != primary.ordinal
                && member.pod.is_some()
        };
        let alone = wanted.is_single() && wanted.keeps(primary.ordinal);
        let other = self.members.iter().find(beyond).filter(|_| alone)?;
        Some(Other {
            what: format!("{}, which is one too many, is gone", other.label()),
            since_ms: self.changing_since_ms,
        })
    }

    fn in_sync(&self, member: &Member) -> Other {
        let kind = match self.wanted.keeps(member.ordinal) {
            true => "",
            false => ", a temporary pod,",
        };
        let (name, why) = (member.label(), why_not_in_sync(member));
        Other {
            what: format!("{name}{kind} is in sync: {why}"),
            since_ms: match &member.pod {
                Some(pod) => Some(pod.since_ms),
                None => self.changing_since_ms,
            },
        }
    }

    fn wait(&self, words: String, since_ms: Option<u64>) -> Wait {
        let deadline = self.wanted.progress_deadline_ms;
        let late = |since: &u64| self.now_ms.saturating_sub(*since) > deadline;
        Wait {
            stalled: since_ms.filter(late).map(|since_ms| Stall {
                step: words.clone(),
                since_ms,
            }),
            words,
            to_approve: None,
        }
    }

    /// Nothing is outdated any more, and the temporary pod is still needed.
    fn last_copy_missing(&self) -> Option<Wait> {
        let other = self.in_sync(self.first_away()?);
        let words = format!("there is one pod more than wanted until {}", other.what);
        Some(self.wait(words, other.since_ms))
    }

    /// What a primary that is one too many waits for: none that stays is in sync.
    pub fn heir_missing(&self, primary: &Member) -> Option<Wait> {
        let other = self.in_sync(self.first_away()?);
        let name = primary.label();
        let words = format!(
            "{name} leads and is one too many: it hands over once {}",
            other.what
        );
        Some(self.wait(words, other.since_ms))
    }

    /// The first of those that stay that is not in sync.
    fn first_away(&self) -> Option<&'a Member> {
        self.that_stay().find(|member| self.is_away(member))
    }
}
