//! Brings users to the running server.

use std::collections::BTreeMap;

use hera_core::acl::{AclSet, AclUser, DEFAULT_USER, is_system_user};
use hera_core::agent::AclState;
use hera_redis::{Error, Server, VERDICT_USER, Verdict};
use tracing::{info, warn};

use crate::agent::{Agent, Work};
use crate::files;

/// Applies the users that are known from before; nobody has confirmed them yet.
pub async fn apply_known(agent: &Agent, work: &mut Work) {
    if work.acl.is_none() {
        work.acl = files::best_acl(&agent.settings);
    }
    if let Some(set) = work.acl.clone() {
        let state = apply(agent, work, &set, false).await;
        agent.board.change(|status| status.acl = state);
    }
}

/// Applies a set that the operator pushed, and keeps it.
///
/// # Errors
/// Words for the operator: an older revision, or one of another object.
pub async fn push(agent: &Agent, work: &mut Work, set: AclSet) -> Result<AclState, String> {
    if set.owner != agent.settings.object_uid {
        return Err("these users belong to another object".to_owned());
    }
    let known = work.acl.as_ref().map_or(0, |known| known.revision);
    if set.revision < known {
        return Err(format!(
            "revision {known} is known already, {} is older",
            set.revision
        ));
    }
    // Kept first: after a crash in the middle the newer users are in force.
    files::keep_acl(&agent.settings, &set).map_err(|error| error.to_string())?;
    work.acl = Some(set.clone());
    let state = apply(agent, work, &set, true).await;
    agent.board.change(|status| status.acl = state.clone());
    Ok(state)
}

async fn apply(agent: &Agent, work: &mut Work, set: &AclSet, confirm: bool) -> AclState {
    let mut state = agent.board.status().acl;
    state.rejected.clear();
    let Some(server) = work.server.clone() else {
        state.confirmed = false;
        return state;
    };
    match bring(&server, &mut work.applied, set).await {
        Ok(rejected) => {
            state.rejected = rejected;
            state.revision = set.revision;
            state.confirmed |= confirm;
            info!(
                revision = set.revision,
                confirmed = state.confirmed,
                "users are in force"
            );
        }
        Err(error) => {
            warn!(%error, "users cannot be brought to the server");
            state.confirmed = false;
        }
    }
    state
}

/// Brings the server's users to `set`; a user that is as it should be is not touched, so its
/// connections live on. Answers the refused ones.
async fn bring(
    server: &Server,
    applied: &mut BTreeMap<String, AclUser>,
    set: &AclSet,
) -> Result<BTreeMap<String, String>, Error> {
    let mut rejected = BTreeMap::new();
    for user in &set.users {
        if applied.get(&user.name) == Some(user) {
            continue;
        }
        if let Verdict::Refused(why) = server.verdict(user).await? {
            rejected.insert(user.name.clone(), why);
            continue;
        }
        server.set_user(user).await?;
        applied.insert(user.name.clone(), user.clone());
    }
    let wanted = |name: &str| set.users.iter().any(|user| user.name == name);
    for user in server.users().await? {
        let ours = wanted(&user.name) || user.name == VERDICT_USER;
        if ours || (is_system_user(&user.name) && user.name != DEFAULT_USER) {
            continue;
        }
        if user.name == DEFAULT_USER {
            if user.enabled {
                close_default(server).await?;
            }
        } else {
            server.kill_connections_of(&user.name).await?;
            server.delete_user(&user.name).await?;
        }
        applied.remove(&user.name);
    }
    read_back(server, set, &mut rejected).await?;
    Ok(rejected)
}

/// What a server says is what counts.
async fn read_back(
    server: &Server,
    set: &AclSet,
    rejected: &mut BTreeMap<String, String>,
) -> Result<(), Error> {
    let listed = server.users().await?;
    for user in &set.users {
        if rejected.contains_key(&user.name) {
            continue;
        }
        let found = listed.iter().find(|listed| listed.name == user.name);
        let right = found.is_some_and(|found| {
            found.enabled
                && !found.nopass
                && user
                    .password_sha256
                    .iter()
                    .all(|hash| found.password_sha256.contains(hash))
        });
        if !right {
            let words = "the server does not show it as it was set".to_owned();
            rejected.insert(user.name.clone(), words);
        }
    }
    Ok(())
}

/// Back to the form in which the server's own user is safe (redis-facts §4.1).
async fn close_default(server: &Server) -> Result<(), Error> {
    let mut command = hera_redis::command("ACL");
    command.arg(&[
        "SETUSER",
        DEFAULT_USER,
        "reset",
        "off",
        "resetpass",
        "~*",
        "&*",
        "+@all",
    ]);
    server.ask::<()>("ACL SETUSER", &command).await?;
    server.kill_connections_of(DEFAULT_USER).await
}
