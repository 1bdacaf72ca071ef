//! What goes on whatever becomes of the spec, of policies and of other objects: clients are led to
//! the primary, another is promoted in place of a dead one, users that are known are confirmed.

use hera_core::acl::AclSet;
use hera_core::instance::{Observation, Plan, Step, Verdict, Wanted, decide, verdict};
use kube::Resource as _;

use super::site::Site;
use super::{PassError, act};

impl Site<'_> {
    /// Leads clients, and confirms `users` if there are any. Answers what is seen after it; none if
    /// roles changed, and everything is to be looked at anew.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn heal(&self, users: Option<&AclSet>) -> Result<Option<Observation>, PassError> {
        let mut seen = self.seen(0, users.map_or(0, |set| set.revision)).await;
        let requests = self.requests();
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
        act::carry_out(&plan, &material).await?;
        let mut same_roles = true;
        for planned in plan.steps {
            match planned.step {
                Step::SetEndpoint { ip } => seen.endpoint = ip,
                Step::SetReplicas { ips } => seen.replica_endpoints = ips,
                Step::PushAcl(_) | Step::PushConfig(_) | Step::PushMembers(_) => {}
                Step::WriteLists { lists } => seen.lists = lists,
                Step::WriteClaims { claims } => seen.claims = claims,
                // Nothing of it has a role, and a finalizer of somebody's may keep it.
                Step::DeleteDeadPod(_) => {}
                Step::Promote { .. }
                | Step::Follow { .. }
                | Step::Fence { .. }
                | Step::Start(_)
                | Step::Forswear { .. }
                | Step::HandOver { .. }
                | Step::Leave(_)
                | Step::DeletePod(_) => same_roles = false,
            }
        }
        Ok(same_roles.then_some(seen))
    }

    /// What to do. A handover is not tried twice in one pass: clients feel each.
    pub fn plan(&self, wanted: &Wanted, seen: &Observation) -> Plan {
        let mut plan = decide(wanted, seen);
        if self.handover_failed {
            let is_handover = |step: &Step| matches!(step, Step::HandOver { .. });
            plan.steps.retain(|planned| !is_handover(&planned.step));
        }
        plan
    }

    /// What people are told who ask what this pass sees.
    pub fn tell(&self, seen: &Observation, wanted: &Wanted, plan: &Plan) {
        let looks = &self.shared.looks;
        looks.note(&self.instance(), &seen.members, &wanted.fenced, plan);
    }

    /// How the instance is, while nothing can be said about what it should be.
    pub async fn verdict(&self) -> Verdict {
        let (wanted, seen) = (self.requests(), self.seen(0, 0).await);
        let plan = self.plan(&wanted, &seen);
        self.tell(&seen, &wanted, &plan);
        verdict(&wanted, &seen, &plan)
    }
}
