//! What the status says of who decides about rights.

use hera_api::conditions::policy_healthy;
use hera_api::{PolicyOrigin, PolicyStatus, ShadowStatus};
use hera_core::acl::AclAnswer;
use hera_policy::{Acl, Decision as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::status::shorten;
use crate::policies::Made;

/// The condition `PolicyHealthy`; the last one while nobody was asked.
pub fn condition(
    made: Option<&Made<AclAnswer>>,
    last: &[Condition],
    say: &impl Fn(&str, bool, &str, String) -> Condition,
) -> Option<Condition> {
    let Some(policy) = made else {
        return last
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
        (None, Some(choice)) if choice.source == PolicyOrigin::BUILT_IN => say(
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

/// Who decides, by which module, since when.
pub fn policies(
    made: Option<&Made<AclAnswer>>,
    last: &[PolicyStatus],
    now: Timestamp,
) -> Vec<PolicyStatus> {
    let Some(policy) = made else {
        return last.to_vec();
    };
    let known = last.iter().find(|p| p.decision == Acl::NAME);
    let error = policy.problem.as_ref().map(|problem| {
        let words = format!("{}: {}", problem.reason, problem.message);
        shorten(&words)
    });
    let shadow = policy.shadow.as_ref().map(|compared| ShadowStatus {
        source: Some(compared.source.clone()),
        digest: compared.digest.clone(),
        verdict: compared.verdict,
        message: compared.message.as_ref().map(|words| shorten(words)),
    });
    let status = match &policy.active {
        Some(active) => {
            let since = known
                .filter(|p| p.digest.as_deref() == Some(active.digest.as_str()))
                .and_then(|p| p.loaded_at.clone());
            PolicyStatus {
                decision: Acl::NAME.to_owned(),
                source: Some(active.source.clone()),
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
            source: known.and_then(|p| p.source.clone()),
            digest: known.and_then(|p| p.digest.clone()),
            api: known.and_then(|p| p.api.clone()),
            loaded_at: known.and_then(|p| p.loaded_at.clone()),
            error,
            shadow,
        },
    };
    vec![status]
}
