//! Outdated pods are replaced, one shard after the other: replicas first, the primary once another leads.

use hera_core::cluster::{Command, Failover, Observation};
use hera_core::shard::{Member, Move, PodsWanted, Shard, Stall, Target};
use hera_kube::{ApplyError, Refusal, Severity};
use k8s_openapi::api::core::v1::Pod;
use kube::Resource as _;
use kube::api::{Api, DeleteParams, Preconditions};

use super::site::Site;
use crate::controllers::outcome::PassError;
use crate::controllers::pods::events;

/// How far a roll is.
#[derive(Debug, Default)]
pub struct Roll {
    /// What is done now, or waited for, for people.
    pub words: Option<String>,
    /// A step was taken: what comes of it is to be seen.
    pub moved: bool,
    /// That it waits for longer than it should.
    pub stalled: Option<Stall>,
    /// Digest of what somebody is to approve.
    pub to_approve: Option<String>,
}

impl Site<'_> {
    /// The next step of a roll, in the first shard that has one to take. One shard at a time, and none while
    /// the cluster is not whole: a copy that is missing counts before a pod that is outdated.
    ///
    /// # Errors
    /// When it cannot be taken.
    pub async fn roll(
        &self,
        wanted: &PodsWanted,
        seen: &Observation,
        is_whole: bool,
        now_ms: u64,
    ) -> Result<Roll, PassError> {
        for (shard, members) in (0_u32..).zip(&self.shards) {
            let primary = primary(seen, shard);
            let primary = members
                .iter()
                .find(|member| primary.is_some_and(|pod| pod.uid == member.uid()));
            let shard = Shard {
                wanted,
                members,
                primary,
                asked: None,
                changing_since_ms: None,
                now_ms,
            };
            let roll = match shard.next_move() {
                Move::Done(_) => continue,
                Move::Wait(wait) => Roll {
                    words: Some(wait.words),
                    stalled: wait.stalled,
                    to_approve: wait.to_approve,
                    moved: false,
                },
                // One that is of no use as it is may be what keeps the cluster from being whole.
                Move::Replace { pod, .. } if !is_whole && !shard.is_away(pod) => waits(),
                Move::SwitchOver { .. } if !is_whole => waits(),
                Move::Replace { pod, reason } => self.replace(pod, reason).await?,
                Move::SwitchOver { from, reason } => {
                    self.switch_over(members, from, reason).await?
                }
            };
            return Ok(roll);
        }
        Ok(Roll::default())
    }

    async fn replace(&self, pod: &Member, reason: String) -> Result<Roll, PassError> {
        let words = format!("pod {} is replaced: {reason}", pod.name());
        self.delete_pod(&pod.target()).await?;
        self.deed(events::POD_REPLACED, &words).await;
        Ok(Roll {
            words: Some(words),
            moved: true,
            ..Roll::default()
        })
    }

    /// A replica in sync takes over with all that its primary wrote.
    async fn switch_over(
        &self,
        members: &[Member],
        from: &Member,
        reason: String,
    ) -> Result<Roll, PassError> {
        let mut others = members.iter();
        let next = others.find(|member| !member.is_away(from) && member.ordinal != from.ordinal);
        let Some(next) = next else {
            let words = format!("{reason}; no replica of {} is in sync", from.name());
            return Ok(Roll {
                words: Some(words),
                ..Roll::default()
            });
        };
        let how = Failover::Agreed;
        self.command(&next.target(), Command::Failover { how })
            .await?;
        let words = format!("{} hands over to {}: {reason}", from.name(), next.name());
        self.deed(events::SWITCHED_OVER, &words).await;
        Ok(Roll {
            words: Some(words),
            moved: true,
            ..Roll::default()
        })
    }

    async fn deed(&self, reason: &'static str, note: &str) {
        let about = self.object.object_ref(&());
        let events = &self.shared.events;
        events
            .publish_deed(&about, Severity::Normal, reason, note)
            .await;
    }

    async fn delete_pod(&self, pod: &Target) -> Result<(), PassError> {
        let pods: Api<Pod> = Api::namespaced(self.shared.client.clone(), self.owner.namespace);
        let only_this = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(pod.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = pods.delete(&pod.name, &only_this);
        match Refusal::within::<Pod, _>(&pod.name, false, deleted).await {
            Ok(deleted) => Ok(deleted.map(drop).map_err(ApplyError::from)?),
            Err(kube::Error::Api(s)) if s.is_not_found() || s.is_conflict() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn waits() -> Roll {
    Roll {
        words: Some("pods are replaced once the cluster is whole".to_owned()),
        ..Roll::default()
    }
}

/// The pod that serves the slots of a shard, if exactly one does.
pub fn primary(seen: &Observation, shard: u32) -> Option<&Target> {
    let leads = |node: &&hera_core::cluster::Node| {
        let server = node.server.as_ref();
        node.shard == shard
            && server.is_some_and(|s| s.replica_of().is_none() && !s.slots().is_empty())
    };
    let mut leading = seen.nodes.iter().filter(leads);
    let first = leading.next()?;
    leading.next().is_none().then_some(&first.pod)
}
