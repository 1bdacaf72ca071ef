//! The condition `Ready`: whether writes are accepted, and what is in the way.

use hera_api::RedisInstanceStatus;
use hera_api::conditions::{degraded, ready};
use hera_core::shard::Cause;
use hera_kube::Refusal;

use super::{Found, refusal, space};
use crate::controllers::pods::status::script_runs;

/// Truth, reason and words.
pub fn of(found: &Found<'_>, last: &RedisInstanceStatus) -> (bool, &'static str, String) {
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
    if let Some((reason, words)) = &found.recovering {
        return no(reason, words);
    }
    match &verdict.cause {
        Cause::NoPod if found.validated.is_none() || is_taken(found) => {
            let refused = found.refused.clone();
            let (reason, words) = refused.unwrap_or((ready::CREATING, String::new()));
            (false, reason, words)
        }
        Cause::Serving if let Some((pod, script)) = &verdict.script => {
            let after_ms = found.validated.map(|v| v.failover.script_after_ms);
            let words = script_runs(pod, *script, after_ms);
            (false, ready::SCRIPT_RUNNING, words)
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
        Cause::Serving if let Some((pod, refused)) = &verdict.refused_writes => {
            let (reason, words) = space::not_ready(pod, refused);
            (false, reason, words)
        }
        Cause::Serving => match refused_on_the_way(found) {
            Some(refused) => {
                let words = refusal::say(&[refused], last, ready::TYPE, ready::APPLY_FAILED);
                (false, ready::APPLY_FAILED, words)
            }
            None => (true, ready::SERVING, "writes are accepted".to_owned()),
        },
        Cause::StorageClassMissing(class) => no(
            ready::STORAGE_CLASS_MISSING,
            &format!(
                "there is no StorageClass {class}: create it, or delete the object and name another"
            ),
        ),
        Cause::NoPod if found.validated.is_some_and(|v| v.paused) => {
            no(ready::PAUSED, "spec.paused is set: nothing is made")
        }
        Cause::NoPod if !found.refusals.is_empty() && found.no_pod.is_none() => {
            let words = refusal::say(&found.refusals, last, ready::TYPE, ready::APPLY_FAILED);
            (false, ready::APPLY_FAILED, words)
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

/// No pod is made beside an object of somebody else's.
fn is_taken(found: &Found<'_>) -> bool {
    let refused = found.refused.as_ref();
    refused.is_some_and(|(reason, _)| *reason == ready::NAME_TAKEN)
}

/// The server serves, and the object that should lead clients to it is refused.
fn refused_on_the_way(found: &Found<'_>) -> Option<Refusal> {
    let name = &found.validated?.name;
    refusal::of_the_way(&found.refusals, name)
}
