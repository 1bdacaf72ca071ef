//! An instance as it was found, before anybody looks at its spec.

use hera_api::RedisInstance;
use hera_api::conditions::{progressing, ready};
use hera_api::validate::fence_after_ms;
use hera_core::agent::Position;
use hera_core::instance::{Observation, POSITIONS_GOOD_FOR_MS, Wanted, candidates, needed};
use hera_core::shard::{Asked, Member, PodsWanted, Record, RevisionView, primary};
use hera_render::{Owner, claim_record, is_temporary};
use k8s_openapi::jiff::Timestamp;

use super::intents;
use super::observe::{self, Live};
use crate::controllers::pods::members::{Pods, uids};
use crate::controllers::pods::observe::millis;
use crate::controllers::pods::refusals::Refusals;
use crate::controllers::pods::requests::Requests;
use crate::controllers::pods::term_floor;
use crate::leaders::boot_millis;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// An instance as it was found.
pub struct Site<'a> {
    pub object: &'a RedisInstance,
    pub shared: &'a Shared,
    pub owner: Owner<'a>,
    pub live: &'a Live,
    pub members: Vec<Member>,
    pub term: u64,
    /// It is to begin with a backup, and has not.
    pub recovery_due: bool,
    /// The primary was to hand over in this pass, and could not.
    pub handover_failed: bool,
    /// What it wrote down itself.
    pub notes: intents::Notes,
    /// What the API server refused in it.
    pub refusals: Refusals,
}

/// The data pods: as many as the spec wants, and those that are there beyond, if only with the claim
/// of a temporary pod; and where nobody leads, those whose claims have later data than all of them. While data of
/// a backup is to come, none comes for what stands on claims.
pub fn members(pods: &Pods<'_>, wanted: u32, recovery_due: bool) -> Vec<Member> {
    let uids = uids([pods.live]);
    let known: Vec<&str> = uids.iter().map(String::as_str).collect();
    if recovery_due {
        return pods.members(wanted, &[], &known);
    }
    let claims = || pods.live.claims.iter();
    let temporary = claims().filter(|(_, claim)| is_temporary(claim));
    let temporary: Vec<u32> = temporary.map(|(ordinal, _)| *ordinal).collect();
    let members = pods.members(wanted, &temporary, &known);
    if primary(&members).is_some() {
        return members;
    }
    let records: Vec<(u32, Record)> = claims()
        .map(|(ordinal, claim)| (*ordinal, claim_record(claim)))
        .collect();
    let spare: Vec<(u32, &Record)> = records.iter().map(|(at, record)| (*at, record)).collect();
    let needed = needed(wanted, &spare);
    if needed.is_empty() {
        return members;
    }
    let beyond: Vec<u32> = temporary.into_iter().chain(needed).collect();
    pods.members(wanted, &beyond, &known)
}

impl Site<'_> {
    /// Names the instance.
    pub fn instance(&self) -> ObjectKey {
        ObjectKey::instance(self.owner.namespace, self.owner.name.as_str())
    }

    /// True while this operator has only just begun to listen to the pods, as after its start: replicas
    /// that it has not heard yet would be taken from clients. And while the last primary may be one of
    /// those that it began to listen to a moment ago and has not heard yet.
    pub fn is_too_early(&self) -> bool {
        if self.shared.agents.is_new_to(&self.instance()) {
            return true;
        }
        if self.primary().is_some() {
            return false;
        }
        let was_ready = self
            .object
            .status
            .iter()
            .any(|s| s.ready_replicas > Some(0));
        let seen = Observation {
            members: self.members.clone(),
            candidates: intents::candidates(self),
            ..Observation::default()
        };
        let candidates = candidates(&seen);
        self.members.iter().any(|member| {
            let may_be = candidates.is_empty()
                || candidates
                    .iter()
                    .any(|candidate| candidate.uid == member.uid());
            (was_ready || self.members.len() > 1)
                && may_be
                && self.shared.agents.is_too_early(member.uid())
        })
    }

    /// Sees to it that this leader speaks to the agents under a term that they take.
    pub async fn settle_terms(&self) {
        let agents = self.members.iter().filter_map(|m| m.agent.status());
        let written = intents::term_floor(self);
        if self.live.set.stateful_set.is_none() {
            return;
        }
        let write = async |floor| intents::write_term_floor(self, floor).await;
        term_floor::settle(
            self.shared,
            &self.instance(),
            self.term,
            agents,
            written,
            write,
        )
        .await;
    }

    /// What people are told of an agent that refused this leader's term in this pass.
    pub fn term_refused(&self) -> Option<String> {
        term_floor::refused(self.shared, &self.instance(), self.term)
    }

    /// The member that serves as the primary.
    pub fn primary(&self) -> Option<&Member> {
        primary(&self.members)
    }

    /// A member whose server can be asked: the primary, or any that runs.
    pub fn running(&self) -> Option<&Member> {
        let mut members = self.members.iter();
        self.primary()
            .or_else(|| members.find(|member| member.is_running()))
    }

    /// What is seen, with the revisions that are to be in force; 0 where none is known.
    pub async fn seen(&self, config: u64, acl: u64) -> Observation {
        let mut seen = Observation {
            members: self.members.clone(),
            endpoint: observe::endpoint(self.live),
            replica_endpoints: observe::replica_endpoints(self.live),
            candidates: intents::candidates(self),
            lists: intents::lists(self),
            config: RevisionView { revision: config },
            acl: RevisionView { revision: acl },
            now_ms: millis(Timestamp::now()),
            recovery_due: self.recovery_due,
            ..self.told()
        };
        for claim in seen.members.iter_mut().filter_map(|m| m.claim.as_mut()) {
            if let Some(record) = intents::record(self, &claim.name) {
                claim.record = record;
            }
        }
        let spare = self.live.set.claims.iter().filter(|(ordinal, _)| {
            let mut members = self.members.iter();
            !members.any(|member| member.ordinal == **ordinal)
        });
        let epochs = spare.map(|(_, claim)| claim_record(claim).rank().0);
        seen.spare_epoch = epochs.max().unwrap_or(0);
        seen.served = self.has_served(&seen);
        let fence_after = fence_after_ms(&self.object.spec);
        let leaders = &self.shared.leaders;
        seen.remembered = leaders.remember(&self.instance(), self.term, &seen, fence_after);
        seen.remembered.term = leaders.terms.term(&self.instance(), self.term);
        if seen.primary().is_none() && seen.members.len() > 1 {
            let since = boot_millis();
            seen.positions_since_ms = since;
            let asked = seen.members.iter().map(|member| self.position(member));
            let mut positions = futures::future::join_all(asked).await;
            if boot_millis().saturating_sub(since) > POSITIONS_GOOD_FOR_MS {
                // This process was stopped; the next pass asks again.
                positions.fill(None);
            }
            for (member, position) in seen.members.iter_mut().zip(positions) {
                member.position = position;
            }
        }
        seen
    }

    /// What the status tells.
    fn told(&self) -> Observation {
        let Some(status) = &self.object.status else {
            return Observation::default();
        };
        let since = |name: &str, state: &str| {
            let mut conditions = status.conditions.iter();
            let found = conditions.find(|c| c.type_ == name && c.status == state)?;
            Some(millis(found.last_transition_time.0))
        };
        Observation {
            asked: status.approval.as_ref().map(|approval| Asked {
                digest: approval.digest.clone(),
                since_ms: millis(approval.since.0),
            }),
            changing_since_ms: since(progressing::TYPE, "True"),
            lost_since_ms: since(ready::TYPE, "False"),
            ..Observation::default()
        }
    }

    /// Whether a primary was promoted before: that is written down before it happens, but for a pod that
    /// was alone, which promotes itself.
    fn has_served(&self, seen: &Observation) -> bool {
        let recorded = seen.members.iter().filter_map(|m| m.claim.as_ref());
        let recorded = recorded.map(|claim| claim.record.rank().0).max();
        let was_lone =
            self.object.status.iter().any(|status| {
                status.version.is_some() && status.replicas.is_none_or(|pods| pods <= 1)
            });
        !seen.candidates.is_empty() || recorded > Some(0) || was_lone
    }

    /// Where a copy stands; none if its server does not run or answer.
    async fn position(&self, member: &Member) -> Option<Position> {
        if !member.is_running() {
            return None;
        }
        let client = self.shared.agents.client(member.uid())?;
        client.position().await.ok()
    }

    /// What is asked for by annotation, whatever becomes of the spec; no change of it reaches a pod.
    pub fn requests(&self) -> Wanted {
        let asked = Requests::of(self.object, self.members.iter());
        Wanted {
            pods: PodsWanted {
                paused: true,
                approved: asked.approved,
                hibernate: asked.hibernate,
                ..PodsWanted::default()
            },
            storage: None,
            fence_after_ms: fence_after_ms(&self.object.spec),
            promote: asked.promote,
            fenced: asked.fenced,
        }
    }
}
