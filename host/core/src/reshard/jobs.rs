//! Jobs of agents: what runs, what is to stop, what begins.

use std::collections::BTreeSet;

use super::half::Half;
use super::pending::Pair;
use super::{Going, Job, Resharding, is_too_large};
use crate::cluster::{
    Command, Direction, Heard, LargeKey, Moving, MovingState, SlotSet, Step, Survey, Way,
    has_the_same,
};

/// Slots that one job moves key by key: with few keys some hundred in a second.
const KEYS_SLOTS: usize = 256;
/// Keys that one job moves one by one, some thousand in a second: a roll waits for its end.
const KEYS_KEYS: u64 = 20_000;
/// Slots that one job moves whole.
const WHOLE_SLOTS: usize = 512;
/// A source that deletes what it gave in one go takes a millisecond for so many keys (redis-facts §1.4).
const KEYS_A_MILLISECOND: u64 = 200;
/// More than so many are not given in one go, however long they may take.
const MOST_KEYS: u64 = 40_000;

fn told<'a>(survey: &Survey<'a>) -> impl Iterator<Item = (Heard<'a>, &'a Moving)> {
    let heard = survey.heard.iter().copied();
    heard.filter_map(|one| Some((one, one.server.moving.as_ref()?)))
}

fn running_jobs<'a>(survey: &Survey<'a>) -> impl Iterator<Item = (Heard<'a>, &'a Moving)> {
    told(survey).filter(|(_, job)| job.state == MovingState::Running)
}

/// How many jobs run.
pub(super) fn running(survey: &Survey<'_>) -> u32 {
    u32::try_from(running_jobs(survey).count()).unwrap_or(u32::MAX)
}

/// Shards that take part in a job.
pub(super) fn busy(survey: &Survey<'_>) -> BTreeSet<u32> {
    let shards = running_jobs(survey).flat_map(|(one, job)| {
        let peer = survey.shard_of(&job.peer);
        std::iter::once(one.node.shard).chain(peer)
    });
    shards.collect()
}

/// Why a job failed, of the first whose last one did.
pub(super) fn failed(survey: &Survey<'_>) -> Option<String> {
    let mut jobs = told(survey).filter(|(_, job)| job.state == MovingState::Failed);
    let (one, job) = jobs.next()?;
    let words = match job.words.as_str() {
        "" => "its job ended",
        words => words,
    };
    Some(format!("{}: {words}", one.node.name()))
}

/// Keys that are too large to move within this time, of slots that are where they were.
pub(super) fn too_large(survey: &Survey<'_>, max_stall_ms: u64) -> Vec<LargeKey> {
    let mut keys: Vec<LargeKey> = Vec::new();
    for (one, job) in told(survey).filter(|(_, job)| !job.too_large.is_empty()) {
        let slots = one.server.slots();
        let there = job.too_large.iter().filter(|key| slots.contains(key.slot));
        let there = there.filter(|key| is_too_large(key, max_stall_ms));
        keys.extend(there.cloned());
    }
    keys.sort_by(|one, other| (one.slot, &one.key).cmp(&(other.slot, &other.key)));
    keys
}

/// Ends jobs that move what nobody wants to move any more.
pub(super) fn stop(
    job: &Job<'_>,
    survey: &Survey<'_>,
    pairs: &[Pair],
    half: &Half<'_>,
    next: &mut Resharding,
) {
    for (one, moving) in running_jobs(survey) {
        let (own, peer) = (one.node.shard, survey.shard_of(&moving.peer));
        // Within a shard no plan moves any.
        let Some(peer) = peer.filter(|peer| *peer != own) else {
            continue;
        };
        let (source, target) = match moving.takes {
            true => (peer, own),
            false => (own, peer),
        };
        let Some(giver) = survey.primary_of(source) else {
            continue;
        };
        let left = moving
            .slots
            .shared(&giver.server.slots())
            .without(job.stays);
        let mut planned = pairs.iter().filter(|_| job.going != Going::Stops);
        let planned = planned.find(|pair| (pair.source, pair.target) == (source, target));
        let unwanted = match planned {
            Some(pair) => left.without(&pair.slots),
            None => left,
        };
        if unwanted.without(&half.slots(source, target)).is_empty() {
            continue;
        }
        next.steps.push(Step {
            pod: one.node.pod.clone(),
            command: Command::StopMoving,
            reason: "no plan that goes on moves these slots".to_owned(),
        });
    }
}

/// The order to give slots to this server.
pub(super) fn give(job: &Job<'_>, to: Heard<'_>, slots: SlotSet, way: Way) -> Command {
    Command::GiveSlots {
        slots,
        target: to.server.id.clone(),
        ip: to.node.ip.clone(),
        port: to.node.port,
        way,
        max_stall_ms: job.max_stall_ms,
    }
}

/// Begins what the plan has left, one job for each shard at a time.
pub(super) fn begin(
    job: &Job<'_>,
    survey: &Survey<'_>,
    pairs: &[Pair],
    busy: &mut BTreeSet<u32>,
    next: &mut Resharding,
) {
    if !pairs.is_empty() && !survey.lost.is_empty() {
        next.wait(|| "slots move once every slot has a primary that is heard".to_owned());
        return;
    }
    let opened = survey.heard.iter().flat_map(|one| one.server.opened());
    let opened = SlotSet::of(opened.map(|open| (open.slot, open.slot)));
    for pair in pairs {
        if busy.contains(&pair.source) || busy.contains(&pair.target) {
            continue;
        }
        let (from, to) = match ready(job, survey, pair) {
            Ok(ready) => ready,
            Err(words) => {
                next.wait(|| words);
                continue;
            }
        };
        let slots = pair.slots.shared(&from.server.slots()).without(&opened);
        if slots.is_empty() {
            continue;
        }
        if !has_heard(to, from, &slots) {
            let (name, from) = (to.node.name(), from.node.name());
            next.wait(|| format!("{name} takes slots once it has heard that {from} has them"));
            continue;
        }
        let slots = slots.first(most(job, from));
        busy.extend([pair.source, pair.target]);
        let (pod, command) = match job.way {
            Way::Import => {
                let source = from.server.id.clone();
                (&to.node.pod, Command::TakeSlots { slots, source })
            }
            Way::Keys | Way::Export => (&from.node.pod, give(job, to, slots, job.way)),
        };
        next.steps.push(Step {
            pod: pod.clone(),
            command,
            reason: format!(
                "{} of the plan's slots are left to move from shard {} to {}",
                pair.slots.len(),
                pair.source,
                pair.target
            ),
        });
    }
}

/// True if one has heard of another what that says of itself. Once it imports a slot it does not hear any more whose
/// that is, and refuses keys of one that is nobody's. And it takes a slot under an epoch that is later than all that it
/// has heard of: were the other's later still, the other's next word would take the slot back, and its keys be deleted.
fn has_heard(to: Heard<'_>, from: Heard<'_>, slots: &SlotSet) -> bool {
    let epoch = from.server.own().map_or(0, |own| own.config_epoch);
    let entry = to.server.entry(&from.server.id);
    entry.is_some_and(|entry| slots.without(&entry.slots).is_empty() && entry.config_epoch >= epoch)
}

/// Why a server takes nothing yet: another has a slot by a later word that it still takes for its own, as after an end
/// in the middle of a move. Its next word would be later still, and take that slot back: the keys would be deleted.
pub(super) fn has_lost(survey: &Survey<'_>, to: Heard<'_>) -> Option<String> {
    let (id, slots) = (&to.server.id, to.server.slots());
    let epoch = to.server.own().map_or(0, |own| own.config_epoch);
    let mut told = survey.heard.iter().flat_map(|one| &one.server.known);
    let has_it = told.find(|entry| {
        entry.id != *id && entry.config_epoch > epoch && !entry.slots.shared(&slots).is_empty()
    })?;
    let name = to.node.name();
    let lost = has_it.slots.shared(&slots);
    Some(format!(
        "{name} takes slots once it has heard that {} has {lost} by now",
        has_it.id
    ))
}

/// Why a server takes nothing from another yet: it gives a slot to a third. It may not have heard that it arrived, and
/// with a later epoch it would take it back: the keys would be deleted. Who gives to the very one that it takes from
/// has heard that one's latest word before it takes any.
pub(super) fn gives_to_a_third(to: Heard<'_>, from: Heard<'_>) -> Option<String> {
    let slots = to.server.slots();
    let mut gives = to.server.opened().filter(|open| {
        open.moves == Direction::Out && open.peer != from.server.id && slots.contains(open.slot)
    });
    let open = gives.next()?;
    let name = to.node.name();
    Some(format!(
        "{name} takes slots once slot {}, which is half moved, has left it",
        open.slot
    ))
}

/// How many slots of this server one job moves.
fn most(job: &Job<'_>, from: Heard<'_>) -> usize {
    match job.way {
        Way::Keys => most_by_keys(from),
        Way::Import => WHOLE_SLOTS,
        Way::Export => {
            let keys = job.max_stall_ms.saturating_mul(KEYS_A_MILLISECOND);
            with_keys(from, keys.clamp(1, MOST_KEYS), WHOLE_SLOTS)
        }
    }
}

/// How many slots of this server one job moves key by key.
pub(super) fn most_by_keys(from: Heard<'_>) -> usize {
    with_keys(from, KEYS_KEYS, KEYS_SLOTS)
}

/// How many slots of this server have about so many keys; at least one, and `slots` at most.
fn with_keys(from: Heard<'_>, keys: u64, slots: usize) -> usize {
    let owned = u64::try_from(from.server.slots().len()).unwrap_or(u64::MAX);
    let in_one = from.server.keys.div_ceil(owned.max(1)).max(1);
    let most = usize::try_from(keys / in_one).unwrap_or(usize::MAX);
    most.clamp(1, slots)
}

/// The two servers of a pair, if they are fit for it.
///
/// # Errors
/// What is to come first, for people.
fn ready<'a>(
    job: &Job<'_>,
    survey: &Survey<'a>,
    pair: &Pair,
) -> Result<(Heard<'a>, Heard<'a>), String> {
    let none = |shard: u32| move || format!("shard {shard} has no primary that is heard");
    let from = survey
        .primary_of(pair.source)
        .ok_or_else(none(pair.source))?;
    let to = survey
        .leader_of(pair.target)
        .ok_or_else(none(pair.target))?;
    let name = to.node.name();
    if !from.server.serves || !to.server.serves {
        let (one, other) = (from.node.name(), name);
        return Err(format!("slots move from {one} to {other} once both serve"));
    }
    if to.server.own().is_none_or(|own| own.config_epoch == 0) {
        return Err(format!(
            "{name} takes slots once it has an epoch of its own"
        ));
    }
    let known = from.server.entry(&to.server.id);
    let is_known = known.is_some_and(|entry| {
        let is_there = entry.ip == to.node.ip && entry.port == to.node.port;
        is_there && entry.connected && !entry.handshake && entry.replica_of.is_none()
    });
    if !is_known {
        let from = from.node.name();
        return Err(format!("{name} takes slots once {from} knows it as it is"));
    }
    if let Some(other) = has_the_same(survey, &from) {
        let (from, other) = (from.node.name(), other.name());
        return Err(format!(
            "slots leave {from} once it has another epoch than {other}"
        ));
    }
    // A later word of its own would be for what it gave away as well (Redis before 7.2).
    let (id, has) = (&to.server.id, to.server.slots());
    let is_late = |one: &&Heard<'_>| {
        let entry = one.server.entry(id);
        entry.is_some_and(|entry| !entry.slots.without(&has).is_empty())
    };
    if let Some(late) = survey.heard.iter().find(is_late) {
        let late = late.node.name();
        return Err(format!(
            "{name} takes slots once {late} has heard which it gave away"
        ));
    }
    if let Some(words) = gives_to_a_third(to, from).or_else(|| has_lost(survey, to)) {
        return Err(words);
    }
    let in_sync = survey.in_shard(pair.target).filter(|one| {
        let of = one.server.replica_of();
        of == Some(to.server.id.as_str()) && one.server.link_up
    });
    let wanted = usize::try_from(job.wanted.replicas).unwrap_or(usize::MAX);
    if in_sync.count() < wanted {
        let shard = pair.target;
        return Err(format!(
            "shard {shard} takes slots once all its replicas are in sync"
        ));
    }
    let mut opened = from.server.opened().chain(to.server.opened());
    if job.way != Way::Keys && opened.next().is_some() {
        let from = from.node.name();
        return Err(format!(
            "a slot of {from} or {name} is half moved: others wait for it"
        ));
    }
    Ok((from, to))
}
