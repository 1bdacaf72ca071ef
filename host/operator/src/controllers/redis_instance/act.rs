//! Carries out a plan.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use futures::future::join_all;
use hera_core::acl::AclSet;
use hera_core::agent::{Members, Order, REDIS_PORT, Request, ServerConfig};
use hera_core::instance::{
    Candidate, Change, ChangeKind, GivenUp, POSITIONS_GOOD_FOR_MS, Plan, PlannedStep, Step,
};
use hera_core::shard::{Member, Target};
use hera_kube::Severity;
use hera_render::{AddressFamily, PodEndpoint, build_endpoint_slice, build_replicas_slice};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use tracing::{info, warn};

use super::site::Site;
use super::{handover, intents};
use crate::agents::{AgentClient, AgentError};
use crate::controllers::outcome::PassError;
use crate::controllers::pods::{deleted, events, fence_busy};
use crate::controllers::turns;
use crate::leaders::boot_millis;
use crate::users;

/// What the steps need.
pub struct Material<'a> {
    pub site: &'a Site<'a>,
    /// When copies were asked where they stand; 0 if they were not.
    pub positions_since_ms: u64,
    pub about: &'a ObjectReference,
    pub config: Option<&'a ServerConfig>,
    pub acl: Option<&'a AclSet>,
    pub members: Option<&'a Members>,
}

impl Material<'_> {
    /// The agent of a pod.
    ///
    /// # Errors
    /// When it is not listened to any more.
    pub fn agent(&self, uid: &str) -> Result<AgentClient, PassError> {
        let client = self.site.shared.agents.client(uid);
        client.ok_or_else(|| AgentError::Refused("its pod is gone".to_owned()).into())
    }

    /// With which replicas log in: as it is written down, or servers would be told of one that is nobody's.
    ///
    /// # Errors
    /// Its Secret is not there, or not the object's.
    pub fn replication_password(&self) -> Result<String, PassError> {
        let known = users::replication_password(self.site.live.common.system.as_ref());
        known.ok_or(PassError::NoPassword)
    }

    /// An agent that refuses the term is told about. Where it may know a higher one honestly, it says so
    /// in its status as well, and the next pass goes by that.
    pub fn refused(&self, uid: &str, error: AgentError) -> PassError {
        if let AgentError::OldTerm(term) = error {
            let mut members = self.site.members.iter();
            let member = members.find(|member| member.uid() == uid);
            let name = member.map_or(uid, Member::name);
            let terms = &self.site.shared.leaders.terms;
            terms.note_refusal(&self.site.instance(), name, term);
        }
        PassError::Agent(error)
    }

    /// In the name of this leader.
    pub fn request<T>(&self, body: T) -> Request<T> {
        let terms = &self.site.shared.leaders.terms;
        Request {
            term: terms.speak(&self.site.instance(), self.site.term),
            body,
        }
    }
}

/// Carries out the steps in order. One that fails holds back no other, but for what a role change
/// must precede, and for the disruptive one: see [`Failures::hold_back`].
///
/// # Errors
/// The first that failed; every step can be carried out again.
pub async fn carry_out(plan: &Plan, material: &Material<'_>) -> Result<(), PassError> {
    let mut notes = Vec::new();
    let (last_seen, instance) = (&material.site.shared.last_seen, material.site.instance());
    last_seen.begin(&instance, plan);
    let mut told = None;
    let done = steps(plan, material, &mut notes, &mut told).await;
    let failed = done.as_ref().err().map(ToString::to_string);
    // What failed in healing is told until the next pass.
    last_seen.end(&instance, failed, material.site.handover_failed);
    // Later: nobody waits for an Event.
    for (severity, reason, note) in notes {
        let events = &material.site.shared.events;
        events
            .publish_deed(material.about, severity, reason, &note)
            .await;
    }
    drop(told);
    done
}

/// What is to be told of a step: severity, reason and words of an Event.
type Note = (Severity, &'static str, String);

async fn steps(
    plan: &Plan,
    material: &Material<'_>,
    notes: &mut Vec<Note>,
    told: &mut Option<turns::Change>,
) -> Result<(), PassError> {
    let shared = material.site.shared;
    let mut failures = Failures::default();
    let mut moved = false;
    let mut promises = VecDeque::new();
    for (at, planned) in plan.steps.iter().enumerate() {
        if failures.hold_back(&planned.step) {
            continue;
        }
        // Leadership may have been lost while the steps before were under way.
        if shared.leadership.term() != Some(material.site.term) {
            return Err(PassError::LeadershipLost);
        }
        info!(step = ?planned.step, reason = %planned.reason, "step");
        let name = planned.step.name();
        let started = Instant::now();
        if promises.is_empty() && matches!(planned.step, Step::Promise { .. }) {
            promises = all_promises(plan.steps.get(at..).unwrap_or_default(), material).await;
        }
        let done = match promises.pop_front() {
            Some(done) => done,
            None => one(&planned.step, &planned.reason, material).await,
        };
        notes.extend(done.as_ref().err().and_then(|error| killed(planned, error)));
        let done = done.map_err(|error| midway(&planned.step, error));
        count(&planned.step, done.is_ok(), material.site);
        if let Some(change) = change(planned, started, done.as_ref().err()) {
            shared.last_seen.moved(&material.site.instance(), change);
        }
        if let Some(refusal) = done.as_ref().err().and_then(PassError::refusal) {
            material.site.refusals.note(refusal);
        }
        if let Some(words) = done.as_ref().err().and_then(PassError::taken) {
            material.site.refusals.note_taken(words);
        }
        match done {
            Ok(note) => {
                // What is lost is told, whatever comes then: it is not planned again.
                if note.is_some() {
                    told.get_or_insert_with(turns::roles_change);
                }
                moved |= moves(&planned.step);
                if let Step::Promote { pod, .. } = &planned.step {
                    material.site.note_primary(Some(&pod.name), false);
                }
                shared.metrics.steps.with_label_values(&[name]).inc();
                notes.extend(note);
            }
            // Nobody is led to a server, or follows one, that was not promoted; nobody is told a list
            // that is not written down.
            Err(error) if planned.step.is_first_of_all() => return Err(error),
            Err(error) => {
                warn!(step = name, %error, "the step failed");
                failures.note(&planned.step, error);
            }
        }
    }
    failures.ended(moved)
}

/// Asks those who are to promise next to each other at once: where copies stand is known for a few seconds, and
/// one that does not answer takes a part of them.
async fn all_promises(
    steps: &[PlannedStep],
    material: &Material<'_>,
) -> VecDeque<Result<Option<Note>, PassError>> {
    let promises = steps.iter();
    let promises = promises.take_while(|planned| matches!(planned.step, Step::Promise { .. }));
    let asked = promises.map(|planned| one(&planned.step, &planned.reason, material));
    join_all(asked).await.into()
}

/// What failed so far in a plan.
#[derive(Default)]
struct Failures {
    first: Option<PassError>,
    /// Pods that refused something, by uid.
    pods: Vec<String>,
    /// The API server did.
    others: bool,
}

impl Failures {
    fn note(&mut self, step: &Step, error: PassError) {
        match &error {
            PassError::Agent(_) => self.pods.extend(pods(step).map(|pod| pod.uid.clone())),
            _ => self.others = true,
        }
        // After it nobody goes by what was seen before.
        if self.first.is_none() || matches!(error, PassError::Midway(_)) {
            self.first = Some(error);
        }
    }

    /// What is told of them. A pass goes on after what the API server refuses, but not by what it saw
    /// before roles changed.
    fn ended(self, moved: bool) -> Result<(), PassError> {
        match self.first {
            None => Ok(()),
            Some(error) if moved && error.is_about_a_child() => {
                Err(PassError::Midway(Box::new(error)))
            }
            Some(error) => Err(error),
        }
    }

    /// No pod is deleted after something did not reach another, and nothing disruptive is done with
    /// one that refused something. But a full volume somewhere else keeps no primary from a handover, and nothing
    /// else keeps a server up that is to go: two may serve.
    fn hold_back(&self, step: &Step) -> bool {
        let deletes = matches!(step, Step::DeletePod(_));
        let refused = || pods(step).any(|pod| self.pods.contains(&pod.uid));
        let fences = matches!(step, Step::Fence { busy: false, .. });
        let harmed = (self.others && !fences) || (deletes && self.first.is_some());
        step.is_disruptive() && (harmed || refused())
    }
}

/// Notes what is not tried again at once if it fails. With another primary, what failed before says
/// nothing.
fn count(step: &Step, done: bool, site: &Site<'_>) {
    let instance = site.instance();
    match site.attempts_at(step) {
        Some((attempts, about)) if !done => drop(attempts.failed(&instance, &about)),
        _ if done && matches!(step, Step::HandOver { .. } | Step::Promote { .. }) => {
            site.shared.handovers.reset(&instance);
            site.shared.epochs.reset(&instance);
        }
        _ => {}
    }
}

/// What a step failed of, where it changes who leads: unless the primary is known to serve on, that is to
/// be seen anew.
fn midway(step: &Step, error: PassError) -> PassError {
    match error {
        PassError::Agent(_) if moves(step) => PassError::Midway(Box::new(error)),
        // Refused before anything moved it is a [`PassError::HandOver`].
        PassError::Apply(_) if matches!(step, Step::HandOver { .. }) => {
            PassError::Midway(Box::new(error))
        }
        error => error,
    }
}

/// True if a step changes who leads.
fn moves(step: &Step) -> bool {
    matches!(
        step,
        Step::Promote { .. } | Step::HandOver { .. } | Step::Fence { .. } | Step::Leave(_)
    )
}

/// The pods that a step has to do with.
fn pods(step: &Step) -> impl Iterator<Item = &Target> {
    let (one, other) = match step {
        Step::SetEndpoint { .. }
        | Step::SetReplicas { .. }
        | Step::WriteLists { .. }
        | Step::WriteCandidates { .. }
        | Step::WriteRecord { .. } => (None, None),
        Step::PushConfig(pod)
        | Step::PushAcl(pod)
        | Step::PushMembers(pod)
        | Step::Start(pod)
        | Step::Leave(pod)
        | Step::DeletePod(pod)
        | Step::DeleteDeadPod(pod)
        | Step::MarkLeft { pod, .. }
        | Step::Promote { pod, .. }
        | Step::Follow { pod, .. }
        | Step::Fence { pod, .. }
        | Step::Promise { pod, .. } => (Some(pod), None),
        Step::HandOver { from, to, .. } => (Some(from), Some(to)),
    };
    one.into_iter().chain(other)
}

/// What people are told later of a step that moved the primary.
fn change(planned: &PlannedStep, started: Instant, error: Option<&PassError>) -> Option<Change> {
    let (kind, from, to) = match &planned.step {
        Step::HandOver { from, to, .. } => (ChangeKind::Handover, Some(from.name.clone()), to),
        Step::Promote { pod, .. } => (ChangeKind::Promotion, None, pod),
        _ => return None,
    };
    Some(Change {
        kind,
        from,
        to: to.name.clone(),
        at_unix_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0),
        took_ms: handover::elapsed_ms(started),
        reason: planned.reason.clone(),
        error: error.map(ToString::to_string),
    })
}

/// What is lost with a former primary's tail, for people.
fn given_up(pod: &Target, lost: &GivenUp, reason: &str) -> String {
    let GivenUp { epoch, at_least } = lost;
    let much = match at_least {
        None => "how much is not known, as nobody saw its last writes".to_owned(),
        Some(0) => "none of it was seen in the second before it ended".to_owned(),
        Some(bytes) => format!("at least {bytes} bytes of writes"),
    };
    format!(
        "pod {} led in epoch {epoch} and did not hand over; {reason}, and what that one had not received is given up: {much}",
        pod.name
    )
}

/// That a server is brought down, and why, for people.
fn down(pod: &Target, reason: &str) -> Note {
    let note = format!("the server of pod {} is down: {reason}", pod.name);
    (Severity::Warning, events::FENCED, note)
}

/// What is to be told of a server that was killed and is not gone yet: once it is, nobody plans its end again.
fn killed(planned: &PlannedStep, error: &PassError) -> Option<Note> {
    match (&planned.step, error) {
        (Step::Fence { pod, .. }, PassError::Agent(error)) if error.has_killed() => {
            Some(down(pod, &planned.reason))
        }
        _ => None,
    }
}

async fn one(
    step: &Step,
    reason: &str,
    material: &Material<'_>,
) -> Result<Option<Note>, PassError> {
    let note = match step {
        Step::Promote { pod, .. } => {
            let note = format!("pod {} is the primary now: {reason}", pod.name);
            Some((Severity::Normal, events::PROMOTED, note))
        }
        Step::Follow {
            pod,
            gives_up: Some(lost),
            ..
        } => Some((
            Severity::Warning,
            events::WRITES_GIVEN_UP,
            given_up(pod, lost, reason),
        )),
        Step::Fence { pod, .. } => Some(down(pod, reason)),
        Step::HandOver { from, to, .. } => {
            let note = format!("{} hands over to {}: {reason}", from.name, to.name);
            Some((Severity::Normal, events::SWITCHED_OVER, note))
        }
        Step::DeletePod(pod) | Step::DeleteDeadPod(pod) => {
            let note = format!("pod {} is replaced: {reason}", pod.name);
            Some((Severity::Normal, events::POD_REPLACED, note))
        }
        _ => None,
    };
    match step {
        Step::SetEndpoint { ip } => set_endpoint(material, ip.as_deref()).await,
        Step::SetReplicas { ips } => set_replicas(material, ips).await,
        Step::PushConfig(pod) => push_config(material, pod).await,
        Step::PushAcl(pod) => push_acl(material, pod).await,
        Step::WriteLists { lists } => intents::write_lists(material.site, lists).await,
        Step::WriteCandidates { candidates } => {
            match intents::write_candidates(material.site, candidates).await {
                // With the StatefulSet goes what is written on it.
                Err(PassError::Kube(kube::Error::Api(status))) if status.code == 404 => Ok(()),
                Err(_) if material.site.live.set.stateful_set.is_none() => Ok(()),
                written => written,
            }
        }
        // A claim that is gone has nothing to tell.
        Step::WriteRecord { claim, record } => {
            match intents::write_record(material.site, claim, record).await {
                Err(PassError::Kube(kube::Error::Api(status))) if status.code == 404 => Ok(()),
                written => written,
            }
        }
        Step::MarkLeft { pod, left } => order(material, pod, Order::MarkLeft { left: *left }).await,
        Step::PushMembers(pod) => push_members(material, pod).await,
        Step::Promote {
            pod,
            epoch,
            candidates,
        } => Box::pin(promote(material, pod, *epoch, candidates)).await,
        Step::Follow {
            pod,
            epoch,
            primary_uid,
            ip,
            lineage,
            gives_up: _,
        } => {
            let follow = Order::Follow {
                epoch: *epoch,
                primary_uid: primary_uid.clone(),
                host: ip.clone(),
                port: REDIS_PORT,
                lineage: lineage.clone(),
                password: material.replication_password()?,
            };
            order(material, pod, follow).await
        }
        Step::Fence {
            pod,
            epoch,
            busy: true,
        } => Box::pin(end_busy(material, pod, *epoch)).await,
        Step::Fence { pod, epoch, .. } => {
            order(material, pod, Order::Fence { epoch: *epoch }).await
        }
        Step::Start(pod) => order(material, pod, Order::Start).await,
        Step::Promise { pod, epoch } => {
            order(material, pod, Order::Promise { epoch: *epoch }).await
        }
        Step::HandOver {
            from,
            to,
            ip,
            epoch,
            candidates,
        } => {
            let next = handover::Next {
                pod: to,
                ip,
                epoch: *epoch,
                candidates,
            };
            Box::pin(handover::carry_out(material, from, &next)).await
        }
        Step::Leave(pod) => order(material, pod, Order::Leave).await,
        Step::DeletePod(pod) => delete_pod(material, pod, None).await,
        Step::DeleteDeadPod(pod) => delete_pod(material, pod, Some(0)).await,
    }?;
    Ok(note)
}

fn endpoint(material: &Material<'_>, ip: &str) -> Option<PodEndpoint> {
    let member = material
        .site
        .members
        .iter()
        .find(|member| member.ip() == Some(ip))?;
    let pod = member.pod.as_ref()?;
    Some(PodEndpoint {
        ip: ip.parse().ok()?,
        pod: pod.name.clone(),
        pod_uid: pod.uid.clone(),
        node: pod.node.clone(),
    })
}

/// The family of addresses that a slice has: it cannot change.
fn family(material: &Material<'_>, known: Option<String>) -> Option<AddressFamily> {
    let of_pods = material.site.members.iter().find_map(|member| member.ip());
    let ip = known.or_else(|| of_pods.map(str::to_owned))?;
    ip.parse::<IpAddr>().ok().map(AddressFamily::of)
}

async fn move_service(site: &Site<'_>, slice: &EndpointSlice) -> Result<(), PassError> {
    let applied = site
        .shared
        .applier
        .apply(site.owner.namespace, site.owner.uid, slice)
        .await;
    // Also where no answer came: it may have moved. Not before: nodes cannot know of it sooner.
    site.shared.leaders.note_move();
    applied?;
    Ok(())
}

/// Leads clients to an address, or nowhere.
///
/// # Errors
/// When the API server does not take it.
pub async fn set_endpoint(material: &Material<'_>, ip: Option<&str>) -> Result<(), PassError> {
    let site = material.site;
    let known = super::observe::endpoint(site.live);
    let Some(family) = family(material, ip.map(str::to_owned).or(known)) else {
        return Ok(());
    };
    let primary = ip.and_then(|ip| endpoint(material, ip));
    let slice = build_endpoint_slice(&site.owner, family, primary.as_ref());
    move_service(site, &slice).await
}

async fn set_replicas(material: &Material<'_>, ips: &[String]) -> Result<(), PassError> {
    let site = material.site;
    let known = super::observe::replica_endpoints(site.live).into_iter();
    let Some(family) = family(material, ips.first().cloned().or_else(|| known.last())) else {
        return Ok(());
    };
    let replicas: Vec<_> = ips.iter().filter_map(|ip| endpoint(material, ip)).collect();
    let slice = build_replicas_slice(&site.owner, family, &replicas);
    move_service(site, &slice).await
}

async fn push_config(material: &Material<'_>, pod: &Target) -> Result<(), PassError> {
    let Some(config) = material.config else {
        return Ok(());
    };
    let request = material.request(config.clone());
    let pushed = material.agent(&pod.uid)?.push_config(&request).await;
    pushed
        .map(drop)
        .map_err(|error| material.refused(&pod.uid, error))
}

async fn push_acl(material: &Material<'_>, pod: &Target) -> Result<(), PassError> {
    let Some(acl) = material.acl else {
        return Ok(());
    };
    let request = material.request(acl.clone());
    let pushed = material.agent(&pod.uid)?.push_acl(&request).await;
    pushed
        .map(drop)
        .map_err(|error| material.refused(&pod.uid, error))
}

async fn push_members(material: &Material<'_>, pod: &Target) -> Result<(), PassError> {
    let Some(members) = material.members else {
        return Ok(());
    };
    let request = material.request(members.clone());
    let pushed = material.agent(&pod.uid)?.push_members(&request).await;
    pushed
        .map(drop)
        .map_err(|error| material.refused(&pod.uid, error))
}

/// Gives an agent an order.
///
/// # Errors
/// It refuses, or does not answer.
pub async fn order(material: &Material<'_>, pod: &Target, order: Order) -> Result<(), PassError> {
    let request = material.request(order);
    let given = material.agent(&pod.uid)?.order(&request).await;
    given
        .map(drop)
        .map_err(|error| material.refused(&pod.uid, error))
}

/// Ends the server of a primary that a script keeps busy.
async fn end_busy(material: &Material<'_>, pod: &Target, epoch: u64) -> Result<(), PassError> {
    let site = material.site;
    let members = &site.members;
    let Some(primary) = members.iter().find(|member| member.uid() == pod.uid) else {
        return Ok(());
    };
    let fenced = site.requests().fenced;
    match fence_busy::order(site.shared, members, &fenced, primary, epoch).await? {
        Some(given) => order(material, pod, given).await,
        None => Ok(()),
    }
}

async fn promote(
    material: &Material<'_>,
    pod: &Target,
    epoch: u64,
    candidates: &[Candidate],
) -> Result<(), PassError> {
    let _change = turns::roles_change();
    intents::write_candidates(material.site, candidates).await?;
    let token = material.agent(&pod.uid)?.position().await?.token;
    let since = material.positions_since_ms;
    if since > 0 && boot_millis().saturating_sub(since) > POSITIONS_GOOD_FOR_MS {
        return Err(PassError::Overtaken);
    }
    order(material, pod, Order::Promote { epoch, token }).await
}

async fn delete_pod(
    material: &Material<'_>,
    pod: &Target,
    grace_period_seconds: Option<u32>,
) -> Result<(), PassError> {
    let (client, namespace) = (&material.site.shared.client, material.site.owner.namespace);
    deleted::delete_pod(client, namespace, pod, grace_period_seconds).await
}

#[cfg(test)]
mod tests {
    use hera_core::agent::NOT_GONE_YET;
    use hera_kube::{ApplyError, Refusal};

    use super::*;

    fn pod(name: &str) -> Target {
        Target {
            name: name.to_owned(),
            uid: format!("uid of {name}"),
        }
    }

    fn handover(from: &str, to: &str) -> Step {
        Step::HandOver {
            from: pod(from),
            to: pod(to),
            ip: String::new(),
            epoch: 2,
            candidates: Vec::new(),
        }
    }

    fn refusal() -> PassError {
        AgentError::Refused("the volume is full".to_owned()).into()
    }

    #[test]
    fn what_one_pod_refuses_keeps_no_other_from_a_handover() {
        let mut failures = Failures::default();
        failures.note(&Step::PushAcl(pod("c")), refusal());
        assert!(!failures.hold_back(&handover("a", "b")));
        assert!(failures.hold_back(&handover("a", "c")));
        assert!(failures.hold_back(&Step::Leave(pod("c"))));
        assert!(failures.hold_back(&Step::DeletePod(pod("b"))));
        assert!(!failures.hold_back(&Step::PushAcl(pod("c"))));
    }

    #[test]
    fn a_server_that_was_killed_is_told_as_down_though_the_kernel_holds_it_and_no_other_is() {
        let fence = PlannedStep {
            step: Step::Fence {
                pod: pod("a"),
                epoch: 2,
                busy: true,
            },
            reason: "a script runs for too long".to_owned(),
        };
        let not_gone_yet = || PassError::Agent(AgentError::Refused(NOT_GONE_YET.to_owned()));
        let (_, reason, note) = killed(&fence, &not_gone_yet()).unwrap();
        assert_eq!(reason, events::FENCED);
        assert!(
            note.contains("pod a") && note.contains(&fence.reason),
            "{note}"
        );
        assert!(killed(&fence, &refusal()).is_none());
        let other = PlannedStep {
            step: Step::Leave(pod("a")),
            reason: String::new(),
        };
        assert!(killed(&other, &not_gone_yet()).is_none());
    }

    #[test]
    fn nothing_disruptive_is_done_while_the_api_server_refuses() {
        let mut failures = Failures::default();
        failures.note(&Step::SetReplicas { ips: Vec::new() }, PassError::Hung);
        assert!(failures.hold_back(&handover("a", "b")));
    }

    #[test]
    fn after_roles_changed_no_refusal_of_the_api_server_lets_a_pass_go_on() {
        let refused = || {
            let mut failures = Failures::default();
            let refusal = ApplyError::Refused(Refusal {
                kind: "EndpointSlice".to_owned(),
                name: "cache".to_owned(),
                words: "denied".to_owned(),
                missing: false,
            });
            failures.note(&Step::SetReplicas { ips: Vec::new() }, refusal.into());
            failures
        };
        assert!(matches!(
            refused().ended(true),
            Err(PassError::Midway(error)) if error.refusal().is_some()
        ));
        assert!(matches!(refused().ended(false), Err(PassError::Apply(_))));
    }

    #[test]
    fn after_a_step_that_may_have_changed_who_leads_everything_is_seen_anew() {
        let mut failures = Failures::default();
        failures.note(&Step::PushAcl(pod("c")), refusal());
        let step = handover("a", "b");
        failures.note(&step, midway(&step, refusal()));
        assert!(matches!(failures.first, Some(PassError::Midway(_))));
        let serves_on = PassError::HandOver(String::new());
        assert!(matches!(midway(&step, serves_on), PassError::HandOver(_)));
    }
}
