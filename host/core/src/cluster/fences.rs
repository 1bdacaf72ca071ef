//! Servers of a shard that are to be down, and those that may start again.

use super::observation::Observation;
use super::serving::{has_slots, leader};
use crate::agent::{Role, ServerState};
use crate::shard::{Member, is_asked_down, why_busy_ends, why_not_fenced};

/// What becomes of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// It goes down, and stays so.
    Down,
    /// The same, if the script that keeps it busy still does; with why, for people.
    Busy(&'static str),
    /// It may start again.
    Start,
}

/// What becomes of the servers of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fences<'a> {
    /// In the order of the pods.
    pub steps: Vec<(&'a Member, Fencing)>,
    /// Why what somebody asks for is not done, for people.
    pub refused: Option<String>,
}

/// Who of a shard goes down, as somebody asks for it (`fenced` has names of pods) or as a script that has written
/// keeps it busy, and who may start again. A primary goes by the rule of every kind: only with what it acknowledged
/// safe elsewhere.
pub fn fences<'a>(
    members: &'a [Member],
    fenced: &[String],
    seen: &Observation,
    shard: u32,
) -> Fences<'a> {
    let mut fences = Fences::default();
    for member in members {
        let Some(status) = member.agent.status() else {
            continue;
        };
        let asked = is_asked_down(fenced, member);
        let is_down = status.server == ServerState::Fenced;
        // One that waits with its start is told by another order.
        let is_held = status.cluster.as_ref().is_some_and(|news| news.held);
        let fencing = match is_down {
            true if asked || is_held => None,
            true => Some(Fencing::Start),
            false if may_lead(member, seen, shard) => {
                let not_fenced = why_not_fenced(members, fenced, member);
                fences.refused = fences.refused.or(not_fenced);
                why_busy_ends(members, fenced, member).map(Fencing::Busy)
            }
            false => asked.then_some(Fencing::Down),
        };
        fences
            .steps
            .extend(fencing.map(|fencing| (member, fencing)));
    }
    fences
}

/// True unless its server is known not to lead the shard. One that starts or loads its data says nothing of its role,
/// and may be the primary that nobody has followed yet. Another that has the slots, by a vote too, leads: a server that
/// a script keeps busy has not heard of that.
fn may_lead(member: &Member, seen: &Observation, shard: u32) -> bool {
    match leader(seen, shard) {
        Some(node) if node.pod.uid == member.uid() => true,
        Some(node) if has_slots(node) => false,
        _ => {
            let status = member.agent.status();
            status.is_none_or(|status| status.role != Role::Replica)
        }
    }
}
