//! What the status says of who decides.

use hera_api::conditions::policy_healthy;
use hera_api::{PolicyOrigin, PolicyStatus, ShadowStatus};
use hera_policy::Decision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::status::shorten;
use crate::policies::{Active, Compared, Made, Problem};

/// What came of one decision in a pass.
#[derive(Clone, Copy)]
pub struct Decided<'a> {
    decision: &'static str,
    /// None while nobody was asked.
    made: Option<Judged<'a>>,
}

#[derive(Clone, Copy)]
struct Judged<'a> {
    problem: Option<&'a Problem>,
    active: Option<&'a Active>,
    shadow: Option<&'a Compared>,
}

impl<'a> Decided<'a> {
    /// Of a decision, if somebody was asked.
    pub fn of<D: Decision>(made: Option<&'a Made<D::Answer>>) -> Self {
        Self {
            decision: D::NAME,
            made: made.map(|made| Judged {
                problem: made.problem.as_ref(),
                active: made.active.as_ref(),
                shadow: made.shadow.as_ref(),
            }),
        }
    }
}

/// How it stands with one decision.
enum Standing {
    /// Its policy does not decide, or not as it wanted: reason and words.
    Problem(String, String),
    BuiltIn,
    AsExpected,
}

impl Standing {
    fn of(decided: &Decided<'_>, last: &[PolicyStatus]) -> Option<Self> {
        if let Some(made) = decided.made {
            return Some(match (made.problem, made.active) {
                (Some(problem), _) => {
                    Self::Problem(problem.reason.to_owned(), problem.message.clone())
                }
                (None, Some(choice)) if choice.source == PolicyOrigin::BUILT_IN => Self::BuiltIn,
                (None, _) => Self::AsExpected,
            });
        }
        // As it was when somebody was asked last.
        let known = last
            .iter()
            .find(|known| known.decision == decided.decision)?;
        let error = known.error.as_deref();
        Some(match error.and_then(|error| error.split_once(": ")) {
            Some((reason, message)) => Self::Problem(reason.to_owned(), message.to_owned()),
            None if known.source.as_ref() == Some(&PolicyOrigin::BUILT_IN) => Self::BuiltIn,
            None => Self::AsExpected,
        })
    }
}

/// The condition `PolicyHealthy`; the last one while nobody was asked. The first decision with a problem is told.
pub fn condition(
    all: &[Decided<'_>],
    policies: &[PolicyStatus],
    last: &[Condition],
    say: &impl Fn(&str, bool, &str, String) -> Condition,
) -> Option<Condition> {
    if all.iter().all(|decided| decided.made.is_none()) {
        return last
            .iter()
            .find(|c| c.type_ == policy_healthy::TYPE)
            .cloned();
    }
    let standing = all
        .iter()
        .filter_map(|decided| Standing::of(decided, policies));
    let mut built_in = true;
    let mut told: Option<(bool, String, String)> = None;
    for standing in standing {
        match standing {
            Standing::Problem(reason, words) => {
                let passes = reason == policy_healthy::LOADING;
                // What passes by itself gives way to what does not.
                if told
                    .as_ref()
                    .is_none_or(|(passing, ..)| *passing && !passes)
                {
                    told = Some((passes, reason, words));
                }
            }
            Standing::BuiltIn => {}
            Standing::AsExpected => built_in = false,
        }
    }
    let (truth, reason, words) = match (&told, built_in) {
        (Some((passes, reason, words)), _) => (*passes, reason.as_str(), words.clone()),
        (None, true) => (true, policy_healthy::BUILTIN, String::new()),
        (None, false) => (true, policy_healthy::AS_EXPECTED, String::new()),
    };
    Some(say(policy_healthy::TYPE, truth, reason, words))
}

/// Who decides what, by which module, since when.
pub fn policies(all: &[Decided<'_>], last: &[PolicyStatus], now: Timestamp) -> Vec<PolicyStatus> {
    let of_one = |decided: &Decided<'_>| {
        let known = last.iter().find(|p| p.decision == decided.decision);
        match decided.made {
            Some(made) => Some(status(decided.decision, made, known, now)),
            None => known.cloned(),
        }
    };
    all.iter().filter_map(of_one).collect()
}

fn status(
    decision: &str,
    made: Judged<'_>,
    known: Option<&PolicyStatus>,
    now: Timestamp,
) -> PolicyStatus {
    let error = made.problem.map(|problem| {
        let words = format!("{}: {}", problem.reason, problem.message);
        shorten(&words)
    });
    let shadow = made.shadow.map(|compared| ShadowStatus {
        source: Some(compared.source.clone()),
        digest: compared.digest.clone(),
        verdict: compared.verdict,
        message: compared.message.as_ref().map(|words| shorten(words)),
    });
    match made.active {
        Some(active) => {
            let since = known
                .filter(|p| p.digest.as_deref() == Some(active.digest.as_str()))
                .and_then(|p| p.loaded_at.clone());
            PolicyStatus {
                decision: decision.to_owned(),
                source: Some(active.source.clone()),
                api: Some(active.api.to_owned()),
                digest: Some(active.digest.clone()),
                loaded_at: since.or(Some(Time(now))),
                error,
                shadow,
            }
        }
        // What was decided last stays, so what it came from stays in the status.
        None => PolicyStatus {
            decision: decision.to_owned(),
            source: known.and_then(|p| p.source.clone()),
            digest: known.and_then(|p| p.digest.clone()),
            api: known.and_then(|p| p.api.clone()),
            loaded_at: known.and_then(|p| p.loaded_at.clone()),
            error,
            shadow,
        },
    }
}

#[cfg(test)]
mod tests {
    use hera_api::conditions::condition as made_condition;
    use hera_core::acl::AclAnswer;
    use hera_core::rebalance::RebalanceAnswer;
    use hera_policy::{Acl, Rebalance};

    use super::*;

    fn made<A>(problem: Option<(&'static str, &str)>) -> Made<A> {
        Made {
            answer: None,
            stands_in: false,
            active: Some(Active {
                source: PolicyOrigin::BUILT_IN,
                digest: "sha256:x".to_owned(),
                api: "0.1",
            }),
            problem: problem.map(|(reason, words)| Problem::lasting(reason, words.to_owned())),
            shadow: None,
            again_unix_ms: None,
            holds_until_unix_ms: None,
        }
    }

    fn told(
        acl: Option<&Made<AclAnswer>>,
        rebalance: Option<&Made<RebalanceAnswer>>,
        last: &[PolicyStatus],
    ) -> (String, String) {
        let all = [Decided::of::<Acl>(acl), Decided::of::<Rebalance>(rebalance)];
        let say = |type_: &str, truth: bool, reason: &str, words: String| {
            made_condition(type_, truth, reason, words, None, Timestamp::UNIX_EPOCH)
        };
        let said = condition(&all, last, &[], &say).unwrap();
        (said.reason, said.message)
    }

    #[test]
    fn what_is_wrong_with_one_decision_is_told_whatever_the_other_does() {
        let (fine, wrong) = (
            made(None),
            made(Some((policy_healthy::GUARD_REFUSED, "cool-down: 7"))),
        );
        let expected = ("GuardRefused".to_owned(), "cool-down: 7".to_owned());
        assert_eq!(told(Some(&fine), Some(&wrong), &[]), expected);
        // It stays so while nobody asks it, as the status has it.
        let all = [Decided::of::<Rebalance>(Some(&wrong))];
        let last = policies(&all, &[], Timestamp::UNIX_EPOCH);
        assert_eq!(told(Some(&fine), None, &last), expected);
        assert_eq!(told(Some(&fine), None, &[]).0, "Builtin");
        assert_eq!(told(Some(&fine), Some(&made(None)), &last).0, "Builtin");
    }

    #[test]
    fn a_decision_that_nobody_made_keeps_its_place_in_the_status() {
        let (acl, rebalance) = (made::<AclAnswer>(None), made::<RebalanceAnswer>(None));
        let both = [
            Decided::of::<Acl>(Some(&acl)),
            Decided::of::<Rebalance>(Some(&rebalance)),
        ];
        let first = policies(&both, &[], Timestamp::UNIX_EPOCH);
        let names: Vec<&str> = first.iter().map(|known| known.decision.as_str()).collect();
        assert_eq!(names, ["acl", "rebalance"]);
        let one = [
            Decided::of::<Acl>(Some(&acl)),
            Decided::of::<Rebalance>(None),
        ];
        assert_eq!(policies(&one, &first, Timestamp::UNIX_EPOCH), first);
    }
}
