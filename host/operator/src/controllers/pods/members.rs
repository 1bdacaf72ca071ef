//! The data pods of a shard as decisions see them, and who listens to their agents.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hera_core::shard::{AgentView, Member, PodView};
use hera_render::Owner;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::observe::{self, SetLive};
use crate::agents::{AgentClient, Target};
use crate::authority::Authority;
use crate::controllers::outcome::PassError;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// The pods of one StatefulSet: of a shard, or of an object that has none.
#[derive(Clone, Copy)]
pub struct Pods<'a> {
    pub shared: &'a Shared,
    pub owner: Owner<'a>,
    pub shard: Option<u32>,
    pub live: &'a SetLive,
}

impl Pods<'_> {
    /// Those of the first `wanted` ordinals, those that are there, and those of the ordinals `beyond`. Where a
    /// pod object was deleted by force and its agent is heard, that is the pod until it is silent. `known` are
    /// the uids of all pods of the object that are there.
    pub fn members(&self, wanted: u32, beyond: &[u32], known: &[&str]) -> Vec<Member> {
        let leftover = self.leftover(known);
        let there = self.live.pods.keys().chain(leftover.keys());
        let beyond = there.chain(beyond);
        let ordinals: BTreeSet<u32> = (0..wanted).chain(beyond.copied()).collect();
        ordinals
            .into_iter()
            .map(|ordinal| {
                let live_pod = || self.live.pods.get(&ordinal).map(observe::pod_view);
                let pod = leftover.get(&ordinal).cloned().or_else(live_pod);
                let claim = self.live.claims.get(&ordinal);
                let agent = pod
                    .as_ref()
                    .map_or(AgentView::Absent, |pod| self.shared.agents.view(&pod.uid));
                Member {
                    ordinal,
                    claim: claim.and_then(|claim| observe::claim_view(claim, self.live)),
                    agent,
                    pod,
                    position: None,
                    server_name: server_name(&self.owner, self.shard, ordinal),
                }
            })
            .collect()
    }

    /// Pods that are gone for the API server, and heard.
    fn leftover(&self, known: &[&str]) -> BTreeMap<u32, PodView> {
        let key = ObjectKey::of_owner(&self.owner);
        let set = self.owner.name.pods(self.shard).stateful_set();
        let heard = self.shared.agents.heard_beside(&key, known).into_iter();
        let pods = heard.filter_map(|target| {
            let name = target.server_name.split('.').next()?.to_owned();
            let (of, ordinal) = name.rsplit_once('-')?;
            let ordinal = ordinal.parse().ok().filter(|_| of == set)?;
            let pod = PodView {
                name,
                uid: target.pod_uid,
                ip: Some(target.ip.to_string()),
                deleting: true,
                ..PodView::default()
            };
            Some((ordinal, pod))
        });
        pods.collect()
    }

    /// Listens to the agents of the pods that can be listened to.
    ///
    /// # Errors
    /// When no certificate can be made for it.
    pub fn listen(&self, authority: &Authority) -> Result<(), PassError> {
        let shared = self.shared;
        for (ordinal, pod) in &self.live.pods {
            let pod = observe::pod_view(pod);
            let Some(ip) = pod.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) else {
                continue;
            };
            let target = Target {
                instance: ObjectKey::of_owner(&self.owner),
                pod_uid: pod.uid,
                ip,
                server_name: server_name(&self.owner, self.shard, *ordinal),
            };
            if !shared.agents.knows(&target) {
                let identity = shared.identities.of(authority.certificate(), || {
                    Ok::<_, PassError>(authority.sign_operator()?)
                })?;
                let client = AgentClient::new(ip, &target.server_name, &identity)?;
                shared.agents.listen(target, client);
            }
        }
        Ok(())
    }
}

/// The name in the certificate of a pod's agent.
pub fn server_name(owner: &Owner<'_>, shard: Option<u32>, ordinal: u32) -> String {
    format!(
        "{}.{}.{}.svc",
        owner.name.pods(shard).pod(ordinal),
        owner.name.headless_service(),
        owner.namespace
    )
}

/// The uids of pods.
pub fn uids<'a>(sets: impl IntoIterator<Item = &'a SetLive>) -> Vec<String> {
    let pods = sets.into_iter().flat_map(|live| live.pods.values());
    pods.filter_map(Pod::uid).collect()
}
