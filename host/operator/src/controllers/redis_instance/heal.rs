//! What goes on whatever becomes of the spec, of policies and of other objects: clients are led to
//! the primary, another is promoted in place of a dead one, users that are known are confirmed.

use std::time::{Duration, Instant};

use hera_core::acl::AclSet;
use hera_core::instance::{Observation, Plan, Step, Verdict, Wanted, decide, guard, verdict};
use hera_core::shard::Member;
use hera_kube::ApplyError;
use kube::Resource as _;
use tracing::error;

use super::act;
use super::site::Site;
use crate::backoff::Backoff;
use crate::controllers::outcome::PassError;
use crate::metrics::{Moves, Place};

/// Why healing was not done in full.
pub enum HealError {
    /// The rest of the pass can be carried out all the same: who leads is as it was. What one agent
    /// refuses, for its volume is full, keeps no revoked right alive on the others; nor does an object
    /// that the API server refuses, or that is somebody else's.
    GoesOn(PassError),
    /// Everything is to be looked at anew.
    Ends(PassError),
}

impl HealError {
    /// Where nobody leads, the next pass comes soon, and knows what agents have told meanwhile.
    fn of(error: PassError, somebody_leads: bool) -> Self {
        match error {
            PassError::HandOver(_) => Self::GoesOn(error),
            // Told in the condition, which only the rest of the pass writes.
            PassError::Apply(ApplyError::Refused(_) | ApplyError::Taken(_)) => Self::GoesOn(error),
            // The rest of the pass makes its Secret.
            PassError::NoPassword => Self::GoesOn(error),
            PassError::Agent(_) if somebody_leads => Self::GoesOn(error),
            _ => Self::Ends(error),
        }
    }
}

impl From<HealError> for PassError {
    fn from(error: HealError) -> Self {
        match error {
            HealError::GoesOn(error) | HealError::Ends(error) => error,
        }
    }
}

impl Site<'_> {
    /// Leads clients, and confirms `users` if there are any. Answers what is seen after it; none if
    /// roles changed, and everything is to be looked at anew.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn heal(&self, users: Option<&AclSet>) -> Result<Option<Observation>, HealError> {
        let mut seen = self.seen(0, users.map_or(0, |set| set.revision)).await;
        let requests = self.requests();
        self.note_primary(seen.primary().map(Member::name), requests.pods.hibernate);
        let plan = self.plan(&requests, &seen);
        if seen.primary().is_none() {
            self.tell(&seen, &requests, &plan);
        }
        let about = self.object.object_ref(&());
        let material = act::Material {
            site: self,
            positions_since_ms: seen.positions_since_ms,
            about: &about,
            config: None,
            acl: users,
            members: None,
        };
        if let Err(error) = act::carry_out(&plan, &material).await {
            // Who leads no more goes on with nothing.
            let leads = self.shared.leadership.term() == Some(self.term);
            return Err(HealError::of(error, leads && seen.primary().is_some()));
        }
        let mut same_roles = true;
        for planned in plan.steps {
            same_roles &= !changes_roles(&planned.step, &seen);
            match planned.step {
                Step::SetEndpoint { ip } => seen.endpoint = ip,
                Step::SetReplicas { ips } => seen.replica_endpoints = ips,
                Step::WriteLists { lists } => seen.lists = lists,
                Step::WriteCandidates { candidates } => seen.candidates = candidates,
                Step::WriteRecord { claim, record } => {
                    let claims = seen.members.iter_mut().filter_map(|m| m.claim.as_mut());
                    claims
                        .filter(|live| live.name == claim)
                        .for_each(|live| live.record.clone_from(&record));
                }
                _ => {}
            }
        }
        Ok(same_roles.then_some(seen))
    }

    /// For figures of how long nobody led: this pod leads, or nobody does.
    pub fn note_primary(&self, name: Option<&str>, is_to_rest: bool) {
        self.note_move(|moves, place| match is_to_rest {
            true => moves.rests(place),
            false => moves.sees(place, name, Instant::now()),
        });
    }

    /// The same: the primary handed over to this pod, with nobody serving writes for so long.
    pub fn note_handover(&self, to: &str, took: Duration) {
        self.note_move(|moves, place| moves.handed_over(place, to, took));
    }

    fn note_move(&self, note: impl FnOnce(&Moves, &Place<'_>)) {
        let status = self.object.status.as_ref();
        let place = Place {
            object: &self.instance(),
            shard: 0,
            term: self.term,
            before: status.and_then(|status| status.primary.as_deref()),
        };
        note(&self.shared.metrics.objects.moves, &place);
    }

    /// What to do. A handover is not tried twice in one pass, nor soon after one that failed: clients
    /// feel each. Nor is a new epoch of the primary: each attempt writes to the API server.
    pub fn plan(&self, wanted: &Wanted, seen: &Observation) -> Plan {
        let mut plan = decide(wanted, seen);
        if let Err(broken) = guard(&plan, seen) {
            error!(instance = %self.instance(), %broken);
            return Plan {
                waiting_for: Some(broken.to_string()),
                ..Plan::default()
            };
        }
        let before = plan.steps.len();
        plan.steps
            .retain(|planned| !self.is_held_back(&planned.step));
        if plan.steps.len() < before {
            let words = "what failed a moment ago is tried again soon";
            plan.waiting_for.get_or_insert_with(|| words.to_owned());
        }
        plan
    }

    fn is_held_back(&self, step: &Step) -> bool {
        // One that is to end waits for its handover, and not for long.
        let leaves = self.primary().is_some_and(Member::is_leaving);
        let failed_now = self.handover_failed && matches!(step, Step::HandOver { .. });
        let failed_lately = || {
            let counted = self.attempts_at(step);
            counted.is_some_and(|(attempts, about)| attempts.holds_back(&self.instance(), &about))
        };
        failed_now || (!leaves && failed_lately())
    }

    /// Where failures of a step are counted that is not to be tried again at once, and as what: a
    /// handover, and another epoch of the primary that is there.
    pub fn attempts_at(&self, step: &Step) -> Option<(&Backoff, String)> {
        let primary = self.primary().map(Member::uid);
        match step {
            Step::HandOver { from, to, .. } => {
                Some((&self.shared.handovers, format!("{} {}", from.uid, to.uid)))
            }
            Step::Promote { pod, .. } if Some(pod.uid.as_str()) == primary => {
                Some((&self.shared.epochs, pod.uid.clone()))
            }
            _ => None,
        }
    }

    /// What people are told who ask what this pass sees.
    pub fn tell(&self, seen: &Observation, wanted: &Wanted, plan: &Plan) {
        let last_seen = &self.shared.last_seen;
        last_seen.note(&self.instance(), &seen.members, &wanted.fenced, plan);
    }

    /// How the instance is, while nothing can be said about what it should be.
    pub async fn verdict(&self) -> Verdict {
        let (wanted, seen) = (self.requests(), self.seen(0, 0).await);
        let plan = self.plan(&wanted, &seen);
        self.tell(&seen, &wanted, &plan);
        verdict(&wanted, &seen, &plan)
    }
}

/// True if a step changes who has which role, or which pods there are, so that everything is to be looked at
/// anew after it.
pub fn changes_roles(step: &Step, seen: &Observation) -> bool {
    match step {
        Step::SetEndpoint { .. }
        | Step::SetReplicas { .. }
        | Step::PushAcl(_)
        | Step::PushConfig(_)
        | Step::PushMembers(_)
        | Step::WriteLists { .. }
        | Step::WriteCandidates { .. }
        | Step::WriteRecord { .. }
        | Step::MarkLeft { .. } => false,
        // Nothing of it has a role, and a finalizer of somebody's may keep it.
        Step::DeleteDeadPod(_) => false,
        // One that follows already is told the epoch, which its volume may not take.
        Step::Follow { pod, .. } => {
            let told = seen.members.iter().find(|member| member.uid() == pod.uid);
            let primary = seen.primary();
            !told.is_some_and(|told| primary.is_some_and(|primary| told.follows(primary)))
        }
        Step::Promote { .. }
        | Step::Fence { .. }
        | Step::Start(_)
        | Step::Promise { .. }
        | Step::HandOver { .. }
        | Step::Leave(_)
        | Step::DeletePod(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use hera_core::agent::{
        AclState, AgentStatus, ConfigState, Link, Members, Memory, REDIS_PORT, Role, ServerState,
    };
    use hera_core::shard::{AgentView, PodView, Target};

    use super::*;

    fn member(ordinal: u32, role: Role, follows: Option<&str>) -> Member {
        let link = follows.map(|host| Link {
            host: host.to_owned(),
            port: REDIS_PORT,
            up: true,
            syncing: false,
            quiet: false,
        });
        let status = AgentStatus {
            protocol: 1,
            agent_version: String::new(),
            boot_id: String::new(),
            pod_uid: format!("uid-{ordinal}"),
            server: ServerState::Running {
                pid: 1,
                run_id: "r".to_owned(),
            },
            role,
            link,
            memory: Memory::default(),
            members: Members::default(),
            leaving: false,
            hangs: false,
            engine: None,
            version: None,
            term: 1,
            config: ConfigState::default(),
            acl: AclState::default(),
            restarts: 0,
            last_exit: None,
            waiting_for: None,
            volume: Default::default(),
            led_to: None,
            forked_at: None,
            connections: None,
            script: None,
            login: None,
            recovery: None,
            capture: None,
            cluster: None,
        };
        Member {
            ordinal,
            agent: AgentView::Connected(Box::new(status)),
            pod: Some(PodView {
                uid: format!("uid-{ordinal}"),
                ip: Some(format!("10.0.0.{ordinal}")),
                ..PodView::default()
            }),
            ..Member::default()
        }
    }

    #[test]
    fn an_order_to_go_on_following_changes_no_roles() {
        let seen = Observation {
            members: vec![
                member(0, Role::Primary, None),
                member(1, Role::Replica, Some("10.0.0.0")),
                member(2, Role::Replica, Some("10.0.0.1")),
            ],
            ..Observation::default()
        };
        let told = |ordinal: u32| Step::Follow {
            pod: Target {
                name: String::new(),
                uid: format!("uid-{ordinal}"),
            },
            epoch: 2,
            primary_uid: "uid-0".to_owned(),
            ip: "10.0.0.0".to_owned(),
            lineage: String::new(),
            gives_up: None,
        };
        assert!(!changes_roles(&told(1), &seen), "it would be told for ever");
        assert!(changes_roles(&told(2), &seen));
        assert!(changes_roles(&told(3), &seen), "nobody knows what it does");
    }
}
