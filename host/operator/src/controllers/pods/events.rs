//! Events: what was done, and each change of what a condition says.

use hera_api::PolicyStatus;
use hera_api::conditions::{backup_healthy, degraded, policy_healthy, progressing};
use hera_kube::Severity;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::shared::Shared;

/// A pod was deleted to be made anew.
pub const POD_REPLACED: &str = "PodReplaced";
/// A replica became the primary, because there was none.
pub const PROMOTED: &str = "Promoted";
/// The primary handed over.
pub const SWITCHED_OVER: &str = "SwitchedOver";
/// A server was killed, and stays down.
pub const FENCED: &str = "Fenced";
/// A former primary follows, and its last writes are lost.
pub const WRITES_GIVEN_UP: &str = "WritesGivenUp";
/// A request for another password has the text of one that was done.
pub const ROTATED_BEFORE: &str = "RotatedBefore";
/// Another policy decides.
pub const POLICY_CHANGED: &str = "PolicyChanged";

/// What of a status people are told about.
#[derive(Clone, Copy, Default)]
pub struct Told<'a> {
    pub conditions: &'a [Condition],
    pub policies: &'a [PolicyStatus],
}

/// Publishes what differs between two statuses, for people.
pub async fn publish_changes(
    shared: &Shared,
    about: &ObjectReference,
    before: Told<'_>,
    after: Told<'_>,
) {
    for condition in after.conditions {
        let mut conditions = before.conditions.iter();
        let known = conditions.find(|c| c.type_ == condition.type_);
        if let Some(severity) = worth_an_event(known, condition) {
            let note = if condition.message.is_empty() {
                format!("{} is {}", condition.type_, condition.status)
            } else {
                condition.message.clone()
            };
            shared
                .events
                .publish_state(about, severity, &condition.reason, &note)
                .await;
        }
    }
    for policy in after.policies {
        let mut policies = before.policies.iter();
        let known = policies.find(|p| p.decision == policy.decision);
        let changed = policy.digest.is_some()
            && known.is_some_and(|known| known.digest.is_some() && known.digest != policy.digest);
        if let Some(source) = policy.source.as_ref().filter(|_| changed) {
            let digest = policy.digest.as_deref().unwrap_or_default();
            let note = format!(
                "decision {}: {source} decides now, module {digest}",
                policy.decision
            );
            shared
                .events
                .publish_deed(about, Severity::Normal, POLICY_CHANGED, &note)
                .await;
        }
    }
}

/// None for what people would call noise: no news, and the ordinary course of progress.
fn worth_an_event(before: Option<&Condition>, now: &Condition) -> Option<Severity> {
    let same = before.is_some_and(|c| c.reason == now.reason && c.message == now.message);
    if same {
        return None;
    }
    let bad = match now.type_.as_str() {
        degraded::TYPE => now.status == "True",
        policy_healthy::TYPE => now.status == "False",
        // That one is to be made once is no trouble.
        backup_healthy::TYPE => {
            now.status == "False" && now.reason != backup_healthy::FIRST_BACKUP_PENDING
        }
        progressing::TYPE => return None,
        _ => is_trouble(now),
    };
    if bad {
        return Some(Severity::Warning);
    }
    let changed = before.is_some_and(|c| c.status != now.status);
    (changed || (before.is_none() && now.status == "True" && now.type_ == "Ready"))
        .then_some(Severity::Normal)
}

/// Reasons of `Ready=False` that do not pass by themselves.
fn is_trouble(condition: &Condition) -> bool {
    use hera_api::conditions::ready as reason;
    condition.status == "False"
        && ![
            reason::CREATING,
            reason::WAITING_FOR_POD,
            reason::SERVER_STARTING,
            reason::SERVER_LOADING,
            reason::SERVER_STOPPING,
            reason::WAITING_FOR_USERS,
            reason::AGENT_UNREACHABLE,
            reason::PAUSED,
            reason::RECOVERING_DATA,
        ]
        .contains(&condition.reason.as_str())
}
