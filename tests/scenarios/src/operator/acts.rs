//! Carries out a plan, one thing at a time.

use std::collections::VecDeque;

use hera_core::instance::{
    Candidate, MemberList, POSITIONS_GOOD_FOR_MS, Plan, Step, drop_any, set_size, told,
};
use hera_core::shard::{Record, Target};

use super::handover::HandOver;
use super::seen::{at, pod_of};
use super::{AGAIN, Acting, Operator, PATIENCE, Work};
use crate::net::{Members, Order, set};
use crate::rules::{Fault, Rules};
use crate::world::Api;

/// One thing that is done at once, or whose answer is awaited.
#[derive(Clone, Debug)]
pub enum Act {
    /// Notes of claims, by ordinal, which are temporary, and which of these go with their pods.
    Volumes(u16, u16),
    /// Pods of the StatefulSet.
    Size(u32),
    Delete(usize),
    Endpoint(Option<usize>),
    Replicas(u16),
    Lists(Vec<MemberList>),
    Candidates(Vec<Candidate>),
    /// On the claim of this ordinal.
    Record(usize, Record),
    /// Asks for the token of a promotion.
    Token(usize),
    Promote(usize, u64),
    Order(usize, Order),
    HandOver(HandOver),
}

/// What became of an act.
enum Came {
    Done,
    Failed,
    /// Its answer is awaited.
    Later,
}

impl Act {
    /// True for what makes or ends a primary.
    pub(super) fn changes_a_primary(&self) -> bool {
        matches!(
            self,
            Self::Candidates(_) | Self::Token(_) | Self::Promote(..) | Self::HandOver(_)
        )
    }

    /// Nothing follows if it fails.
    fn is_first_of_all(&self) -> bool {
        match self {
            Self::Lists(_) | Self::Candidates(_) | Self::Token(_) | Self::Promote(..) => true,
            Self::Record(_, Record::Data(lineage)) => lineage.epoch == 0,
            _ => false,
        }
    }

    fn is_disruptive(&self) -> bool {
        matches!(
            self,
            Self::HandOver(_)
                | Self::Delete(_)
                | Self::Order(_, Order::Fence { .. } | Order::Leave)
        )
    }
}

impl Operator {
    pub(super) fn acting(&self, plan: Plan, positions_since: Option<u64>, rules: Rules) -> Acting {
        let lists = plan.lists().unwrap_or(&self.seen.lists);
        let members = told(&self.wanted, lists, &self.seen);
        let pods = members.pods.iter().filter_map(|pod| pod_of(&pod.pod_uid));
        let members = Members {
            pods: pods.fold(0, |all, pod| all | 1 << pod),
            fence_after: members.fence_after_ms,
            revision: members.revision,
        };
        let mut acts = self.sizing(rules);
        for planned in plan.steps {
            acts_of(planned.step, members, &mut acts);
        }
        Acting {
            acts,
            positions_since,
            ..Acting::default()
        }
    }

    /// What is done to the StatefulSet and to claims before anything else.
    pub(super) fn sizing(&self, rules: Rules) -> VecDeque<Act> {
        let mut acts = VecDeque::new();
        let all = self.api.temporary;
        // One that is wanted now stays.
        let temporary = set(all).filter(|ordinal| !self.wanted.pods.keeps(*ordinal as u32));
        let temporary = temporary.fold(0, |all, ordinal| all | 1 << ordinal);
        let goes = |ordinal: &usize| {
            rules.has(Fault::ClaimGoesEarly)
                || self.seen.shard(&self.wanted).claim_goes(*ordinal as u32)
        };
        let tied = set(temporary).filter(goes);
        let tied = tied.fold(0, |all, ordinal| all | 1 << ordinal);
        if (temporary, tied) != (all, self.api.tied) {
            acts.push_back(Act::Volumes(temporary, tied));
        }
        let size = set_size(&self.wanted, &self.seen);
        if size != self.api.size {
            acts.push_back(Act::Size(size));
        }
        acts
    }

    /// Goes on with what it is in the middle of.
    pub(super) fn act(&mut self, api: &mut Api, now: u64, rules: Rules) {
        let Work::Acting(mut acting) = std::mem::replace(&mut self.work, Work::None) else {
            return;
        };
        while let Some(act) = acting.acts.front() {
            if acting.failed && act.is_disruptive() {
                break;
            }
            let act = act.clone();
            match self.one(&mut acting, &act, api, now, rules) {
                Came::Later => {
                    self.work = Work::Acting(acting);
                    return;
                }
                Came::Done => {}
                Came::Failed => {
                    acting.failed = true;
                    if act.is_first_of_all() {
                        break;
                    }
                }
            }
            acting.acts.pop_front();
            acting.awaited = None;
            if !acting.acts.is_empty() {
                // The next at another moment: it may be stopped in between.
                self.work = Work::Acting(acting);
                self.next_tick = 0;
                return;
            }
        }
        // All is looked at anew; roles may have changed.
        self.news = true;
        if acting.failed {
            self.news = false;
            self.next_pass = now + AGAIN;
        }
    }

    fn one(
        &mut self,
        acting: &mut Acting,
        act: &Act,
        api: &mut Api,
        now: u64,
        rules: Rules,
    ) -> Came {
        match act {
            Act::Volumes(temporary, tied) => (api.temporary, api.tied) = (*temporary, *tied),
            Act::Size(pods) => api.size = *pods,
            Act::Delete(pod) => api.deleted |= api.listed & (1 << pod),
            Act::Endpoint(pod) => api.endpoint = *pod,
            Act::Replicas(pods) => api.replicas = *pods,
            Act::Lists(lists) => self.write_lists(api, lists, now, rules),
            Act::Candidates(candidates) => api.candidates.clone_from(candidates),
            Act::Record(ordinal, record) => api.records[*ordinal] = record.clone(),
            Act::Token(pod) => return self.ordered(acting, *pod, Order::Position, now),
            Act::Promote(pod, epoch) => {
                let known = self.positions[*pod];
                let token = known.map_or(0, |known| known.position.token);
                let epoch = *epoch;
                let is_sent = acting.awaited.is_some();
                let good_until = |since| since + POSITIONS_GOOD_FOR_MS;
                if !is_sent
                    && acting
                        .positions_since
                        .is_some_and(|at| now > good_until(at))
                {
                    return Came::Failed;
                }
                return self.ordered(acting, *pod, Order::Promote { epoch, token }, now);
            }
            Act::Order(pod, order) => return self.ordered(acting, *pod, *order, now),
            Act::HandOver(over) => {
                let mut over = acting.handover.take().unwrap_or_else(|| over.clone());
                let came = self.hand_over(&mut over, api, now);
                return match came {
                    None => {
                        acting.handover = Some(over);
                        Came::Later
                    }
                    Some(true) => Came::Done,
                    Some(false) => Came::Failed,
                };
            }
        }
        Came::Done
    }

    fn ordered(&mut self, acting: &mut Acting, pod: usize, order: Order, now: u64) -> Came {
        let Some((id, since)) = acting.awaited else {
            acting.awaited = Some((self.order(pod, order, now), now));
            return Came::Later;
        };
        match self.answer(id) {
            Some(true) => Came::Done,
            Some(false) => Came::Failed,
            None if now >= since + PATIENCE => Came::Failed,
            None => Came::Later,
        }
    }

    fn write_lists(&mut self, api: &mut Api, lists: &[MemberList], now: u64, rules: Rules) {
        if drop_any(&api.lists, lists) && !rules.has(Fault::ChangeUnnoted) {
            self.leader.note_change(now);
        }
        api.lists = lists.to_vec();
    }
}

/// What a step comes to.
fn acts_of(step: Step, members: Members, acts: &mut VecDeque<Act>) {
    let pod = |target: &Target| pod_of(&target.uid).unwrap_or_default();
    let ordered = |target: &Target, order| Act::Order(pod(target), order);
    let act = match &step {
        Step::SetEndpoint { ip } => Act::Endpoint(ip.as_deref().and_then(at)),
        Step::SetReplicas { ips } => {
            let pods = ips.iter().filter_map(|ip| at(ip));
            Act::Replicas(pods.fold(0, |all, pod| all | 1 << pod))
        }
        Step::WriteLists { lists } => Act::Lists(lists.clone()),
        Step::WriteCandidates { candidates } => Act::Candidates(candidates.clone()),
        Step::WriteRecord { claim, record } => match claim.parse() {
            Ok(ordinal) => Act::Record(ordinal, record.clone()),
            Err(_) => return,
        },
        Step::MarkLeft { pod, left } => ordered(pod, Order::MarkLeft(*left)),
        Step::PushMembers(target) => ordered(target, Order::Members(members)),
        Step::Promote {
            pod: target,
            epoch,
            candidates,
        } => {
            acts.push_back(Act::Candidates(candidates.clone()));
            acts.push_back(Act::Token(pod(target)));
            Act::Promote(pod(target), *epoch)
        }
        Step::Follow {
            pod,
            epoch,
            primary_uid,
            ..
        } => {
            let whom = pod_of(primary_uid).unwrap_or_default();
            ordered(
                pod,
                Order::Follow {
                    epoch: *epoch,
                    whom,
                },
            )
        }
        Step::Fence { pod, epoch, .. } => ordered(pod, Order::Fence { epoch: *epoch }),
        Step::Start(target) => ordered(target, Order::Start),
        Step::Promise { pod, epoch } => ordered(pod, Order::Promise { epoch: *epoch }),
        Step::HandOver {
            from,
            to,
            epoch,
            candidates,
            ..
        } => {
            let (from, to) = (pod(from), pod(to));
            Act::HandOver(HandOver::new(from, to, *epoch, candidates.clone(), members))
        }
        Step::Leave(target) => ordered(target, Order::Leave),
        Step::DeletePod(target) => Act::Delete(pod(target)),
        // Configuration and users are as they should be in the model, and no node of it is out of
        // service.
        Step::PushConfig(_) | Step::PushAcl(_) | Step::DeleteDeadPod(_) => return,
    };
    acts.push_back(act);
}
