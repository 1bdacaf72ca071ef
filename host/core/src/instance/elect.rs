//! No primary is there: whether another may be promoted, and which (design §5, §6).

use super::candidates::{Candidate, last_candidate, unproven};
use super::choice::{self, Question};
use super::copies::{Copy, Judgement, judge};
use super::given_up::given_up;
use super::pushes;
use super::{Observation, Permit, Plan, Step, Wanted, candidates, lists, presumed_dead, record};
use crate::agent::{Mark, Role, ServerState};
use crate::shard::{AgentView, Member, is_asked_down};
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

/// The epoch of the next primary: higher than any, and no two leaders give the same. Nor does one leader
/// twice: what is known of an epoch, such as that its primary is dead, would be taken for the next one's.
///
/// # Errors
/// Why there is none: whoever tells of the last number that there is keeps its own instance from another
/// primary, and nothing else.
pub(super) fn next_epoch(seen: &Observation) -> Result<u64, String> {
    let known = seen.members.iter().filter_map(|member| {
        let memory = &member.agent.status()?.memory;
        Some(memory.epoch.max(memory.promised_epoch))
    });
    let named = seen
        .candidates
        .iter()
        .map(|candidate| candidate.epoch)
        .max();
    // Of a pod that is not heard, or is gone: once it comes back it is to follow.
    let recorded = seen.members.iter().filter_map(|member| {
        let claim = member.claim.as_ref()?;
        Some(claim.record.rank().0)
    });
    let last = known
        .chain(recorded)
        .max()
        .unwrap_or(0)
        .max(seen.spare_epoch)
        .max(seen.remembered.promised_epoch)
        .max(seen.remembered.highest)
        .max(named.unwrap_or(0));
    let least = seen.remembered.term.min(term::END - 1) << 24;
    let next = last.checked_add(1).map(|next| next.max(least));
    next.ok_or_else(|| no_epoch(seen))
}

fn no_epoch(seen: &Observation) -> String {
    let tells = |member: &&Member| {
        let memory = member.agent.status().map(|status| &status.memory);
        memory.is_some_and(|memory| memory.epoch.max(memory.promised_epoch) == u64::MAX)
    };
    let who = match seen.members.iter().find(tells) {
        Some(member) => format!("the agent of {}", member.label()),
        None => "what is written on the StatefulSet or on a candidate".to_owned(),
    };
    format!(
        "{who} tells of epoch {}, after which there is none, so nobody can become the primary: no operator \
         gave it; delete that pod with its candidate, or restore the data into a new object",
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
    let candidate = last_candidate(seen);
    let unproven = unproven(seen);
    let fence = match unproven.is_empty() {
        true => Ok(()),
        false => wait_for_fence(seen, &unproven, plan),
    };
    let chosen = match fence {
        Ok(()) => choose(wanted, seen, candidate.as_ref()),
        // What somebody says helps only where another can lead.
        Err(words) => match choose(wanted, seen, candidate.as_ref()) {
            Ok(chosen) if presumed_dead::is_dead(wanted, seen, &unproven, &words, plan) => {
                Ok(chosen)
            }
            _ if plan.to_approve.is_some() => return,
            // Who chooses a copy says with it that the lost primary is dead.
            Err(Hold::Ask(question)) if presumed_dead::is_up_to_a_person(seen, &unproven) => {
                Err(Hold::Ask(Question {
                    words: format!("{words}; {}", question.words),
                    after_ms: presumed_dead::FOR_A_PERSON,
                    ..question
                }))
            }
            _ => Err(Hold::Wait(words)),
        },
    };
    let chosen = match chosen {
        Err(Hold::Ask(question)) => choice::chosen(wanted, seen, &question, plan),
        Err(Hold::Wait(words)) => {
            plan.waiting_for = Some(words);
            None
        }
        Ok(chosen) => Some(chosen),
    };
    if let Some(chosen) = chosen {
        promote(wanted, seen, chosen, plan);
    }
}

/// Why nobody is promoted yet.
enum Hold<'a> {
    /// What is waited for, for people.
    Wait(String),
    /// A person may choose.
    Ask(Question<'a>),
}

impl From<&str> for Hold<'_> {
    fn from(words: &str) -> Self {
        Self::Wait(words.to_owned())
    }
}

impl From<String> for Hold<'_> {
    fn from(words: String) -> Self {
        Self::Wait(words)
    }
}

/// The agent of a lone pod promotes its server by itself.
fn is_lone(wanted: &Wanted, seen: &Observation) -> bool {
    wanted.pods.is_single()
        && seen.members.len() <= 1
        && seen.members.iter().all(|member| {
            let status = member.agent.status();
            status.is_none_or(|status| status.members.pods.len() <= 1)
        })
}

/// What a copy is worth is known once its server runs; held, it serves nothing.
fn start_fenced(wanted: &Wanted, seen: &Observation, plan: &mut Plan) {
    for member in &seen.members {
        let waits = member.is_leaving() || member.is_held_for_recovery();
        if is_down(member) && !is_asked_down(&wanted.fenced, member) && !waits {
            let words = "there is no primary, and its copy may be the best";
            plan.push(Step::Start(member.target()), words);
        }
    }
}

fn is_down(member: &Member) -> bool {
    let status = member.agent.status();
    status.is_some_and(|status| status.server == ServerState::Fenced)
}

fn wait_for_fence(
    seen: &Observation,
    unproven: &[Candidate],
    plan: &mut Plan,
) -> Result<(), String> {
    let last = unproven
        .iter()
        .map(|candidate| candidate.epoch)
        .max()
        .unwrap_or(0);
    for member in &seen.members {
        let Some(status) = member.agent.status() else {
            continue;
        };
        // Its own promise is proof: it says so, and that it is no primary. Those of others count only
        // where there are fences.
        let own = unproven
            .iter()
            .any(|candidate| candidate.uid == member.uid());
        let counts =
            seen.remembered.permit != Some(Permit::Never) || (own && status.role != Role::Primary);
        if status.memory.promised_epoch < last && counts {
            let step = Step::Promise {
                pod: member.target(),
                epoch: last,
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

/// The copies that could be promoted.
fn copies<'a>(wanted: &Wanted, seen: &'a Observation) -> Vec<Copy<'a>> {
    let able = seen.members.iter().filter(|member| {
        member.is_running()
            && !member.is_leaving()
            && !is_asked_down(&wanted.fenced, member)
            && seen.is_filled(member)
            // As a primary that goes by a list that is not written down it could not be waited out.
            && lists::is_known(seen, member)
    });
    able.filter_map(Copy::of).collect()
}

/// The best copy, or what is waited for.
fn choose<'a>(
    wanted: &Wanted,
    seen: &'a Observation,
    candidate: Option<&Candidate>,
) -> Result<&'a Member, Hold<'a>> {
    let chosen = best(wanted, seen, candidate)?;
    let counts = pushes::members(wanted, seen);
    let is_told_now = |member: &Member| {
        let mut pods = counts.pods.iter();
        !lists::is_known(seen, member) && pods.any(|peer| peer.pod_uid == member.uid())
    };
    let better = seen.members.iter().find(|member| {
        member.is_running()
            && !member.is_leaving()
            && !is_asked_down(&wanted.fenced, member)
            && !member.is_left()
            && is_told_now(member)
            && is_ahead(member, chosen)
    });
    match better.filter(|_| seen.remembered.leaderless_ms < ALL_HEARD) {
        Some(better) => {
            let words = "has more of the data and is about to be told who the others are";
            Err(format!("{} {words}", better.name()).into())
        }
        None => Ok(chosen),
    }
}

/// True if a copy has what another lacks.
fn is_ahead(member: &Member, other: &Member) -> bool {
    match (&member.position, &other.position) {
        (Some(has), Some(lacks)) if member.epoch() == other.epoch() => {
            has.replication_id == lacks.replication_id && has.offset > lacks.offset
        }
        _ => member.epoch() > other.epoch(),
    }
}

/// The best of the copies that could be promoted now, or what is waited for.
fn best<'a>(
    wanted: &Wanted,
    seen: &'a Observation,
    candidate: Option<&Candidate>,
) -> Result<&'a Member, Hold<'a>> {
    let copies = copies(wanted, seen);
    let told = |member: &Member| !member.is_running() || lists::is_known(seen, member);
    if copies.is_empty() && !seen.members.iter().all(told) {
        return Err("no data pod knows who the others are yet".into());
    }
    let silent: Vec<&Member> = silent_holders(seen, &copies).collect();
    if let Some(candidate) = candidate
        && let Some(alive) = of_those_that_ran_on(seen, candidate, &copies, &silent)?
    {
        return Ok(alive);
    }
    let judged = judge(&copies);
    // What is known of the right copy whatever a person says.
    let known = match &judged {
        Judgement::Nobody => None,
        Judgement::Best(best) => copies
            .iter()
            .find(|copy| copy.member.ordinal == best.ordinal),
        Judgement::Doubt { .. } => copies.iter().max_by_key(|copy| copy.epoch()),
    };
    let epoch = known.map_or(0, Copy::epoch);
    let later = silent.iter().find(|member| record::is_later(member, epoch));
    // Of a volume of which nothing stands written only its agent could tell.
    let unrecorded = candidate.is_none() && silent.iter().any(|member| record::is_unknown(member));
    // The last primary's volume has every write.
    if let (Judgement::Best(best), Some(copy), None) = (&judged, known, later)
        && copy.led()
        && copy.position.keys > 0
        && last_epoch(seen).is_none_or(|last| last <= epoch)
        && !unrecorded
    {
        // A replica that ran on has more than a snapshot.
        return match is_more_about_to_be_heard(seen) {
            true => Err("other copies of the data are about to be heard".into()),
            false => Ok(best),
        };
    }
    wait_for_others(wanted, seen, candidate, &copies, &silent)?;
    // As long as it takes: what would be promoted meanwhile would replace it.
    let loading = seen
        .members
        .iter()
        .find(|member| is_on_its_way(wanted, member) && is_worth_waiting(member, &judged, epoch));
    if let Some(member) = loading {
        let words = "has later data, and its server starts or reads it";
        return Err(format!("{} {words}", member.name()).into());
    }
    let holders = |question: String| {
        let held = copies.iter().filter(|copy| copy.has_data());
        Hold::Ask(Question {
            words: question,
            among: held.map(|copy| copy.member).collect(),
            after_ms: presumed_dead::FOR_A_PERSON,
        })
    };
    if let Some(later) = later {
        let words = "has data of a later epoch on its volume than any that is heard";
        return Err(holders(format!("{} {words}", later.label())));
    }
    match judged {
        Judgement::Nobody => Err("no data pod runs".into()),
        Judgement::Doubt { why, among } => Err(Hold::Ask(Question {
            words: why.to_owned(),
            among,
            after_ms: 0,
        })),
        Judgement::Best(best) if !known.is_some_and(Copy::has_data) => {
            let left = seen.members.iter().find(|m| record::is_silent_left(m));
            match silent.first().copied().or(left) {
                Some(silent) => Err(never_had(&silent.label()).into()),
                None => Ok(best),
            }
        }
        // A copy that no epoch is known of is no choice while another may have the data.
        Judgement::Best(_) if epoch == 0 && !silent.is_empty() => Err(holders(never_had(
            &silent.first().map_or_else(String::new, |m| m.label()),
        ))),
        Judgement::Best(best) => Ok(best),
    }
}

/// The best of the replicas that went on running since they were in sync with the last primary, if there
/// are any, or what is waited for.
fn of_those_that_ran_on<'a>(
    seen: &Observation,
    candidate: &Candidate,
    copies: &[Copy<'a>],
    silent: &[&Member],
) -> Result<Option<&'a Member>, Hold<'a>> {
    let waited = seen.remembered.leaderless_ms;
    // The epoch of the data; one that was written down may never have begun.
    let epoch = last_epoch(seen).unwrap_or(candidate.epoch);
    if let Some(member) = silent.first().filter(|_| may_have_led(seen, epoch))
        && waited < ALL_HEARD
    {
        let words = "may have later data and is not heard yet";
        return Err(format!("{} {words}", member.label()).into());
    }
    let ran_on = |copy: &&Copy<'a>| copy.epoch() == epoch && copy.status.role == Role::Replica;
    let (left, mut alive): (Vec<_>, Vec<_>) = copies
        .iter()
        .filter(ran_on)
        .partition(|copy| copy.member.is_left());
    let Some(stayed) = alive.iter().max_by_key(|copy| copy.position.offset) else {
        return Ok(None);
    };
    // One that is left behind and has more of the same stream has it all.
    let stream = stayed.position.replication_id.clone();
    alive.extend(
        left.into_iter()
            .filter(|copy| copy.position.replication_id == stream),
    );
    let draining = alive
        .iter()
        .any(|copy| copy.status.link.as_ref().is_some_and(|link| link.up));
    if draining && waited < DRAINED {
        return Err("replicas take in the last writes of the dead primary".into());
    }
    if is_more_about_to_be_heard(seen) {
        return Err("other copies of the data are about to be heard".into());
    }
    // Of copies that have the same, one that can write comes first. One that lacks something does not:
    // the full one leads until that has it too, and hands over (`change`).
    let best = alive
        .iter()
        .max_by_key(|copy| (copy.position.offset, copy.preference()));
    Ok(best.map(|copy| copy.member))
}

fn is_more_about_to_be_heard(seen: &Observation) -> bool {
    let mut members = seen.members.iter();
    (seen.remembered.leaderless_ms < SOON || seen.remembered.just_woke)
        && members.any(|member| is_about_to_be_heard(seen, member))
}

/// Every copy has the chance to be heard: for a moment where there is no data yet, longer where there is.
fn wait_for_others<'a>(
    wanted: &Wanted,
    seen: &Observation,
    candidate: Option<&Candidate>,
    copies: &[Copy<'_>],
    silent: &[&Member],
) -> Result<(), Hold<'a>> {
    let waited = seen.remembered.leaderless_ms;
    let expected = usize::try_from(wanted.pods.count.unwrap_or(0)).unwrap_or(usize::MAX);
    if copies.len() >= expected.max(seen.members.len()) {
        return Ok(());
    }
    let any_data = candidate.is_some() || copies.iter().any(Copy::has_data);
    if waited < FIRST_HEARD && !any_data {
        return Err("the data pods start".into());
    }
    if waited < ALL_HEARD && any_data && (candidate.is_some() || !silent.is_empty()) {
        return Err("not every copy of the data was heard yet".into());
    }
    Ok(())
}

/// True if its data, once it is read, may be what is to be promoted instead.
fn is_worth_waiting(member: &Member, judged: &Judgement<'_>, epoch: u64) -> bool {
    match judged {
        Judgement::Nobody => true,
        Judgement::Best(_) | Judgement::Doubt { .. } => member.epoch() > epoch && !member.is_left(),
    }
}

/// True if one that is not heard was to lead after this epoch. One that is heard knows whether it did.
fn may_have_led(seen: &Observation, epoch: u64) -> bool {
    let is_heard = |candidate: &Candidate| {
        seen.members.iter().any(|member| {
            let status = member.agent.status();
            let former = status.is_some_and(|status| status.memory.former.contains(&candidate.uid));
            former || (status.is_some() && member.uid() == candidate.uid)
        })
    };
    let mut candidates = candidates::candidates(seen).into_iter();
    candidates.any(|candidate| candidate.epoch > epoch && !is_heard(&candidate))
}

/// Data pods that may have data, and are not among the copies.
fn silent_holders<'a>(
    seen: &'a Observation,
    copies: &[Copy<'_>],
) -> impl Iterator<Item = &'a Member> {
    let heard: Vec<u32> = copies.iter().map(|copy| copy.member.ordinal).collect();
    // One beyond the wanted number may have been told no list, and is no copy that could lead.
    let says_it_has_none = |member: &Member| {
        let never = member.agent.status().is_some_and(|s| s.memory.epoch == 0);
        never && member.position.as_ref().is_some_and(|at| at.keys == 0)
    };
    seen.members.iter().filter(move |member| {
        !heard.contains(&member.ordinal)
            && !says_it_has_none(member)
            && !member.is_left()
            && record::may_hold_data(seen, member)
    })
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
            let led = seen
                .candidates
                .iter()
                .any(|candidate| candidate.uid == member.uid());
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
        ServerState::Fenced => !is_asked_down(&wanted.fenced, member) && !member.is_leaving(),
        ServerState::Running { .. } | ServerState::BackOff { .. } | ServerState::Stopping => false,
    })
}

/// The latest epoch that an agent remembers of a copy that counts.
fn last_epoch(seen: &Observation) -> Option<u64> {
    let counts = seen.members.iter().filter(|member| !member.is_left());
    let epochs = counts.map(Member::epoch);
    epochs.max().filter(|epoch| *epoch > 0)
}

/// The step that makes a member the primary.
pub(super) fn promotion(seen: &Observation, member: &Member, epoch: u64) -> Step {
    let uid = member.uid().to_owned();
    Step::Promote {
        pod: member.target(),
        epoch,
        candidates: candidates::with(seen, Candidate { epoch, uid }),
    }
}

fn promote(wanted: &Wanted, seen: &Observation, chosen: &Member, plan: &mut Plan) {
    let epoch = match next_epoch(seen) {
        Ok(epoch) => epoch,
        Err(words) => {
            plan.waiting_for = Some(words);
            return;
        }
    };
    let reason = format!("{} has the best copy of the data", chosen.name());
    record::note_before(wanted, chosen, epoch, plan);
    let step = promotion(seen, chosen, epoch);
    plan.push(step, &reason);
    let Some(ip) = chosen.ip() else { return };
    if seen.endpoint.as_deref() != Some(ip) {
        let step = Step::SetEndpoint {
            ip: Some(ip.to_owned()),
        };
        plan.push(step, format!("{ip} is the primary"));
    }
    let others = seen.members.iter().filter(|member| {
        member.ordinal != chosen.ordinal
            && member.is_running()
            && !member.is_leaving()
            && !member.is_held_for_recovery()
    });
    let fork = chosen.position.as_ref().map(|position| Mark {
        replication_id: position.replication_id.clone(),
        offset: position.offset,
    });
    for member in others {
        let step = Step::Follow {
            pod: member.target(),
            epoch,
            primary_uid: chosen.uid().to_owned(),
            ip: ip.to_owned(),
            lineage: lineage_of(chosen),
            gives_up: given_up(member, epoch, fork.as_ref()),
        };
        plan.push(step, &reason);
    }
}

/// The lineage of its data; empty if it has not told one.
pub(super) fn lineage_of(member: &Member) -> String {
    let status = member.agent.status();
    status.map_or_else(String::new, |status| status.memory.lineage.clone())
}
