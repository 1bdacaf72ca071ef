//! Servers that wait for their start. One that led comes back at the address that its replicas follow, and
//! they take from it whatever it has: also nothing (P05, redis-facts §0.6).

use super::observation::Node;
use super::plan::{Plan, Step};
use super::survey::Survey;

/// Starts what may start.
pub(super) fn plan(survey: &Survey<'_>, formed: bool, plan: &mut Plan) {
    for node in survey.nodes {
        let Some(held) = node.held else { continue };
        let start = |reason: &str, plan: &mut Plan| {
            let pod = node.pod.clone();
            plan.push(Step::Start { pod }, reason);
        };
        let leads = survey.primary_of(node.shard);
        match held.has_data {
            _ if !formed && survey.lost.is_empty() => start("the cluster is not formed yet", plan),
            _ if is_followed(survey, node) && (!held.has_data || gives_way(survey, node)) => {
                let name = node.name();
                plan.wait(format!("{name} starts once no replica follows it any more"));
            }
            true => start("its volume has the data of its shard", plan),
            false if leads.is_some() => start("another leads its shard", plan),
            false if survey.silent_in(node.shard) => {
                let name = node.name();
                plan.wait(format!(
                    "{name} lost its data, and another of its shard that may have it is not heard"
                ));
            }
            false => start("no copy of its data is left", plan),
        }
    }
}

fn is_followed(survey: &Survey<'_>, node: &Node) -> bool {
    let mut followed = survey
        .heard
        .iter()
        .filter_map(|one| one.server.replica_of());
    followed.any(|of| Some(of) == node.last_id.as_deref())
}

/// True if a replica that heard it to the end is there: that one takes over. Others may have less than its
/// volume.
pub(super) fn gives_way(survey: &Survey<'_>, node: &Node) -> bool {
    let mut replicas = survey.heard.iter().filter(|one| {
        let of = one.server.replica_of();
        of.is_some() && of == node.last_id.as_deref()
    });
    replicas.any(|one| one.server.was_linked)
}
