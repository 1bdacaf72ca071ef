//! No primary is there: whether another may be promoted, and which (design §5, §6).

use super::claims::{Claim, last_claim, unproven};
use super::pushes::{self, target};
use super::{AgentView, Member, Observation, Permit, Plan, Step, Wanted, claims, lists, word};
use crate::agent::{AgentStatus, Role, ServerState};
use crate::term;

/// Positions that were asked for longer ago say nothing: whoever asked was stopped meanwhile, and others
/// may have been heard since. Nobody is promoted by them any more, also not in the middle of a plan. In
/// milliseconds.
pub const POSITIONS_GOOD_FOR_MS: u64 = 4_000;
/// Every copy has had the chance to be heard after this, in milliseconds.
pub(super) const ALL_HEARD: u64 = 20_000;
/// Copies of an instance that never had a primary.
const FIRST_HEARD: u64 = 5_000;
/// Agents to which a new leader has just connected, and servers that were just asked, are heard after this.
pub(super) const SOON: u64 = 1_500;
/// Replicas have drained the sockets of a dead primary after this.
const DRAINED: u64 = 300;

/// The reign of the next primary: higher than any, and no two leaders give the same. Nor does one leader
/// twice: what is known of a reign, such as that its primary is dead, would be taken for the next one's.
///
/// # Errors
/// Why there is none: whoever tells of the last number that there is keeps its own instance from another
/// primary, and nothing else.
pub(super) fn next_reign(seen: &Observation) -> Result<u64, String> {
    let known = seen.members.iter().filter_map(|member| {
        let memory = &member.agent.status()?.memory;
        Some(memory.reign.max(memory.forsworn))
    });
    let claimed = seen.claims.iter().map(|claim| claim.reign).max();
    let last = known
        .max()
        .unwrap_or(0)
        .max(seen.remembered.forsworn)
        .max(seen.remembered.highest)
        .max(claimed.unwrap_or(0));
    let least = seen.remembered.term.min(term::END - 1) << 24;
    let next = last.checked_add(1).map(|next| next.max(least));
    next.ok_or_else(|| no_reign(seen))
}

fn no_reign(seen: &Observation) -> String {
    let tells = |member: &&Member| {
        let memory = member.agent.status().map(|status| &status.memory);
        memory.is_some_and(|memory| memory.reign.max(memory.forsworn) == u64::MAX)
    };
    let who = match seen.members.iter().find(tells) {
        Some(member) => format!("the agent of {}", member.label()),
        None => "what is written on the StatefulSet".to_owned(),
    };
    format!(
        "{who} tells of reign {}, after which there is none, so nobody can become the primary: no operator \
         gave it; delete that pod with its claim, or restore the data into a new object",
        u64::MAX
    )
}

pub(super) fn plan(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    if is_lone(wanted, seen) {
        return;
    }
    // Nobody can be promoted; who asked agents that stop for promises would miss their last word.
    if !seen.members.is_empty() && seen.members.iter().all(Member::is_leaving) {
        if seen.members.iter().any(|member| member.pod.is_some()) {
            plan.waiting_for = Some("all data pods end".to_owned());
        }
        return;
    }
    start_fenced(wanted, seen, plan);
    let claim = last_claim(seen);
    let unproven = unproven(seen);
    let fence = match unproven.is_empty() {
        true => Ok(()),
        false => wait_for_fence(seen, &unproven, plan),
    };
    let chosen = match fence {
        Ok(()) => choose(wanted, seen, claim.as_ref()),
        // What somebody says helps only where another can lead.
        Err(words) => match choose(wanted, seen, claim.as_ref()) {
            Ok(chosen) if word::is_dead(wanted, seen, &unproven, &words, plan) => Ok(chosen),
            _ if plan.to_approve.is_some() => return,
            _ => Err(words),
        },
    };
    match chosen {
        Ok(chosen) => promote(seen, chosen, plan),
        Err(words) => plan.waiting_for = Some(words),
    }
}

/// The agent of a lone pod promotes its server by itself.
fn is_lone(wanted: &Wanted, seen: &Observation) -> bool {
    wanted.replicas <= 1
        && seen.members.len() <= 1
        && seen.members.iter().all(|member| {
            let status = member.agent.status();
            status.is_none_or(|status| status.members.pods.len() <= 1)
        })
}

/// What a copy is worth is known once its server runs; held, it serves nothing.
fn start_fenced(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    for member in &seen.members {
        if is_down(member) && !asked_down(wanted, member) && !member.is_leaving() {
            let words = "there is no primary, and its copy may be the best";
            plan.push(Step::Start(target(member)), words);
        }
    }
}

fn is_down(member: &Member) -> bool {
    let status = member.agent.status();
    status.is_some_and(|status| status.server == ServerState::Fenced)
}

fn asked_down(wanted: &Wanted, member: &Member) -> bool {
    wanted.fenced.iter().any(|name| name == member.name())
}

fn wait_for_fence(seen: &Observation, unproven: &[Claim], plan: &mut Plan) -> Result<(), String> {
    let last = unproven.iter().map(|claim| claim.reign).max().unwrap_or(0);
    for member in &seen.members {
        let Some(status) = member.agent.status() else {
            continue;
        };
        // Its own promise is proof: it says so, and that it is no primary. Those of others count only
        // where there are fences.
        let own = unproven.iter().any(|claim| claim.uid == member.uid());
        let counts =
            seen.remembered.permit != Some(Permit::Never) || (own && status.role != Role::Primary);
        if status.memory.forsworn < last && counts {
            let step = Step::Forswear {
                pod: target(member),
                reign: last,
            };
            plan.push(step, "the primary is not heard");
        }
    }
    match seen.remembered.permit {
        Some(Permit::Granted) => Ok(()),
        Some(Permit::Wait(millis)) => Err(format!(
            "the primary is not heard and nothing proves that it is dead; it stops by itself within \
             {} s",
            millis.div_ceil(1000)
        )),
        Some(Permit::Never) => Err(
            "the primary is not heard, nothing proves that it is dead, and fences are off \
             (spec.failover.fenceAfter is 0): bring its node back, or, if that is off for good, put the \
             taint node.kubernetes.io/out-of-service on it"
                .to_owned(),
        ),
        Some(Permit::Promises) | None => Err(
            "the primary is not heard and nothing proves that it is dead; too few of the other pods \
             answer to be sure that it stops"
                .to_owned(),
        ),
    }
}

/// A copy that could be promoted.
struct Copy<'a> {
    member: &'a Member,
    status: &'a AgentStatus,
    offset: u64,
    keys: u64,
}

fn copies<'a>(wanted: &'a Wanted, seen: &'a Observation) -> Vec<Copy<'a>> {
    let able = seen.members.iter().filter(|member| {
        member.is_running()
            && !member.is_leaving()
            && !asked_down(wanted, member)
            // As a primary that goes by a list that is not written down it could not be waited out.
            && lists::is_known(seen, member)
    });
    able.filter_map(|member| {
        let position = member.position.as_ref()?;
        Some(Copy {
            member,
            status: member.agent.status()?,
            offset: position.offset,
            keys: position.keys,
        })
    })
    .collect()
}

/// The best copy, or what is waited for.
fn choose<'a>(
    wanted: &'a Wanted,
    seen: &'a Observation,
    claim: Option<&Claim>,
) -> Result<&'a Member, String> {
    let chosen = best(wanted, seen, claim)?;
    let counts = pushes::members(wanted, seen);
    let is_told_now = |member: &Member| {
        let mut pods = counts.pods.iter();
        !lists::is_known(seen, member) && pods.any(|peer| peer.pod_uid == member.uid())
    };
    let better = seen.members.iter().find(|member| {
        member.is_running()
            && !member.is_leaving()
            && !asked_down(wanted, member)
            && is_told_now(member)
            && is_ahead(member, chosen)
    });
    match better.filter(|_| seen.remembered.leaderless_ms < ALL_HEARD) {
        Some(better) => {
            let words = "has more of the data and is about to be told who the others are";
            Err(format!("{} {words}", better.name()))
        }
        None => Ok(chosen),
    }
}

/// True if a copy has what another lacks.
fn is_ahead(member: &Member, other: &Member) -> bool {
    match (&member.position, &other.position) {
        (Some(has), Some(lacks)) if member.reign() == other.reign() => {
            has.replication_id == lacks.replication_id && has.offset > lacks.offset
        }
        _ => member.reign() > other.reign(),
    }
}

/// The best of the copies that could be promoted now, or what is waited for.
fn best<'a>(
    wanted: &'a Wanted,
    seen: &'a Observation,
    claim: Option<&Claim>,
) -> Result<&'a Member, String> {
    let copies = copies(wanted, seen);
    let told = |member: &Member| !member.is_running() || lists::is_known(seen, member);
    if copies.is_empty() && !seen.members.iter().all(told) {
        return Err("no data pod knows who the others are yet".to_owned());
    }
    let waited = seen.remembered.leaderless_ms;
    let expected = usize::try_from(wanted.replicas).unwrap_or(usize::MAX);
    let complete = copies.len() >= expected.max(seen.members.len());
    let lowest = |copy: &Copy<'_>| std::cmp::Reverse(copy.member.ordinal);
    // One that never had data is no choice while another that may have it is not heard.
    let silent = silent_holder(seen, &copies);
    let Some(claim) = claim else {
        if let Some(name) = silent.filter(|_| seen.served) {
            return Err(never_had(&name));
        }
        if !complete && waited < FIRST_HEARD {
            return Err("the data pods start".to_owned());
        }
        let best = copies.iter().max_by_key(|copy| (copy.keys, lowest(copy)));
        return best
            .map(|copy| copy.member)
            .ok_or_else(|| "no data pod runs yet".to_owned());
    };
    // The reign of the data; one that was written down may never have begun.
    let reign = last_reign(seen).unwrap_or(claim.reign);
    if let Some(name) = silent.as_ref().filter(|_| may_have_led(seen, reign))
        && waited < ALL_HEARD
    {
        return Err(format!("{name} may have later data and is not heard yet"));
    }
    let mut members = seen.members.iter();
    let more_soon = (waited < SOON || seen.remembered.just_woke)
        && members.any(|member| is_about_to_be_heard(seen, member));
    // Replicas that went on running since they were in sync with the last primary.
    let alive: Vec<_> = copies
        .iter()
        .filter(|copy| copy.status.memory.reign == reign && copy.status.role == Role::Replica)
        .collect();
    if !alive.is_empty() {
        let draining = alive
            .iter()
            .any(|copy| copy.status.link.as_ref().is_some_and(|link| link.up));
        if draining && waited < DRAINED {
            return Err("replicas take in the last writes of the dead primary".to_owned());
        }
        if more_soon {
            return Err("other copies of the data are about to be heard".to_owned());
        }
        let best = alive.iter().max_by_key(|copy| (copy.offset, lowest(copy)));
        return best
            .map(|copy| copy.member)
            .ok_or_else(|| "no replica runs".to_owned());
    }
    // All have been started again. The last primary's volume has every write.
    let last = copies.iter().find(|copy| {
        let memory = &copy.status.memory;
        memory.was_primary && memory.reign == reign && copy.keys > 0
    });
    if let Some(last) = last {
        // A replica that ran on has more than a snapshot.
        return match more_soon {
            true => Err("other copies of the data are about to be heard".to_owned()),
            false => Ok(last.member),
        };
    }
    if !complete && waited < ALL_HEARD {
        return Err("not every copy of the data was heard yet".to_owned());
    }
    let best = copies.iter().max_by_key(|copy| {
        let memory = &copy.status.memory;
        (memory.reign, memory.offset, copy.keys, lowest(copy))
    });
    // As long as it takes: what would be promoted meanwhile would replace it.
    let behind = |reign: u64| best.is_none_or(|best| best.status.memory.reign < reign);
    let loading = seen
        .members
        .iter()
        .find(|member| is_on_its_way(wanted, member) && behind(member.reign()));
    if let Some(member) = loading {
        let words = "has later data, and its server starts or reads it";
        return Err(format!("{} {words}", member.name()));
    }
    match (best, silent) {
        (None, _) => Err("no data pod runs".to_owned()),
        (Some(best), Some(name)) if best.status.memory.reign == 0 => Err(never_had(&name)),
        (Some(best), _) => Ok(best.member),
    }
}

/// True if one that is not heard was to lead after this reign. One that is heard knows whether it did.
fn may_have_led(seen: &Observation, reign: u64) -> bool {
    let is_heard = |claim: &Claim| {
        seen.members.iter().any(|member| {
            let status = member.agent.status();
            let former = status.is_some_and(|status| status.memory.former.contains(&claim.uid));
            former || (status.is_some() && member.uid() == claim.uid)
        })
    };
    let mut claims = claims::claims(seen).into_iter();
    claims.any(|claim| claim.reign > reign && !is_heard(&claim))
}

/// A data pod that may have data, and is not among the copies.
fn silent_holder(seen: &Observation, copies: &[Copy<'_>]) -> Option<String> {
    let is_heard = |member: &Member| {
        copies
            .iter()
            .any(|copy| copy.member.ordinal == member.ordinal)
    };
    // One beyond the wanted number may have been told no list, and is no copy that could lead.
    let says_it_has_none = |member: &Member| {
        let never = member.agent.status().is_some_and(|s| s.memory.reign == 0);
        never && member.position.as_ref().is_some_and(|at| at.keys == 0)
    };
    let may_hold = |member: &&Member| {
        let ran = member.pod.as_ref().is_some_and(|pod| pod.ip.is_some());
        !is_heard(member) && !says_it_has_none(member) && (member.claim.is_some() || ran)
    };
    seen.members.iter().find(may_hold).map(Member::label)
}

fn never_had(name: &str) -> String {
    format!("the pods that are heard have never had the data; {name} may have it and is not heard")
}

/// One that was never heard, or whose server runs and has not told where it stands, or was not told who
/// the others are. A connection that broke is not waited for, unless it may have broken while nobody
/// listened; the last primary's is proven dead or fenced by now.
fn is_about_to_be_heard(seen: &Observation, member: &Member) -> bool {
    match &member.agent {
        AgentView::Absent => member.ip().is_some() && !member.is_leaving(),
        AgentView::Unreachable(_) => {
            let led = seen.claims.iter().any(|claim| claim.uid == member.uid());
            seen.remembered.just_woke && member.ip().is_some() && !member.is_leaving() && !led
        }
        AgentView::Connected(_) => {
            let knows = member.position.is_some() && lists::is_known(seen, member);
            member.is_running() && !member.is_leaving() && !knows
        }
    }
}

/// Its server starts, or is about to be started, and has not given up.
fn is_on_its_way(wanted: &Wanted, member: &Member) -> bool {
    let status = member.agent.status();
    status.is_some_and(|status| match status.server {
        ServerState::Starting | ServerState::Loading { .. } => true,
        ServerState::Fenced => !asked_down(wanted, member) && !member.is_leaving(),
        ServerState::Running { .. } | ServerState::BackOff { .. } | ServerState::Stopping => false,
    })
}

/// The latest reign that an agent remembers.
fn last_reign(seen: &Observation) -> Option<u64> {
    let reigns = seen.members.iter().map(Member::reign);
    reigns.max().filter(|reign| *reign > 0)
}

/// The step that makes a member the primary.
pub(super) fn promotion(seen: &Observation, member: &Member, reign: u64) -> Step {
    let uid = member.uid().to_owned();
    Step::Promote {
        pod: target(member),
        reign,
        claims: claims::with(seen, Claim { reign, uid }),
    }
}

fn promote(seen: &Observation, chosen: &Member, plan: &mut Plan) {
    let reign = match next_reign(seen) {
        Ok(reign) => reign,
        Err(words) => {
            plan.waiting_for = Some(words);
            return;
        }
    };
    let reason = format!("{} has the best copy of the data", chosen.name());
    let step = promotion(seen, chosen, reign);
    plan.push(step, &reason);
    let Some(ip) = chosen.ip() else { return };
    if seen.endpoint.as_deref() != Some(ip) {
        let step = Step::SetEndpoint {
            ip: Some(ip.to_owned()),
        };
        plan.push(step, format!("{ip} is the primary"));
    }
    let others = seen.members.iter().filter(|member| {
        member.ordinal != chosen.ordinal && member.is_running() && !member.is_leaving()
    });
    for member in others {
        let step = Step::Follow {
            pod: target(member),
            reign,
            primary_uid: chosen.uid().to_owned(),
            ip: ip.to_owned(),
        };
        plan.push(step, &reason);
    }
}
