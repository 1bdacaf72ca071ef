use super::observation::{Observation, Wanted};
use super::plan::Plan;
use super::survey::Survey;
use super::{epochs, failover, form, hold, join, whole};

/// The plan for one pass.
///
/// # Guarantees
/// A cluster is formed only of servers that have no key, once all are heard. What holds keys of slots that
/// nobody else serves keeps them. Only our own pods are introduced to each other. A replica takes over by
/// order only for a primary that is known to be dead, and takes no slot that moved. No server that is heard is
/// forgotten, nor any before all are heard. A copy of before its shard left gives way to who serves its slots.
pub fn decide(wanted: Wanted, seen: &Observation) -> Plan {
    let survey = Survey::of(wanted, seen);
    let mut plan = Plan::default();
    hold::plan(&survey, seen.formed, &mut plan);
    if form::is_new(&survey, seen.formed) {
        form::plan(&survey, &mut plan);
        return plan;
    }
    failover::plan(&survey, &mut plan);
    failover::inherit(&survey, &mut plan);
    let held = join::take_back(&survey, &mut plan);
    join::introduce(&survey, &held, &mut plan);
    join::follow(&survey, &mut plan);
    // What is known of an owner that is lost says which slots a copy is to have.
    let has_any = |id: &&str| {
        let one = survey.by_id(id);
        one.is_some_and(|one| one.server.keys > 0 || !one.server.slots().is_empty())
    };
    if plan.steps.is_empty() && !held.iter().any(has_any) {
        failover::forget(&survey, &mut plan);
        failover::cover(&survey, &mut plan);
    }
    if plan.steps.is_empty() {
        failover::bump(&survey, &mut plan);
    }
    if plan.steps.is_empty() {
        epochs::outdo(&survey, &mut plan);
    }
    if plan.steps.is_empty()
        && let Some(words) = whole::lacks_something(&survey)
    {
        plan.wait(words);
    }
    plan
}
