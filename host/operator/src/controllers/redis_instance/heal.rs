//! What goes on whatever becomes of the spec, of policies and of other objects: clients are led to
//! the primary, a pod that has finished is made anew, users that are known are confirmed.

use hera_api::RedisInstance;
use hera_core::acl::AclSet;
use hera_core::instance::{
    AgentView, Observation, PodView, RevisionView, Step, Verdict, Wanted, decide, verdict,
};
use hera_render::Owner;
use kube::Resource as _;

use super::observe::{self, Live};
use super::{PassError, act};
use crate::shared::Shared;

/// An instance as it was found, before anybody looks at its spec.
pub struct Site<'a> {
    pub object: &'a RedisInstance,
    pub shared: &'a Shared,
    pub owner: Owner<'a>,
    pub live: &'a Live,
    pub pod: Option<PodView>,
    pub agent: AgentView,
    pub term: u64,
}

impl Site<'_> {
    /// What is seen, with the revisions that are to be in force; 0 where none is known.
    pub fn seen(&self, config: u64, acl: u64) -> Observation {
        Observation {
            claim: observe::claim_view(self.live),
            pod: self.pod.clone(),
            agent: self.agent.clone(),
            endpoint: observe::endpoint(self.live),
            config: RevisionView { revision: config },
            acl: RevisionView { revision: acl },
        }
    }

    /// Leads clients, and confirms `users` if there are any. Answers where clients are led now.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn heal(&self, users: Option<&AclSet>) -> Result<Option<String>, PassError> {
        let seen = self.seen(0, users.map_or(0, |set| set.revision));
        let plan = decide(&nothing_wanted(), &seen);
        let about = self.object.object_ref(&());
        let material = act::Material {
            owner: self.owner,
            live: self.live,
            about: &about,
            pod_uid: self.pod_uid(),
            config: None,
            acl: users,
            term: self.term,
        };
        act::carry_out(self.shared, &plan, &material).await?;
        let led = plan
            .steps
            .into_iter()
            .find_map(|planned| match planned.step {
                Step::SetEndpoint { ip } => Some(ip),
                _ => None,
            });
        Ok(led.unwrap_or(seen.endpoint))
    }

    /// How the instance is, while nothing can be said about what it should be.
    pub fn verdict(&self) -> Verdict {
        let (wanted, seen) = (nothing_wanted(), self.seen(0, 0));
        verdict(&wanted, &seen, &decide(&wanted, &seen))
    }

    /// Uid of the pod; empty without one.
    pub fn pod_uid(&self) -> &str {
        self.pod.as_ref().map_or("", |pod| pod.uid.as_str())
    }
}

/// No change of the spec is to reach a pod.
fn nothing_wanted() -> Wanted {
    Wanted {
        pod_revision: String::new(),
        storage: None,
        paused: true,
    }
}
