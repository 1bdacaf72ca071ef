//! The condition `Degraded`: what needs somebody, the gravest first.

use hera_api::RedisInstanceStatus;
use hera_api::conditions::degraded;
use hera_api::validate::Maxmemory;
use hera_core::instance::Verdict;
use hera_core::shard::Stranded;

use super::{Found, refusal, space};
use crate::controllers::pods::nodes::OUT_OF_SERVICE;
use crate::controllers::pods::rollback::Direction;
use crate::controllers::pods::status::{Stopped, few_connections, list, put_right, with_notice};

/// Truth, reason and words.
pub fn of(
    found: &Found<'_>,
    is_ready: bool,
    last: &RedisInstanceStatus,
) -> (bool, &'static str, String) {
    if let Some((reason, words)) = &found.refused {
        return (true, reason, words.clone());
    }
    // As a rule the cause of whatever else there is.
    if !found.refusals.is_empty() {
        let reason = degraded::APPLY_FAILED;
        let words = refusal::say(&found.refusals, last, degraded::TYPE, reason);
        return (true, reason, words);
    }
    let Some(verdict) = found.verdict else {
        return (false, degraded::AS_EXPECTED, String::new());
    };
    let listed = |pairs: &[(String, String)]| list(pairs.iter().map(|(name, why)| (name, why)));
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
    if let Some((reason, words)) = space::full(verdict) {
        return (true, reason, words);
    }
    if let Some((reason, words)) = &found.attention {
        return (true, reason, words.clone());
    }
    if let Some(words) = node_lost(verdict) {
        return (true, degraded::NODE_LOST, words);
    }
    if let Some(stall) = found.plan.and_then(|plan| plan.stalled.as_ref()) {
        let stopped = Stopped {
            stall,
            no_pod: found.no_pod.as_deref(),
            to_approve: found.plan.is_some_and(|plan| plan.to_approve.is_some()),
            barred: found.way.and_then(Direction::barred),
        };
        return (true, degraded::ROLL_STOPPED, stopped.to_string());
    }
    if let Some((_, left)) = found.way.and_then(Direction::back) {
        return (true, degraded::ROLLED_BACK, left.words());
    }
    if let Some(words) = found.plan.and_then(|plan| plan.refused.clone()) {
        return (true, degraded::REQUEST_REFUSED, words);
    }
    // It is what replicas do not hear their primary for.
    if verdict.script.is_some() {
        let words = "the condition Ready says why";
        return (true, degraded::NOT_SERVING, words.to_owned());
    }
    // Replicas come back no more once all are taken.
    if let Some(crowded) = verdict.crowded.first() {
        let words = few_connections(&crowded.pod, &crowded.connections);
        return (true, degraded::CONNECTIONS_NEAR_LIMIT, words);
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
    if let Some((reason, words)) = space::nearly_full(verdict) {
        return (true, reason, words);
    }
    if !verdict.altered_users.is_empty() {
        let words = put_right(&verdict.altered_users);
        return (true, degraded::USERS_PUT_RIGHT, words);
    }
    if !verdict.dumps_not_read.is_empty() {
        let words = format!(
            "a dump.rdb that was put on the volume of {} is not read, as the append-only file holds the data; \
             it is kept as dump.rdb.not-read, until somebody deletes it",
            verdict.dumps_not_read.join(", ")
        );
        return (true, degraded::DUMP_NOT_READ, words);
    }
    if !is_ready && last.version.is_some() && !found.hibernates {
        return (
            true,
            degraded::NOT_SERVING,
            "the condition Ready says why".to_owned(),
        );
    }
    with_notice(memory(found), found.notice.as_ref())
}

/// What the server may fill, where that is not what the spec makes one think.
fn memory(found: &Found<'_>) -> (bool, &'static str, String) {
    let as_expected = (false, degraded::AS_EXPECTED, String::new());
    let (Some(memory), Some(v)) = (found.memory, found.validated) else {
        return as_expected;
    };
    // Only a LimitRange gives containers a limit that the template of the pod does not have.
    let from_pods = memory.limit.filter(|_| v.memory.limit.is_none());
    match (memory.maxmemory, from_pods) {
        (Maxmemory::Unset, None) => (
            false,
            degraded::MAXMEMORY_UNSET,
            "no memory limit is set, so the server has no maxmemory".to_owned(),
        ),
        (Maxmemory::Unset, Some(limit)) => (
            false,
            degraded::MAXMEMORY_UNSET,
            format!(
                "config.maxmemory is 0, so the server has none, and is killed above the limit of {limit} bytes \
                 that the pods have, as a rule from a LimitRange"
            ),
        ),
        (Maxmemory::Derived(bytes), Some(limit)) => (
            false,
            degraded::MAXMEMORY_FROM_PODS,
            format!(
                "the spec has no memory limit; maxmemory is {bytes} bytes, derived from the limit of {limit} \
                 bytes that the pods have, as a rule from a LimitRange"
            ),
        ),
        (Maxmemory::Configured(bytes), Some(limit)) if bytes >= limit => (
            true,
            degraded::MAXMEMORY_ABOVE_LIMIT,
            format!(
                "config.maxmemory is {bytes} bytes, and the pods have a limit of {limit}, as a rule from a \
                 LimitRange: the server would be killed; lower it, or set resources.limits.memory"
            ),
        ),
        _ => as_expected,
    }
}

/// Reason and words for a handover that did not succeed. Nothing in them changes while it is tried again.
pub fn handover_failed() -> (&'static str, String) {
    let words = "the primary did not hand over and serves on, as a rule because the replica that is to take over \
                 does not keep up with it. It is tried again; kubectl hera status shows why, and how far it is \
                 behind";
    (degraded::HANDOVER_FAILED, words.to_owned())
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
