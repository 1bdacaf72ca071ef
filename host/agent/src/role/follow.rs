//! Makes the server a replica.

use std::time::Duration;

use hera_core::acl::REPLICATION_USER;
use hera_core::agent::{Link, Role};
use hera_redis::{Credentials, Probe, Server, ServerInfo, ServerRole};
use tracing::{info, warn};

use crate::agent::{Agent, Followed, Work};
use crate::control::answer::Refused;
use crate::fence::clock;
use crate::state::remembered::Following;

/// Writes stay held back while a primary is told to follow: longer than an answer is waited for.
const YIELDS: Duration = Duration::from_secs(5);
/// What is left of that is enough for the orders to the server, each of which is given up after 2 s.
const NOTED_MS: u64 = 500;

/// Has the server follow as ordered; one that does not run follows once it does. A primary that
/// serves follows only in the pause for this handover; the loser of two is fenced first.
///
/// # Errors
/// Why it does not. What was noted is tried again at each look.
pub async fn follow(agent: &Agent, work: &mut Work, followed: Followed) -> Result<(), Refused> {
    let whom = &followed.whom;
    let state = agent.state_file.get();
    let known = state.known().0.max(state.epoch);
    if whom.epoch < known {
        let words = format!("epoch {known} is known, {} is older", whom.epoch);
        return Err(Refused::wrong(words));
    }
    if whom.primary_uid == agent.settings.pod_uid {
        return Err(Refused::wrong("a pod cannot follow itself"));
    }
    if agent.fence.is_down() {
        note(agent, work, followed)?;
        // It follows once it runs.
        agent.fence.lift();
        return Ok(());
    }
    let Some(server) = work.server.clone() else {
        return note(agent, work, followed);
    };
    let info = match server.probe().await {
        Ok(Probe::Info(info)) => info,
        busy => {
            if agent.fence.is_armed() {
                return Err(Refused::later("the primary is busy and goes on"));
            }
            note(agent, work, followed)?;
            busy?;
            let words = "the server is busy: it follows as soon as it can";
            return Err(Refused::later(words));
        }
    };
    if info.replication.role == ServerRole::Primary {
        return abdicate(agent, work, &server, &info, followed).await;
    }
    note(agent, work, followed)?;
    lead(agent, work, &server, &info).await?;
    Ok(())
}

/// Notes whom to follow, durably.
fn note(agent: &Agent, work: &mut Work, followed: Followed) -> Result<(), Refused> {
    let whom = &followed.whom;
    agent.note(|state| {
        state.primary = false;
        state.fenced = false;
        state.following = Some(whom.clone());
        // It vouches for none of them any more; told, so that the next epoch is higher.
        state.promises(whom.epoch.saturating_sub(1), 0);
    })?;
    // A link that was seen up before is none to a primary of this epoch.
    agent.turn();
    let known = work.followed.replace(followed);
    let password = |followed: &Followed| followed.password.clone();
    work.login_known &= known.as_ref().map(password) == work.followed.as_ref().map(password);
    tell_login(agent, work);
    Ok(())
}

/// Tells with which password the server follows, or is to.
pub fn tell_login(agent: &Agent, work: &Work) {
    let followed = work.followed.as_ref();
    let password = followed.map(|followed| followed.password.as_str());
    agent.tell_login(password, work.login_known);
}

/// Makes a serving primary a replica, with no write between its last word to the successor and this.
async fn abdicate(
    agent: &Agent,
    work: &mut Work,
    server: &Server,
    info: &ServerInfo,
    followed: Followed,
) -> Result<(), Refused> {
    let epoch = followed.whom.epoch;
    work.pauses.check(epoch, clock::now())?;
    // As long as the order to the server may take, and without a gap if it is answered in time.
    server.pause_writes(YIELDS).await?;
    if let Err(ended) = work.pauses.check(epoch, clock::now()) {
        work.pauses.end();
        server.end_pause().await?;
        return Err(ended.into());
    }
    let (before, yields) = (agent.state_file.get(), clock::now());
    note(agent, work, followed)?;
    let refused = match clock::now() > yields + NOTED_MS {
        // Writes that waited may have been answered by the time that the server follows.
        true => Refused::later("the volume is too slow for a handover: the primary goes on"),
        false => match lead(agent, work, server, info).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_answer() => error.into(),
            // Whether it serves when the pause ends is not known. Another starts, and follows.
            Err(error) => {
                work.pauses.end();
                agent.fence.kill();
                return Err(error.into());
            }
        },
    };
    warn!(?refused, epoch, "the primary does not follow");
    work.pauses.end();
    let noted = agent.note(|state| {
        state.primary = before.primary;
        state.following = before.following;
    });
    if let Err(error) = noted {
        agent.fence.kill();
        return Err(error.into());
    }
    work.followed = None;
    tell_login(agent, work);
    server.end_pause().await?;
    Err(refused)
}

/// Brings the server to whom it is to follow, if it does not do so already.
///
/// # Errors
/// As told by the server; it is tried again at the next look.
pub async fn lead(
    agent: &Agent,
    work: &mut Work,
    server: &Server,
    info: &ServerInfo,
) -> Result<(), hera_redis::Error> {
    let Some(Followed { whom, password }) = &work.followed else {
        return Ok(());
    };
    let login = Credentials::new(REPLICATION_USER, password.as_str());
    if follows(info, whom) {
        if !work.login_known {
            server.log_in_to_primary_with(&login).await?;
        }
    } else {
        let told = server.follow(&whom.host, whom.port, &login).await;
        agent.turn();
        told?;
        info!(host = %whom.host, port = whom.port, epoch = whom.epoch, "the server follows");
        let link = Link {
            host: whom.host.clone(),
            port: whom.port,
            up: false,
            syncing: false,
            quiet: false,
        };
        agent.board.change(|status| {
            status.role = Role::Replica;
            status.link = Some(link);
        });
        // Not where it follows already: each look leads, and one after the other without a pause
        // costs most of a core.
        agent.look.notify_one();
    }
    if !std::mem::replace(&mut work.login_known, true) {
        tell_login(agent, work);
    }
    agent.fence.disarm();
    Ok(())
}

/// True if the server follows that primary.
fn follows(info: &ServerInfo, whom: &Following) -> bool {
    let link = info.replication.master_link.as_ref();
    link.is_some_and(|link| link.host == whom.host && link.port == whom.port)
}
