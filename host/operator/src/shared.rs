//! What every reconcile shares.

use std::sync::Arc;

use hera_api::{RedisCluster, RedisInstance};
use hera_kube::{Applier, Events, Leadership, StatusWriter};
use hera_render::ControlSources;
use kube::Client;

use crate::agents::{AgentPool, Identities};
use crate::authority::AuthorityCell;
use crate::backoff::Backoff;
use crate::controllers::backups::{Backups, Owners};
use crate::controllers::pods::command_tables::CommandTables;
use crate::controllers::pods::zones::Zones;
use crate::controllers::redis_cluster::Clusters;
use crate::controllers::redis_instance::{Deletions, Logs, Looks, Recoveries};
use crate::controllers::turns::Turns;
use crate::last_seen::LastSeen;
use crate::leaders::Leaders;
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
    /// Writes the status of instances.
    pub status: StatusWriter<RedisInstance>,
    /// Writes the status of clusters.
    pub cluster_status: StatusWriter<RedisCluster>,
    /// What is remembered of the servers of clusters.
    pub clusters: Clusters,
    /// In which zones nodes are.
    pub zones: Zones,
    /// Writes Events.
    pub events: Events,
    /// Whether this replica leads.
    pub leadership: Leadership,
    /// Connections to agents.
    pub agents: AgentPool,
    /// What this process shows agents.
    pub identities: Identities,
    /// Who has a pass now, by namespace.
    pub turns: Arc<Turns>,
    /// What is remembered of instances.
    pub leaders: Arc<Leaders>,
    /// What passes found last, for people.
    pub last_seen: LastSeen,
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
    /// Whom NetworkPolicies let reach agents.
    pub control_sources: ControlSources,
    /// Image with the agent.
    pub agent_image: String,
    /// The commands of servers.
    pub tables: CommandTables,
    /// Passes.
    pub backoff: Backoff,
    /// Handovers.
    pub handovers: Backoff,
    /// New epochs of a primary that is there.
    pub epochs: Backoff,
    /// Attempts to fetch the data with which instances begin.
    pub recoveries: Recoveries,
    /// What agents were ordered about logs.
    pub logs: Logs,
    /// The backups that there are, and sweeps of what nothing needs.
    pub backups: Backups,
    /// What was found of logs behind backups.
    pub looks: Looks,
    /// Whose paths in stores are.
    pub owners: Owners,
    /// Instances that are gone.
    pub deletions: Deletions,
}

impl Shared {
    /// Drops what is remembered of an instance that is gone.
    pub fn forget(&self, instance: &ObjectKey) {
        self.applier.forget(&instance.namespace, &instance.name);
        self.policies.forget(instance);
        self.leaders.forget(instance);
        self.last_seen.forget(instance);
        self.clusters.forget(instance);
        self.metrics.objects.forget(instance);
        self.recoveries.forget(instance);
        self.logs.forget(instance);
        self.backups.sweeps.forget(instance);
        self.looks.forget(instance);
        self.references.note(instance, Vec::new());
        for attempts in [&self.backoff, &self.handovers, &self.epochs] {
            attempts.reset(instance);
        }
    }
}
