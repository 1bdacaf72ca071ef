//! What a pass found, as status.

use hera_api::conditions::{condition, degraded, policy_healthy, progressing, ready};
use hera_api::meta::ANNOTATION_APPROVE;
use hera_api::names::InstanceName;
use hera_api::validate::{Maxmemory, Validated};
use hera_api::{
    Approval, Engine, Phase, PolicyStatus, RedisInstance, RedisInstanceStatus, ShadowStatus,
};
use hera_core::acl::AclAnswer;
use hera_core::agent::AgentStatus;
use hera_core::instance::{Cause, Plan, Stall, Step, Stranded, Verdict};
use hera_kube::merge_conditions;
use hera_policy::{Acl, Decision as _};
use hera_render::pod_selector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::nodes::OUT_OF_SERVICE;
use super::way_back::Way;
use crate::policies::Made;

/// Messages of conditions are for people and stay short.
const MESSAGE_CHARS: usize = 1000;

/// Everything that the status is made from.
pub struct Found<'a> {
    pub object: &'a RedisInstance,
    pub validated: Option<&'a Validated>,
    pub verdict: Option<&'a Verdict>,
    pub agent: Option<&'a AgentStatus>,
    /// The pod that is the primary.
    pub primary: Option<&'a str>,
    /// How many data pods there are.
    pub pods: usize,
    /// Somebody asked that there be no pods.
    pub hibernates: bool,
    /// What is done, if the spec can be carried out.
    pub plan: Option<&'a Plan>,
    pub image: Option<&'a str>,
    /// The spec, or part of it, cannot be carried out: a reason of `Ready` or `Degraded` of the
    /// same name, and words.
    pub refused: Option<(&'static str, String)>,
    /// Something else that needs attention: a reason of `Degraded`, and words.
    pub attention: Option<(&'static str, String)>,
    /// The set of users has the application user.
    pub app_user: bool,
    /// Its name.
    pub app_name: &'a str,
    /// Why the pod cannot be made, in the words of who should.
    pub no_pod: Option<String>,
    /// To what the pods are taken, if the spec can be carried out.
    pub way: Option<&'a Way>,
    /// Who decides about rights.
    pub policy: Option<&'a Made<AclAnswer>>,
}

impl<'a> Found<'a> {
    /// Nothing but an object that cannot be carried out.
    pub fn of(object: &'a RedisInstance, reason: &'static str, words: String) -> Self {
        Self {
            object,
            validated: None,
            verdict: None,
            agent: None,
            primary: None,
            pods: 0,
            hibernates: false,
            plan: None,
            image: None,
            refused: Some((reason, words)),
            attention: None,
            app_user: false,
            app_name: "",
            no_pod: None,
            way: None,
            policy: None,
        }
    }

    /// The server took the application user.
    fn lets_app_in(&self) -> bool {
        let refused = |agent: &AgentStatus| {
            self.validated.is_some() && agent.acl.rejected.contains_key(self.app_name)
        };
        self.app_user && !self.agent.is_some_and(refused)
    }
}

/// The status to write.
pub fn build(found: &Found<'_>, now: Timestamp) -> RedisInstanceStatus {
    let last = found.object.status.clone().unwrap_or_default();
    let generation = found.object.metadata.generation;
    let say = |type_: &str, truth: bool, reason: &str, message: String| {
        let message = message.chars().take(MESSAGE_CHARS).collect::<String>();
        condition(type_, truth, reason, message, generation, now)
    };
    let (is_ready, reason, message) = readiness(found);
    let ready = say(ready::TYPE, is_ready, reason, message);
    let (is_progressing, reason, message) = progress(found, is_ready);
    let progressing = say(progressing::TYPE, is_progressing, reason, message);
    let (is_degraded, reason, message) = degradation(found, is_ready, &last);
    let degraded = say(degraded::TYPE, is_degraded, reason, message);
    let policy = policy_condition(found, &last, &say);
    let phase = phase(found, &ready, is_progressing, is_degraded, &last);
    let conditions: Vec<Condition> = [Some(ready), Some(progressing), Some(degraded), policy]
        .into_iter()
        .flatten()
        .collect();
    RedisInstanceStatus {
        observed_generation: generation,
        phase: Some(phase),
        conditions: merge_conditions(&last.conditions, conditions),
        primary: found.primary.filter(|_| is_ready).map(str::to_owned),
        ready_replicas: Some(match found.verdict {
            Some(verdict) if is_ready => i32::try_from(verdict.ready).unwrap_or(i32::MAX),
            _ => 0,
        }),
        replicas: i32::try_from(found.pods).ok(),
        approval: approval(found, &last, now),
        selector: InstanceName::new(&found.object.name_any())
            .ok()
            .map(|name| pod_selector(&name)),
        image: found
            .image
            .map(str::to_owned)
            .or_else(|| last.image.clone()),
        engine: found
            .agent
            .and_then(|a| engine(a.engine.as_deref()?))
            .or(last.engine),
        version: found
            .agent
            .and_then(|agent| agent.version.clone())
            .or_else(|| last.version.clone()),
        policies: policies(found, &last, now),
    }
}

/// Reason and words for a handover that did not succeed. Nothing in them changes while it is tried again.
pub fn handover_failed() -> (&'static str, String) {
    let words = "the primary did not hand over in time and serves on: the replica that is to take over does \
                 not keep up with it. It is tried again; kubectl hera status shows how far it is behind";
    (degraded::HANDOVER_FAILED, words.to_owned())
}

/// What waits for an approval. While a roll is under way it is kept, also if its step cannot be told
/// for a moment: how long it waits counts.
fn approval(found: &Found<'_>, last: &RedisInstanceStatus, now: Timestamp) -> Option<Approval> {
    let known = last.approval.as_ref();
    match found.plan.and_then(|plan| plan.to_approve.as_ref()) {
        Some(digest) => Some(
            known
                .filter(|known| known.digest == *digest)
                .cloned()
                .unwrap_or_else(|| Approval {
                    digest: digest.clone(),
                    since: Time(now),
                }),
        ),
        None => {
            let given = found.object.annotations().get(ANNOTATION_APPROVE);
            let over = found.verdict.is_some_and(|verdict| verdict.settled);
            known
                .filter(|known| !over && given != Some(&known.digest))
                .cloned()
        }
    }
}

/// The engine of this name.
pub fn engine(text: &str) -> Option<Engine> {
    [Engine::Redis, Engine::Valkey]
        .into_iter()
        .find(|engine| engine.as_str() == text)
}

fn readiness(found: &Found<'_>) -> (bool, &'static str, String) {
    let no = |reason: &'static str, words: &str| (false, reason, words.to_owned());
    let Some(verdict) = found.verdict else {
        let (reason, words) = found
            .refused
            .clone()
            .unwrap_or((ready::CREATING, "nothing is made yet".to_owned()));
        return (false, reason, words);
    };
    if found.hibernates && found.pods == 0 {
        return no(
            ready::HIBERNATED,
            "there are no pods, and the data stays: kubectl hera resume brings them back",
        );
    }
    match &verdict.cause {
        Cause::NoPod if found.validated.is_none() => {
            let refused = found.refused.clone();
            let (reason, words) = refused.unwrap_or((ready::CREATING, String::new()));
            (false, reason, words)
        }
        Cause::Serving if !found.lets_app_in() => {
            let why = found.attention.as_ref().map(|(_, words)| words.as_str());
            if let Some((degraded::SECRET_MISSING, words)) = &found.attention {
                return no(ready::SECRET_MISSING, words);
            }
            no(
                ready::WAITING_FOR_USERS,
                why.unwrap_or("the application user is not in force yet"),
            )
        }
        Cause::Serving => (true, ready::SERVING, "writes are accepted".to_owned()),
        Cause::StorageClassMissing(class) => no(
            ready::STORAGE_CLASS_MISSING,
            &format!(
                "there is no StorageClass {class}: create it, or delete the object and name another"
            ),
        ),
        Cause::NoPod if found.validated.is_some_and(|v| v.paused) => {
            no(ready::PAUSED, "spec.paused is set: nothing is made")
        }
        Cause::NoPod => match &found.no_pod {
            Some(words) => no(ready::CREATING, words),
            None => no(ready::CREATING, "the pod is being made"),
        },
        Cause::NoPrimary(words) => no(ready::NO_PRIMARY, words),
        Cause::Unschedulable(words) => no(ready::UNSCHEDULABLE, words),
        Cause::ImagePull(words) => no(ready::IMAGE_PULL_FAILED, words),
        Cause::ContainerWaiting(words) => no(ready::WAITING_FOR_POD, words),
        Cause::PodStarting => no(ready::WAITING_FOR_POD, "the pod starts"),
        Cause::PodReplaced => no(ready::SERVER_STOPPING, "the pod is being replaced"),
        Cause::ConfigRejected(words) => no(
            ready::SERVER_CRASHING,
            &format!("the server refuses its configuration: {words}"),
        ),
        Cause::ServerCrashing(words) => no(
            ready::SERVER_CRASHING,
            &format!("the server stopped and is started again: {words}"),
        ),
        Cause::ServerLoading => no(ready::SERVER_LOADING, "the server reads its data"),
        Cause::ServerStarting(words) => no(ready::SERVER_STARTING, words),
        Cause::AgentUnreachable(words) => no(
            ready::AGENT_UNREACHABLE,
            &format!("the agent does not answer: {words}"),
        ),
    }
}

fn progress(found: &Found<'_>, is_ready: bool) -> (bool, &'static str, String) {
    let quiet = String::new;
    // Who leads is decided whatever becomes of the spec.
    if (found.validated.is_some_and(|v| v.paused) || found.refused.is_some())
        && let Some(plan) = found.plan.filter(|plan| plan.to_approve.is_some())
    {
        let words = plan.waiting_for.clone().unwrap_or_default();
        return (true, progressing::WAITING_FOR_APPROVAL, words);
    }
    if found.validated.is_some_and(|v| v.paused) {
        return (
            false,
            progressing::PAUSED,
            "spec.paused is set: changes wait".to_owned(),
        );
    }
    let Some(verdict) = found.verdict else {
        return (false, progressing::BLOCKED, quiet());
    };
    if found.hibernates && found.pods == 0 {
        return (false, progressing::SETTLED, quiet());
    }
    if found.refused.is_some() {
        return (
            false,
            progressing::BLOCKED,
            "the condition Degraded says why".to_owned(),
        );
    }
    if verdict.growing {
        return (
            true,
            progressing::VOLUME_GROWING,
            "the volume grows".to_owned(),
        );
    }
    if let Some(change) = found
        .plan
        .and_then(|plan| change(plan, verdict, found.pods))
    {
        return change;
    }
    if let Some(Way::Back { .. }) = found.way {
        let words = "the condition Degraded says why";
        return (false, progressing::BLOCKED, words.to_owned());
    }
    let first = found
        .object
        .status
        .as_ref()
        .is_none_or(|status| status.version.is_none());
    match &verdict.cause {
        Cause::Serving if verdict.settled || !verdict.rejected_config.is_empty() => {
            (false, progressing::SETTLED, quiet())
        }
        Cause::Serving => (true, progressing::CONFIG_APPLYING, quiet()),
        Cause::PodReplaced => (true, progressing::ROLLING_OUT, quiet()),
        _ if first => (true, progressing::CREATING, quiet()),
        _ if is_ready => (false, progressing::SETTLED, quiet()),
        _ => (true, progressing::RECOVERING, quiet()),
    }
}

/// What is done to a group of pods, if anything is.
fn change(plan: &Plan, verdict: &Verdict, pods: usize) -> Option<(bool, &'static str, String)> {
    let (mut promotes, mut hands_over, mut replaces) = (None, None, None);
    for planned in &plan.steps {
        match &planned.step {
            Step::Promote { .. } => promotes = Some(&planned.reason),
            Step::HandOver { .. } => hands_over = Some(&planned.reason),
            Step::DeletePod(_) => replaces = Some(&planned.reason),
            _ => {}
        }
    }
    let say = |reason, words: &String| Some((true, reason, words.clone()));
    if let Some(words) = promotes {
        return say(progressing::FAILING_OVER, words);
    }
    if let Some(words) = hands_over {
        return say(progressing::SWITCHING_OVER, words);
    }
    if let Some(words) = replaces {
        return say(progressing::ROLLING_OUT, words);
    }
    match &plan.waiting_for {
        Some(words) if plan.to_approve.is_some() => {
            return say(progressing::WAITING_FOR_APPROVAL, words);
        }
        Some(words) if verdict.cause == Cause::Serving => {
            return say(progressing::ROLLING_OUT, words);
        }
        _ => {}
    }
    if pods > 1 && verdict.surplus {
        return Some((true, progressing::SCALING, "pods are taken away".to_owned()));
    }
    let comes = verdict.not_in_sync.iter().find(|lagging| lagging.passing)?;
    let words = format!("{}: {}", comes.name, comes.why);
    Some((true, progressing::SCALING, words))
}

fn degradation(
    found: &Found<'_>,
    is_ready: bool,
    last: &RedisInstanceStatus,
) -> (bool, &'static str, String) {
    if let Some((reason, words)) = &found.refused {
        return (true, reason, words.clone());
    }
    let Some(verdict) = found.verdict else {
        return (false, degraded::AS_EXPECTED, String::new());
    };
    let listed = |pairs: &[(String, String)]| {
        pairs
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect::<Vec<_>>()
            .join("; ")
    };
    if !verdict.rejected_config.is_empty() {
        return (
            true,
            degraded::CONFIG_REJECTED,
            listed(&verdict.rejected_config),
        );
    }
    if let Some(claim) = &verdict.claim_lost_with_pod {
        let words = format!(
            "somebody deleted the claim {claim}: it and its data go when the pod does, so the pod is not \
             replaced. Back the data up, then delete the pod, or this object, to start empty"
        );
        return (true, degraded::VOLUME_DELETED, words);
    }
    if verdict.shrink_refused {
        let words = "the volume is larger than spec.persistence.size and cannot shrink: set the \
                     size to what it was, or move the data to a new object";
        return (true, degraded::VOLUME_SHRINK_REFUSED, words.to_owned());
    }
    if !verdict.rejected_users.is_empty() {
        return (
            true,
            degraded::USER_REJECTED,
            listed(&verdict.rejected_users),
        );
    }
    if let Some((reason, words)) = &found.attention {
        return (true, reason, words.clone());
    }
    if let Some(words) = node_lost(verdict) {
        return (true, degraded::NODE_LOST, words);
    }
    if let Some(stall) = found.plan.and_then(|plan| plan.stalled.as_ref()) {
        return (true, degraded::ROLL_STOPPED, stopped(stall, found));
    }
    if let Some(Way::Back { left, .. }) = found.way {
        let why = &left.why;
        let words = format!(
            "the roll to what the spec says failed, and the pods are as they were before: {why}; change the \
             spec, or kubectl hera restart to try again"
        );
        return (true, degraded::ROLLED_BACK, words);
    }
    if let Some(words) = found.plan.and_then(|plan| plan.refused.clone()) {
        return (true, degraded::REQUEST_REFUSED, words);
    }
    if let Some(deposed) = verdict.not_in_sync.iter().find(|lagging| lagging.deposed) {
        let words = format!(
            "{} led before and was stopped; it takes over the data of the primary, and what it had not \
             sent is lost",
            deposed.name
        );
        return (true, degraded::FENCED_PRIMARY, words);
    }
    if let Some(lagging) = verdict.not_in_sync.iter().find(|lagging| !lagging.passing) {
        let reason = match lagging.running {
            true => degraded::REPLICA_NOT_IN_SYNC,
            false => degraded::REPLICA_MISSING,
        };
        return (true, reason, format!("{}: {}", lagging.name, lagging.why));
    }
    if !is_ready && last.version.is_some() && !found.hibernates {
        return (
            true,
            degraded::NOT_SERVING,
            "the condition Ready says why".to_owned(),
        );
    }
    match found.validated.map(|v| v.memory.maxmemory) {
        Some(Maxmemory::Unset) => (
            false,
            degraded::MAXMEMORY_UNSET,
            "no memory limit is set, so the server has no maxmemory".to_owned(),
        ),
        _ => (false, degraded::AS_EXPECTED, String::new()),
    }
}

/// Which pods are lost with their nodes, and what to do.
fn node_lost(verdict: &Verdict) -> Option<String> {
    let say = |stranded: &Stranded| {
        let Stranded { pod, node, dead } = stranded;
        match dead {
            true => format!(
                "pod {pod}: its node {node} is out of service, and the pod is made anew elsewhere, if its \
                 volume can go there"
            ),
            false => format!(
                "pod {pod} does not answer, and its node {node} is not ready: bring the node back. If it is \
                 off for good, kubectl taint nodes {node} {OUT_OF_SERVICE}=nodeshutdown:NoExecute lets the \
                 pod be made anew elsewhere"
            ),
        }
    };
    let words: Vec<_> = verdict.stranded.iter().map(say).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// What a roll waits for, since when, and what to do.
fn stopped(stall: &Stall, found: &Found<'_>) -> String {
    let since = i64::try_from(stall.since_ms).unwrap_or(0);
    let since = Timestamp::from_second(since / 1000).map_or(String::new(), |at| at.to_string());
    let why = found.no_pod.iter().map(|words| format!(" ({words})"));
    let why: String = why.collect();
    let approves = found.plan.is_some_and(|plan| plan.to_approve.is_some());
    let advice = match approves {
        true => "approve it, or change the spec",
        false => {
            "mend the pod, change the spec, or set spec.updateStrategy.surge to \"Off\" to do without \
             a temporary pod"
        }
    };
    let barred = match found.way {
        Some(Way::Barred(words)) => format!("; it does not go back: {words}"),
        _ => String::new(),
    };
    format!(
        "the roll stands still since {since}: {}{why}{barred}; {advice}",
        stall.step
    )
}

fn policy_condition(
    found: &Found<'_>,
    last: &RedisInstanceStatus,
    say: &impl Fn(&str, bool, &str, String) -> Condition,
) -> Option<Condition> {
    let Some(policy) = found.policy else {
        return last
            .conditions
            .iter()
            .find(|c| c.type_ == policy_healthy::TYPE)
            .cloned();
    };
    Some(match (&policy.problem, &policy.active) {
        (Some(problem), _) => say(
            policy_healthy::TYPE,
            problem.reason == policy_healthy::LOADING,
            problem.reason,
            problem.message.clone(),
        ),
        (None, Some(choice)) if choice.source == "builtin" => say(
            policy_healthy::TYPE,
            true,
            policy_healthy::BUILTIN,
            String::new(),
        ),
        (None, _) => say(
            policy_healthy::TYPE,
            true,
            policy_healthy::AS_EXPECTED,
            String::new(),
        ),
    })
}

fn policies(found: &Found<'_>, last: &RedisInstanceStatus, now: Timestamp) -> Vec<PolicyStatus> {
    let Some(policy) = found.policy else {
        return last.policies.clone();
    };
    let known = last.policies.iter().find(|p| p.decision == Acl::NAME);
    let error = policy.problem.as_ref().map(|problem| {
        format!("{}: {}", problem.reason, problem.message)
            .chars()
            .take(MESSAGE_CHARS)
            .collect()
    });
    let shadow = policy.shadow.as_ref().map(|compared| ShadowStatus {
        source: compared.source.clone(),
        digest: compared.digest.clone(),
        verdict: compared.verdict,
        message: compared
            .message
            .as_ref()
            .map(|words| words.chars().take(MESSAGE_CHARS).collect()),
    });
    let status = match &policy.active {
        Some(active) => {
            let since = known
                .filter(|p| p.digest.as_deref() == Some(active.digest.as_str()))
                .and_then(|p| p.loaded_at.clone());
            PolicyStatus {
                decision: Acl::NAME.to_owned(),
                source: active.source.clone(),
                api: Some(active.api.to_owned()),
                digest: Some(active.digest.clone()),
                loaded_at: since.or(Some(Time(now))),
                error,
                shadow,
            }
        }
        // The rules last applied stay, so what they came from stays in the status.
        None => PolicyStatus {
            decision: Acl::NAME.to_owned(),
            source: known
                .map(|p| p.source.clone())
                .unwrap_or_else(|| "none".to_owned()),
            digest: known.and_then(|p| p.digest.clone()),
            api: known.and_then(|p| p.api.clone()),
            loaded_at: known.and_then(|p| p.loaded_at.clone()),
            error,
            shadow,
        },
    };
    vec![status]
}

fn phase(
    found: &Found<'_>,
    ready: &Condition,
    is_progressing: bool,
    is_degraded: bool,
    last: &RedisInstanceStatus,
) -> Phase {
    let is_ready = ready.status == "True";
    if found.object.metadata.deletion_timestamp.is_some() {
        return Phase::Deleting;
    }
    match (is_ready, last.version.is_some()) {
        (true, _) if found.validated.is_some_and(|v| v.paused) => Phase::Paused,
        (true, _) if is_degraded => Phase::Degraded,
        (true, _) if is_progressing => Phase::Updating,
        (true, _) => Phase::Ready,
        (false, true) => Phase::Unavailable,
        (false, false) if found.refused.is_some() => Phase::Blocked,
        (false, false) => Phase::Creating,
    }
}
