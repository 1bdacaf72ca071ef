//! A primary that a script keeps from answering anybody else: when it goes, and what it cannot do.

use super::{Observation, Wanted};
use crate::shard::Member;

/// True if another that may lead has all that the primary acknowledged. A busy one is silent, and its links
/// stand until `repl-timeout`.
fn has_heir(wanted: &Wanted, seen: &Observation, primary: &Member) -> bool {
    let mut members = seen.members.iter();
    members.any(|member| member.may_follow_busy(primary) && !is_asked_down(wanted, member))
}

fn is_asked_down(wanted: &Wanted, member: &Member) -> bool {
    wanted.fenced.iter().any(|name| name == member.name())
}

/// Why a primary that a script keeps busy is to end now, if it is.
pub(super) fn why_it_ends(
    wanted: &Wanted,
    seen: &Observation,
    primary: &Member,
) -> Option<&'static str> {
    let script = primary.script()?;
    let reason = match (is_asked_down(wanted, primary), script.has_written) {
        (true, _) => "somebody asked for it, and a replica is in sync",
        (false, true) => "a script that has written runs for too long, and a replica is in sync",
        (false, false) => return None,
    };
    has_heir(wanted, seen, primary).then_some(reason)
}

/// Why it does not hand over, for people.
pub(super) fn keeps_from_handing_over(primary: &Member) -> Option<String> {
    primary.script().map(|_| {
        format!(
            "a script keeps the server of {} busy, so it cannot hand over before that has ended; kubectl hera \
             fence ends the server, where a replica is in sync",
            primary.label()
        )
    })
}
