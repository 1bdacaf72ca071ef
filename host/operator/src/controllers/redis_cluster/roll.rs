//! Outdated pods are replaced, one shard after the other: replicas first, the primary once another leads.

use std::time::Instant;

use hera_core::cluster::{
    Command, Failover, Observation, PodStep, is_empty_shard, leader, next_pod_step, set_size,
    slots_move,
};
use hera_core::shard::{Asked, Member, PodsWanted, Shard, Stall, Target};
use hera_kube::Severity;
use kube::Resource as _;

use super::site::Site;
use crate::controllers::outcome::PassError;
use crate::controllers::pods::deleted::delete_pod;
use crate::controllers::pods::events;
use crate::controllers::pods::rollback::Rolled;

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
    /// A pod that is one too many, and on its way out, for people.
    pub leaving: Option<String>,
    /// Somebody asked for what cannot be done.
    pub refused: Option<String>,
}

/// The shards, beside what the spec wants of their pods.
pub struct Shards<'a> {
    pub site: &'a Site<'a>,
    /// By shard.
    pub wanted: &'a [PodsWanted],
    pub seen: &'a Observation,
    /// What somebody is asked to approve, as the status has it.
    pub asked: Option<Asked>,
    /// Since when something is on its way, as the status has it, in milliseconds since 1970.
    pub changing_since_ms: Option<u64>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

impl Shards<'_> {
    /// Each, with its number.
    pub fn all(&self) -> impl Iterator<Item = (u32, Shard<'_>)> {
        let shards = self.site.shards.iter().zip(self.wanted);
        (0_u32..).zip(shards).map(|(shard, (members, wanted))| {
            let primary = primary(self.seen, shard);
            let mut all = members.iter();
            let primary = all.find(|member| primary.is_some_and(|pod| pod.uid == member.uid()));
            let members = Shard {
                wanted,
                members,
                primary,
                asked: self.asked.as_ref(),
                changing_since_ms: self.changing_since_ms,
                now_ms: self.now_ms,
            };
            (shard, members)
        })
    }

    /// Their StatefulSets.
    pub fn rolled(&self) -> impl Iterator<Item = Rolled<'_>> {
        let sets = self.all().zip(&self.site.live.sets);
        sets.map(|((_, shard), live)| Rolled {
            client: &self.site.shared.client,
            namespace: self.site.owner.namespace,
            live,
            shard,
        })
    }

    /// How many pods each StatefulSet is to have now.
    pub fn sizes(&self) -> Vec<u32> {
        self.all().map(|(_, shard)| set_size(&shard)).collect()
    }

    /// Ordinals of a shard whose claims go with their pods, if they are those of temporary pods.
    pub fn going_claims(&self, shard: u32) -> Vec<u32> {
        let mut all = self.all();
        let Some((_, found)) = all.find(|(number, _)| *number == shard) else {
            return Vec::new();
        };
        let ordinals = found.members.iter().map(|member| member.ordinal);
        ordinals.filter(|at| found.claim_goes(*at)).collect()
    }

    /// True if pods are being replaced, or are to be now: no slot begins to move then.
    pub fn rolls(&self, promote: Option<&str>) -> bool {
        let mut all = self
            .all()
            .filter(|(shard, _)| !is_empty_shard(self.seen, *shard));
        all.any(|(_, shard)| match next_pod_step(&shard, promote) {
            PodStep::Settled | PodStep::Refused(_) | PodStep::Replace { at_once: true, .. } => {
                false
            }
            PodStep::Replace { .. } | PodStep::SwitchOver { .. } => true,
            // What waits for a person, or for something to be mended, may last.
            PodStep::Wait(wait) => wait.to_approve.is_none() && wait.stalled.is_none(),
        })
    }

    /// The next step, in the first shard that has one to take. One shard at a time, and none while slots are
    /// not served, or move, but for pods that are of no use as they are.
    ///
    /// # Errors
    /// When it cannot be taken.
    pub async fn roll(&self, promote: Option<&str>) -> Result<Roll, PassError> {
        let moves = slots_move(self.seen);
        let unserved = self.all().find(|(shard, of)| {
            // One that has no slot yet, or none any more, holds up nobody.
            of.primary.is_none() && !is_empty_shard(self.seen, *shard)
        });
        let unserved = unserved.map(|(shard, _)| shard);
        // What somebody asks for waits for no other shard's roll.
        let has = |shard: &Shard<'_>, name: &str| {
            let mut members = shard.members.iter();
            members.any(|member| member.is_called(name))
        };
        let mut all: Vec<_> = self.all().collect();
        all.sort_by_key(|(number, shard)| {
            let is_asked_for = promote.is_some_and(|name| has(shard, name));
            (!is_asked_for, is_empty_shard(self.seen, *number))
        });
        let known = |name: &str| all.iter().any(|(_, shard)| has(shard, name));
        let unknown = promote.filter(|name| !known(name));
        let mut refused = unknown.map(|name| format!("there is no data pod {name} to promote"));
        for (_, shard) in all {
            let step = next_pod_step(&shard, promote);
            let waits = |shard| Roll {
                words: Some(format!(
                    "pods are replaced once shard {shard} has a primary"
                )),
                ..Roll::default()
            };
            let waits_for_slots = || Roll {
                words: Some("pods are replaced once the slots that move now have".to_owned()),
                ..Roll::default()
            };
            let roll = match (step, unserved) {
                (PodStep::Settled, _) => continue,
                (PodStep::Refused(words), _) => {
                    refused = Some(words);
                    continue;
                }
                (PodStep::Wait(wait), _) => Roll {
                    words: Some(wait.words),
                    stalled: wait.stalled,
                    to_approve: wait.to_approve,
                    ..Roll::default()
                },
                (PodStep::Replace { at_once: false, .. } | PodStep::SwitchOver { .. }, _)
                    if moves =>
                {
                    waits_for_slots()
                }
                (PodStep::Replace { at_once: false, .. }, Some(shard)) => waits(shard),
                (PodStep::SwitchOver { .. }, Some(shard)) => waits(shard),
                (
                    PodStep::Replace {
                        pod,
                        is_dead,
                        reason,
                        ..
                    },
                    _,
                ) => self.replace(pod, is_dead, &reason).await?,
                (PodStep::SwitchOver { from, to, reason }, _) => {
                    self.switch_over(from, to, &reason).await?
                }
            };
            return Ok(Roll { refused, ..roll });
        }
        let beyond = self.all().find_map(|(_, shard)| {
            let wanted = shard.wanted;
            shard.members.iter().find(|member| {
                member.pod.is_some() && (wanted.hibernate || !wanted.keeps(member.ordinal))
            })
        });
        Ok(Roll {
            refused,
            leaving: beyond.map(|member| format!("pod {} is taken away", member.name())),
            ..Roll::default()
        })
    }

    async fn replace(&self, pod: &Member, is_dead: bool, why: &str) -> Result<Roll, PassError> {
        let site = self.site;
        let (client, namespace) = (&site.shared.client, site.owner.namespace);
        let grace = is_dead.then_some(0);
        delete_pod(client, namespace, &pod.target(), grace).await?;
        let words = format!("pod {} is replaced: {why}", pod.name());
        Ok(self.moved(events::POD_REPLACED, words).await)
    }

    /// A replica in sync takes over with all that its primary wrote.
    pub async fn switch_over(
        &self,
        from: &Member,
        to: &Member,
        why: &str,
    ) -> Result<Roll, PassError> {
        let target = from.target();
        let mut nodes = self.seen.nodes.iter();
        let node = nodes.find(|node| node.pod == target);
        let known = node.and_then(|node| Some((node.shard, node.server.as_ref()?)));
        let Some((shard, server)) = known else {
            return Ok(Roll::default());
        };
        let command = Command::Failover {
            how: Failover::Agreed,
            primary: server.id.clone(),
        };
        self.site.command(&to.target(), command).await?;
        let moves = &self.site.shared.metrics.objects.moves;
        let key = self.site.key();
        moves.ordered(&self.site.place(&key, shard), Instant::now());
        let words = format!("{} hands over to {}: {why}", from.name(), to.name());
        Ok(self.moved(events::SWITCHED_OVER, words).await)
    }

    async fn moved(&self, reason: &'static str, words: String) -> Roll {
        let about = self.site.object.object_ref(&());
        let events = &self.site.shared.events;
        events
            .publish_deed(&about, Severity::Normal, reason, &words)
            .await;
        Roll {
            words: Some(words),
            moved: true,
            ..Roll::default()
        }
    }
}

/// The pod that serves the slots of a shard, or would, if exactly one does.
pub fn primary(seen: &Observation, shard: u32) -> Option<&Target> {
    leader(seen, shard).map(|node| &node.pod)
}
