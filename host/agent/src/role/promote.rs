//! Makes the server the primary.

use hera_core::agent::Role;
use hera_redis::Server;
use tracing::{info, warn};

use crate::agent::{Agent, Work};
use crate::control::answer::Refused;
use crate::control::orders::running;
use crate::fence::clock;
use crate::role::follow::tell_login;
use crate::server::listen;

/// Promotes the server as ordered.
///
/// # Errors
/// Why it is not the primary.
pub async fn promote(
    agent: &Agent,
    work: &mut Work,
    epoch: u64,
    token: u64,
) -> Result<(), Refused> {
    let now = clock::now();
    let status = agent.board.status();
    if agent.is_stopping() || status.leaving {
        return Err(Refused::wrong("the pod ends"));
    }
    if agent.fence.is_down() {
        agent.note(|state| state.fenced = false)?;
        agent.fence.lift();
        return Err(Refused::later(
            "the server was fenced and starts now: try again once it runs",
        ));
    }
    let server = running(work)?;
    if work.acl_due {
        return Err(Refused::later("the users are not in force yet"));
    }
    let uid = &agent.settings.pod_uid;
    let state = agent.state_file.get();
    if epoch <= state.promised_epoch {
        let words = format!(
            "this agent promised to vouch for no epoch up to {}, and {epoch} is not later",
            state.promised_epoch
        );
        return Err(Refused::wrong(words));
    }
    let own = state.epoch == epoch && state.primary_uid == *uid;
    if own && state.primary && status.role == Role::Primary {
        return Ok(());
    }
    // Nor is it promoted twice for one epoch.
    let known = state.known().0.max(state.epoch);
    if epoch <= known {
        let words = format!("epoch {known} is known, {epoch} is not later");
        return Err(Refused::wrong(words));
    }
    let Some(since) = agent.tokens().time(token, now) else {
        return Err(Refused::wrong(
            "the token is unknown or old: ask for the position again",
        ));
    };
    lead(agent, work, &server, epoch, since).await
}

/// Makes the server the primary of an epoch. The state tells of it and the fence is up before.
///
/// # Errors
/// Why it is not.
pub async fn lead(
    agent: &Agent,
    work: &mut Work,
    server: &Server,
    epoch: u64,
    since: u64,
) -> Result<(), Refused> {
    // Also one without any user: replicas are to reach it.
    listen::open(agent, work, server).await?;
    let uid = &agent.settings.pod_uid;
    agent.note(|state| state.begins(epoch, uid))?;
    work.followed = None;
    tell_login(agent, work);
    work.pauses.end();
    // Before: a server that was promoted and did not say so is fenced as well.
    agent.fence.arm(epoch, uid, since);
    agent.log.promoted.begins(clock::unix_ms());
    let promoted = server.promote().await;
    agent.turn();
    if let Err(error) = promoted {
        agent.log.promoted.fails();
        warn!(%error, epoch, "the server refuses the promotion");
        match error.is_answer() {
            true if agent.board.status().role != Role::Primary => agent.fence.disarm(),
            true => {}
            // Whether the server carries it out when it answers again is not known. Another starts.
            false => agent.fence.kill(),
        }
        return Err(error.into());
    }
    info!(epoch, "the server is the primary now");
    agent.board.change(|status| {
        status.role = Role::Primary;
        status.link = None;
        status.waiting_for = None;
    });
    agent.look.notify_one();
    Ok(())
}
