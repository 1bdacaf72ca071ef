//! A cluster as it was found, before anybody looks at its spec.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hera_api::{RebalancePhase, RedisCluster};
use hera_core::agent::{ClusterState, REDIS_PORT};
use hera_core::cluster::{
    Node, NodeId, Observation, Wanted, is_empty_shard, why_not_served, why_not_whole,
};
use hera_core::shard::Member;
use hera_render::Owner;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};

use crate::controllers::pods::observe::{CommonLive, SetLive, read_common, read_sets};
use crate::controllers::pods::refusals::Refusals;
use crate::controllers::pods::requests::Requests;
use crate::controllers::pods::term_floor;
use crate::controllers::pods::written::{in_place_of, only_on, written};
use crate::leaders::boot_millis;
use crate::metrics::Place;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// The objects of a cluster as they are.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub common: CommonLive,
    /// By shard.
    pub sets: Vec<SetLive>,
}

/// Reads them from the API server, not from a cache: those of the object, whoever else has its names. Those of
/// the first `shards` shards, and of each beyond that has a StatefulSet. Claims of the first `volumes` pods of
/// each are looked at whatever their labels are.
///
/// # Errors
/// When one of them cannot be read: unknown is not absent.
pub async fn read(
    client: &Client,
    owner: &Owner<'_>,
    shards: u32,
    volumes: u32,
) -> kube::Result<Live> {
    let (common, sets) = tokio::try_join!(
        read_common(client, owner),
        read_sets(client, owner, Some(shards), volumes),
    )?;
    Ok(Live { common, sets })
}

/// A cluster as it was found.
pub struct Site<'a> {
    pub object: &'a RedisCluster,
    pub shared: &'a Shared,
    pub owner: Owner<'a>,
    pub live: &'a Live,
    /// Its pods, by shard.
    pub shards: Vec<Vec<Member>>,
    /// How many there are, those included that are to leave, and are to be, as far as the spec can be read.
    pub wanted: Wanted,
    /// How many shards the spec wants: those beyond are to leave.
    pub keep: u32,
    pub term: u64,
    /// Uids of pods: see [`Self::silent`].
    pub silent: Mutex<BTreeSet<String>>,
    /// What is asked for by annotation.
    pub requests: Requests,
    /// What the API server refused.
    pub refusals: Refusals,
}

impl Site<'_> {
    /// Names the cluster.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::of_owner(&self.owner)
    }

    /// Where the primary of a shard is noted, for figures.
    pub fn place<'p>(&'p self, object: &'p ObjectKey, shard: u32) -> Place<'p> {
        let status = self.object.status.iter();
        let mut shards = status.flat_map(|status| &status.shards);
        let known = shards.find(|known| u32::try_from(known.id).is_ok_and(|id| id == shard));
        Place {
            object,
            shard,
            term: self.term,
            before: known.and_then(|known| known.primary.as_deref()),
        }
    }

    /// Every pod, with its shard.
    pub fn members(&self) -> impl Iterator<Item = (u32, &Member)> {
        let shards = (0_u32..).zip(&self.shards);
        shards.flat_map(|(shard, members)| members.iter().map(move |member| (shard, member)))
    }

    /// True if servers of different versions run: a roll is under way, or stands still.
    pub fn has_several_versions(&self) -> bool {
        let agents = self
            .members()
            .filter_map(|(_, member)| member.agent.status());
        let mut versions: Vec<_> = agents
            .filter_map(|agent| agent.version.as_deref())
            .collect();
        versions.sort_unstable();
        versions.dedup();
        versions.len() > 1
    }

    /// Sees to it that this leader speaks to the agents under a term that they take: written down on the
    /// StatefulSet of the first shard.
    pub async fn settle_terms(&self) {
        let set = self.live.sets.first();
        let Some(set) = set.and_then(|live| live.stateful_set.as_ref()) else {
            return;
        };
        let agents = self
            .members()
            .filter_map(|(_, member)| member.agent.status());
        let known = set.annotations().get(term_floor::ANNOTATION).cloned();
        let floor = term_floor::read(known.as_deref());
        let write = async |floor: u64| {
            let name = set.name_any();
            let text = floor.to_string();
            let mut patch = in_place_of(term_floor::ANNOTATION, known.as_deref(), &text);
            only_on(set, &mut patch);
            let (params, patch) = (PatchParams::default(), Patch::Json::<()>(patch));
            let sets: Api<StatefulSet> =
                Api::namespaced(self.shared.client.clone(), self.owner.namespace);
            let write = sets.patch(&name, &params, &patch);
            written::<StatefulSet>(&name, term_floor::ANNOTATION, write).await
        };
        term_floor::settle(self.shared, &self.key(), self.term, agents, floor, write).await;
    }

    /// What it lacks to be whole, for people; while slots or shards are on the move, what it lacks to serve.
    pub fn lacks(&self, seen: &Observation) -> Option<String> {
        match self.is_formed() && self.is_reshaped(seen) {
            true => why_not_served(self.wanted, seen),
            false => why_not_whole(self.wanted, seen),
        }
    }

    /// Slots or shards are on the move, or have been until a moment ago.
    pub fn is_reshaped(&self, seen: &Observation) -> bool {
        let status = self.object.status.as_ref();
        let known = status.and_then(|status| status.rebalance.as_ref());
        known.is_some_and(|known| known.phase != RebalancePhase::Settled)
            || self.keep != self.wanted.shards
            || seen.has_jobs()
            || (0..self.keep).any(|shard| is_empty_shard(seen, shard))
    }

    /// It was whole once.
    pub fn is_formed(&self) -> bool {
        self.object
            .status
            .as_ref()
            .is_some_and(|status| status.formed)
    }

    /// What servers and agents say now. All are asked at once, and none is waited for for long.
    pub async fn observe(&self) -> Observation {
        let servers = self.members().count();
        let asked = self.members().filter(|(_, member)| member.pod.is_some());
        let asked = asked.map(|(shard, member)| async move {
            let heard = member.agent.status().is_some() && !self.is_silent(member.uid());
            let client = self.shared.agents.client(member.uid()).filter(|_| heard);
            let state = match client {
                Some(client) => client.cluster(servers).await.ok(),
                None => None,
            };
            if heard && state.is_none() {
                self.silent().insert(member.uid().to_owned());
            }
            self.node(shard, member, state)
        });
        let nodes = futures::future::join_all(asked).await;
        Observation {
            nodes,
            formed: self.is_formed(),
            now_ms: boot_millis(),
        }
    }

    /// Agents that did not answer in this pass: they are not waited for once more.
    fn silent(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_silent(&self, uid: &str) -> bool {
        self.silent().contains(uid)
    }

    fn node(&self, shard: u32, member: &Member, state: Option<ClusterState>) -> Node {
        let (clusters, key, now) = (&self.shared.clusters, self.key(), boot_millis());
        let before = |millis: u64| now.saturating_sub(millis);
        let mut node = Node {
            shard,
            ordinal: member.ordinal,
            pod: member.target(),
            ip: member.ip().unwrap_or_default().to_owned(),
            never_ran: member.never_ran(),
            port: REDIS_PORT,
            ..Node::default()
        };
        match state {
            Some(state) => {
                let server = state.server.as_ref();
                let id: Option<&NodeId> = server.map(|server| &server.id).or(state.id.as_ref());
                node.last_id = clusters.heard(&key, member.name(), id);
                node.held = state.held;
                node.dead_since_ms = state.dead_ms.map(before);
                node.asked_for_votes_ms = state.asked_ms.map(before);
                node.server = state.server;
            }
            None => {
                let (last_id, since) = clusters.unheard(&key, member.name(), now);
                node.last_id = last_id;
                let is_out = member.is_on_dead_node();
                node.is_lost = is_out && member.claim.is_none();
                let ended = member.pod.as_ref().is_some_and(|pod| pod.terminated);
                let unheard = member.agent.status().is_none();
                node.dead_since_ms = (unheard && (is_out || ended)).then_some(since);
            }
        }
        node
    }
}
