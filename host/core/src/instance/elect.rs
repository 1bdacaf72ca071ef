//! No primary is there: whether another may be promoted, and which (design §5, §6).

use super::pushes::target;
use serde::{Deserialize, Serialize};

use super::{Member, Observation, Permit, Plan, Step, Wanted};
use crate::agent::{AgentStatus, Role};

/// Every copy has had the chance to be heard after this, in milliseconds.
pub(super) const ALL_HEARD: u64 = 20_000;
/// Copies of an instance that never had a primary.
const FIRST_HEARD: u64 = 5_000;
/// Replicas have drained the sockets of a dead primary after this.
const DRAINED: u64 = 300;

/// A primary, or one that was to become it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// Its reign.
    pub reign: u64,
    /// Uid of its pod.
    pub uid: String,
}

/// The last primary: what was written down before it was promoted, and what the agents that are heard
/// remember.
pub fn last_claim(seen: &Observation) -> Option<Claim> {
    let memories = seen.members.iter().filter_map(|member| {
        let memory = &member.agent.status()?.memory;
        (memory.reign > 0).then_some(memory)
    });
    let remembered = memories
        .max_by_key(|memory| memory.reign)
        .map(|last| Claim {
            reign: last.reign,
            uid: last.primary_uid.clone(),
        });
    remembered
        .into_iter()
        .chain(seen.crown.clone())
        .max_by_key(|claim| claim.reign)
}

/// The last primary, if there is none now and nothing proves that it is dead.
pub fn unproven(seen: &Observation) -> Option<Claim> {
    if seen.primary().is_some() {
        return None;
    }
    let claim = last_claim(seen)?;
    (!is_proven(seen, &claim)).then_some(claim)
}

/// Proof: its agent says so; the kubelet says so of its container; its node is out of service; or its
/// volume is in the hands of another pod's agent, which holds the lock on it.
fn is_proven(seen: &Observation, claim: &Claim) -> bool {
    if seen.remembered.proven >= claim.reign {
        return true;
    }
    seen.members.iter().any(|member| {
        if member.uid() == claim.uid {
            let dead = |pod: &super::PodView| pod.finished || pod.terminated;
            return match member.agent.status() {
                // One that may still take the order to promote it is not out of it.
                Some(status) => {
                    let memory = &status.memory;
                    status.role != Role::Primary && memory.reign.max(memory.forsworn) >= claim.reign
                }
                None => member.is_on_dead_node() || member.pod.as_ref().is_some_and(dead),
            };
        }
        member
            .agent
            .status()
            .is_some_and(|status| status.memory.was_primary && status.memory.reign == claim.reign)
    })
}

/// The reign of the next primary: higher than any, and no two leaders give the same.
pub(super) fn next_reign(seen: &Observation) -> u64 {
    let known = seen.members.iter().filter_map(|member| {
        let memory = &member.agent.status()?.memory;
        Some(memory.reign.max(memory.forsworn))
    });
    let crown = seen.crown.as_ref().map_or(0, |crown| crown.reign);
    let last = known
        .max()
        .unwrap_or(0)
        .max(seen.remembered.forsworn)
        .max(crown);
    (last + 1).max(seen.remembered.term << 24)
}

pub(super) fn plan(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    if is_lone(wanted, seen) {
        return;
    }
    let claim = last_claim(seen);
    if let Some(claim) = unproven(seen)
        && let Err(words) = wait_for_fence(seen, &claim, plan)
    {
        plan.waiting_for = Some(words);
        return;
    }
    match choose(wanted, seen, claim.as_ref()) {
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

fn wait_for_fence(seen: &Observation, claim: &Claim, plan: &mut Plan) -> Result<(), String> {
    for member in &seen.members {
        let Some(status) = member.agent.status() else {
            continue;
        };
        if status.memory.forsworn < claim.reign && seen.remembered.permit != Some(Permit::Never) {
            let step = Step::Forswear {
                pod: target(member),
                reign: claim.reign,
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
            && !wanted.fenced.iter().any(|name| name == member.name())
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
    let copies = copies(wanted, seen);
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
    if let Some(name) = silent.as_ref().filter(|_| reign < claim.reign)
        && waited < ALL_HEARD
    {
        return Err(format!("{name} may have later data and is not heard yet"));
    }
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
        return Ok(last.member);
    }
    if !complete && waited < ALL_HEARD {
        return Err("not every copy of the data was heard yet".to_owned());
    }
    let best = copies.iter().max_by_key(|copy| {
        let memory = &copy.status.memory;
        (memory.reign, memory.offset, copy.keys, lowest(copy))
    });
    match (best, silent) {
        (None, _) => Err("no data pod runs".to_owned()),
        (Some(best), Some(name)) if best.status.memory.reign == 0 => Err(never_had(&name)),
        (Some(best), _) => Ok(best.member),
    }
}

/// A data pod that may have data, and is not among the copies.
fn silent_holder(seen: &Observation, copies: &[Copy<'_>]) -> Option<String> {
    let is_heard = |member: &Member| {
        copies
            .iter()
            .any(|copy| copy.member.ordinal == member.ordinal)
    };
    let may_hold = |member: &&Member| {
        let ran = member.pod.as_ref().is_some_and(|pod| pod.ip.is_some());
        !is_heard(member) && (member.claim.is_some() || ran)
    };
    seen.members.iter().find(may_hold).map(Member::label)
}

fn never_had(name: &str) -> String {
    format!("the pods that are heard have never had the data; {name} may have it and is not heard")
}

/// The latest reign that an agent remembers.
fn last_reign(seen: &Observation) -> Option<u64> {
    let reigns = seen.members.iter().map(Member::reign);
    reigns.max().filter(|reign| *reign > 0)
}

fn promote(seen: &Observation, chosen: &Member, plan: &mut Plan) {
    let reign = next_reign(seen);
    let reason = format!("{} has the best copy of the data", chosen.name());
    let step = Step::Promote {
        pod: target(chosen),
        reign,
    };
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
