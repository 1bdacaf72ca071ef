//! How much a primary has written: asked while a log is kept, so that it is known that nothing more was. One that
//! serves without a doubt tells, and no other: a pair that is cut off says of no time that nothing was written in it.

use std::sync::Arc;
use std::time::Duration;

use hera_core::agent::{Look, PATH_LOOK, Peer, Role};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, timeout};
use tracing::debug;

use super::history;
use crate::agent::Agent;
use crate::control::answer::Refused;
use crate::control::peers::{self, Known};
use crate::fence::clock;

/// Between two questions.
const ASK: Duration = Duration::from_secs(1);
/// A peer that does not answer by then is asked again.
const LIMIT: Duration = Duration::from_secs(1);

/// What a primary answered.
#[derive(Clone, Debug)]
pub struct Seen {
    /// It.
    pub look: Look,
    /// Before it was asked, in milliseconds since 1970.
    pub asked_unix_ms: u64,
    /// When it had answered.
    pub answered_unix_ms: u64,
}

/// How much this server has written.
///
/// # Errors
/// It does not serve as the primary, or is not sure to.
pub async fn told(agent: &Agent) -> Result<Look, Refused> {
    let in_doubt = || Refused::later("this server does not serve as the primary without a doubt");
    if !serves(agent) {
        return Err(in_doubt());
    }
    let server = agent.work.lock().await.server.clone();
    let info = server.ok_or_else(in_doubt)?.info(&["replication"]).await?;
    let told = history::read(&info).filter(|told| told.is_primary);
    // Until it had answered, nobody else was the primary: that holds now still.
    let told = told.filter(|_| serves(agent)).ok_or_else(in_doubt)?;
    let (id, offset) = (told.history.id, told.history.offset);
    agent.log.promoted.leads(&id);
    Ok(Look {
        since_unix_ms: agent.log.promoted.began(&id),
        id,
        offset,
    })
}

fn serves(agent: &Agent) -> bool {
    let status = agent.board.status();
    let ends = status.leaving || status.hangs || agent.is_stopping();
    status.role == Role::Primary && !ends && agent.fence.holds()
}

/// Asks the primary of this server's history again and again: this server, or the agent of the one that it follows.
pub async fn ask(
    agent: Arc<Agent>,
    mut tls: watch::Receiver<ClientConfig>,
    answers: mpsc::Sender<Seen>,
) {
    let mut known: Option<Known> = None;
    let mut ticks = tokio::time::interval(ASK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked_unix_ms = clock::unix_ms();
        let Some(look) = once(&agent, &mut tls, &mut known).await else {
            continue;
        };
        let seen = Seen {
            look,
            asked_unix_ms,
            answered_unix_ms: clock::unix_ms(),
        };
        if answers.send(seen).await.is_err() {
            return;
        }
    }
}

/// When this history began, if it is the primary's now and its agent knows.
pub async fn since(agent: &Agent, tls: &watch::Receiver<ClientConfig>, id: &str) -> Option<u64> {
    let (mut tls, mut known) = (tls.clone(), None);
    let asked = timeout(LIMIT, Box::pin(once(agent, &mut tls, &mut known))).await;
    let look = asked.ok().flatten()?;
    look.since_unix_ms.filter(|_| look.id == id)
}

async fn once(
    agent: &Agent,
    tls: &mut watch::Receiver<ClientConfig>,
    known: &mut Option<Known>,
) -> Option<Look> {
    match agent.board.status().role {
        Role::Primary => told(agent).await.ok(),
        Role::Replica => of_peer(agent, tls, known).await,
        Role::Held | Role::Unknown => None,
    }
}

async fn of_peer(
    agent: &Agent,
    tls: &mut watch::Receiver<ClientConfig>,
    known: &mut Option<Known>,
) -> Option<Look> {
    let peer = primary(agent)?;
    let is_new_tls = tls.has_changed().unwrap_or(false);
    if is_new_tls || !known.as_ref().is_some_and(|known| known.is(&peer)) {
        let tls = tls.borrow_and_update().clone();
        *known = peers::reach(agent, &tls, peer);
    }
    let asked = known.as_ref()?.ask(agent, PATH_LOOK, &(), LIMIT).await;
    if let Err(error) = &asked {
        debug!(%error, "the primary does not tell how much it has written");
    }
    asked.ok()
}

/// The pod that this one was told to follow.
fn primary(agent: &Agent) -> Option<Peer> {
    let uid = agent.state_file.get().following?.primary_uid;
    let mut others = peers::others(agent).into_iter();
    others.find(|peer| peer.pod_uid == uid)
}
