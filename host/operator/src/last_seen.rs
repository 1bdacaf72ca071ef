//! What the leader knows of objects beyond their status, for people who ask: kept since the last
//! pass, with a fresh look at the agents. Nothing is decided by it.

pub mod cluster;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hera_core::agent::Role;
use hera_core::instance::{Change, InstanceView, Observation, Plan, Waits};
use hera_core::shard::{Fresh, Member, pod_states};

use crate::agents::AgentPool;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// What passes found last.
#[derive(Default)]
pub struct LastSeen {
    instances: Mutex<HashMap<ObjectKey, Last>>,
    /// The same of clusters.
    pub clusters: cluster::LastSeen,
}

#[derive(Clone, Default)]
struct Last {
    members: Vec<Member>,
    fenced: Vec<String>,
    waits: Waits,
    under_way: Vec<String>,
    failed: Option<String>,
    change: Option<Change>,
}

impl LastSeen {
    /// A pass sees these pods, of which `fenced` are asked to be down, and waits for what `plan` says.
    pub fn note(&self, instance: &ObjectKey, members: &[Member], fenced: &[String], plan: &Plan) {
        self.with(instance, |last| {
            last.members = members.to_vec();
            last.fenced = fenced.to_vec();
            last.waits = Waits::of(plan);
        });
    }

    /// The steps of a plan are taken.
    pub fn begin(&self, instance: &ObjectKey, plan: &Plan) {
        let say = |planned: &hera_core::instance::PlannedStep| {
            format!("{}: {}", planned.step.name(), planned.reason)
        };
        let under_way = plan.steps.iter().map(say).collect();
        self.with(instance, |last| last.under_way = under_way);
    }

    /// They are taken, or one was not. `still`: what failed before counts on if nothing else did.
    pub fn end(&self, instance: &ObjectKey, failed: Option<String>, still: bool) {
        self.with(instance, |last| {
            last.under_way.clear();
            last.failed = failed.or(last.failed.take().filter(|_| still));
        });
    }

    /// The primary moved, or should have.
    pub fn moved(&self, instance: &ObjectKey, change: Change) {
        self.with(instance, |last| last.change = Some(change));
    }

    /// Drops what is known of an object that is gone.
    pub fn forget(&self, object: &ObjectKey) {
        self.lock().remove(object);
        self.clusters.forget(object);
    }

    fn with(&self, instance: &ObjectKey, change: impl FnOnce(&mut Last)) {
        change(self.lock().entry(instance.clone()).or_default());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, Last>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why nothing can be told of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoView {
    /// This replica does not lead.
    Standby,
    /// No pass has looked at such an object.
    Unknown,
}

/// What is known of an instance now. Agents are asked all at once, each for two seconds at most.
///
/// # Errors
/// When this replica does not know.
pub async fn view(shared: &Shared, instance: &ObjectKey) -> Result<InstanceView, NoView> {
    let term = shared.leadership.term().ok_or(NoView::Standby)?;
    let last = shared.last_seen.lock().get(instance).cloned();
    let last = last.filter(|last| !last.members.is_empty());
    let mut last = last.ok_or(NoView::Unknown)?;
    for member in &mut last.members {
        member.agent = shared.agents.view(member.uid());
    }
    let asked = last
        .members
        .iter()
        .map(|member| ask(&shared.agents, member));
    let fresh = futures::future::join_all(asked).await;
    let seen = Observation {
        members: last.members,
        ..Observation::default()
    };
    Ok(InstanceView {
        term,
        waits: last.waits,
        under_way: last.under_way,
        failed: last.failed,
        last_change: last.change,
        pods: pod_states(&seen.members, &last.fenced, &fresh),
    })
}

async fn ask(agents: &AgentPool, member: &Member) -> Fresh {
    let client = agents.client(member.uid());
    let (Some(client), Some(status)) = (client, member.agent.status()) else {
        return Fresh::default();
    };
    let is_primary = status.role == Role::Primary;
    let position = async {
        match member.is_running() {
            true => client.position().await.ok(),
            false => None,
        }
    };
    let fence = async {
        match is_primary {
            true => client.fence().await.ok(),
            false => None,
        }
    };
    let (position, fence) = tokio::join!(position, fence);
    Fresh { position, fence }
}

#[cfg(test)]
mod tests {
    use hera_core::instance::Step;
    use hera_core::shard::Target;

    use super::*;

    #[test]
    fn what_failed_is_told_until_something_succeeds() {
        let (last_seen, cart) = (LastSeen::default(), ObjectKey::instance("shop", "cart"));
        let last = || last_seen.lock().get(&cart).cloned().unwrap();
        let mut plan = Plan::default();
        plan.steps.push(hera_core::instance::PlannedStep {
            step: Step::PushAcl(Target::default()),
            reason: "revision 5 is wanted".to_owned(),
        });
        last_seen.begin(&cart, &plan);
        assert_eq!(last().under_way, ["push-acl: revision 5 is wanted"]);
        last_seen.end(&cart, Some("no answer".to_owned()), false);
        assert!(last().under_way.is_empty());
        last_seen.end(&cart, None, true);
        assert_eq!(last().failed.as_deref(), Some("no answer"));
        last_seen.end(&cart, None, false);
        assert_eq!(last().failed, None);
    }
}
