//! The same of clusters.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hera_core::agent::REDIS_PORT;
use hera_core::cluster::{ClusterView, Node, Observation, RebalanceView, Wanted};
use hera_core::shard::Member;

use super::NoView;
use crate::controllers::redis_cluster::Site;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// What passes over clusters found last.
#[derive(Default)]
pub struct LastSeen(Mutex<HashMap<ObjectKey, Last>>);

#[derive(Clone)]
struct Last {
    wanted: Wanted,
    /// The pods, by shard.
    shards: Vec<Vec<Member>>,
    fenced: Vec<String>,
    waiting_for: Option<String>,
    rebalance: Option<RebalanceView>,
}

impl LastSeen {
    /// A pass sees this, and waits for that.
    pub fn note(&self, site: &Site<'_>, waiting_for: Option<&str>) {
        let mut known = self.lock();
        let before = known.remove(&site.key());
        let last = Last {
            wanted: site.wanted,
            shards: site.shards.clone(),
            fenced: site.requests.fenced.clone(),
            waiting_for: waiting_for.map(str::to_owned),
            rebalance: before.and_then(|before| before.rebalance),
        };
        known.insert(site.key(), last);
    }

    /// So it stands with the slots of a cluster that move.
    pub fn note_rebalance(&self, cluster: &ObjectKey, view: RebalanceView) {
        if let Some(last) = self.lock().get_mut(cluster) {
            last.rebalance = Some(view);
        }
    }

    pub(super) fn forget(&self, cluster: &ObjectKey) {
        self.lock().remove(cluster);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a cluster now. Agents are asked all at once, and none is waited for for long.
///
/// # Errors
/// When this replica does not know.
pub async fn view(shared: &Shared, cluster: &ObjectKey) -> Result<ClusterView, NoView> {
    let term = shared.leadership.term().ok_or(NoView::Standby)?;
    let last = shared.last_seen.clusters.lock().get(cluster).cloned();
    let mut last = last.ok_or(NoView::Unknown)?;
    for member in last.shards.iter_mut().flatten() {
        member.agent = shared.agents.view(member.uid());
    }
    let members = (0_u32..).zip(&last.shards);
    let members = members.flat_map(|(shard, members)| members.iter().map(move |one| (shard, one)));
    let servers = last.shards.iter().map(Vec::len).sum();
    let asked = members
        .filter(|(_, member)| member.pod.is_some())
        .map(|(shard, member)| ask(shared, shard, member, servers));
    let seen = Observation {
        nodes: futures::future::join_all(asked).await,
        ..Observation::default()
    };
    Ok(ClusterView {
        term,
        waiting_for: last.waiting_for,
        rebalance: last.rebalance,
        ..ClusterView::of(last.wanted, &last.shards, &last.fenced, &seen)
    })
}

async fn ask(shared: &Shared, shard: u32, member: &Member, servers: usize) -> Node {
    let heard = member.agent.status().is_some();
    let client = shared.agents.client(member.uid()).filter(|_| heard);
    let state = match client {
        Some(client) => client.cluster(servers).await.unwrap_or_default(),
        None => Default::default(),
    };
    Node {
        shard,
        ordinal: member.ordinal,
        pod: member.target(),
        ip: member.ip().unwrap_or_default().to_owned(),
        port: REDIS_PORT,
        held: state.held,
        server: state.server,
        ..Node::default()
    }
}
