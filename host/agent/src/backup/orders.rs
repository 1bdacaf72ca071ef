//! Orders about backups. The caller has checked the term. What is ordered goes on by itself.

use std::sync::Arc;
use std::time::Instant;

use hera_core::backup::{
    BackupManifest, BackupOrder, BackupState, BaseManifest, CaptureOrder, Failure, StoreAccess,
    SweepOrder,
};
use hera_store::Store;
use tracing::{info, warn};

use super::memory::Memory;
use super::runs::{Beginning, Committing};
use super::snapshot::{self, Wanted};
use super::{backlog, files, recovery, sweep};
use crate::agent::Agent;
use crate::control::answer::Refused;

/// What is told when somebody asks.
pub fn state(agent: &Agent) -> BackupState {
    BackupState {
        runs: agent.backups.told(),
        capture: agent.log.state(),
        sweep: agent.sweeps.told(),
        load: agent
            .load
            .told(Memory::of(&agent.settings.cgroup), Instant::now()),
    }
}

/// Carries out an order.
///
/// # Errors
/// Why it was not.
pub fn carry_out(agent: &Arc<Agent>, order: BackupOrder) -> Result<(), Refused> {
    info!(?order, "ordered");
    match order {
        BackupOrder::Snapshot {
            run,
            shard,
            owner,
            store,
        } => {
            let wanted = Wanted {
                run,
                shard,
                owner,
                store,
            };
            begin(agent, wanted)
        }
        BackupOrder::Commit {
            run,
            manifest,
            store,
        } => commit(agent, run, manifest, store),
        BackupOrder::Cancel { run } => {
            agent.backups.cancel(&run);
            Ok(())
        }
        BackupOrder::Recover { from, store } => recovery::order(agent, &from, &store),
        BackupOrder::Capture(order) => capture(agent, *order),
        BackupOrder::StopCapture => {
            agent.log.stop();
            Ok(())
        }
        BackupOrder::Sweep(order) => begin_sweep(agent, *order),
        BackupOrder::StartWithout => recovery::start_without(agent),
    }
}

fn begin(agent: &Arc<Agent>, wanted: Wanted) -> Result<(), Refused> {
    let owner = &wanted.owner;
    for name in [
        &wanted.run,
        &wanted.shard,
        &owner.namespace,
        &owner.name,
        &owner.uid,
    ] {
        may_be_in_a_path(name)?;
    }
    if agent.asked.get().is_some() {
        return Err(Refused::wrong("the pod ends"));
    }
    let begun = match agent.backups.begin(&wanted.run) {
        Beginning::New(begun) => begun,
        Beginning::Known => return Ok(()),
        Beginning::Busy => {
            let words = "another snapshot of this server is being stored";
            return Err(Refused::later(words));
        }
    };
    let agent = agent.clone();
    tokio::spawn(async move {
        let taken = Box::pin(snapshot::take(&agent, begun.job(), &wanted)).await;
        let run = &wanted.run;
        match &taken {
            Ok(base) => info!(run, path = %base.path, bytes = base.stored_bytes, "stored"),
            Err(failure) => not_stored(run, failure),
        }
        begun.ends(taken);
        Box::pin(backlog::give_up(&agent)).await;
    });
    Ok(())
}

fn capture(agent: &Agent, order: CaptureOrder) -> Result<(), Refused> {
    let owner = &order.owner;
    for name in [&order.shard, &owner.namespace, &owner.name, &owner.uid] {
        may_be_in_a_path(name)?;
    }
    // How much its primaries have written is told by none of them without a doubt.
    if agent.cluster.is_some() {
        return Err(Refused::wrong("no log of a cluster is kept yet"));
    }
    if agent.asked.get().is_some() {
        return Err(Refused::wrong("the pod ends"));
    }
    agent.log.order(order);
    Ok(())
}

fn begin_sweep(agent: &Arc<Agent>, order: SweepOrder) -> Result<(), Refused> {
    let owner = &order.owner;
    for name in [&owner.namespace, &owner.name, &owner.uid] {
        may_be_in_a_path(name)?;
    }
    if agent.cluster.is_some() {
        return Err(Refused::wrong("no backups of a cluster are removed yet"));
    }
    if agent.asked.get().is_some() {
        return Err(Refused::wrong("the pod ends"));
    }
    if agent.recovery.holds() {
        return Err(Refused::wrong("data comes from a backup first"));
    }
    sweep::order(agent, order)
}

fn commit(
    agent: &Arc<Agent>,
    run: String,
    manifest: Box<BackupManifest>,
    store: StoreAccess,
) -> Result<(), Refused> {
    let owner = &manifest.owner;
    for name in [
        &run,
        &manifest.id,
        &owner.namespace,
        &owner.name,
        &owner.uid,
    ] {
        may_be_in_a_path(name)?;
    }
    match agent.backups.begin_commit(&run) {
        Committing::New => {}
        Committing::Known => return Ok(()),
        Committing::NoBase => {
            let words = format!("run {run} has stored nothing, so there is no backup to write");
            return Err(Refused::wrong(words));
        }
    }
    let agent = agent.clone();
    tokio::spawn(async move {
        let written = Box::pin(write(&run, &manifest, &store)).await;
        match &written {
            Ok(_) => info!(run, backup = %manifest.id, "the backup is written"),
            Err(failure) => not_stored(&run, failure),
        }
        agent.backups.end_commit(&run, written);
    });
    Ok(())
}

async fn write(
    run: &str,
    manifest: &BackupManifest,
    store: &StoreAccess,
) -> Result<Option<Box<BaseManifest>>, Failure> {
    let store = Store::open(store)?;
    files::write_backup(&store, run, manifest).await
}

fn not_stored(run: &str, failure: &Failure) {
    let reason = failure.reason.as_str();
    warn!(run, reason, why = %failure.message, "there is no backup");
}

/// Names of Kubernetes and uids are.
fn may_be_in_a_path(name: &str) -> Result<(), Refused> {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    match !name.is_empty() && name.chars().all(is_usual) && !name.starts_with('.') {
        true => Ok(()),
        false => Err(Refused::wrong(format!("{name:?} is no name"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_path_is_no_path() {
        for name in ["0", "cache-0", "6f1c.shop", "3f0a-1"] {
            assert!(may_be_in_a_path(name).is_ok(), "{name}");
        }
        for path in ["", ".", "..", "a/b", "../a", "a b", "ä"] {
            assert!(may_be_in_a_path(path).is_err(), "{path}");
        }
    }
}
