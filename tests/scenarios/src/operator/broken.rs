//! Rules of the decision that are broken on purpose: the real one is led to a wrong plan by what it
//! sees, or its plan is changed.

use std::borrow::Cow;

use hera_core::agent::{AgentStatus, Members, Peer, Role, Volume};
use hera_core::instance::{MemberList, Observation, Plan, Step, last_candidate};
use hera_core::shard::{AgentView, Member, Record, Target};

use super::Operator;
use super::seen::{address, pod_of};
use crate::rules::{Fault, Rules};

impl Operator {
    /// What the real memory is told of instead of what is seen.
    pub(super) fn broken_memory(&self, rules: Rules) -> Option<Observation> {
        let claimed = self.unproven();
        let mut seen = self.seen.clone();
        if rules.has(Fault::PeersNotAsked) || rules.has(Fault::OneTooFew) {
            let most = if rules.has(Fault::OneTooFew) { 1 } else { 16 };
            let others = self.pods.iter().zip(&mut seen.members);
            let others = others.filter(|(pod, _)| claimed & (1 << **pod) == 0);
            let claim = last_candidate(&self.seen).map_or(0, |claim| claim.epoch);
            let has_not = |member: &Member| {
                member
                    .agent
                    .status()
                    .is_none_or(|s| s.memory.promised_epoch < claim)
            };
            for (pod, member) in others.filter(|(_, member)| has_not(member)).take(most) {
                forge_promise(member, self.last_status(*pod));
            }
            return Some(seen);
        }
        if rules.has(Fault::ListOfToday) || rules.has(Fault::NothingWrittenDown) {
            for member in &mut seen.members {
                if let AgentView::Connected(status) = &mut member.agent {
                    status.members = Members::default();
                }
            }
            seen.lists = vec![MemberList {
                revision: 0,
                uids: seen.members.iter().map(|m| m.uid().to_owned()).collect(),
                fence_after_ms: self.wanted.fence_after_ms,
            }];
            if rules.has(Fault::NothingWrittenDown) {
                seen.candidates.clear();
            }
            return Some(seen);
        }
        if rules.has(Fault::LimitOfToday) {
            for list in &mut seen.lists {
                list.fence_after_ms = self.wanted.fence_after_ms;
            }
            for member in &mut seen.members {
                if let AgentView::Connected(status) = &mut member.agent {
                    status.members.fence_after_ms = self.wanted.fence_after_ms;
                }
            }
            return Some(seen);
        }
        None
    }

    /// What the real decision is told of.
    pub(super) fn to_decide(&self, rules: Rules) -> Cow<'_, Observation> {
        if rules.has(Fault::NothingWrittenDown) {
            let mut seen = self.seen.clone();
            seen.candidates.clear();
            return Cow::Owned(seen);
        }
        if rules.has(Fault::FullLeads) {
            let mut seen = self.seen.clone();
            for member in &mut seen.members {
                if let AgentView::Connected(status) = &mut member.agent {
                    status.volume = Volume::default();
                }
            }
            return Cow::Owned(seen);
        }
        if rules.has(Fault::UnknownList) && self.seen.primary().is_none() {
            let mut seen = self.seen.clone();
            let last = seen.lists.last().cloned().unwrap_or_default();
            for member in &mut seen.members {
                if let AgentView::Connected(status) = &mut member.agent {
                    status.members = as_told(&last);
                }
            }
            return Cow::Owned(seen);
        }
        if rules.has(Fault::LeftForgotten) || rules.has(Fault::SparesForgotten) {
            let mut seen = self.seen.clone();
            for member in &mut seen.members {
                self.break_record(member, rules);
            }
            return Cow::Owned(seen);
        }
        Cow::Borrowed(&self.seen)
    }

    /// What stands on a claim, and on its volume, said wrongly.
    fn break_record(&self, member: &mut Member, rules: Rules) {
        if rules.has(Fault::LeftForgotten)
            && let AgentView::Connected(status) = &mut member.agent
        {
            status.memory.left = Some(false);
        }
        let is_spare = member.pod.is_none() && !self.wanted.pods.keeps(member.ordinal);
        let Some(claim) = &mut member.claim else {
            return;
        };
        match &mut claim.record {
            Record::Data(lineage) if rules.has(Fault::LeftForgotten) => lineage.left = false,
            record if rules.has(Fault::SparesForgotten) && is_spare => *record = Record::Unknown,
            _ => {}
        }
    }

    /// What is carried out instead of the plan.
    pub(super) fn broken_plan(&self, mut plan: Plan, rules: Rules) -> Plan {
        if rules.has(Fault::FencedForgotten) {
            plan.steps
                .retain(|planned| !matches!(planned.step, Step::Start(_)));
        }
        if rules.has(Fault::AnyCopy) && self.seen.primary().is_none() {
            let able = self.seen.members.iter().filter(|m| m.position.is_some());
            let worst = able.min_by_key(|member| {
                let offset = member
                    .position
                    .as_ref()
                    .map_or(0, |position| position.offset);
                (member.epoch(), offset)
            });
            let promotes = |step: &Step| matches!(step, Step::Promote { .. });
            if let Some(worst) = worst
                && let Some(at) = plan.steps.iter().position(|p| promotes(&p.step))
            {
                plan.steps.truncate(at + 1);
                if let Step::Promote { pod, .. } = &mut plan.steps[at].step {
                    *pod = Target {
                        name: worst.name().to_owned(),
                        uid: worst.uid().to_owned(),
                    };
                }
            }
        }
        plan
    }
}

/// What an agent that was told this list has.
fn as_told(list: &MemberList) -> Members {
    let peer = |uid: &String| Peer {
        pod_uid: uid.clone(),
        server_name: uid.clone(),
        ip: pod_of(uid).map(address),
    };
    Members {
        pods: list.uids.iter().map(peer).collect(),
        fence_after_ms: list.fence_after_ms,
        revision: list.revision,
    }
}

/// A promise that nobody gave, also of one that is not heard any more.
fn forge_promise(member: &mut Member, last: Option<AgentStatus>) {
    if !matches!(member.agent, AgentView::Connected(_))
        && let Some(mut status) = last
    {
        status.role = Role::Unknown;
        member.agent = AgentView::Connected(Box::new(status));
    }
    if let AgentView::Connected(status) = &mut member.agent {
        status.memory.promised_epoch = u64::MAX;
    }
}
