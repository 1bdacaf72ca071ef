//! The condition `Progressing`: what is being changed.

use hera_api::conditions::progressing;
use hera_core::instance::{Plan, Step, Verdict};
use hera_core::shard::Cause;

use super::{Found, tell_copies};
use crate::controllers::pods::rollback::Direction;
use crate::controllers::pods::status::paused;

/// Truth, reason and words.
pub fn of(found: &Found<'_>, is_ready: bool) -> (bool, &'static str, String) {
    let quiet = String::new;
    // Who leads is decided whatever becomes of the spec.
    if (found.validated.is_some_and(|v| v.paused) || found.refused.is_some())
        && let Some(plan) = found.plan.filter(|plan| plan.to_approve.is_some())
    {
        return (true, progressing::WAITING_FOR_APPROVAL, to_approve(plan));
    }
    if found.validated.is_some_and(|v| v.paused) {
        let settled = found.passwords.map(|news| news.settled.as_str());
        return (false, progressing::PAUSED, paused(settled));
    }
    let Some(verdict) = found.verdict else {
        return (false, progressing::BLOCKED, quiet());
    };
    if found.hibernates && found.pods == 0 {
        return (false, progressing::SETTLED, quiet());
    }
    if found.refused.is_some() || !found.refusals.is_empty() {
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
    if found.way.and_then(Direction::back).is_some() {
        let words = "the condition Degraded says why";
        return (false, progressing::BLOCKED, words.to_owned());
    }
    if found.recovered.is_some() && found.object.spec.replicas > 1 {
        let words = "the data of the backup is there, and the other pods come".to_owned();
        return (true, progressing::SCALING, words);
    }
    if found.is_recovery_refused() {
        let words = "the condition Ready says why".to_owned();
        return (false, progressing::BLOCKED, words);
    }
    let first = found
        .object
        .status
        .as_ref()
        .is_none_or(|status| status.version.is_none());
    let under_way = found.passwords.and_then(|news| news.under_way.clone());
    if let Some((reason, words)) = under_way.filter(|_| !first) {
        return (true, reason, words);
    }
    match &verdict.cause {
        Cause::Serving if verdict.settled || !verdict.rejected_config.is_empty() => {
            let words = found.passwords.map(|news| news.settled.clone());
            (false, progressing::SETTLED, words.unwrap_or_default())
        }
        Cause::Serving => (true, progressing::CONFIG_APPLYING, quiet()),
        Cause::PodReplaced => (true, progressing::ROLLING_OUT, quiet()),
        _ if first => (true, progressing::CREATING, quiet()),
        _ if is_ready => (false, progressing::SETTLED, quiet()),
        _ => (true, progressing::RECOVERING, quiet()),
    }
}

/// What waits for an approval, and what there is to choose between.
fn to_approve(plan: &Plan) -> String {
    let words = plan.waiting_for.clone().unwrap_or_default();
    match plan.choices.is_empty() {
        true => words,
        false => format!("{words}. {}", tell_copies(&plan.choices)),
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
        Some(_) if plan.to_approve.is_some() => {
            return say(progressing::WAITING_FOR_APPROVAL, &to_approve(plan));
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
