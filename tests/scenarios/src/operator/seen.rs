//! What an operator sees: from what it heard, and from what the API server holds.

use hera_core::agent::{
    self, AclState, AgentStatus, ConfigState, Link, Memory, PROTOCOL, Peer, REDIS_PORT,
    RefusedWrites, ServerState, Space, Volume,
};
use hera_core::instance::{Candidate, candidates, needed, unproven};
use hera_core::shard::{AgentView, ClaimView, Member, PodView, Record};

use std::collections::BTreeSet;

use super::{FIRST_WORD, Known, Operator};
use crate::net::{Members, Order, set};
use crate::pod::{NAMES, Pod, Role, Status};
use crate::world::{Api, Spec};

/// Addresses of pods.
const ADDRESSES: [&str; 16] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.0.4",
    "10.0.0.5",
    "10.0.0.6",
    "10.0.0.7",
    "10.0.0.8",
    "10.0.0.9",
    "10.0.0.10",
    "10.0.0.11",
    "10.0.0.12",
    "10.0.0.13",
    "10.0.0.14",
    "10.0.0.15",
    "10.0.0.16",
];

/// The last that was heard of a pod.
pub struct View {
    pub status: Status,
    heard: u64,
}

/// What of the API server a decision goes by, beside what is written down there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    endpoint: Option<usize>,
    replicas: u16,
    listed: u16,
    terminated: u16,
    fence_after: u64,
    named: Option<usize>,
    spec: Spec,
    persistent: bool,
    pub(super) size: u32,
    deleted: u16,
    pub(super) temporary: u16,
    pub(super) tied: u16,
}

pub fn address(pod: usize) -> String {
    ADDRESSES[pod].to_owned()
}

/// The pod that has this address.
pub fn at(ip: &str) -> Option<usize> {
    ADDRESSES.iter().position(|address| *address == ip)
}

/// The pod of this uid.
pub fn pod_of(uid: &str) -> Option<usize> {
    NAMES.iter().position(|name| *name == uid)
}

impl Operator {
    /// News of a pod.
    pub(crate) fn hears(&mut self, status: Status, now: u64) {
        let heard = self.clock(now);
        let view = &mut self.views[status.pod];
        // One that was overtaken says nothing new.
        if let Some(view) = view {
            if view.status.at > status.at {
                return;
            }
            let known = Status {
                at: status.at,
                ..view.status
            };
            view.heard = heard;
            view.status.at = status.at;
            if known == status && self.is_connected(status.pod) {
                return;
            }
        }
        self.views[status.pod] = Some(View { status, heard });
        self.show(status.pod);
    }

    /// True if each pod was heard since what it has became less, or is gone.
    pub(crate) fn knows_of_losses(&self, pods: &[Pod]) -> bool {
        let heard = |pod: &Pod| {
            let view = self.views[pod.index].as_ref();
            view.is_some_and(|view| view.status.at > pod.lost_at)
        };
        let mut lost = pods.iter().filter(|pod| pod.lost_at > 0);
        lost.all(|pod| pod.gone || heard(pod))
    }

    fn is_connected(&self, pod: usize) -> bool {
        let Some(at) = self.pods.iter().position(|known| *known == pod) else {
            return true;
        };
        matches!(self.seen.members[at].agent, AgentView::Connected(_))
    }

    /// Brings what was heard of a pod into what is seen.
    fn show(&mut self, pod: usize) {
        let Some(at) = self.pods.iter().position(|known| *known == pod) else {
            return;
        };
        let Some(view) = &self.views[pod] else {
            return;
        };
        self.news = true;
        let status = agent_status(&view.status, &self.ordinals);
        self.seen.members[at].agent = AgentView::Connected(Box::new(status));
    }

    /// What a pod said last, also one that is not heard any more.
    pub(super) fn last_status(&self, pod: usize) -> Option<AgentStatus> {
        let view = self.views[pod].as_ref()?;
        Some(agent_status(&view.status, &self.ordinals))
    }

    /// Brings what is seen up to the moment.
    pub(super) fn observe(&mut self, api: &mut Api, pods: &[Pod], now: u64) {
        self.name_a_pod(api);
        let terminated = set(api.listed).filter(|pod| api.terminated & (1 << pod) != 0);
        let print = Fingerprint {
            endpoint: api.endpoint,
            replicas: api.replicas,
            listed: api.listed,
            terminated: terminated.fold(0, |all, pod| all | 1 << pod),
            fence_after: api.fence_after,
            named: api.named,
            spec: api.spec,
            persistent: api.persistent,
            size: api.size,
            deleted: api.deleted,
            temporary: api.temporary,
            tied: api.tied,
        };
        let is_read = self.records == api.records
            && self.seen.candidates == api.candidates
            && self.seen.lists == api.lists
            && self.wanted.pods.approved == api.approved;
        if print != self.api || !is_read {
            self.api = print;
            self.news = true;
            self.read(api, pods, now);
        }
        for at in 0..self.pods.len() {
            let heard = self.views[self.pods[at]].as_ref().map(|view| view.heard);
            let agent = &mut self.seen.members[at].agent;
            if matches!(agent, AgentView::Connected(_))
                && heard.is_none_or(|heard| now >= heard + self.hears_for)
            {
                *agent = AgentView::Unreachable(String::new());
                self.news = true;
            }
        }
    }

    /// What somebody asks for names a pod, and stays until that is the primary.
    fn name_a_pod(&self, api: &mut Api) {
        let primary = self.seen.primary();
        let primary = primary.and_then(|primary| pod_of(primary.uid()));
        if api.named.is_some_and(|pod| api.listed & (1 << pod) == 0) {
            api.named = None;
        }
        if api.named.is_some() && api.named == primary {
            (api.named, api.wish) = (None, false);
        }
        if !api.wish {
            api.named = None;
        } else if api.named.is_none()
            && let Some(primary) = primary
        {
            api.named = set(api.listed).find(|pod| *pod != primary);
        }
    }

    fn read(&mut self, api: &Api, pods: &[Pod], now: u64) {
        if self.listed != api.listed {
            self.listed = api.listed;
            self.pods = set(api.listed).collect();
            for pod in pods {
                self.ordinals[pod.index] = pod.ordinal;
            }
            let ordinals = &self.ordinals;
            self.pods.sort_by_key(|pod| ordinals[*pod]);
            let members = self.pods.iter().map(|pod| member(*pod, ordinals[*pod]));
            self.seen.members = members.collect();
            for at in 0..self.pods.len() {
                let pod = self.pods[at];
                self.listens[pod].get_or_insert(now);
                self.show(pod);
            }
        }
        // What is left of a temporary pod.
        self.seen.members.truncate(self.pods.len());
        let records = api.records.iter().enumerate().filter(|_| api.persistent);
        let claims: Vec<(u32, &Record)> = records.map(|(at, record)| (at as u32, record)).collect();
        let mut alone: BTreeSet<usize> = set(api.temporary).collect();
        alone.extend(
            needed(api.spec.pods, &claims)
                .into_iter()
                .map(|at| at as usize),
        );
        // Not made yet.
        alone.extend((0..api.spec.pods as usize).filter(|_| api.size == 0));
        alone.retain(|ordinal| !self.pods.iter().any(|pod| self.ordinals[*pod] == *ordinal));
        self.seen
            .members
            .extend(alone.into_iter().map(|ordinal| Member {
                ordinal: ordinal as u32,
                ..Member::default()
            }));
        let here: Vec<usize> = self
            .seen
            .members
            .iter()
            .map(|m| m.ordinal as usize)
            .collect();
        let spare = claims
            .iter()
            .filter(|(at, _)| !here.contains(&(*at as usize)));
        self.seen.spare_epoch = spare.map(|(_, record)| record.rank().0).max().unwrap_or(0);
        let recorded = claims.iter().any(|(_, record)| record.rank().0 > 0);
        self.seen.served = !api.candidates.is_empty() || recorded;
        self.records.clone_from(&api.records);
        for member in &mut self.seen.members {
            let of = |ordinals: u16| ordinals & (1 << member.ordinal) != 0;
            member.claim = api.persistent.then(|| ClaimView {
                name: member.ordinal.to_string(),
                requested: 1,
                capacity: Some(1),
                missing_class: None,
                deleting: false,
                temporary: of(api.temporary),
                goes_with_pod: of(api.tied),
                adopted: false,
                record: api.records[member.ordinal as usize].clone(),
            });
        }
        for (pod, member) in self.pods.iter().zip(&mut self.seen.members) {
            if let Some(view) = &mut member.pod {
                view.terminated = self.api.terminated & (1 << pod) != 0;
                view.deleting = self.api.deleted & (1 << pod) != 0;
                view.revision = Some(pods[*pod].revision.to_string());
            }
        }
        self.seen.candidates.clone_from(&api.candidates);
        self.seen.lists.clone_from(&api.lists);
        self.seen.endpoint = api.endpoint.map(address);
        let mut replicas: Vec<String> = set(api.replicas).map(address).collect();
        replicas.sort();
        self.seen.replica_endpoints = replicas;
        self.wanted.pods.count = Some(api.spec.pods);
        self.wanted.pods.revision = api.spec.revision.to_string();
        self.wanted.pods.surge = api.spec.surge;
        self.wanted.pods.approved.clone_from(&api.approved);
        self.wanted.pods.min_replicas_to_write = api.spec.min_replicas;
        self.wanted.fence_after_ms = api.fence_after;
        self.wanted.promote = api.named.map(|pod| NAMES[pod].to_owned());
    }

    /// The pods that may be the primary.
    pub(super) fn claimed(&self) -> u16 {
        bits(&candidates(&self.seen))
    }

    /// Those of them of which nothing proves that they are not.
    pub(crate) fn unproven(&self) -> u16 {
        bits(&unproven(&self.seen))
    }

    /// The last primary may be one that it began to listen to a moment ago.
    pub(super) fn is_too_early(&self, now: u64) -> bool {
        if self.seen.primary().is_some() {
            return false;
        }
        let claimed = self.claimed();
        self.pods.iter().any(|pod| {
            let may_be = claimed == 0 || claimed & (1 << pod) != 0;
            let since = self.listens[*pod].unwrap_or(now);
            may_be && self.views[*pod].is_none() && now < since + FIRST_WORD
        })
    }

    /// Asks all where their copies stand; false if nobody can tell.
    pub(super) fn ask_positions(&mut self, now: u64) -> bool {
        let running = |member: &&Member| member.is_running();
        let asked: Vec<usize> = self
            .seen
            .members
            .iter()
            .filter(running)
            .filter_map(|member| pod_of(member.uid()))
            .collect();
        for pod in &asked {
            self.order(*pod, Order::Position, now);
        }
        !asked.is_empty()
    }

    pub(super) fn awaits_positions(&self, since: u64) -> bool {
        self.asked
            .iter()
            .any(|asked| asked.at == since && asked.done.is_none())
    }

    /// What was not answered is not known.
    pub(super) fn note_positions(&mut self, since: u64) {
        for (pod, member) in self.pods.iter().zip(&mut self.seen.members) {
            let known = self.positions[*pod].filter(|known| known.asked >= since);
            member.position = known.map(|known| position(&known));
        }
    }
}

/// As an agent tells it.
pub fn position(known: &Known) -> agent::Position {
    let position = &known.position;
    agent::Position {
        bytes: 0,
        written_unix_ms: 0,
        token: position.token,
        replication_id: position.branch.to_string(),
        offset: u64::from(position.offset),
        keys: u64::from(position.keys),
    }
}

fn bits(candidates: &[Candidate]) -> u16 {
    let pods = candidates
        .iter()
        .filter_map(|candidate| pod_of(&candidate.uid));
    pods.fold(0, |all, pod| all | 1 << pod)
}

fn member(pod: usize, ordinal: usize) -> Member {
    Member {
        ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
        pod: Some(PodView {
            name: NAMES[pod].to_owned(),
            uid: NAMES[pod].to_owned(),
            ip: Some(address(pod)),
            ..PodView::default()
        }),
        server_name: NAMES[pod].to_owned(),
        ..Member::default()
    }
}

/// As an agent tells it.
fn agent_status(status: &Status, ordinals: &[usize]) -> AgentStatus {
    let server = match (status.running, status.fenced) {
        (true, _) => ServerState::Running {
            pid: 1,
            run_id: String::new(),
        },
        (false, true) => ServerState::Fenced,
        (false, false) if status.loading => ServerState::Loading { pid: 1 },
        (false, false) => ServerState::Starting,
    };
    let link = status.following.map(|(_, whom)| Link {
        host: address(whom),
        port: REDIS_PORT,
        up: status.link_up,
        syncing: false,
        quiet: false,
    });
    AgentStatus {
        protocol: PROTOCOL,
        agent_version: String::new(),
        boot_id: String::new(),
        pod_uid: NAMES[status.pod].to_owned(),
        server,
        role: match (status.running, status.role) {
            (false, _) => agent::Role::Unknown,
            (true, Role::Held) => agent::Role::Held,
            (true, Role::Replica) => agent::Role::Replica,
            (true, Role::Primary) => agent::Role::Primary,
        },
        link,
        memory: Memory {
            unsaved: status.unsaved,
            epoch: status.epoch,
            primary_uid: NAMES[status.primary].to_owned(),
            was_primary: status.was_primary,
            lineage: match status.lineage {
                0 => String::new(),
                object => object.to_string(),
            },
            inherited: status.inherited,
            left: Some(status.left),
            offset: 0,
            promised_epoch: status.promised_epoch,
            quiet_ms: status.quiet,
            deposed: false,
            former: set(status.former)
                .map(|pod| NAMES[pod].to_owned())
                .collect(),
        },
        members: members(status.members, ordinals),
        leaving: status.leaving,
        hangs: status.hangs,
        engine: None,
        version: None,
        term: 0,
        config: ConfigState::default(),
        acl: AclState::default(),
        restarts: 0,
        last_exit: None,
        waiting_for: None,
        led_to: None,
        forked_at: None,
        connections: None,
        script: None,
        login: None,
        recovery: None,
        capture: None,
        cluster: None,
        volume: match status.full {
            true => full(),
            false => Volume::default(),
        },
    }
}

fn full() -> Volume {
    Volume {
        space: Space::Full,
        refused_writes: Some(RefusedWrites::default()),
        state_error: None,
        dump_not_read: false,
    }
}

fn members(held: Members, ordinals: &[usize]) -> agent::Members {
    // In the order in which the operator tells them.
    let mut pods: Vec<usize> = held.iter().collect();
    pods.sort_by_key(|pod| ordinals[*pod]);
    agent::Members {
        pods: pods
            .into_iter()
            .map(|pod| Peer {
                pod_uid: NAMES[pod].to_owned(),
                server_name: NAMES[pod].to_owned(),
                ip: Some(address(pod)),
            })
            .collect(),
        fence_after_ms: held.fence_after,
        revision: held.revision,
    }
}
