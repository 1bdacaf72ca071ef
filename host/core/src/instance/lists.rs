//! The lists of data pods that agents were told or are about to be told.
//!
//! A primary that is not heard goes by a list that it was told once, and by the limit in it. So each
//! list is written down before the first agent is told, and stays until the primary is known to go by
//! a later one (design §6).

use serde::{Deserialize, Serialize};

use super::pushes::members;
use super::{Observation, Permit, Wanted, candidates, record};
use crate::agent::Members;
use crate::shard::Member;

/// More than these are not written: the primary has been away for so many changes of lists with it, and
/// nobody is told another before it is back or is known to have stopped.
const MOST: usize = 32;

/// A list of data pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberList {
    /// Grows with each list.
    pub revision: u64,
    /// Uids of the pods.
    pub uids: Vec<String>,
    /// Milliseconds without a confirmation after which the primary stops; 0 if it never does.
    pub fence_after_ms: u64,
}

impl MemberList {
    /// What matters of what an agent is told.
    pub fn of(members: &Members) -> Self {
        Self {
            revision: members.revision,
            uids: members.pods.iter().map(|pod| pod.pod_uid.clone()).collect(),
            fence_after_ms: members.fence_after_ms,
        }
    }

    /// True if an agent with these members goes by this list. One of an earlier release says nothing
    /// of revisions.
    fn is_held(&self, members: &Members) -> bool {
        let unnumbered = members.revision == 0 && !members.pods.is_empty();
        let pods = members.pods.iter().map(|pod| &pod.pod_uid);
        (self.revision == members.revision || unnumbered)
            && self.fence_after_ms == members.fence_after_ms
            && self.uids.iter().eq(pods)
    }

    fn is_like(&self, other: &Self) -> bool {
        (&self.uids, self.fence_after_ms) == (&other.uids, other.fence_after_ms)
    }
}

/// What is to be written down; the last is what agents are told. None if that is not known, or if
/// there are too many.
pub(super) fn next(wanted: &Wanted, seen: &Observation) -> Option<Vec<MemberList>> {
    // Nothing is known of the spec.
    wanted.pods.count?;
    // Beside one that is about to come with the latest data nobody is told that it is alone.
    let comes = |member: &Member| member.pod.is_none() && record::is_needed(wanted, seen, member);
    if seen.members.iter().any(comes) {
        return None;
    }
    let today = MemberList::of(&members(wanted, seen));
    // Nobody is there to be told.
    if today.uids.is_empty() {
        return None;
    }
    let primary = seen.primary();
    // Another that may yet be promoted goes by a list, too.
    let alone = |primary: &Member| {
        candidates::with_primary(seen).all(|candidate| candidate.uid == primary.uid())
    };
    let Some(last) = seen.lists.last().filter(|last| last.is_like(&today)) else {
        let mut lists = seen.lists.clone();
        // An earlier one than it has a primary does not take any more.
        if let Some(primary) = primary.filter(|primary| alone(primary)) {
            let has = held(primary).revision;
            lists.retain(|list| list.revision >= has);
        }
        lists.extend(primary.map(held).filter(|held| !lists.contains(held)));
        let told = seen.members.iter().filter_map(|m| m.agent.status());
        let known = told.map(|status| status.members.revision);
        let known = known.chain(lists.iter().map(|list| list.revision)).max();
        lists.push(MemberList {
            revision: known.unwrap_or(0) + 1,
            ..today
        });
        if lists.len() > MOST {
            drop_needless(seen, &mut lists);
        }
        return (lists.len() <= MOST).then_some(lists);
    };
    let leads = |primary: &&Member| {
        let members = primary.agent.status().map(|status| &status.members);
        alone(primary) && members.is_some_and(|members| last.is_held(members))
    };
    match primary.filter(leads) {
        Some(_) => Some(vec![last.clone()]),
        None => Some(seen.lists.clone()),
    }
}

/// Drops what nobody goes by who is, or may be, the primary: pods are told only lists that they are in.
/// The last stays.
fn drop_needless(seen: &Observation, lists: &mut Vec<MemberList>) {
    let last = lists.last().map(|list| list.revision);
    let primary = seen.primary().map(|primary| primary.uid().to_owned());
    let named = candidates::with_primary(seen).map(|candidate| candidate.uid);
    let may_lead: Vec<String> = match is_over(seen) {
        true => Vec::new(),
        false => named.chain(primary).collect(),
    };
    lists.retain(|list| {
        Some(list.revision) == last || may_lead.iter().any(|uid| list.uids.contains(uid))
    });
}

/// True if there is no primary, and all that may have been it are out of it.
pub(super) fn is_over(seen: &Observation) -> bool {
    let granted = seen.remembered.permit == Some(Permit::Granted);
    seen.primary().is_none() && (granted || candidates::unproven(seen).is_empty())
}

/// What a primary goes by. One that was told nothing is alone.
fn held(primary: &Member) -> MemberList {
    let members = primary.agent.status().map(|status| &status.members);
    match members.filter(|members| !members.pods.is_empty()) {
        Some(members) => MemberList::of(members),
        None => MemberList {
            uids: vec![primary.uid().to_owned()],
            ..MemberList::default()
        },
    }
}

/// True if it could be waited out as a primary: it goes by a list that is written down. Where none is,
/// an earlier operator has told it.
pub(super) fn is_known(seen: &Observation, member: &Member) -> bool {
    let Some(status) = member.agent.status() else {
        return false;
    };
    match seen.lists.is_empty() {
        true => !status.members.pods.is_empty(),
        false => seen.lists.iter().any(|list| list.is_held(&status.members)),
    }
}

/// True if a list that was written down is not any more: the primary goes by a later one, from a moment
/// that is not known.
pub fn drop_any(before: &[MemberList], now: &[MemberList]) -> bool {
    before.iter().any(|list| !now.contains(list))
}

/// True if the last list has it.
pub(super) fn is_in_last(seen: &Observation, member: &Member) -> bool {
    let has = |list: &MemberList| list.uids.iter().any(|uid| uid == member.uid());
    seen.lists.last().is_some_and(has)
}

/// True if it goes by the last list.
pub(super) fn is_latest(seen: &Observation, member: &Member) -> bool {
    let last = seen.lists.last();
    last.is_none_or(|last| {
        let status = member.agent.status();
        status.is_some_and(|status| last.is_held(&status.members))
    })
}
