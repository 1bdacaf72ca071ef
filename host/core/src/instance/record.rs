//! What stands on a volume claim about the data on its volume, so that whose copy is the latest is known
//! before, and without, the pod that could tell.

use super::elect::lineage_of;
use super::plan::Step;
use super::{Observation, Plan, Wanted};
use crate::shard::{Lineage, Member, Record};
/// What stands on a claim without a pod, and its ordinal.
pub type Spare<'a> = (u32, &'a Record);

/// The ordinals of claims beyond the wanted pods whose data is later than that of all of them: their
/// pods are started, and hand over. Those that a scale-down left behind count only where nothing that
/// stayed can have data: a person is asked about them. One about which nothing is known counts as left.
pub fn needed(replicas: u32, claims: &[Spare<'_>]) -> Vec<u32> {
    let (within, beyond): (Vec<Spare<'_>>, Vec<Spare<'_>>) =
        claims.iter().partition(|(ordinal, _)| *ordinal < replicas);
    let stayed = within.iter().filter(|(_, record)| !record.is_left());
    let best = stayed.map(|(_, record)| record.rank()).max();
    let is_lost = within.iter().all(|(_, record)| record.is_empty());
    let later = beyond.iter().filter(|(_, record)| {
        record.rank() > best.unwrap_or((0, false)) && (is_lost || !record.is_left())
    });
    later.map(|(ordinal, _)| *ordinal).collect()
}

/// True if this pod beyond the wanted number is to come because its claim has the latest data.
pub(super) fn is_needed(wanted: &Wanted, seen: &Observation, member: &Member) -> bool {
    if wanted.pods.keeps(member.ordinal) || seen.primary().is_some() {
        return false;
    }
    let claims: Vec<Spare<'_>> = seen
        .members
        .iter()
        .filter_map(|member| Some((member.ordinal, &member.claim.as_ref()?.record)))
        .collect();
    needed(wanted.pods.count.unwrap_or(0), &claims).contains(&member.ordinal)
}

/// True if a volume may hold data that no agent has told of. That of a claim that was never bound, or
/// that was new and was told nothing yet, holds none.
pub(super) fn may_hold_data(seen: &Observation, member: &Member) -> bool {
    let Some(claim) = &member.claim else {
        // Without a volume the data is in the server's memory.
        let ran = member.pod.as_ref().is_some_and(|pod| pod.ip.is_some());
        return ran && seen.served;
    };
    match &claim.record {
        Record::Unknown => claim.capacity.is_some(),
        // It may have been told to follow since.
        Record::Data(_) if seen.served => true,
        record => !record.is_empty(),
    }
}

/// One that a scale-down left behind, with data, and that is not heard.
pub(super) fn is_silent_left(member: &Member) -> bool {
    member.is_left() && member.recorded().0 > 0
}

/// True while a pod that would promote itself must not: one with the latest data is on its way.
pub(super) fn holds_back(wanted: &Wanted, seen: &Observation) -> bool {
    let mut members = seen.members.iter();
    members.any(|member| is_needed(wanted, seen, member))
}

/// Its epoch by its claim, if it is later than `epoch`.
pub(super) fn is_later(member: &Member, epoch: u64) -> bool {
    !member.is_left() && member.recorded().0 > epoch
}

/// True if nothing stands on its claim.
pub(super) fn is_unknown(member: &Member) -> bool {
    let claim = member.claim.as_ref();
    claim.is_some_and(|claim| claim.record == Record::Unknown)
}

/// Writes down that claims have agents from now on, before anything is ordered: a pod that is ordered to
/// follow gets data.
pub(super) fn plan_first(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    write(wanted, seen, plan, |record| {
        !matches!(record, Record::Data(_))
    });
}

/// Writes down what agents tell of their volumes, and which are left behind.
pub(super) fn plan(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    write(wanted, seen, plan, |record| {
        matches!(record, Record::Data(_))
    });
}

fn write(wanted: &Wanted, seen: &Observation, plan: &mut Plan, which: fn(&Record) -> bool) {
    for member in &seen.members {
        let claim = member.claim.as_ref();
        let Some(claim) = claim.filter(|claim| !claim.deleting && which(&claim.record)) else {
            continue;
        };
        let Some(next) = next(wanted, seen, member) else {
            continue;
        };
        if claim.record != next {
            let step = Step::WriteRecord {
                claim: claim.name.clone(),
                record: next,
            };
            plan.push(step, "what is on the volume is written on its claim");
        }
    }
}

/// A pod beyond the wanted number that is about to lead: should the object be made anew with fewer pods
/// a moment later, its claim is found.
pub(super) fn note_before(wanted: &Wanted, member: &Member, epoch: u64, plan: &mut Plan) {
    let claim = member.claim.as_ref();
    let Some(claim) = claim.filter(|_| !wanted.pods.keeps(member.ordinal)) else {
        return;
    };
    let step = Step::WriteRecord {
        claim: claim.name.clone(),
        record: Record::Data(Lineage {
            lineage: lineage_of(member),
            epoch,
            primary_uid: member.uid().to_owned(),
            led: true,
            left: false,
            fresh: false,
        }),
    };
    plan.push(step, "its volume is about to be the primary's");
}

/// What is to stand on the claim of a member; none if nothing new is known.
fn next(wanted: &Wanted, seen: &Observation, member: &Member) -> Option<Record> {
    let known = &member.claim.as_ref()?.record;
    let status = member.agent.status()?;
    let memory = &status.memory;
    let (fresh, was_left) = match known {
        Record::Unknown => (false, false),
        Record::New => (true, false),
        Record::Data(lineage) => (lineage.fresh, lineage.left),
    };
    let primary = seen.primary();
    let leads = primary.is_some_and(|primary| primary.ordinal == member.ordinal);
    let in_sync = primary.is_some_and(|primary| member.is_in_sync(primary));
    let left = match is_left_behind(wanted, seen, member) {
        true => true,
        // Nothing is known of the spec.
        false if wanted.pods.count.is_none() => was_left,
        false => (was_left || memory.left == Some(true)) && !leads && !in_sync,
    };
    // One that is alone promotes itself, and nobody may hear of it.
    let is_lone = wanted.pods.is_single() && seen.members.len() == 1;
    Some(Record::Data(Lineage {
        lineage: memory.lineage.clone(),
        epoch: memory.epoch.max(u64::from(is_lone)),
        primary_uid: memory.primary_uid.clone(),
        led: memory.was_primary || (is_lone && memory.epoch == 0),
        left,
        fresh,
    }))
}

/// True once a copy beyond the wanted number is to be marked as left: a primary that stays has its data.
/// That of a temporary pod goes with it instead.
pub(super) fn is_left_behind(wanted: &Wanted, seen: &Observation, member: &Member) -> bool {
    let stays = |primary: &Member| {
        wanted.pods.keeps(primary.ordinal)
            && !primary.is_leaving()
            && primary.is_saved()
            && primary.epoch() >= member.epoch()
    };
    let is_temporary = member.claim.as_ref().is_none_or(|claim| claim.temporary);
    !wanted.pods.keeps(member.ordinal)
        && !is_temporary
        && !wanted.pods.paused
        && !wanted.pods.hibernate
        && seen.primary().is_some_and(stays)
}

/// Marks copies that are left behind, on the volume; their claims say it already. One that is to stay
/// after all loses the mark once it is in sync.
pub(super) fn mark(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    let Some(primary) = seen.primary() else {
        return;
    };
    let mut push = |member: &Member, left, reason: &str| {
        let pod = member.target();
        plan.push(Step::MarkLeft { pod, left }, reason);
    };
    for member in &seen.members {
        let marked = member.agent.status().and_then(|s| s.memory.left);
        if is_left_behind(wanted, seen, member) && is_unmarked_volume(member) {
            push(member, true, "a scale-down leaves its copy behind");
        } else if marked == Some(true)
            && wanted.pods.count.is_some()
            && wanted.pods.keeps(member.ordinal)
            && member.is_in_sync(primary)
        {
            push(member, false, "it is in sync, and stays");
        }
    }
}

/// Its agent is heard, knows the mark and has not noted it.
fn is_unmarked_volume(member: &Member) -> bool {
    let status = member.agent.status();
    status.is_some_and(|status| status.memory.left == Some(false))
}

/// How many pods there must be so that no copy that a scale-down leaves behind goes unmarked. One whose
/// agent is not heard is marked on its claim alone.
pub(super) fn unmarked_size(wanted: &Wanted, seen: &Observation) -> u32 {
    let is_unmarked = |member: &&Member| {
        let on_claim = member.claim.as_ref().is_some_and(|c| c.record.is_left());
        let is_heard = member.agent.status().is_some();
        let is_there = member.pod.as_ref().is_some_and(|pod| !pod.deleting);
        is_there
            && is_left_behind(wanted, seen, member)
            && ((is_heard && !on_claim) || is_unmarked_volume(member))
    };
    let unmarked = seen.members.iter().filter(is_unmarked);
    unmarked.map(|member| member.ordinal + 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, led: bool, left: bool) -> Record {
        Record::Data(Lineage {
            epoch,
            led,
            left,
            ..Lineage::default()
        })
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_what_cannot_be_read_says_nothing() {
        for record in [Record::Unknown, Record::New, at(7, true, true)] {
            assert_eq!(Record::read(record.text().as_deref()), record);
        }
        assert_eq!(Record::read(Some("later words")), Record::Unknown);
    }

    #[test]
    fn pods_beyond_come_for_later_data_alone() {
        let within = (0, &at(5, false, false));
        assert_eq!(needed(1, &[within]), Vec::<u32>::new());
        assert_eq!(
            needed(1, &[within, (1, &at(5, false, false))]),
            Vec::<u32>::new()
        );
        assert_eq!(
            needed(1, &[within, (2, &at(5, true, false))]),
            [2],
            "it led"
        );
        assert_eq!(needed(1, &[within, (2, &at(6, false, false))]), [2]);
        let left = (2, &at(9, true, true));
        assert_eq!(needed(1, &[within, left]), Vec::<u32>::new());
        assert_eq!(
            needed(1, &[within, (2, &Record::Unknown)]),
            Vec::<u32>::new()
        );
    }

    #[test]
    fn those_that_were_left_behind_come_where_nothing_else_can_have_data() {
        let left = (2, &at(9, true, true));
        for lost in [&[][..], &[(0, &Record::New)]] {
            let all: Vec<Spare<'_>> = lost.iter().copied().chain([left]).collect();
            assert_eq!(needed(1, &all), [2]);
        }
        assert_eq!(needed(1, &[(0, &Record::Unknown), left]), Vec::<u32>::new());
    }
}
