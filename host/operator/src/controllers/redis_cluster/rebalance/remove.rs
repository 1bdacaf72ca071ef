//! Shards that have nothing left are taken away.

use hera_kube::Severity;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Resource as _;
use tracing::info;

use super::events::SHARD_REMOVED;
use crate::controllers::outcome::PassError;
use crate::controllers::redis_cluster::site::Site;

impl Site<'_> {
    /// Deletes the StatefulSets of these shards, the highest first, as far as none above is left and the spec does
    /// not want them. Their claims stay, or go with the object, as those of pods that a smaller number of
    /// replicas leaves behind. True if one was.
    ///
    /// # Errors
    /// When the API server refuses it, or this replica does not lead any more.
    pub async fn take_away(&self, drained: &[u32]) -> Result<bool, PassError> {
        let mut there = self.wanted.shards;
        let mut took_away = false;
        while there > self.keep && drained.contains(&(there - 1)) {
            let shard = there - 1;
            there = shard;
            if self.is_gone(shard) {
                continue;
            }
            if self.shared.leadership.term() != Some(self.term) {
                return Err(PassError::LeadershipLost);
            }
            let names = self.owner.name.pods(Some(shard));
            let (applier, namespace) = (&self.shared.applier, self.owner.namespace);
            let (set, budget) = (names.stateful_set(), names.disruption_budget());
            info!(cluster = %self.key(), shard, "the shard has nothing left, and is taken away");
            // First what would be left over, were this the last that is done.
            let uid = self.owner.uid;
            let gone = applier.delete::<PodDisruptionBudget>(namespace, uid, &budget);
            let mut gone = gone.await;
            if gone.is_ok() {
                gone = applier.delete::<StatefulSet>(namespace, uid, &set).await;
            }
            if !self.refusals.take(gone)? {
                break;
            }
            let about = self.object.object_ref(&());
            let note = format!("shard {shard} has no slot and no key left: its pods go");
            let events = &self.shared.events;
            events
                .publish_deed(&about, Severity::Normal, SHARD_REMOVED, &note)
                .await;
            took_away = true;
        }
        Ok(took_away)
    }

    /// True if nothing is left to delete of a shard, as its StatefulSet is gone or on its way out: a finalizer may
    /// keep it for long.
    fn is_gone(&self, shard: u32) -> bool {
        let set = usize::try_from(shard)
            .ok()
            .and_then(|at| self.live.sets.get(at)?.stateful_set.as_ref());
        set.is_none_or(|set| set.metadata.deletion_timestamp.is_some())
    }
}
