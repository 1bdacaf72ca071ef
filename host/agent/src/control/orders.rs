//! Orders about a role. The caller holds [`Work`] and has checked the term.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hera_core::agent::{Order, Role};
use hera_redis::{Answer, Probe, Server, ServerRole};
use tracing::info;

use crate::agent::{Agent, Followed, Work};
use crate::cluster;
use crate::control::answer::Refused;
use crate::fence::clock;
use crate::role::follow::follow;
use crate::role::leave;
use crate::role::promote::promote;
use crate::state::remembered::{Following, State};

/// Why a server that was ordered down stays down.
const FENCED: &str = "the operator fenced the server; it waits for whom to follow";
const FENCED_BEFORE: &str = "the server was fenced before; it waits for whom to follow";

/// What a state that says `fenced` means at the agent's start.
pub fn down_since_before(fenced: bool) -> Option<String> {
    fenced.then(|| FENCED_BEFORE.to_owned())
}

/// Carries out an order.
///
/// # Errors
/// Why it was not.
pub async fn carry_out(agent: &Arc<Agent>, work: &mut Work, order: Order) -> Result<(), Refused> {
    info!(?order, "ordered");
    match order {
        Order::Promote { .. } | Order::Follow { .. } if agent.recovery.holds() => {
            let words = "the volume is filled from a backup before the server has a role";
            Err(Refused::later(words))
        }
        Order::Promote { epoch, token } => promote(agent, work, epoch, token).await,
        Order::Follow {
            epoch,
            primary_uid,
            host,
            port,
            lineage,
            password,
        } => {
            let whom = Following {
                epoch,
                primary_uid,
                host,
                port,
                lineage,
            };
            follow(agent, work, Followed { whom, password }).await
        }
        Order::Pause { millis, epoch } => pause(agent, work, millis, epoch).await,
        Order::Release => release(work).await,
        Order::Fence { epoch } => fence(agent, epoch),
        Order::FenceBusy {
            epoch,
            script_since_unix_ms,
            offset,
        } => fence_busy(agent, work, epoch, script_since_unix_ms, offset).await,
        Order::Start => start(agent),
        Order::Promise { epoch } => {
            agent.note(|state| state.promises(epoch, agent.vouched.quiet_ms()))?;
            Ok(())
        }
        Order::Leave => leave::at_once(agent),
        Order::Cluster { command } => cluster::orders::carry_out(agent, work, &command).await,
        Order::MarkLeft { left } => mark_left(agent, left),
    }
}

async fn pause(agent: &Agent, work: &mut Work, millis: u64, epoch: u64) -> Result<(), Refused> {
    let server = running(work)?;
    if agent.board.status().role != Role::Primary {
        return Err(Refused::wrong("only a primary pauses"));
    }
    work.pauses.may_begin(epoch, agent.state_file.get().epoch)?;
    // From before it begins: it is over for this agent when it may be over for the server.
    work.pauses
        .begin(epoch, clock::now().saturating_add(millis));
    Ok(server.pause_writes(Duration::from_millis(millis)).await?)
}

async fn release(work: &mut Work) -> Result<(), Refused> {
    let server = running(work)?;
    work.pauses.end();
    server.end_pause().await?;
    let Probe::Info(info) = server.probe().await? else {
        return Err(Refused::later("the server does not tell its role now"));
    };
    if info.replication.role != ServerRole::Primary {
        server.close_clients().await?;
    }
    Ok(())
}

fn fence(agent: &Agent, epoch: u64) -> Result<(), Refused> {
    may_fence(agent, epoch)?;
    agent.note(State::is_fenced)?;
    agent.fence.take_down(FENCED);
    Ok(())
}

/// Nothing comes between what the server says and its end: a write that it took meanwhile may be nowhere
/// else. So it is noted afterwards; one that was killed without a note starts held.
async fn fence_busy(
    agent: &Agent,
    work: &mut Work,
    epoch: u64,
    script_since_unix_ms: u64,
    replica_offset: u64,
) -> Result<(), Refused> {
    may_fence(agent, epoch)?;
    if agent.fence.is_down() {
        return Ok(());
    }
    let is_that = || {
        let script = agent.board.status().script;
        script.is_some_and(|script| script.since_unix_ms == script_since_unix_ms)
    };
    let another = || Refused::wrong("that script keeps the server busy no more");
    if !is_that() {
        return Err(another());
    }
    if replica_offset < agent.offset.load(Ordering::SeqCst) {
        return Err(Refused::wrong(
            "no replica has all that the server had when it last answered",
        ));
    }
    match running(work)?.probe().await? {
        // A look may have found meanwhile that another has begun.
        Probe::Refused(Answer::Busy) if is_that() => agent.fence.take_down(FENCED),
        Probe::Refused(Answer::Busy) => return Err(another()),
        _ => return Err(Refused::wrong("no script keeps the server busy any more")),
    }
    Ok(())
}

fn may_fence(agent: &Agent, epoch: u64) -> Result<(), Refused> {
    let own = agent.state_file.get().epoch;
    if own > epoch {
        let words = format!("the data is of epoch {own}, which is later than {epoch}");
        return Err(Refused::wrong(words));
    }
    Ok(())
}

fn mark_left(agent: &Agent, left: bool) -> Result<(), Refused> {
    if left && (agent.board.status().role == Role::Primary || agent.state_file.get().primary) {
        let words = "the primary's copy is the data: it is not left behind before it handed over";
        return Err(Refused::wrong(words));
    }
    agent.note(|state| state.left = left)?;
    Ok(())
}

/// A server that was fenced starts again. It starts held: nobody is served before it follows or is promoted.
///
/// # Errors
/// When that cannot be noted.
pub fn start(agent: &Agent) -> Result<(), Refused> {
    if agent.fence.is_down() {
        agent.note(|state| state.fenced = false)?;
        agent.fence.lift();
    }
    Ok(())
}

/// The server, if it runs and answers.
///
/// # Errors
/// It does not.
pub fn running(work: &Work) -> Result<Server, Refused> {
    let server = work.server.clone();
    server.ok_or_else(|| Refused::later("the server does not run"))
}
