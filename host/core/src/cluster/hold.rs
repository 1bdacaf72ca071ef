//! Servers that wait for their start. One that led comes back at the address that its replicas follow, and
//! they take from it whatever it has: also nothing (P05, redis-facts §0.6).

use super::observation::{Node, Server};
use super::plan::{Command, Plan};
use super::survey::{Heard, Survey};

/// Starts what may start.
pub(super) fn plan(survey: &Survey<'_>, formed: bool, plan: &mut Plan) {
    for node in survey.nodes {
        let Some(held) = node.held else { continue };
        let start = |reason: &str, plan: &mut Plan| {
            plan.push(&node.pod, Command::Start, reason);
        };
        let leads = survey.primary_of(node.shard);
        match held.has_data {
            _ if let Some(rival) = super::epochs::rival(survey, node) => {
                let (name, rival) = (node.name(), rival.node.name());
                plan.wait(format!(
                    "{name} starts once {rival} has a later epoch than it had: its first word might take slots back"
                ));
            }
            _ if !formed && survey.lost.is_empty() && !is_followed(survey, node) => {
                start("the cluster is not formed yet", plan);
            }
            _ if is_followed(survey, node) && (!held.has_data || gives_way(survey, node)) => {
                let name = node.name();
                plan.wait(format!("{name} starts once no replica follows it any more"));
            }
            _ if let Some(other) = mistaken(survey, node) => {
                let name = node.name();
                plan.wait(format!(
                    "{name} has the address that {other} follows, which may be the last copy of its shard"
                ));
            }
            _ if let Some(other) = heir(survey, node) => {
                let name = node.name();
                plan.wait(format!(
                    "{name} starts once {other}, which took over from it, has all its slots"
                ));
            }
            true => start("its volume has the data of its shard", plan),
            false if leads.is_some() => start("another leads its shard", plan),
            false if survey.served => start("others serve all slots", plan),
            false if has_copy(survey, node) => {
                let name = node.name();
                plan.wait(format!(
                    "{name} has no data, and another of its shard has or may have"
                ));
            }
            false => start("no copy of its data is left", plan),
        }
    }
}

/// True if a replica follows the server that it was, or whatever is at its address.
fn is_followed(survey: &Survey<'_>, node: &Node) -> bool {
    survey.heard.iter().any(|one| {
        let Some(of) = one.server.replica_of() else {
            return false;
        };
        let entry = one.server.entry(of);
        let is_here = entry.is_some_and(|entry| (&entry.ip, entry.port) == (&node.ip, node.port));
        is_here || connects_to(one.server, node) || Some(of) == node.last_id.as_deref()
    })
}

/// A replica of another server that would take what it finds at this pod's address, while that one's data is
/// not known to be anywhere else.
fn mistaken<'a>(survey: &Survey<'a>, node: &Node) -> Option<&'a str> {
    let has_data = |of: &str| {
        let mut nodes = survey.nodes.iter();
        let owner = nodes.find(|other| other.last_id.as_deref() == Some(of));
        owner.is_some_and(|owner| {
            let serves = owner.server.as_ref().is_some_and(|server| server.keys > 0);
            serves || owner.held.is_some_and(|held| held.has_data)
        })
    };
    let mut heard = survey.heard.iter();
    let found = heard.find(|one| {
        let of = one.server.replica_of();
        let of = of.filter(|of| Some(*of) != node.last_id.as_deref());
        connects_to(one.server, node) && of.is_some_and(|of| !has_data(of))
    });
    found.map(|one| one.node.name())
}

/// Who took over from the server that it was, and is about to get slots that this one had. Started before, it would
/// have those, beside the other.
fn heir<'a>(survey: &Survey<'a>, node: &Node) -> Option<&'a str> {
    let id = node.last_id.as_deref()?;
    let (heir, _) = super::failover::inheritance(survey, id)?;
    Some(heir.node.name())
}

/// True if the server connects to the address of a pod as a replica.
pub(super) fn connects_to(server: &Server, node: &Node) -> bool {
    let to = server.connects_to.as_ref();
    to.is_some_and(|(ip, port)| (ip, *port) == (&node.ip, node.port))
}

fn has_copy(survey: &Survey<'_>, node: &Node) -> bool {
    let mut shard = survey.in_shard(node.shard);
    survey.silent_in(node.shard).is_some() || shard.any(|one| one.server.keys > 0)
}

/// True if a replica that heard it to the end is there: that one takes over. Others may have less than its
/// volume.
fn gives_way(survey: &Survey<'_>, node: &Node) -> bool {
    let mut replicas = survey.heard.iter().filter(|one| {
        let of = one.server.replica_of();
        of.is_some() && of == node.last_id.as_deref()
    });
    replicas.any(|one| heard_to_the_end(survey, one, node))
}

/// True if its link to a primary broke when that died, and not before; or after the snapshot that is all that
/// is left there. Clocks of a second, and what is told a moment late, count as then.
pub(super) fn heard_to_the_end(survey: &Survey<'_>, one: &Heard<'_>, primary: &Node) -> bool {
    let snapshot = primary.held.and_then(|held| held.snapshot_ms);
    if let (Some(written), Some(down)) = (snapshot, one.server.link_down_ms)
        && down < written
        && one.server.keys > 0
    {
        return true;
    }
    const THEN: u64 = 3_000;
    let dead = primary.dead_since_ms;
    let dead_for = dead.map(|since| survey.now_ms.saturating_sub(since));
    match (one.server.link_down_ms, dead_for) {
        // A link that stands is to who has its address by now.
        _ if one.server.link_up => dead.is_none(),
        (Some(down), Some(dead_for)) => down <= dead_for.saturating_add(THEN),
        _ => false,
    }
}
