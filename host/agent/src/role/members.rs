//! The data pods of the instance, as the operator tells.

use hera_core::agent::Members;
use tracing::info;

use crate::agent::Agent;
use crate::control::answer::Refused;
use crate::state::remembered::State;

/// True if this pod is the only one: it promotes itself. Before any were told, its settings say; but not
/// over data from before this object: a volume that no pod has may hold later data.
pub fn is_lone(agent: &Agent, state: &State) -> bool {
    match &state.members {
        Some(members) => members.pods.len() <= 1,
        None => agent.settings.lone && !state.inherited,
    }
}

/// Takes what the operator tells, durably.
///
/// # Errors
/// A list without this pod, or one that a later one has overtaken.
pub fn push(agent: &Agent, members: Members) -> Result<(), Refused> {
    let uid = &agent.settings.pod_uid;
    if !members.pods.iter().any(|pod| pod.pod_uid == *uid) {
        let words = format!("this pod, {uid}, is not among the members");
        return Err(Refused::wrong(words));
    }
    let held = agent.state_file.get().members;
    if held.as_ref() == Some(&members) {
        return Ok(());
    }
    let later = held.map_or(0, |held| held.revision);
    if members.revision > 0 && members.revision < later {
        let words = format!(
            "list {later} of the members was taken, {} is earlier",
            members.revision
        );
        return Err(Refused::wrong(words));
    }
    agent.note(|state| state.members = Some(members.clone()))?;
    agent.fence.set_members(&members);
    info!(count = members.pods.len(), "the members are known");
    Ok(())
}
