//! A server gives whole slots itself: Valkey from 9.0 on. It logs in at the other as a replica would, and the other
//! owns the slots at once or not at all: nothing is ever half moved.

use std::time::{Duration, Instant};

use hera_core::acl::{MIGRATION_USER, replication_user};
use hera_core::cluster::SlotSet;
use hera_redis::{Credentials, JobState, Server, SlotJob};
use tracing::warn;

use super::job::{Broke, Job};
use super::{Give, connect, password, primary, with_id};
use crate::agent::Agent;

/// Between two looks at the server's job, and at first.
const LOOK: Duration = Duration::from_millis(100);
const FIRST: Duration = Duration::from_millis(10);
/// By then the server has logged in at the other, or will not.
const LOGIN: Duration = Duration::from_secs(5);
/// A job that is to stop may end by itself for so long.
const STOP: Duration = Duration::from_secs(10);
/// No job of a bounded number of keys takes longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// A job that is canceled: writes are held back until it is clear who has the slots.
const SETTLES: Duration = Duration::from_millis(500);
/// Between two attempts to put the login back.
const AGAIN: Duration = Duration::from_millis(200);
/// A server that nobody can connect to for so long does not run.
const GONE: Duration = Duration::from_secs(30);

/// Gives those of the slots that the server has.
///
/// # Errors
/// It was stopped, or failed.
pub async fn give(agent: &Agent, server: &Server, job: &Job, order: &Give) -> Result<(), Broke> {
    let own = primary(server).await?;
    let wanted = order.slots.shared(&own.slots());
    if wanted.is_empty() {
        return Ok(());
    }
    // Of an order whose answer was lost, or of somebody's hand: it comes to its end first.
    for before in server.export_jobs().await? {
        if !before.takes && !before.is_over() {
            follow(server, job, &before.id).await?;
        }
    }
    let keys = server.count_keys_in(&wanted).await?;
    let id = start(agent, server, &wanted, &order.target).await?;
    follow(server, job, &id).await?;
    job.moved(keys);
    Ok(())
}

/// Starts the server's job, and awaits that it has logged in at the other: as a user that is there, which that of its
/// own replicas is not (decision 021). Should it become a replica just then, its first attempts to follow fail.
async fn start(
    agent: &Agent,
    server: &Server,
    slots: &SlotSet,
    target: &str,
) -> Result<String, Broke> {
    let shard = agent.settings.shard;
    let shard = shard.filter(|_| !password(agent).is_empty());
    let (Some(shard), Some(cluster)) = (shard, &agent.cluster) else {
        return begins(server, slots, target).await;
    };
    let lent = cluster.login.lend(agent).await;
    let login = Credentials::new(MIGRATION_USER, password(agent));
    let started = match server.log_in_to_primary_with(&login).await {
        Ok(()) => begins(server, slots, target).await,
        Err(error) => Err(error.into()),
    };
    put_back(agent, server, shard).await;
    drop(lent);
    agent.look.notify_one();
    started
}

/// The server follows with its own login again: as the other user it could not. The next server reads it from its
/// file; that a connection breaks does not say that this one has ended.
async fn put_back(agent: &Agent, server: &Server, shard: u32) {
    let login = Credentials::new(replication_user(shard), password(agent));
    let mut own = server.clone();
    let mut unreached: Option<Instant> = None;
    while let Err(error) = own.log_in_to_primary_with(&login).await {
        warn!(%error, "the server's login at its primary is to be put back");
        tokio::time::sleep(AGAIN).await;
        if !error.is_broken() {
            continue;
        }
        match connect(agent).await {
            Ok(next) => (own, unreached) = (next, None),
            Err(_) if unreached.get_or_insert_with(Instant::now).elapsed() > GONE => return,
            Err(_) => {}
        }
    }
}

async fn begins(server: &Server, slots: &SlotSet, target: &str) -> Result<String, Broke> {
    server.export_slots(slots, target).await?;
    let begun = Instant::now();
    while begun.elapsed() < LOGIN {
        let jobs = server.export_jobs().await?;
        let is_ours = |job: &SlotJob| !job.takes && job.peer == target && job.slots == *slots;
        // The latest comes first.
        let ours = jobs.into_iter().find(is_ours);
        let Some(ours) = ours else {
            return Err(Broke::failed("the server knows nothing of the job"));
        };
        if ours.state != JobState::Begins {
            return Ok(ours.id);
        }
        tokio::time::sleep(FIRST).await;
    }
    // It has sent nothing yet.
    server.cancel_exports().await?;
    Err(Broke::failed("the other server lets nobody in"))
}

/// Awaits the end of the server's job.
async fn follow(server: &Server, job: &Job, id: &str) -> Result<(), Broke> {
    let begun = Instant::now();
    let mut asked: Option<Instant> = None;
    loop {
        let SlotJob { state, words, .. } = with_id(server.export_jobs().await?, id)?;
        match state {
            JobState::Done => return Ok(()),
            JobState::Failed | JobState::Canceled => return Err(Broke::failed(words)),
            JobState::Begins | JobState::Runs | JobState::HandsOver => {}
        }
        // Once the other may own them the server sets an end to it itself, and takes no write before that.
        let may_cancel = state != JobState::HandsOver;
        if may_cancel && begun.elapsed() > LONGEST {
            give_up(server).await?;
            return Err(Broke::failed("it took too long"));
        }
        if may_cancel && asked.is_some_and(|at| at.elapsed() > STOP) {
            give_up(server).await?;
            return Err(Broke::Stopped);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = job.until_stop(), if asked.is_none() => asked = Some(Instant::now()),
        }
    }
}

/// Cancels the server's job. The other may have been told a moment ago to take the slots; the server takes writes
/// again once it has canceled, and those would go with the slots. So it takes none until the others have told it
/// who has them.
async fn give_up(server: &Server) -> Result<(), Broke> {
    server.pause_writes(SETTLES * 2).await?;
    let canceled = server.cancel_exports().await;
    tokio::time::sleep(SETTLES).await;
    server.end_pause().await?;
    Ok(canceled?)
}
