//! Slots that are half moved, whoever began it (P31). Redis does not tell its replicas, so that after a failover
//! of either side only the other one's word is left (redis-facts §1.3). The owner gives such a slot again, to
//! where its keys are: that is right whether or not it has some of them itself. Nothing is closed that might have
//! keys elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::pending::Pair;
use super::{Job, Resharding, jobs};
use crate::cluster::{Command, Direction, Heard, SlotSet, Step, Survey, Way};

/// Slots that are half moved, and marks that say nothing any more.
#[derive(Default)]
pub(super) struct Half<'a> {
    /// By the two shards.
    goes: BTreeMap<(u32, u32), Goes<'a>>,
    /// Marks, by server.
    closes: Vec<(Heard<'a>, SlotSet)>,
}

/// What goes from one server to another.
struct Goes<'a> {
    from: Heard<'a>,
    to: Heard<'a>,
    slots: SlotSet,
}

impl Half<'_> {
    /// Those that go from one shard to another.
    pub fn slots(&self, from: u32, to: u32) -> SlotSet {
        let goes = self.goes.get(&(from, to));
        goes.map(|goes| goes.slots.clone()).unwrap_or_default()
    }
}

/// What primaries say of one slot.
#[derive(Default)]
struct Marks<'a> {
    /// Who gives it, and to which id.
    given: Vec<(Heard<'a>, &'a str)>,
    /// Who takes it.
    taken: Vec<Heard<'a>>,
}

/// Finds them.
pub(super) fn find<'a>(survey: &Survey<'a>, pairs: &[Pair], next: &mut Resharding) -> Half<'a> {
    let mut marks: BTreeMap<u16, Marks<'a>> = BTreeMap::new();
    let primaries = survey.heard.iter().filter(|one| one.is_primary());
    for one in primaries.filter(|one| !one.server.is_alone()) {
        for open in one.server.opened() {
            let marks = marks.entry(open.slot).or_default();
            match open.moves {
                Direction::In => marks.taken.push(*one),
                Direction::Out => marks.given.push((*one, open.peer)),
            }
        }
    }
    let mut half = Half::default();
    for (slot, marks) in &marks {
        about(survey, pairs, *slot, marks, &mut half, next);
    }
    join(survey, &marks, &mut half);
    half
}

/// Two primaries of one shard have slots: one took over, and the other is back with what that one had not heard of. It
/// gives them to who leads, before it can follow; those that were on their way to another shard go there.
fn join<'a>(survey: &Survey<'a>, marks: &BTreeMap<u16, Marks<'a>>, half: &mut Half<'a>) {
    for from in survey.primaries() {
        let shard = from.node.shard;
        let to = survey.primary_of(shard).filter(|_| joins(survey, &from));
        let Some(to) = to.filter(|to| from.server.serves && to.server.serves) else {
            continue;
        };
        let is_elsewhere = |marks: &Marks<'_>| {
            let mut given = marks.given.iter();
            let mut taken = marks.taken.iter();
            given.any(|(_, id)| survey.shard_of(id) != Some(shard))
                || taken.any(|one| one.node.shard != shard)
        };
        let elsewhere = marks.iter().filter(|(_, marks)| is_elsewhere(marks));
        let elsewhere = SlotSet::of(elsewhere.map(|(slot, _)| (*slot, *slot)));
        let slots = from.server.slots().without(&elsewhere);
        let slots = slots.without(&survey.slots_of_others(&from));
        let slots = slots.first(jobs::most_by_keys(from));
        if !slots.is_empty() {
            half.goes.insert((shard, shard), Goes { from, to, slots });
        }
    }
}

/// True if this owner is to follow another of its shard.
fn joins(survey: &Survey<'_>, owner: &Heard<'_>) -> bool {
    let leader = survey.primary_of(owner.node.shard);
    leader.is_some_and(|leader| leader.server.id != owner.server.id)
}

/// What follows from the marks of one slot.
fn about<'a>(
    survey: &Survey<'a>,
    pairs: &[Pair],
    slot: u16,
    marks: &Marks<'a>,
    half: &mut Half<'a>,
    next: &mut Resharding,
) {
    let mut owners = survey
        .primaries()
        .filter(|one| one.server.slots().contains(slot));
    // Of one that nobody has it is said elsewhere; of two owners one hears of the other's within a moment.
    let (Some(owner), None) = (owners.next(), owners.next()) else {
        return;
    };
    let is_owner = |one: &Heard<'_>| one.server.id == owner.server.id;
    let gives = |one: &Heard<'_>| {
        let mut given = marks.given.iter();
        given.any(|(other, _)| other.server.id == one.server.id)
    };
    let takes = |one: &Heard<'_>| {
        let mut taken = marks.taken.iter();
        taken.any(|other| other.server.id == one.server.id)
    };
    // Marks of a slot are closed together.
    let over = marks.given.iter().map(|(one, _)| one);
    let over = over.filter(|one| !is_owner(one) && !takes(one));
    let gone = marks.taken.iter();
    let gone = gone.filter(|one| is_owner(one) && !gives(one));
    let over = over.chain(gone);
    for one in over {
        let same = |(other, _): &&mut (Heard<'a>, SlotSet)| other.server.id == one.server.id;
        let slots = SlotSet::of([(slot, slot)]);
        match half.closes.iter_mut().find(same) {
            Some((_, known)) => *known = known.with(&slots),
            None => half.closes.push((*one, slots)),
        }
    }
    let given = marks.given.iter().find(|(one, _)| is_owner(one));
    let gives_to = given.map(|(_, id)| *id);
    // One that joins the owner's own shard has old keys, and gives them up.
    let takers = marks.taken.iter();
    let takers = takers.filter(|one| one.node.shard != owner.node.shard);
    let mut takers: Vec<&Heard<'a>> = takers.collect();
    takers.sort_by_key(|one| (Some(one.server.id.as_str()) != gives_to, one.node.shard));
    let to = match (takers.first(), gives_to) {
        (Some(one), _) => Ok(taker(survey, one)),
        // Within the shard: it goes on with the others.
        (None, Some(id))
            if joins(survey, &owner) && survey.shard_of(id) == Some(owner.node.shard) =>
        {
            return;
        }
        (None, Some(id)) => heir(survey, pairs, slot, owner, id),
        (None, None) => return,
    };
    let leads = |one: &Heard<'_>| {
        let leader = survey.leader_of(one.node.shard);
        leader.is_some_and(|leader| leader.server.id == one.server.id)
    };
    match to {
        Ok(to) if !(owner.server.serves && to.server.serves) => next.wait(|| {
            let (owner, to) = (owner.node.name(), to.node.name());
            format!("slot {slot} is half moved, and goes on from {owner} to {to} once both serve")
        }),
        Ok(to) if leads(&to) => {
            let pair = (owner.node.shard, to.node.shard);
            let goes = half.goes.entry(pair).or_insert_with(|| Goes {
                from: owner,
                to,
                slots: SlotSet::default(),
            });
            goes.slots = goes.slots.with(&SlotSet::of([(slot, slot)]));
        }
        Ok(to) => next.wait(|| {
            let name = to.node.name();
            format!("slot {slot} is half moved to {name}, which does not lead its shard")
        }),
        Err(words) => next.wait(|| words),
    }
}

/// Who goes on taking: it, or who took over from it, where their shard has no slot yet.
fn taker<'a>(survey: &Survey<'a>, one: &Heard<'a>) -> Heard<'a> {
    let leader = survey.leader_of(one.node.shard);
    let leader = leader.filter(|leader| leader.server.slots().is_empty());
    leader.unwrap_or(*one)
}

/// Who has what the server of this id took of a slot, if that says nothing of it itself: who leads its shard now. If
/// no pod has the id any more, the plan says where the slot was to go.
///
/// # Errors
/// What is to come first, for people.
fn heir<'a>(
    survey: &Survey<'a>,
    pairs: &[Pair],
    slot: u16,
    owner: Heard<'a>,
    id: &str,
) -> Result<Heard<'a>, String> {
    let from = owner.node.shard;
    let planned = || {
        let mut pairs = pairs.iter();
        let pair = pairs.find(|pair| pair.source == from && pair.slots.contains(slot));
        pair.map(|pair| pair.target)
    };
    let name = owner.node.name();
    let shard = survey.shard_of(id).or_else(planned);
    let Some(shard) = shard.filter(|shard| *shard != from) else {
        return Err(format!(
            "slot {slot} of {name} is half moved to {id}, which is the id of no pod that could have its keys: \
             CLUSTER SETSLOT {slot} STABLE at {name} closes it once somebody is sure that none has"
        ));
    };
    let Some(leader) = survey.leader_of(shard) else {
        return Err(format!(
            "slot {slot} of {name} is half moved to shard {shard}, which has no primary"
        ));
    };
    // One with slots, or with keys, took over with what the other had.
    let has_nothing = leader.server.keys == 0 && leader.server.slots().is_empty();
    let silent = survey.silent_in(shard).filter(|_| leader.server.id != id);
    if let Some(silent) = silent.filter(|_| has_nothing) {
        let silent = silent.name();
        return Err(format!(
            "slot {slot} of {name} is half moved to shard {shard}, and {silent}, which may have its keys, is not \
             heard"
        ));
    }
    Ok(leader)
}

/// Finishes what is half moved, and clears what says nothing any more.
pub(super) fn carry_on(
    job: &Job<'_>,
    survey: &Survey<'_>,
    half: Half<'_>,
    busy: &mut BTreeSet<u32>,
    next: &mut Resharding,
) {
    for ((from, to), goes) in half.goes {
        if busy.contains(&from) || busy.contains(&to) {
            continue;
        }
        let late = jobs::gives_to_a_third(goes.to, goes.from);
        if let Some(words) = late.or_else(|| jobs::has_lost(survey, goes.to)) {
            next.wait(|| words);
            continue;
        }
        busy.extend([from, to]);
        let reason = "these slots are half moved".to_owned();
        let order = jobs::give(job, goes.to, goes.slots, Way::Keys);
        next.steps.push(Step {
            pod: goes.from.node.pod.clone(),
            command: order,
            reason,
        });
    }
    for (one, slots) in half.closes {
        if busy.contains(&one.node.shard) {
            continue;
        }
        next.steps.push(Step {
            pod: one.node.pod.clone(),
            command: Command::CloseSlots { slots },
            reason: "these slots have moved".to_owned(),
        });
    }
}
