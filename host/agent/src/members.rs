//! The data pods of the instance, as the operator tells.

use hera_core::agent::Members;
use tracing::info;

use crate::agent::Agent;
use crate::answer::Refused;
use crate::state::State;

/// True if this pod is the only one: it promotes itself. Before any were told, its settings say.
pub fn is_lone(agent: &Agent, state: &State) -> bool {
    match &state.members {
        Some(members) => members.pods.len() <= 1,
        None => agent.settings.lone,
    }
}

/// Takes what the operator tells, durably.
///
/// # Errors
/// A list without this pod.
pub fn push(agent: &Agent, members: Members) -> Result<(), Refused> {
    let uid = &agent.settings.pod_uid;
    if !members.pods.iter().any(|pod| pod.pod_uid == *uid) {
        let words = format!("this pod, {uid}, is not among the members");
        return Err(Refused::wrong(words));
    }
    if agent.keeper.get().members.as_ref() == Some(&members) {
        return Ok(());
    }
    agent.note(|state| state.members = Some(members.clone()))?;
    agent.fence.set_members(&members);
    info!(count = members.pods.len(), "the members are known");
    Ok(())
}
