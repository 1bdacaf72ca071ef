use std::collections::BTreeSet;

use super::{Observation, Plan, Wanted};
use crate::agent::{AgentStatus, RefusedWrites, Script};
use crate::shard::{
    Cause, ClaimView, Crowded, Lagging, Member, ShortOfSpace, Stranded, crowded, dump_not_read,
    is_deposed, lagging, member_cause, short_of_space, stranded, stuck,
};

/// What a pass found, for the conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why the instance serves or does not.
    pub cause: Cause,
    /// True when the wanted size is below a claim's.
    pub shrink_refused: bool,
    /// True while a volume is smaller than asked for.
    pub growing: bool,
    /// A claim that somebody deleted: it stays as long as its pod does.
    pub claim_lost_with_pod: Option<String>,
    /// Directives that a server refused, with its words; sorted.
    pub rejected_config: Vec<(String, String)>,
    /// Users that a server refused, with its words; sorted.
    pub rejected_users: Vec<(String, String)>,
    /// Users that somebody changed at a server, and that were put right; sorted.
    pub altered_users: Vec<String>,
    /// Wanted pods beside the primary that are not in sync with it.
    pub not_in_sync: Vec<Lagging>,
    /// Pods that are lost with their nodes, or may be.
    pub stranded: Vec<Stranded>,
    /// Why the primary refuses writes; its pod, and the server's words.
    pub refused_writes: Option<(String, RefusedWrites)>,
    /// The script or function that keeps the primary from answering anything else, and its pod.
    pub script: Option<(String, Script)>,
    /// Pods whose volumes are full or nearly so, or fail otherwise; by ordinal.
    pub short_of_space: Vec<ShortOfSpace>,
    /// Pods with a snapshot that somebody put on their volume and that is not read.
    pub dumps_not_read: Vec<String>,
    /// Pods whose servers have few connections left; by ordinal.
    pub crowded: Vec<Crowded>,
    /// Data pods that serve: the primary, and replicas in sync.
    pub ready: usize,
    /// More pods than wanted are there still.
    pub surplus: bool,
    /// True when every wanted change has reached the servers.
    pub settled: bool,
    /// True when nothing happens until somebody changes something: it is settled, or its pods are gone as
    /// was asked for.
    pub at_rest: bool,
}

/// Judges one pass.
pub fn verdict(wanted: &Wanted, seen: &Observation, plan: &Plan) -> Verdict {
    let statuses = || {
        seen.members
            .iter()
            .filter_map(|member| member.agent.status())
    };
    let claims = || {
        let all = seen
            .members
            .iter()
            .filter_map(|member| member.claim.as_ref());
        all.filter(|claim| !claim.temporary)
    };
    // The size of one that somebody lent is not the spec's.
    let sized = || claims().filter(|claim| !claim.adopted);
    let growing = wanted
        .storage
        .as_ref()
        .is_some_and(|storage| sized().any(|claim| is_growing(storage.bytes, claim)));
    let applied = |status: &AgentStatus| {
        status.config.revision == seen.config.revision
            && status.config.pending_restart.is_empty()
            && status.acl.confirmed
            && status.acl.revision == seen.acl.revision
    };
    let primary = seen.primary();
    let not_in_sync = primary.map_or_else(Vec::new, |primary| not_in_sync(wanted, seen, primary));
    let stay = usize::try_from(wanted.pods.count.unwrap_or(0)).unwrap_or(usize::MAX);
    let ready = primary.map_or(0, |primary| {
        let in_sync = |member: &&Member| !member.is_leaving() && member.is_in_sync(primary);
        1 + seen.members.iter().filter(in_sync).count()
    });
    let is_quiet = plan.steps.is_empty() && plan.waiting_for.is_none() && !growing;
    let settled = is_quiet
        && statuses().count() == stay
        && statuses().all(applied)
        && not_in_sync.is_empty()
        && primary.is_some();
    let at_rest = match wanted.pods.hibernate {
        true => is_quiet && seen.members.iter().all(|member| member.pod.is_none()),
        false => settled,
    };
    Verdict {
        cause: cause(seen, plan),
        shrink_refused: wanted
            .storage
            .as_ref()
            .is_some_and(|storage| sized().any(|claim| storage.bytes < claim.requested)),
        growing,
        claim_lost_with_pod: claims()
            .find(|claim| claim.deleting)
            .map(|claim| claim.name.clone()),
        rejected_config: pairs(statuses().map(|s| &s.config.rejected)),
        rejected_users: pairs(statuses().map(|s| &s.acl.rejected)),
        altered_users: altered_users(statuses()),
        surplus: seen.members.len() > stay,
        settled,
        at_rest,
        not_in_sync,
        refused_writes: primary.and_then(refused_writes),
        script: primary.and_then(|primary| Some((primary.name().to_owned(), primary.script()?))),
        short_of_space: seen.members.iter().filter_map(short_of_space).collect(),
        dumps_not_read: seen.members.iter().filter_map(dump_not_read).collect(),
        crowded: seen.members.iter().filter_map(crowded).collect(),
        stranded: seen.members.iter().filter_map(stranded).collect(),
        ready,
    }
}

/// Users that agents put right, each once.
fn altered_users<'a>(agents: impl Iterator<Item = &'a AgentStatus>) -> Vec<String> {
    let names: BTreeSet<&String> = agents.flat_map(|agent| &agent.acl.put_right).collect();
    names.into_iter().cloned().collect()
}

fn refused_writes(primary: &Member) -> Option<(String, RefusedWrites)> {
    let refused = primary.agent.status()?.volume.refused_writes.clone()?;
    Some((primary.name().to_owned(), refused))
}

fn not_in_sync(wanted: &Wanted, seen: &Observation, primary: &Member) -> Vec<Lagging> {
    let others = seen
        .members
        .iter()
        .filter(|member| wanted.pods.keeps(member.ordinal));
    others
        .filter(|member| member.is_away(primary))
        .map(|member| Lagging {
            deposed: is_deposed(member, primary),
            ..lagging(member)
        })
        .collect()
}

fn pairs<'a>(
    maps: impl Iterator<Item = &'a std::collections::BTreeMap<String, String>>,
) -> Vec<(String, String)> {
    let mut all: Vec<_> = maps
        .flatten()
        .map(|(name, why)| (name.clone(), why.clone()))
        .collect();
    all.sort();
    all.dedup();
    all
}

fn is_growing(bytes: u64, claim: &ClaimView) -> bool {
    claim.requested < bytes
        || claim
            .capacity
            .is_some_and(|capacity| capacity < claim.requested)
}

fn cause(seen: &Observation, plan: &Plan) -> Cause {
    if seen.members.len() > 1 && seen.primary().is_some() {
        return Cause::Serving;
    }
    match seen.members.as_slice() {
        [] => Cause::NoPod,
        [alone] => match member_cause(alone) {
            Cause::ServerStarting(words) => {
                Cause::ServerStarting(plan.waiting_for.clone().unwrap_or(words))
            }
            cause => cause,
        },
        members => match (stuck(members), &plan.waiting_for) {
            (Some(cause), _) => cause,
            (None, Some(words)) => Cause::NoPrimary(words.clone()),
            // Something is done about it, or no pod is there to do it with.
            (None, None) => members
                .iter()
                .map(member_cause)
                .next()
                .unwrap_or(Cause::NoPod),
        },
    }
}
