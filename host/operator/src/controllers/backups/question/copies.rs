//! The copies of an object's data: which may be read, how busy they are, where they are.

use futures::future::join_all;
use hera_api::RedisBackup;
use hera_core::backup::decision::{Copy, CopyRole, ShardCopies, replay_seconds};
use hera_core::backup::{BackupState, Wish, choose};
use hera_core::shard::{Member, primary};

use super::About;
use crate::controllers::backups::bases::{self, GoesOn, news};
use crate::controllers::backups::{record, target};

/// The only shard of an object that has none.
const SHARD: u32 = 0;

/// Those that there are now, and what there is of backups and of the log.
pub async fn of(about: &About<'_>, wish: Wish<'_>, backups: &[&RedisBackup]) -> ShardCopies {
    let shared = about.shared;
    let there = about.members.iter().filter(|member| member.pod.is_some());
    let mut members: Vec<Member> = there.cloned().collect();
    shared.zones.note(&shared.client, &mut members).await;
    let states = members.iter().map(|member| async move {
        let agent = shared.agents.client(member.uid())?;
        // What it does not say is not known.
        agent.backup().await.ok()
    });
    let states: Vec<Option<BackupState>> = join_all(states).await;
    let (uid, store) = (about.uid, about.plan.store.as_str());
    let goes_on = GoesOn::told(&members, uid).filter(|_| about.plan.log_kept);
    let base = match &goes_on {
        Some(goes_on) => bases::newest(backups, &goes_on.since(uid, store)),
        None => bases::newest_of_all(backups, uid, store),
    };
    let log_bytes = match (&goes_on, base.and_then(bases::offset)) {
        (Some(goes_on), Some(offset)) => {
            let mut kept = members.iter().zip(&states);
            let keeper = kept.find(|(member, _)| member.uid() == goes_on.pod_uid);
            let read = keeper.and_then(|(_, state)| state.as_ref()?.capture.as_ref());
            read.map_or(0, |read| read.read_offset.saturating_sub(offset))
        }
        _ => 0,
    };
    let read_last = bases::newest_of_all(backups, uid, store).and_then(pod);
    let copies = members.iter().zip(&states).map(|(member, state)| {
        let load = state
            .as_ref()
            .and_then(|state| state.load)
            .unwrap_or_default();
        let leads = primary(&members).is_some_and(|primary| primary.uid() == member.uid());
        let zone = member.pod.as_ref().and_then(|pod| pod.zone.clone());
        Copy {
            id: member.ordinal,
            role: match leads {
                true => CopyRole::Primary,
                false => CopyRole::Replica,
            },
            fits: fits(&members, member, wish),
            used_bytes: load.used_bytes,
            free_bytes: load.free_bytes,
            ops_per_second: load.ops_per_second,
            usual_ops_per_second: load.usual_ops_per_second,
            zone: zone.unwrap_or_default(),
            keeps_log: news(member, uid).is_some(),
            read_last: read_last == Some(member.name()),
        }
    });
    ShardCopies {
        id: SHARD,
        copies: copies.collect(),
        base_unix_ms: base.and_then(record::taken_unix_ms),
        log_bytes,
        replay_seconds: replay_seconds(log_bytes),
    }
}

/// Name of the pod that a backup was read from.
fn pod(backup: &RedisBackup) -> Option<&str> {
    let mut shards = backup.status.iter().flat_map(|status| &status.shards);
    shards.next().map(|shard| shard.pod.as_str())
}

/// True if it may be read now: a replica that would be chosen where there is no other, or the primary, if that would
/// be.
fn fits(members: &[Member], member: &Member, wish: Wish<'_>) -> bool {
    if target::too_old(member.agent.status()).is_some() {
        return false;
    }
    let Some(leader) = primary(members) else {
        return false;
    };
    let is_chosen = |among: &[Member]| {
        let chosen = choose(among, wish);
        chosen.is_ok_and(|chosen| chosen.uid() == member.uid())
    };
    match leader.uid() == member.uid() {
        true => is_chosen(members),
        false => is_chosen(&[leader.clone(), member.clone()]),
    }
}
