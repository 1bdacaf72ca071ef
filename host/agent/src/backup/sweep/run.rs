//! One sweep, from what there is to what is told of it.

use std::time::{Duration, Instant};

use hera_core::backup::retention::{Doubt, needed, needed_without};
use hera_core::backup::{Failure, FailureReason, Held, Paths, SweepOrder, SweepState};
use hera_store::Store;
use tokio::time::MissedTickBehavior;

use super::cache::Cache;
use super::doomed::{Doomed, doomed, is_needed};
use super::inventory::Inventory;
use super::removing::Removing;
use super::trim::Trim;
use super::{SHARD, heads};
use crate::agent::Agent;
use crate::backup::log::history;
use crate::backup::{failed, files};
use crate::fence::clock;
use crate::role::look::short;

/// A clock that is behind what is stored by more than this, in milliseconds, is wrong, or was when that was stored.
const BEHIND_MS: u64 = 60_000;
/// A sweep takes no longer. What is left is for the next one.
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// Between two looks whether it goes on.
const LOOK: Duration = Duration::from_millis(200);

/// What came of a sweep.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The backups that are there now.
    pub held: Vec<Held>,
    /// Backups that were named and are gone.
    pub dropped: Vec<String>,
    /// Backups that were named and stay.
    pub refused: Vec<String>,
    /// Pieces of the log that are gone.
    pub pieces: u64,
    /// More is to go.
    pub has_more: bool,
    /// The earliest instant that can be recovered, in milliseconds since 1970.
    pub first_unix_ms: Option<u64>,
}

impl Outcome {
    /// As it is told.
    pub fn done(self, id: String) -> SweepState {
        let Self {
            held,
            dropped,
            refused,
            pieces,
            has_more,
            first_unix_ms,
        } = self;
        SweepState::Done {
            id,
            held,
            dropped,
            refused,
            pieces,
            has_more,
            first_unix_ms,
        }
    }
}

/// Sweeps, unless the pod ends.
///
/// # Errors
/// Something is in doubt, the store does not answer, or the pod ends: then it may be half done.
pub async fn run(agent: &Agent, order: &SweepOrder, cache: &mut Cache) -> Result<Outcome, Failure> {
    tokio::select! {
        outcome = Box::pin(sweep(agent, order, cache)) => outcome,
        failure = until_over(agent) => Err(failure),
    }
}

async fn until_over(agent: &Agent) -> Failure {
    let since = Instant::now();
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if agent.asked.get().is_some() || agent.is_stopping() {
            let words = "the pod ends, and the sweep with it: the next one goes on";
            return failed(FailureReason::LostItsPod, words);
        }
        if since.elapsed() > LONGEST {
            let words =
                "the sweep took half an hour, which is as long as it may: the next one goes on";
            return failed(FailureReason::StoreUnreachable, words);
        }
    }
}

async fn sweep(agent: &Agent, order: &SweepOrder, cache: &mut Cache) -> Result<Outcome, Failure> {
    let since = Instant::now();
    let store = Store::open(&order.store)?;
    if !files::is_own(&store, &order.owner).await? {
        return Ok(Outcome {
            dropped: order.drop.clone(),
            ..Outcome::default()
        });
    }
    let paths = files::paths(&order.owner);
    cache.is_of(&order.store, paths.root());
    let mut inventory = Inventory::find(&store, &order.owner, cache).await?;
    let mut heads = Box::pin(heads::find(&store, &paths, inventory.offsets())).await?;
    // One that began after the list was made is not in it: then the one before counts.
    heads.server = of_server(agent).await;

    let passed = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let clocks = [
        ("operator", order.now_unix_ms.saturating_add(passed)),
        ("agent", clock::unix_ms()),
    ];
    let newest = inventory.newest_unix_ms.max(heads::newest_unix_ms(&heads));
    check_clocks(clocks, newest)?;
    // By the one that is behind more stays.
    let now_unix_ms = clocks
        .map(|(_, now)| now)
        .into_iter()
        .fold(u64::MAX, u64::min);
    let kept = order.kept.iter().cloned().collect();
    let bases = inventory.held_bases();
    let in_doubt = |doubt: Doubt| failed(FailureReason::Corrupt, doubt.to_string());
    let needed = needed(&bases, &heads, &order.keep, &kept, now_unix_ms).map_err(in_doubt)?;
    // The log stays for backups that nothing needs too, where nobody named them.
    let named = order.drop.iter().cloned().collect();
    let left = needed_without(&named, &bases, &heads, &order.keep, &kept, now_unix_ms);
    let left = left.map_err(in_doubt)?;

    let doomed = doomed(&inventory, &needed, order, now_unix_ms);
    let mut removing = Removing::new(&store);
    let mut outcome = Outcome {
        first_unix_ms: left.first_unix_ms,
        ..Outcome::default()
    };
    if order.trims || !order.drop.is_empty() {
        let count = remove_backups(&mut removing, &paths, &doomed).await?;
        let dropped = doomed.backups.iter().take(count);
        outcome.dropped = doomed.gone.iter().chain(dropped).cloned().collect();
        inventory
            .backups
            .retain(|backup| !outcome.dropped.contains(&backup.id));
        let folder = paths.log(SHARD);
        let trim = Trim {
            folder: &folder,
            heads: &heads,
            needed: &left,
        };
        outcome.pieces = Box::pin(trim.run(&mut removing)).await?;
        removing.remove(&data(&doomed.unfinished)).await?;
    }
    outcome.refused = doomed.refused;
    outcome.has_more = removing.has_more();
    outcome.held = inventory.told(|backup| is_needed(backup, &needed, order));
    Ok(outcome)
}

/// The histories of the server, the present one first; none if it does not tell.
async fn of_server(agent: &Agent) -> Vec<String> {
    let Ok(server) = agent.connect(short()).await else {
        return Vec::new();
    };
    let info = server.info(&["replication"]).await.ok();
    let told = info.as_deref().and_then(history::read);
    let ids = told.map(|told| [Some(told.history.id), told.history.id2]);
    ids.into_iter().flatten().flatten().collect()
}

/// A clock that is behind what is stored says nothing of how old that is.
fn check_clocks(clocks: [(&str, u64); 2], newest_unix_ms: u64) -> Result<(), Failure> {
    let is_behind = |(_, now): &&(&str, u64)| now.saturating_add(BEHIND_MS) < newest_unix_ms;
    let Some((whose, now)) = clocks.iter().find(is_behind) else {
        return Ok(());
    };
    let words = format!(
        "the clock of the {whose}'s node is {} s behind the latest time in the store: nothing is removed before both are \
         right",
        newest_unix_ms.saturating_sub(*now) / 1_000
    );
    Err(failed(FailureReason::StoreUnreachable, words))
}

/// Removes backups, and then their bases with those that are left over. Answers how many backups.
async fn remove_backups(
    removing: &mut Removing<'_>,
    paths: &Paths,
    doomed: &Doomed,
) -> Result<usize, Failure> {
    let manifests: Vec<String> = doomed.backups.iter().map(|id| paths.backup(id)).collect();
    let count = removing.remove(&manifests).await?;
    let bases = doomed.bases.iter().map(|path| Paths::base_manifest(path));
    let bases: Vec<String> = bases.collect();
    removing.remove(&bases).await?;
    removing.remove(&data(&doomed.bases)).await?;
    Ok(count)
}

fn data(folders: &[String]) -> Vec<String> {
    folders.iter().map(|path| Paths::data(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_what_is_stored_is_named() {
        let check =
            |operator, agent| check_clocks([("operator", operator), ("agent", agent)], 200_000);
        assert_eq!(check(140_000, 140_000), Ok(()));
        assert_eq!(check(900_000, 900_000), Ok(()));
        for (operator, agent, whose) in [(139_999, 900_000, "operator"), (900_000, 1, "agent")] {
            let failure = check(operator, agent).unwrap_err();
            assert!(failure.message.contains(whose), "{failure:?}");
        }
    }
}
