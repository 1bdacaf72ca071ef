//! What every reconcile shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hera_api::RedisInstance;
use hera_core::acl::Categories;
use hera_kube::{Applier, Events, Leadership, StatusWriter};
use hera_policy::FairQueue;
use kube::Client;

use crate::agents::{AgentPool, Identities};
use crate::attempts::Attempts;
use crate::authority::AuthorityCell;
use crate::controllers::redis_instance::Farewells;
use crate::groups::Groups;
use crate::looks::Looks;
use crate::metrics::Metrics;
use crate::object::ObjectKey;
use crate::policies::Policies;
use crate::watches::ReferenceWatches;

/// What every reconcile shares.
pub struct Shared {
    /// The API server.
    pub client: Client,
    /// Writes child objects.
    pub applier: Applier,
    /// Writes status.
    pub status: StatusWriter<RedisInstance>,
    /// Writes Events.
    pub events: Events,
    /// Whether this replica leads.
    pub leadership: Leadership,
    /// Connections to agents.
    pub agents: AgentPool,
    /// What this process shows agents.
    pub identities: Identities,
    /// Who has a pass now, by namespace.
    pub passes: FairQueue,
    /// What is remembered of instances.
    pub groups: Arc<Groups>,
    /// What passes found last, for people.
    pub looks: Looks,
    /// The authority that signs for agents.
    pub authority: AuthorityCell,
    /// Policies in memory.
    pub policies: Policies,
    /// Watches of what objects refer to.
    pub references: ReferenceWatches,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Namespace of the operator.
    pub namespace: String,
    /// Image with the agent.
    pub agent_image: String,
    /// Command tables of servers, by run id.
    pub categories: Mutex<HashMap<String, Arc<Categories>>>,
    /// Passes.
    pub attempts: Attempts,
    /// Handovers.
    pub handovers: Attempts,
    /// New reigns of a primary that is there.
    pub reigns: Attempts,
    /// Instances that are gone.
    pub farewells: Farewells,
}

impl Shared {
    /// Drops what is remembered of an instance that is gone.
    pub fn forget(&self, instance: &ObjectKey) {
        self.applier.forget(&instance.namespace, &instance.name);
        self.policies.forget(instance);
        self.groups.forget(instance);
        self.looks.forget(instance);
        for attempts in [&self.attempts, &self.handovers, &self.reigns] {
            attempts.reset(instance);
        }
    }
}
