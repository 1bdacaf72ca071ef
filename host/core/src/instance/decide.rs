use super::{
    Observation, Plan, PlannedStep, Step, Wanted, candidates, change, elect, endpoints, lead,
    pushes, record,
};

/// The plan for one pass.
///
/// # Guarantees
/// At most one disruptive step, always the last. While `paused`, nothing that carries a spec
/// change to a pod; endpoints, confirmations and failover go on. What is unknown is never acted
/// upon: a broken stream neither moves the endpoint nor deletes a pod, and nobody is promoted while
/// another may serve, unless a person says that it is dead. One epoch begins in a plan. No pod is
/// deleted whose volume would go with it.
pub fn decide(wanted: &Wanted, seen: &Observation) -> Plan {
    let mut plan = Plan::default();
    record::plan_first(wanted, seen, &mut plan);
    endpoints::plan(seen, &mut plan);
    match seen.primary() {
        Some(primary) => {
            lead::plan(wanted, seen, primary, &mut plan);
            pushes::plan(wanted, seen, &mut plan);
        }
        None => {
            // A server whose users are not in force is not promoted.
            pushes::plan(wanted, seen, &mut plan);
            elect::plan(wanted, seen, &mut plan);
        }
    }
    // What is promoted, or handed over, is written down with it.
    let kept = candidates::kept(seen);
    if kept != seen.candidates && !plan.promotes() {
        let words = "who led before is known to be out of it";
        plan.push(Step::WriteCandidates { candidates: kept }, words);
    }
    // Before the spec is read, what moves roles comes alone: the next pass is soon.
    let moves = |planned: &PlannedStep| {
        matches!(
            planned.step,
            Step::Promote { .. } | Step::Follow { .. } | Step::Start(_) | Step::Promise { .. }
        )
    };
    let heals = wanted.pods.count.is_none() && plan.steps.iter().any(moves);
    if !plan.promotes() && !heals {
        record::plan(wanted, seen, &mut plan);
        record::mark(wanted, seen, &mut plan);
    }
    lead::plan_fences(wanted, seen, &mut plan);
    // A handover names the epoch and the candidates that are there after another epoch has begun.
    if !plan.is_disruptive() && !plan.promotes() {
        change::plan(wanted, seen, &mut plan);
    }
    plan
}
