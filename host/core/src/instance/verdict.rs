use super::{AgentView, ClaimView, Member, NodeState, Observation, Plan, Wanted};
use crate::agent::{AgentStatus, RefusedWrites, ServerState, Space, Volume};

/// Why an instance serves or does not, in the order in which a person would ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Writes are accepted through the client Service.
    Serving,
    /// The storage class of the claim does not exist.
    StorageClassMissing(String),
    /// There is no pod yet.
    NoPod,
    /// The scheduler finds no place.
    Unschedulable(String),
    /// An image cannot be pulled.
    ImagePull(String),
    /// A container cannot start, for another reason of the kubelet.
    ContainerWaiting(String),
    /// The pod is on its way.
    PodStarting,
    /// The pod is being replaced.
    PodReplaced,
    /// The server refused its configuration and does not start.
    ConfigRejected(String),
    /// The server exits again and again.
    ServerCrashing(String),
    /// The server reads its data.
    ServerLoading,
    /// The server starts.
    ServerStarting(String),
    /// The agent was heard and is not any more.
    AgentUnreachable(String),
    /// None of several pods is the primary; what is waited for.
    NoPrimary(String),
}

/// A replica that is not in sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lagging {
    /// Its pod, or its ordinal while there is none.
    pub name: String,
    /// Why, for people.
    pub why: String,
    /// True while this passes by itself: it starts, loads or takes in the data.
    pub passing: bool,
    /// True if its server runs.
    pub running: bool,
    /// True if it led before, and gives its data up for that of the primary.
    pub deposed: bool,
}

/// A pod whose agent is not heard, on a node that is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranded {
    /// The pod.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// True if the node is out of service, so that the pod is replaced without it.
    pub dead: bool,
}

/// A pod whose volume needs somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortOfSpace {
    /// The pod.
    pub pod: String,
    /// What its agent says of it.
    pub volume: Volume,
}

/// What a pass found, for the conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why the instance serves or does not.
    pub cause: Cause,
    /// True when the wanted size is below a claim's.
    pub shrink_refused: bool,
    /// True while a volume is smaller than asked for.
    pub growing: bool,
    /// A claim that somebody deleted: it stays as long as its pod does.
    pub claim_lost_with_pod: Option<String>,
    /// Directives that a server refused, with its words; sorted.
    pub rejected_config: Vec<(String, String)>,
    /// Users that a server refused, with its words; sorted.
    pub rejected_users: Vec<(String, String)>,
    /// Wanted pods beside the primary that are not in sync with it.
    pub not_in_sync: Vec<Lagging>,
    /// Pods that are lost with their nodes, or may be.
    pub stranded: Vec<Stranded>,
    /// Why the primary refuses writes; its pod, and the server's words.
    pub refused_writes: Option<(String, RefusedWrites)>,
    /// Pods whose volumes are full or nearly so, or fail otherwise; by ordinal.
    pub short_of_space: Vec<ShortOfSpace>,
    /// Pods with a snapshot that somebody put on their volume and that is not read.
    pub dumps_not_read: Vec<String>,
    /// Data pods that serve: the primary, and replicas in sync.
    pub ready: usize,
    /// More pods than wanted are there still.
    pub surplus: bool,
    /// True when every wanted change has reached the servers.
    pub settled: bool,
    /// True when nothing happens until somebody changes something: it is settled, or hibernates.
    pub at_rest: bool,
}

/// Judges one pass.
pub fn verdict(wanted: &Wanted, seen: &Observation, plan: &Plan) -> Verdict {
    let statuses = || {
        seen.members
            .iter()
            .filter_map(|member| member.agent.status())
    };
    let claims = || {
        let all = seen
            .members
            .iter()
            .filter_map(|member| member.claim.as_ref());
        all.filter(|claim| !claim.temporary)
    };
    let growing = wanted
        .storage
        .as_ref()
        .is_some_and(|storage| claims().any(|claim| is_growing(storage.bytes, claim)));
    let applied = |status: &AgentStatus| {
        status.config.revision == seen.config.revision
            && status.config.pending_restart.is_empty()
            && status.acl.confirmed
            && status.acl.revision == seen.acl.revision
    };
    let primary = seen.primary();
    let not_in_sync = primary.map_or_else(Vec::new, |primary| not_in_sync(wanted, seen, primary));
    let stay = usize::try_from(wanted.replicas).unwrap_or(usize::MAX);
    let ready = primary.map_or(0, |primary| {
        let in_sync = |member: &&Member| !member.is_leaving() && member.is_in_sync(primary);
        1 + seen.members.iter().filter(in_sync).count()
    });
    let is_quiet = plan.steps.is_empty() && plan.waiting_for.is_none() && !growing;
    let settled = is_quiet
        && statuses().count() == stay
        && statuses().all(applied)
        && not_in_sync.is_empty()
        && primary.is_some();
    let hibernates = wanted.hibernate && seen.members.iter().all(|member| member.pod.is_none());
    Verdict {
        cause: cause(seen, plan),
        shrink_refused: wanted
            .storage
            .as_ref()
            .is_some_and(|storage| claims().any(|claim| storage.bytes < claim.requested)),
        growing,
        claim_lost_with_pod: claims()
            .find(|claim| claim.deleting)
            .map(|claim| claim.name.clone()),
        rejected_config: pairs(statuses().map(|s| &s.config.rejected)),
        rejected_users: pairs(statuses().map(|s| &s.acl.rejected)),
        surplus: seen.members.len() > stay,
        settled,
        at_rest: settled || (is_quiet && hibernates),
        not_in_sync,
        refused_writes: primary.and_then(refused_writes),
        short_of_space: seen.members.iter().filter_map(short_of_space).collect(),
        dumps_not_read: seen.members.iter().filter_map(dump_not_read).collect(),
        stranded: seen.members.iter().filter_map(stranded).collect(),
        ready,
    }
}

fn refused_writes(primary: &Member) -> Option<(String, RefusedWrites)> {
    let refused = primary.agent.status()?.volume.refused_writes.clone()?;
    Some((primary.name().to_owned(), refused))
}

fn short_of_space(member: &Member) -> Option<ShortOfSpace> {
    let volume = &member.agent.status()?.volume;
    let needs_somebody = volume.space != Space::Enough
        || volume.refused_writes.is_some()
        || volume.state_error.is_some();
    needs_somebody.then(|| ShortOfSpace {
        pod: member.name().to_owned(),
        volume: volume.clone(),
    })
}

fn dump_not_read(member: &Member) -> Option<String> {
    let status = member.agent.status()?;
    let found = status.volume.dump_not_read;
    found.then(|| member.name().to_owned())
}

fn stranded(member: &Member) -> Option<Stranded> {
    let pod = member.pod.as_ref().filter(|pod| !pod.finished)?;
    let dead = match pod.node_state {
        NodeState::NotReady => false,
        NodeState::OutOfService => true,
        NodeState::Unknown | NodeState::Hidden | NodeState::Ready => return None,
    };
    member.agent.status().is_none().then(|| Stranded {
        pod: pod.name.clone(),
        node: pod.node.clone().unwrap_or_default(),
        dead,
    })
}

fn not_in_sync(wanted: &Wanted, seen: &Observation, primary: &Member) -> Vec<Lagging> {
    let others = seen
        .members
        .iter()
        .filter(|member| wanted.keeps(member.ordinal));
    others
        .filter(|member| member.is_away(primary))
        .map(|member| Lagging {
            deposed: is_deposed(member, primary),
            ..lagging(member)
        })
        .collect()
}

/// It led an earlier reign and was stopped; what it had not sent is not part of today's data.
fn is_deposed(member: &Member, primary: &Member) -> bool {
    member.agent.status().is_some_and(|status| {
        let memory = &status.memory;
        memory.deposed && memory.reign < primary.reign()
    })
}

fn lagging(member: &Member) -> Lagging {
    let link = member
        .agent
        .status()
        .and_then(|status| status.link.as_ref());
    let running = member.is_running() && !member.is_leaving();
    let (why, passing) = match link {
        Some(link) if running && link.syncing => ("takes in the data".to_owned(), true),
        Some(link) if running && link.up => ("hears nothing from the primary".to_owned(), false),
        Some(_) if running => ("has no link to the primary".to_owned(), false),
        None if running => ("is about to follow the primary".to_owned(), true),
        _ => {
            let cause = member_cause(member);
            (describe(&cause), passes(&cause))
        }
    };
    Lagging {
        name: member.label(),
        why,
        passing,
        running,
        deposed: false,
    }
}

/// Why a replica is not in sync, for people.
pub(super) fn why_not_in_sync(member: &Member) -> String {
    lagging(member).why
}

fn passes(cause: &Cause) -> bool {
    matches!(
        cause,
        Cause::NoPod
            | Cause::PodStarting
            | Cause::PodReplaced
            | Cause::ServerLoading
            | Cause::ServerStarting(_)
    )
}

/// A cause, for people.
fn describe(cause: &Cause) -> String {
    match cause {
        Cause::Serving => "serves by itself".to_owned(),
        Cause::StorageClassMissing(class) => format!("there is no StorageClass {class}"),
        Cause::NoPod => "its pod is being made".to_owned(),
        Cause::PodStarting => "its pod starts".to_owned(),
        Cause::PodReplaced => "its pod is being replaced".to_owned(),
        Cause::ServerLoading => "its server reads its data".to_owned(),
        Cause::NoPrimary(words)
        | Cause::Unschedulable(words)
        | Cause::ImagePull(words)
        | Cause::ContainerWaiting(words)
        | Cause::ConfigRejected(words)
        | Cause::ServerCrashing(words)
        | Cause::ServerStarting(words)
        | Cause::AgentUnreachable(words) => words.clone(),
    }
}

fn pairs<'a>(
    maps: impl Iterator<Item = &'a std::collections::BTreeMap<String, String>>,
) -> Vec<(String, String)> {
    let mut all: Vec<_> = maps
        .flatten()
        .map(|(name, why)| (name.clone(), why.clone()))
        .collect();
    all.sort();
    all.dedup();
    all
}

fn is_growing(bytes: u64, claim: &ClaimView) -> bool {
    claim.requested < bytes
        || claim
            .capacity
            .is_some_and(|capacity| capacity < claim.requested)
}

fn cause(seen: &Observation, plan: &Plan) -> Cause {
    if seen.members.len() > 1 && seen.primary().is_some() {
        return Cause::Serving;
    }
    match seen.members.as_slice() {
        [] => Cause::NoPod,
        [alone] => match member_cause(alone) {
            Cause::ServerStarting(words) => {
                Cause::ServerStarting(plan.waiting_for.clone().unwrap_or(words))
            }
            cause => cause,
        },
        members => match (stuck(members), &plan.waiting_for) {
            (Some(cause), _) => cause,
            (None, Some(words)) => Cause::NoPrimary(words.clone()),
            // Something is done about it, or no pod is there to do it with.
            (None, None) => members
                .iter()
                .map(member_cause)
                .next()
                .unwrap_or(Cause::NoPod),
        },
    }
}

/// No pod has come as far as to be heard: what keeps them from it says more than that nobody leads.
fn stuck(members: &[Member]) -> Option<Cause> {
    if members.iter().any(|member| member.agent.status().is_some()) {
        return None;
    }
    members.iter().map(member_cause).find(|cause| {
        matches!(
            cause,
            Cause::StorageClassMissing(_)
                | Cause::Unschedulable(_)
                | Cause::ImagePull(_)
                | Cause::ContainerWaiting(_)
        )
    })
}

fn member_cause(member: &Member) -> Cause {
    let missing_class = member
        .claim
        .as_ref()
        .filter(|claim| claim.capacity.is_none())
        .and_then(|claim| claim.missing_class.clone());
    if let Some(class) = missing_class {
        return Cause::StorageClassMissing(class);
    }
    let Some(pod) = &member.pod else {
        return Cause::NoPod;
    };
    if let Some(stranded) = stranded(member) {
        return Cause::AgentUnreachable(format!("its node {} is not ready", stranded.node));
    }
    if pod.deleting || pod.finished {
        return Cause::PodReplaced;
    }
    match &member.agent {
        AgentView::Connected(status) => server_cause(status, member.agent.serves()),
        AgentView::Unreachable(why) if pod.waiting.is_none() => {
            Cause::AgentUnreachable(match pod.node_state {
                NodeState::Hidden => format!(
                    "{why}; the operator has no right to read nodes, so it cannot tell whether that \
                     of the pod is lost"
                ),
                _ => why.clone(),
            })
        }
        AgentView::Unreachable(_) | AgentView::Absent => pod_cause(pod),
    }
}

fn pod_cause(pod: &super::PodView) -> Cause {
    if let Some(words) = &pod.unschedulable {
        return Cause::Unschedulable(words.clone());
    }
    match &pod.waiting {
        Some((reason, words)) if reason.contains("Image") || reason == "ErrImagePull" => {
            Cause::ImagePull(format!("{reason}: {words}"))
        }
        Some((reason, _)) if matches!(reason.as_str(), "ContainerCreating" | "PodInitializing") => {
            Cause::PodStarting
        }
        Some((reason, words)) => Cause::ContainerWaiting(format!("{reason}: {words}")),
        None => Cause::PodStarting,
    }
}

fn server_cause(status: &AgentStatus, serves: bool) -> Cause {
    let waiting = || {
        status
            .waiting_for
            .clone()
            .unwrap_or_else(|| "the server starts".to_owned())
    };
    match &status.server {
        ServerState::Running { .. } if serves => Cause::Serving,
        ServerState::Running { .. } | ServerState::Starting => Cause::ServerStarting(waiting()),
        ServerState::Loading { .. } => Cause::ServerLoading,
        ServerState::Stopping => Cause::PodReplaced,
        ServerState::Fenced => Cause::ServerStarting(waiting()),
        ServerState::BackOff { .. } => {
            let words = status
                .last_exit
                .as_ref()
                .map(|e| e.message.clone())
                .unwrap_or_default();
            match status.config.rejected.iter().next() {
                Some((directive, why)) => Cause::ConfigRejected(format!("{directive}: {why}")),
                None => Cause::ServerCrashing(words),
            }
        }
    }
}
