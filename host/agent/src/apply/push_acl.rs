//! Brings users to the running server.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::acl::{AGENT_USER, AclSet, AclUser, DEFAULT_USER, is_system_user};
use hera_core::agent::AclState;
use hera_redis::{Error, ListedUser, Server, patterns};
use tracing::{info, warn};

use crate::agent::{Agent, Work};
use crate::apply::metrics_user::{OWN, beside, metrics_user};
use crate::apply::migration_user::migration_user;
use crate::server::listen;
use crate::state::files;

/// A user that the server has.
pub struct Applied {
    user: AclUser,
    /// As the server shows it: another picture later means that somebody changed it by hand.
    listed: ListedUser,
}

impl Applied {
    /// True if the server still shows it as it did.
    pub fn is(&self, listed: &ListedUser) -> bool {
        self.listed == *listed
    }

    /// True if nobody altered it at the server since, and `wanted` is to have the same rights: what its rights
    /// let it begin may go on, whatever its passwords are.
    fn keeps_rights(&self, wanted: &AclUser, listed: Option<&ListedUser>) -> bool {
        self.user.rules == wanted.rules && listed.is_some_and(|listed| self.is(listed))
    }
}

/// Takes a set that the operator pushed, keeps it, and applies it.
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
    let set = set.at_shard(agent.settings.shard);
    if work.acl.as_ref() != Some(&set) {
        work.listening.knows_others();
    }
    work.acl = Some(set);
    work.acl_confirmed = true;
    work.acl_due = true;
    apply_due(agent, work).await;
    Ok(agent.board.status().acl)
}

/// Brings the known users to the server that answers, if there is one. What fails is due again at
/// the next look; until then nothing is promoted.
pub async fn apply_due(agent: &Agent, work: &mut Work) {
    let confirmed = work.acl_confirmed;
    agent
        .board
        .change(|status| status.acl.confirmed = confirmed);
    let Some(server) = work.server.clone() else {
        return;
    };
    let Some(set) = work.acl.clone() else {
        work.acl_due = false;
        return;
    };
    let all = with_own(agent, &set);
    let mut rejected = match bring(&server, &mut work.applied, &all).await {
        Ok(brought) => {
            work.listening.took_all_but(brought.refused);
            brought.rejected
        }
        Err(error) => return warn!(%error, "users cannot be brought to the server"),
    };
    // Nobody asked for them in a spec, so they are nobody's there to mend.
    for user in OWN {
        if let Some(why) = rejected.remove(user) {
            warn!(user, why, "the server does not take a user of the agent's");
        }
    }
    match listen::open_for(agent, work, &server, &set).await {
        Ok(()) => {
            work.acl_due = false;
            info!(revision = set.revision, confirmed, rejected = ?rejected.keys(), "users are in force");
            agent.board.change(|status| {
                status.acl.revision = set.revision;
                status.acl.rejected = rejected;
            });
        }
        Err(closed) => warn!(%closed, "users are in force, and nobody can log in"),
    }
}

/// The users of `set`, and those that the agent makes.
fn with_own(agent: &Agent, set: &AclSet) -> AclSet {
    let metrics = metrics_user(agent).into_iter();
    beside(set, metrics.chain(migration_user(agent, set)))
}

/// A server that still reads its data has users by now, from its file: who was changed or removed
/// since it started is so at once. The server's own user waits, see [`listen::at_start`].
pub async fn catch_up(agent: &Agent, server: &Server) {
    let mut work = agent.work.lock().await;
    let work = &mut *work;
    let Some(mut set) = work.acl.clone() else {
        return;
    };
    if !work.listening.lags_behind(&set) {
        return;
    }
    set.users.retain(|user| user.name != DEFAULT_USER);
    let all = with_own(agent, &set);
    match bring(server, &mut work.applied, &all).await {
        Ok(_) => work.listening.has_caught_up(&set),
        Err(error) => warn!(%error, "users cannot be brought to the server that reads its data"),
    }
}

/// What became of a set.
struct Brought {
    /// Users that are not in force, each with words.
    rejected: BTreeMap<String, String>,
    /// Those of them that the server did not take.
    refused: BTreeSet<String>,
}

/// Brings the server's users to `set`; a user that is as it should be is not touched, so its
/// connections live on.
async fn bring(
    server: &Server,
    applied: &mut BTreeMap<String, Applied>,
    set: &AclSet,
) -> Result<Brought, Error> {
    let mut rejected = BTreeMap::new();
    let listed = server.users().await?;
    // Takes away first: a right that is revoked waits for nobody.
    for user in &listed {
        if !set.users.iter().any(|wanted| wanted.name == user.name) {
            remove(server, user).await?;
            applied.remove(&user.name);
        }
    }
    let is = |name: &str| listed.iter().find(|listed| listed.name == name);
    let mut changed = BTreeSet::new();
    for user in &set.users {
        let known = applied.get(&user.name);
        if known.is_some_and(|known| known.user == *user && is(&user.name) == Some(&known.listed)) {
            continue;
        }
        let keeps_rights = known.is_some_and(|known| known.keeps_rights(user, is(&user.name)));
        applied.remove(&user.name);
        // A user that the server refuses stays as it was: its answer is the verdict.
        match server.set_user(user).await {
            Ok(()) if keeps_rights => {}
            Ok(()) => {
                changed.insert(user.name.as_str());
            }
            Err(Error::Refused { code, message, .. }) if code == "ERR" => {
                rejected.insert(user.name.clone(), message);
            }
            Err(error) => return Err(error),
        }
    }
    // The links of its own replicas stay: they have nothing but the right to follow. Applications may log in as
    // the server's own user.
    changed.retain(|name| *name == DEFAULT_USER || !is_system_user(name));
    server.end_streams_of(&changed).await?;
    let refused = rejected.keys().cloned().collect();
    read_back(server, applied, set, &mut rejected).await?;
    Ok(Brought { rejected, refused })
}

/// What a server says is what counts.
async fn read_back(
    server: &Server,
    applied: &mut BTreeMap<String, Applied>,
    set: &AclSet,
    rejected: &mut BTreeMap<String, String>,
) -> Result<(), Error> {
    let listed = server.users().await?;
    for user in &set.users {
        if rejected.contains_key(&user.name) {
            continue;
        }
        let is = listed.iter().find(|listed| listed.name == user.name);
        match is.filter(|is| is_right(is, user)) {
            Some(is) => {
                let applied_now = Applied {
                    user: user.clone(),
                    listed: is.clone(),
                };
                applied.insert(user.name.clone(), applied_now);
            }
            None => {
                let words = "the server does not show it as it was set".to_owned();
                rejected.insert(user.name.clone(), words);
            }
        }
    }
    Ok(())
}

/// True if the server shows the user as it is to be.
pub fn is_right(is: &ListedUser, user: &AclUser) -> bool {
    is.enabled
        && !is.nopass
        && is.password_sha256.len() == user.password_sha256.len()
        && user
            .password_sha256
            .iter()
            .all(|hash| is.password_sha256.contains(hash))
        && patterns(&is.rules) == patterns(&user.rules)
}

/// Removes a user that nobody asked for. `default` cannot be removed, only closed.
async fn remove(server: &Server, user: &ListedUser) -> Result<(), Error> {
    match user.name.as_str() {
        AGENT_USER => Ok(()),
        DEFAULT_USER if is_closed(user) => Ok(()),
        DEFAULT_USER => close_default(server).await,
        _ => server.delete_user(&user.raw_name).await,
    }
}

/// True if the server's own user is as [`close_default`] leaves it in the end, when none of its connections is left.
fn is_closed(user: &ListedUser) -> bool {
    !user.enabled && user.rules.iter().any(|rule| rule == "+@all")
}

/// Back to the form in which the server's own user is safe (redis-facts §4.1). A connection that is there has the
/// rights of now though its user is off: so first none, and all of them once it is closed.
async fn close_default(server: &Server) -> Result<(), Error> {
    let mut bare = hera_redis::command("ACL");
    bare.arg(&["SETUSER", DEFAULT_USER, "reset", "resetchannels", "off"]);
    server.ask::<()>("ACL SETUSER", &bare).await?;
    server.kill_connections_of(DEFAULT_USER).await?;
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
    server.ask("ACL SETUSER", &command).await
}
