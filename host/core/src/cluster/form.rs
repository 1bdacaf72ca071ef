//! A new cluster, or one of which nothing is left: no server has a key (redis-facts §1.1).

use std::collections::BTreeSet;

use super::observation::Node;
use super::plan::{Command, Plan};
use super::slots::SlotSet;
use super::survey::{Heard, Survey};

/// True if no data is anywhere: then a cluster is formed, or goes on forming.
pub(super) fn is_new(survey: &Survey<'_>, formed: bool) -> bool {
    let even = SlotSet::even(survey.wanted.shards);
    let as_planned = |one: &Heard<'_>| {
        let wanted = even.get(one.node.shard as usize);
        let slots = one.server.slots();
        let within = wanted.is_some_and(|wanted| slots.without(wanted).is_empty());
        slots.is_empty() || (one.node.ordinal == 0 && within)
    };
    // Of one that formed nothing at all is left: it begins anew.
    let nothing = survey.all_heard && survey.heard.iter().all(|one| one.server.slots().is_empty());
    (!formed || nothing)
        && survey.heard.iter().all(|one| one.server.keys == 0)
        && survey.heard.iter().all(as_planned)
        && survey.lost.is_empty()
}

/// The next steps of the formation. Each is right again after a crash in the middle.
pub(super) fn plan(survey: &Survey<'_>, plan: &mut Plan) {
    // One that never ran has no copy of anything: it joins later.
    let waits = |node: &Node| node.server.is_none() && (node.ordinal == 0 || !node.never_ran);
    let silent = survey.nodes.iter().find(|node| waits(node));
    let firsts = survey.nodes.iter().filter(|node| node.ordinal == 0).count();
    let all_there = usize::try_from(survey.wanted.shards).is_ok_and(|shards| firsts == shards);
    if silent.is_some() || !all_there {
        let name = silent.map_or("a pod that is not made yet", |node| node.name());
        return plan.wait(format!(
            "the cluster forms once all pods are heard: {name} is not"
        ));
    }
    give_slots(survey, plan);
    if plan.steps.is_empty() {
        super::join::introduce(survey, &BTreeSet::new(), plan);
    }
    if plan.steps.is_empty() {
        super::join::follow(survey, plan);
    }
}

/// Epochs first: a server that knows others takes none.
fn give_slots(survey: &Survey<'_>, plan: &mut Plan) {
    let firsts = survey.heard.iter().filter(|one| one.node.ordinal == 0);
    let even = SlotSet::even(survey.wanted.shards);
    for one in firsts {
        let Some(slots) = even.get(one.node.shard as usize) else {
            continue;
        };
        let pod = &one.node.pod;
        let epoch = one.server.own().map_or(0, |own| own.config_epoch);
        if one.server.is_alone() && epoch == 0 {
            let epoch = u64::from(one.node.shard) + 1;
            let reason = "a new cluster: each primary has an epoch of its own";
            plan.push(pod, Command::SetEpoch { epoch }, reason);
        }
        let missing = slots.without(&one.server.slots());
        if !missing.is_empty() {
            let reason = format!("a new cluster: shard {}", one.node.shard);
            plan.push(pod, Command::AddSlots { slots: missing }, reason);
        }
    }
}
