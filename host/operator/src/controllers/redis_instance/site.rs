//! An instance as it was found, before anybody looks at its spec.

use std::collections::BTreeSet;

use hera_api::RedisInstance;
use hera_api::meta::{
    ANNOTATION_APPROVE, ANNOTATION_FENCE, ANNOTATION_HIBERNATE, ANNOTATION_PROMOTE,
};
use hera_api::validate::fence_after_ms;
use hera_core::agent::Position;
use hera_core::instance::{
    AgentView, Member, Observation, POSITIONS_GOOD_FOR_MS, RevisionView, Wanted, claims,
};
use hera_render::Owner;
use kube::ResourceExt as _;

use super::observe::{self, Live};
use super::written;
use crate::groups::boot_millis;
use crate::shared::{InstanceRef, Shared};

/// An instance as it was found.
pub struct Site<'a> {
    pub object: &'a RedisInstance,
    pub shared: &'a Shared,
    pub owner: Owner<'a>,
    pub live: &'a Live,
    pub members: Vec<Member>,
    pub term: u64,
}

/// The data pods: as many as the spec wants, and those that are there beyond.
pub fn members(shared: &Shared, owner: &Owner<'_>, wanted: u32, live: &Live) -> Vec<Member> {
    let ordinals: BTreeSet<u32> = (0..wanted).chain(live.pods.keys().copied()).collect();
    ordinals
        .into_iter()
        .map(|ordinal| {
            let pod = live.pods.get(&ordinal).map(observe::pod_view);
            let claim = live.claims.get(&ordinal);
            let agent = pod
                .as_ref()
                .map_or(AgentView::Absent, |pod| shared.agents.view(&pod.uid));
            Member {
                ordinal,
                claim: claim.and_then(|claim| observe::claim_view(claim, live)),
                agent,
                pod,
                position: None,
                server_name: server_name(owner, ordinal),
            }
        })
        .collect()
}

/// The name in the certificate of a pod's agent.
pub fn server_name(owner: &Owner<'_>, ordinal: u32) -> String {
    format!(
        "{}.{}.{}.svc",
        owner.name.pod(ordinal),
        owner.name.headless_service(),
        owner.namespace
    )
}

impl Site<'_> {
    /// Names the instance.
    pub fn instance(&self) -> InstanceRef {
        InstanceRef::new(self.owner.name.as_str()).within(self.owner.namespace)
    }

    /// True while the last primary may be one of those that this operator began to listen to a moment
    /// ago and has not heard yet.
    pub fn is_too_early(&self) -> bool {
        if self.primary().is_some() {
            return false;
        }
        let was_ready = self
            .object
            .status
            .iter()
            .any(|s| s.ready_replicas > Some(0));
        let seen = Observation {
            members: self.members.clone(),
            claims: written::claims(self.live),
            ..Observation::default()
        };
        let claims = claims(&seen);
        self.members.iter().any(|member| {
            let may_be = claims.is_empty() || claims.iter().any(|claim| claim.uid == member.uid());
            (was_ready || self.members.len() > 1)
                && may_be
                && self.shared.agents.is_too_early(member.uid())
        })
    }

    /// The member that serves as the primary.
    pub fn primary(&self) -> Option<&Member> {
        let serving = self.members.iter().filter(|member| member.agent.serves());
        serving.max_by_key(|member| member.reign())
    }

    /// A member whose server can be asked: the primary, or any that runs.
    pub fn running(&self) -> Option<&Member> {
        let mut members = self.members.iter();
        self.primary()
            .or_else(|| members.find(|member| member.is_running()))
    }

    /// What is seen, with the revisions that are to be in force; 0 where none is known.
    pub async fn seen(&self, config: u64, acl: u64) -> Observation {
        let mut seen = Observation {
            members: self.members.clone(),
            endpoint: observe::endpoint(self.live),
            replica_endpoints: observe::replica_endpoints(self.live),
            claims: written::claims(self.live),
            lists: written::lists(self.live),
            config: RevisionView { revision: config },
            acl: RevisionView { revision: acl },
            ..Observation::default()
        };
        let fence_after = fence_after_ms(&self.object.spec);
        let groups = &self.shared.groups;
        seen.remembered = groups.remember(&self.instance(), self.term, &seen, fence_after);
        if seen.primary().is_none() && seen.members.len() > 1 {
            let since = boot_millis();
            let asked = seen.members.iter().map(|member| self.position(member));
            let mut positions = futures::future::join_all(asked).await;
            if boot_millis().saturating_sub(since) > POSITIONS_GOOD_FOR_MS {
                // This process was stopped; the next pass asks again.
                positions.fill(None);
            }
            for (member, position) in seen.members.iter_mut().zip(positions) {
                member.position = position;
            }
        }
        seen
    }

    /// Where a copy stands; none if its server does not run or answer.
    async fn position(&self, member: &Member) -> Option<Position> {
        if !member.is_running() {
            return None;
        }
        let client = self.shared.agents.client(member.uid())?;
        client.position().await.ok()
    }

    /// What is asked for by annotation, whatever becomes of the spec; no change of it reaches a pod.
    pub fn requests(&self) -> Wanted {
        let annotation = |name: &str| self.object.annotations().get(name).cloned();
        let fenced = annotation(ANNOTATION_FENCE).unwrap_or_default();
        let fenced = match fenced.trim() {
            "*" => self
                .members
                .iter()
                .map(|member| member.name().to_owned())
                .collect(),
            names => names
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
        };
        Wanted {
            pod_revision: String::new(),
            storage: None,
            paused: true,
            replicas: 0,
            fence_after_ms: fence_after_ms(&self.object.spec),
            promote: annotation(ANNOTATION_PROMOTE),
            fenced,
            supervised: false,
            approved: annotation(ANNOTATION_APPROVE),
            hibernate: annotation(ANNOTATION_HIBERNATE).as_deref() == Some("true"),
        }
    }
}
