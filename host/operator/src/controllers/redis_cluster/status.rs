//! What a pass found of a cluster, as status.

use std::collections::BTreeSet;

use hera_api::conditions::{condition, degraded, progressing, ready};
use hera_api::meta::ANNOTATION_APPROVE;
use hera_api::names::ObjectName;
use hera_api::validate::Validated;
use hera_api::{
    Approval, Kind, Phase, RedisCluster, RedisClusterStatus, ServerVersion, ShardStatus,
};
use hera_core::acl::AclAnswer;
use hera_core::agent::{AgentStatus, REDIS_PORT, Role};
use hera_core::cluster::{Observation, Server};
use hera_kube::merge_conditions;
use hera_policy::{Acl, Rebalance};
use hera_render::pod_selector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use super::converge::ready_pods;
use super::rebalance::{Rebalanced, progress};
use super::roll::{Roll, primary};
use super::site::Site;
use crate::controllers::outcome::PassError;
use crate::controllers::pods::events::{self, Told};
use crate::controllers::pods::password_news::PasswordNews;
use crate::controllers::pods::policy_status::{self, Decided};
use crate::controllers::pods::rollback::Direction;
use crate::controllers::pods::status::{
    Said, Stopped, binding, engine, few_connections, is_given, list, paused, put_right,
    script_runs, shorten, with_notice,
};
use crate::policies::Made;
use crate::shared::Shared;

/// Everything that the status is made from.
pub struct Found<'a> {
    pub object: &'a RedisCluster,
    pub validated: Option<&'a Validated>,
    /// What servers say.
    pub seen: Option<&'a Observation>,
    /// What the cluster lacks to be whole.
    pub lacks: Option<&'a str>,
    /// What healing waits for.
    pub waiting_for: Option<&'a str>,
    /// What agents tell.
    pub agents: Vec<&'a AgentStatus>,
    pub shards: u32,
    pub image: Option<&'a str>,
    /// The spec, or part of it, cannot be carried out: a reason of `Ready` or `Degraded` of the
    /// same name, and words.
    pub refused: Option<(&'static str, String)>,
    /// Something else that needs attention: a reason of `Degraded`, and words.
    pub attention: Option<(&'static str, String)>,
    /// Something that somebody should know, though it needs nobody: a reason of `Degraded`, and words.
    pub notice: Option<(&'static str, String)>,
    /// The set of users has the application user.
    pub app_user: bool,
    /// Why a pod cannot be made, in the words of who should.
    pub no_pod: Option<String>,
    /// Who decides about rights.
    pub policy: Option<&'a Made<AclAnswer>>,
    /// What is to be said of passwords, if the spec can be carried out.
    pub passwords: Option<&'a PasswordNews>,
    /// Why a step was not taken.
    pub failed: Option<&'a str>,
    /// What one node or zone would take with it, for people.
    pub spread: &'a [String],
    /// Why a server is not brought down though somebody asks for it, for people.
    pub not_fenced: Option<&'a str>,
    /// How far a roll is; none if that cannot be told now.
    pub roll: Option<&'a Roll>,
    /// How it stands with slots that move; none if that cannot be told now.
    pub rebalanced: Option<&'a Rebalanced>,
    /// Where the rolls of shards may go.
    pub ways: Vec<&'a Direction>,
    /// All agents hold what they are to hold.
    pub settled: bool,
    /// Somebody asked that there be no pods.
    pub hibernates: bool,
    /// What the API server refuses, for people.
    pub refusals: Vec<String>,
}

impl<'a> Found<'a> {
    /// A cluster of which nothing else is known yet.
    pub fn of(site: &'a Site<'_>) -> Self {
        let agents = site
            .members()
            .filter_map(|(_, member)| member.agent.status());
        let refusals = site.refusals.all();
        Self {
            agents: agents.collect(),
            shards: site.wanted.shards,
            refusals: refusals.iter().map(ToString::to_string).collect(),
            ..Self::unseen(site.object)
        }
    }

    /// A cluster that nobody has looked at.
    pub fn unseen(object: &'a RedisCluster) -> Self {
        Self {
            object,
            validated: None,
            seen: None,
            lacks: None,
            waiting_for: None,
            agents: Vec::new(),
            shards: 0,
            image: None,
            refused: None,
            attention: None,
            notice: None,
            app_user: false,
            no_pod: None,
            policy: None,
            passwords: None,
            failed: None,
            spread: &[],
            not_fenced: None,
            roll: None,
            rebalanced: None,
            ways: Vec::new(),
            settled: false,
            hibernates: false,
            refusals: Vec::new(),
        }
    }

    /// Its pods are gone, as somebody asked for.
    fn is_asleep(&self) -> bool {
        self.hibernates && self.seen.is_some_and(|seen| seen.nodes.is_empty())
    }

    /// The shard that went back from a roll that failed, for people.
    fn gone_back(&self) -> Option<String> {
        let mut ways = self.ways.iter().enumerate();
        let (shard, left) = ways.find_map(|(at, way)| Some((at, way.back()?.1)))?;
        let words = left.words();
        Some(format!(
            "shard {shard}: {words}; no other shard is rolled until then"
        ))
    }

    /// What a condition said when the step of a roll could be told, while it cannot: only if it was about that.
    fn said_of_roll(&self, type_: &str, reasons: &[&'static str]) -> Option<Said> {
        match self.roll {
            Some(_) => None,
            None => self.said_before(type_, reasons),
        }
    }

    /// What moves between shards, as it was when that could be told.
    fn slots_before(&self) -> Option<(&'static str, String)> {
        let status = self.object.status.as_ref();
        let known = status.and_then(|status| status.rebalance.as_ref());
        known
            .filter(|_| self.validated.is_some())
            .and_then(progress)
    }

    /// What a condition said last, for one of these reasons.
    fn said_before(&self, type_: &str, reasons: &[&'static str]) -> Option<Said> {
        self.validated?;
        let status = self.object.status.as_ref()?;
        let last = status.conditions.iter().find(|c| c.type_ == type_)?;
        let reason = reasons.iter().find(|reason| **reason == last.reason)?;
        Some((true, reason, last.message.clone()))
    }

    /// The name of an agent's pod; its uid while that is not known.
    fn pod_of<'s>(&'s self, agent: &'s AgentStatus) -> &'s str {
        let nodes = self.seen.map(|seen| seen.nodes.as_slice());
        let mut nodes = nodes.unwrap_or_default().iter();
        let node = nodes.find(|node| node.pod.uid == agent.pod_uid);
        node.map_or(agent.pod_uid.as_str(), |node| node.pod.name.as_str())
    }

    fn is_formed(&self, last: &RedisClusterStatus) -> bool {
        last.formed || (self.seen.is_some() && self.lacks.is_none())
    }
}

/// The status to write.
pub fn build(found: &Found<'_>, now: Timestamp) -> RedisClusterStatus {
    let last = found.object.status.clone().unwrap_or_default();
    let generation = found.object.metadata.generation;
    let say = |type_: &str, truth: bool, reason: &str, message: String| {
        condition(type_, truth, reason, shorten(&message), generation, now)
    };
    let formed = found.is_formed(&last);
    let (is_ready, reason, message) = is_ready(found, formed);
    let ready = say(ready::TYPE, is_ready, reason, message);
    let (is_progressing, reason, message) = is_progressing(found, is_ready, formed);
    let progressing = say(progressing::TYPE, is_progressing, reason, message);
    let (is_degraded, reason, message) = is_degraded(found, is_ready, formed);
    let degraded = say(degraded::TYPE, is_degraded, reason, message);
    let slots = found.rebalanced.and_then(|done| done.made.as_ref());
    let decided = [
        Decided::of::<Acl>(found.policy),
        Decided::of::<Rebalance>(slots),
    ];
    let policy = policy_status::condition(&decided, &last.policies, &last.conditions, &say);
    let phase = phase(found, is_ready, is_progressing, is_degraded, formed);
    let name = ObjectName::new(Kind::RedisCluster, &found.object.name_any()).ok();
    let conditions: Vec<Condition> = [Some(ready), Some(progressing), Some(degraded), policy]
        .into_iter()
        .flatten()
        .collect();
    let namespace = found.object.namespace().unwrap_or_default();
    let host = |name: &ObjectName| format!("{}:{REDIS_PORT}", name.service_host(&namespace));
    RedisClusterStatus {
        observed_generation: generation,
        phase: Some(phase),
        conditions: merge_conditions(&last.conditions, conditions),
        formed,
        shards: found
            .seen
            .map_or(last.shards, |seen| shards(found.shards, seen)),
        rebalance: match found.rebalanced {
            Some(done) => done.status.clone(),
            None => last.rebalance,
        },
        masters: match found.seen {
            Some(_) => i32::try_from(found.shards).ok(),
            None => last.masters,
        },
        ready_replicas: found.seen.map(|seen| count(ready_pods(seen))),
        approval: approval(found, last.approval.as_ref(), now),
        selector: name.as_ref().map(pod_selector),
        endpoint: name.as_ref().map(host),
        binding: name
            .as_ref()
            .map(|name| binding(&found.object.spec.common.auth, name)),
        image: found.image.map(str::to_owned).or(last.image),
        engine: found
            .agents
            .iter()
            .find_map(|agent| engine(agent.engine.as_deref()?))
            .or(last.engine),
        version: oldest(&found.agents).or(last.version),
        policies: policy_status::policies(&decided, &last.policies, now),
    }
}

/// What waits for an approval, and since when. While the step cannot be told it is kept: how long it waits
/// counts.
fn approval(found: &Found<'_>, known: Option<&Approval>, now: Timestamp) -> Option<Approval> {
    let Some(roll) = found.roll else {
        let given = found.object.annotations().get(ANNOTATION_APPROVE);
        return known.filter(|known| !is_given(known, given)).cloned();
    };
    let digest = roll.to_approve.clone()?;
    let before = known.filter(|known| known.digest == digest);
    Some(Approval {
        since: before.map_or(Time(now), |known| known.since.clone()),
        digest,
        copies: Vec::new(),
    })
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The oldest version that a server says it is: what it cannot read, no other may write.
fn oldest(agents: &[&AgentStatus]) -> Option<String> {
    let versions = agents.iter().filter_map(|agent| agent.version.clone());
    versions.min_by_key(|text| {
        text.parse::<ServerVersion>()
            .ok()
            .map(ServerVersion::sort_key)
    })
}

fn shards(wanted: u32, seen: &Observation) -> Vec<ShardStatus> {
    (0..wanted)
        .map(|shard| {
            let leads = primary(seen, shard);
            let nodes = || seen.nodes.iter().filter(|node| node.shard == shard);
            let owner = nodes().find(|node| Some(&node.pod) == leads);
            let owner = owner.and_then(|node| node.server.as_ref());
            let in_sync = |server: &Server| {
                let of = owner.map(|owner| owner.id.as_str());
                server.link_up && server.replica_of().is_some() && server.replica_of() == of
            };
            let replicas = nodes().filter(|node| node.server.as_ref().is_some_and(in_sync));
            ShardStatus {
                id: i32::try_from(shard).unwrap_or(i32::MAX),
                primary: leads.map(|pod| pod.name.clone()),
                replicas: replicas.map(|node| node.pod.name.clone()).collect(),
                slots: owner
                    .map(|owner| owner.slots().to_string())
                    .unwrap_or_default(),
            }
        })
        .collect()
}

fn is_ready(found: &Found<'_>, formed: bool) -> Said {
    let no = |reason: &'static str, words: &str| (false, reason, words.to_owned());
    if found.is_asleep() {
        return no(
            ready::HIBERNATED,
            "there are no pods, and the data stays: kubectl hera resume brings them back",
        );
    }
    if found.seen.is_none_or(|seen| seen.nodes.is_empty()) {
        return match &found.refused {
            Some((reason, words)) => (false, reason, words.clone()),
            None => no(
                ready::CREATING,
                found.no_pod.as_deref().unwrap_or("nothing is made yet"),
            ),
        };
    }
    let lacks = found.lacks.map(|lacks| match found.waiting_for {
        Some(words) if words != lacks => format!("{lacks}; {words}"),
        _ => lacks.to_owned(),
    });
    let busy = |agent: &&AgentStatus| {
        let script = agent.script.filter(|_| agent.role == Role::Primary)?;
        Some(script_runs(found.pod_of(agent), script, None))
    };
    // Where another took over by vote, nothing lacks for it.
    if formed
        && lacks.is_some()
        && let Some(words) = found.agents.iter().find_map(busy)
    {
        return (false, ready::SCRIPT_RUNNING, words);
    }
    match lacks {
        Some(lacks) if !formed => {
            let why = found.no_pod.as_ref().unwrap_or(&lacks);
            no(ready::CREATING, why)
        }
        Some(lacks) => no(ready::NOT_WHOLE, &lacks),
        None if !found.app_user => no(
            ready::WAITING_FOR_USERS,
            "the application user is not in force yet",
        ),
        None => (true, ready::SERVING, serving(found)),
    }
}

/// That it serves, and what somebody may not expect of it.
fn serving(found: &Found<'_>) -> String {
    let common = &found.object.spec.common;
    let volatile = (!common.persistence.enabled)
        .then(|| "data is in memory alone: persistence.enabled is false".to_owned());
    let single = (found.object.spec.replicas_per_master == 0)
        .then(|| "replicasPerMaster is 0: while a pod is away its slots are not served".to_owned());
    let said = ["all slots are served".to_owned()].into_iter();
    let said = said.chain(volatile).chain(single);
    let said = said.chain(found.spread.iter().cloned());
    said.collect::<Vec<_>>().join("; ")
}

fn is_progressing(found: &Found<'_>, is_ready: bool, formed: bool) -> Said {
    let said = |truth, reason, words: &str| (truth, reason, words.to_owned());
    if found.is_asleep() {
        return said(false, progressing::SETTLED, "");
    }
    if found.validated.is_some_and(|v| v.paused) {
        let settled = found.passwords.map(|news| news.settled.as_str());
        return (false, progressing::PAUSED, paused(settled));
    }
    if found.refused.is_some() || !found.refusals.is_empty() {
        let words = "the condition Degraded says why";
        return said(false, progressing::BLOCKED, words);
    }
    if let Some(words) = found.failed {
        return said(true, progressing::ROLLING_OUT, words);
    }
    let of_roll = [progressing::ROLLING_OUT, progressing::WAITING_FOR_APPROVAL];
    if let Some(said) = found.said_of_roll(progressing::TYPE, &of_roll) {
        return said;
    }
    if let Some(roll) = found.roll
        && let Some(words) = &roll.words
    {
        let reason = match roll.to_approve {
            Some(_) => progressing::WAITING_FOR_APPROVAL,
            None => progressing::ROLLING_OUT,
        };
        return said(true, reason, words);
    }
    if let Some(words) = found.roll.and_then(|roll| roll.leaving.as_ref()) {
        return said(true, progressing::SCALING, words);
    }
    let of_slots = match found.rebalanced {
        Some(done) => done.status.as_ref().and_then(progress),
        None => found.slots_before(),
    };
    if let Some((reason, words)) = of_slots {
        return (true, reason, words);
    }
    let under_way = found.passwords.and_then(|news| news.under_way.as_ref());
    if let Some((reason, words)) = under_way.filter(|_| formed) {
        return (true, reason, words.clone());
    }
    if is_ready && found.settled && found.gone_back().is_some() {
        let words = "the condition Degraded says why";
        return said(false, progressing::BLOCKED, words);
    }
    match (is_ready, formed) {
        (true, _) if found.settled => {
            let words = found.passwords.map(|news| news.settled.as_str());
            said(false, progressing::SETTLED, words.unwrap_or_default())
        }
        (true, _) => said(true, progressing::CONFIG_APPLYING, ""),
        (false, false) => said(true, progressing::CREATING, ""),
        (false, true) => said(true, progressing::RECOVERING, ""),
    }
}

fn is_degraded(found: &Found<'_>, is_ready: bool, formed: bool) -> Said {
    if let Some((reason, words)) = &found.refused {
        return (true, reason, words.clone());
    }
    if let Some(words) = found.refusals.first() {
        return (true, degraded::APPLY_FAILED, words.clone());
    }
    let rejected = |agent: &&&AgentStatus| !agent.config.rejected.is_empty();
    if let Some(agent) = found.agents.iter().find(rejected) {
        let words = list(&agent.config.rejected);
        return (true, degraded::CONFIG_REJECTED, words);
    }
    let rejected = |agent: &&&AgentStatus| !agent.acl.rejected.is_empty();
    if let Some(agent) = found.agents.iter().find(rejected) {
        let words = list(&agent.acl.rejected);
        return (true, degraded::USER_REJECTED, words);
    }
    if let Some((reason, words)) = &found.attention {
        return (true, reason, words.clone());
    }
    if let Some(roll) = found.roll
        && let Some(stall) = &roll.stalled
    {
        let mut barred = found.ways.iter().filter_map(|way| way.barred());
        let stopped = Stopped {
            stall,
            no_pod: found.no_pod.as_deref(),
            to_approve: roll.to_approve.is_some(),
            barred: barred.next(),
        };
        return (true, degraded::ROLL_STOPPED, stopped.to_string());
    }
    if let Some(said) = found.said_of_roll(degraded::TYPE, &[degraded::ROLL_STOPPED]) {
        return said;
    }
    if let Some(words) = found.gone_back() {
        return (true, degraded::ROLLED_BACK, words);
    }
    let refused = found.roll.and_then(|roll| roll.refused.as_deref());
    let of_slots = found.rebalanced.and_then(|done| done.refused.as_deref());
    if let Some(words) = found.not_fenced.or(refused).or(of_slots) {
        return (true, degraded::REQUEST_REFUSED, words.to_owned());
    }
    if let Some((reason, words)) = found.rebalanced.and_then(|done| done.attention.as_ref()) {
        return (true, reason, words.clone());
    }
    let of_slots = [
        degraded::MEMORY_TOO_SMALL,
        degraded::SLOT_MOVES_FAIL,
        degraded::KEYS_TOO_LARGE,
    ];
    if found.rebalanced.is_none()
        && let Some(said) = found.said_before(degraded::TYPE, &of_slots)
    {
        return said;
    }
    let few = |agent: &&AgentStatus| {
        let connections = agent.connections.as_ref()?;
        Some(few_connections(found.pod_of(agent), connections))
    };
    if let Some(words) = found.agents.iter().find_map(few) {
        return (true, degraded::CONNECTIONS_NEAR_LIMIT, words);
    }
    let agents = found.agents.iter();
    let altered: BTreeSet<&String> = agents.flat_map(|agent| &agent.acl.put_right).collect();
    if !altered.is_empty() {
        return (true, degraded::USERS_PUT_RIGHT, put_right(altered));
    }
    match is_ready || !formed || found.is_asleep() {
        true => {
            let as_expected = (false, degraded::AS_EXPECTED, String::new());
            with_notice(as_expected, found.notice.as_ref())
        }
        false => {
            let words = "the condition Ready says why";
            (true, degraded::NOT_SERVING, words.to_owned())
        }
    }
}

fn phase(
    found: &Found<'_>,
    is_ready: bool,
    is_progressing: bool,
    is_degraded: bool,
    formed: bool,
) -> Phase {
    if found.object.metadata.deletion_timestamp.is_some() {
        return Phase::Deleting;
    }
    match (is_ready, formed) {
        (false, _) if found.is_asleep() => Phase::Hibernated,
        (true, _) if found.validated.is_some_and(|v| v.paused) => Phase::Paused,
        (true, _) if is_degraded => Phase::Degraded,
        (true, _) if is_progressing => Phase::Updating,
        (true, _) => Phase::Ready,
        (false, true) => Phase::Unavailable,
        (false, false) if found.refused.is_some() => Phase::Blocked,
        (false, false) => Phase::Creating,
    }
}

/// Writes the status if it changed, and tells people of what did.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(site: &Site<'_>, wanted: &RedisClusterStatus) -> Result<(), PassError> {
    write_of(site.object, site.shared, wanted).await
}

/// The same, of an object alone.
///
/// # Errors
/// When the API server does not take it.
pub async fn write_of(
    object: &RedisCluster,
    shared: &Shared,
    wanted: &RedisClusterStatus,
) -> Result<(), PassError> {
    if shared.cluster_status.write(object, wanted).await? {
        let last = object.status.as_ref().map(told).unwrap_or_default();
        let about = object.object_ref(&());
        events::publish_changes(shared, &about, last, told(wanted)).await;
    }
    Ok(())
}

fn told(status: &RedisClusterStatus) -> Told<'_> {
    Told {
        conditions: &status.conditions,
        policies: &status.policies,
    }
}
