//! Makes the server a replica.

use hera_core::acl::REPLICATION_USER;
use hera_core::agent::{Link, Role};
use hera_redis::{Credentials, Probe, Server, ServerInfo};
use tracing::info;

use crate::agent::{Agent, Followed, Work};
use crate::answer::Refused;
use crate::state::Following;

/// Has the server follow as ordered; one that does not run follows once it does.
///
/// # Errors
/// Why it does not; what was noted is tried again at each look.
pub async fn follow(agent: &Agent, work: &mut Work, followed: Followed) -> Result<(), Refused> {
    let whom = &followed.whom;
    let state = agent.keeper.get();
    let known = state.known().0.max(state.reign);
    if whom.reign < known {
        let words = format!("reign {known} is known, {} is older", whom.reign);
        return Err(Refused::wrong(words));
    }
    if whom.primary_uid == agent.settings.pod_uid {
        return Err(Refused::wrong("a pod cannot follow itself"));
    }
    agent.note(|state| {
        state.primary = false;
        state.fenced = false;
        state.following = Some(whom.clone());
        // It vouches for none of them any more; told, so that the next reign is higher.
        state.forsworn = state.forsworn.max(whom.reign.saturating_sub(1));
    })?;
    let known = work.followed.replace(followed);
    let password = |followed: &Followed| followed.password.clone();
    work.login_known &= known.as_ref().map(password) == work.followed.as_ref().map(password);
    if agent.fence.is_down() {
        // It follows once it runs.
        agent.fence.lift();
        return Ok(());
    }
    let Some(server) = work.server.clone() else {
        return Ok(());
    };
    let Probe::Info(info) = server.probe().await? else {
        return Err(Refused::later(
            "the server is busy: it follows as soon as it can",
        ));
    };
    lead(agent, work, &server, &info).await?;
    Ok(())
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
        info!(host = %whom.host, port = whom.port, reign = whom.reign, "the server follows");
        let link = Link {
            host: whom.host.clone(),
            port: whom.port,
            up: false,
            syncing: false,
        };
        agent.board.change(|status| {
            status.role = Role::Replica;
            status.link = Some(link);
        });
    }
    work.login_known = true;
    agent.fence.disarm();
    agent.look.notify_one();
    Ok(())
}

/// True if the server follows that primary.
fn follows(info: &ServerInfo, whom: &Following) -> bool {
    let link = info.replication.master_link.as_ref();
    link.is_some_and(|link| link.host == whom.host && link.port == whom.port)
}
