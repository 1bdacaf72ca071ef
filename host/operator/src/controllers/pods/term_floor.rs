//! Under which term agents take what this leader says, where the Lease was lost (decision 015).

use hera_core::agent::AgentStatus;
use hera_core::term::is_term;
use tracing::warn;

use crate::controllers::outcome::PassError;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// Annotation on a StatefulSet: by how much the terms of its object lie above the Lease's.
pub const ANNOTATION: &str = "cache.hera.io/term-floor";

/// What is written there. What cannot be read, or is none, counts as none.
pub fn read(text: Option<&str>) -> u64 {
    let written = text.and_then(|text| text.trim().parse().ok());
    written.filter(|floor| is_term(*floor)).unwrap_or(0)
}

/// Sees to it that this leader speaks to the agents under a term that they take. What is written down is
/// `written`; `write` puts another in its place, before anybody is spoken to under it. Where that cannot be
/// done they are spoken to as before, and refuse.
pub async fn settle<'a>(
    shared: &Shared,
    object: &ObjectKey,
    term: u64,
    agents: impl Iterator<Item = &'a AgentStatus>,
    written: u64,
    write: impl AsyncFnOnce(u64) -> Result<(), PassError>,
) {
    let terms = &shared.leaders.terms;
    terms.begin(object);
    terms.note_floor(object, written);
    let told = agents
        .map(|status| status.term)
        .filter(|term| is_term(*term));
    let (said, lost) = (told.max().unwrap_or(0), shared.leadership.has_lost_terms());
    let floor = terms.next_floor(object, term, said, lost);
    if floor <= written {
        return;
    }
    match write(floor).await {
        Ok(()) => terms.note_floor(object, floor),
        Err(error) => warn!(%object, %error, "agents are not spoken to under a higher term"),
    }
}

/// What people are told of an agent that refused this leader's term in this pass.
pub fn refused(shared: &Shared, object: &ObjectKey, term: u64) -> Option<String> {
    let terms = &shared.leaders.terms;
    let (pod, told) = terms.refused(object)?;
    let ours = terms.term(object, term);
    Some(format!(
        "the agent of pod {pod} refuses orders of term {ours}, as it tells of a leader of term {told}, and \
         the Lease has given no such term: other pods and objects go on. If the Lease was set back, or \
         the volume comes from another cluster, delete the Lease hera-operator; else delete the pod"
    ))
}
