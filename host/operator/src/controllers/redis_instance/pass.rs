//! One pass over one instance.

use hera_api::conditions::ready;
use hera_api::meta::ANNOTATION_RESTART;
use hera_api::names::ObjectName;
use hera_api::validate::validate;
use hera_api::{Engine, Kind, RedisInstance, RedisInstanceStatus, ServerVersion, Surge};
use hera_core::instance::{Observation, set_size};
use hera_core::shard::{Member, Shard, shown_role};
use hera_render::{Context, Owner, raw_requests};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use tracing::debug;

use super::converge::{Pass, leaderless, wanted_of};
use super::heal::HealError;
use super::intents::Notes;
use super::site::{self, Site};
use super::{act, backups, deletion, observe, recovery, status};
use crate::agents::FIRST_ROUND;
use crate::authority::Authority;
use crate::controllers::outcome::{Outcome, PassError};
use crate::controllers::pods::events::Told;
use crate::controllers::pods::members::{Pods, uids};
use crate::controllers::pods::observe::template_image;
use crate::controllers::pods::refusals::Refusals;
use crate::controllers::pods::rollback::Rolled;
use crate::controllers::pods::{certificate, children, events, image, labels, nodes};
use crate::object::ObjectKey;
use crate::shared::Shared;

/// Runs one pass.
///
/// # Errors
/// See [`PassError`]; the next pass starts from what is there then.
pub async fn run(object: &RedisInstance, shared: &Shared) -> Result<Outcome, PassError> {
    let namespace = object.namespace().unwrap_or_default();
    if object.metadata.deletion_timestamp.is_some() {
        let instance = ObjectKey::instance(&namespace, &object.name_any());
        deletion::let_go(shared, &instance).await;
        return Ok(Outcome::Standby);
    }
    let term = shared.leadership.term();
    let authority = shared
        .authority
        .get(&shared.client, &shared.namespace, term.is_some())
        .await?;
    let Ok(name) = ObjectName::new(Kind::RedisInstance, &object.name_any()) else {
        return refuse_name(object, shared).await;
    };
    let wanted = u32::try_from(object.spec.replicas).unwrap_or(1).max(1);
    let volumes = match object.spec.common.persistence.enabled {
        true => wanted,
        false => 0,
    };
    let uid = object.uid().unwrap_or_default();
    let owner = Owner {
        name: &name,
        namespace: &namespace,
        uid: &uid,
    };
    let live = Box::pin(observe::read(&shared.client, &owner, volumes)).await?;
    let pods = Pods {
        shared,
        owner,
        shard: None,
        live: &live.set,
    };
    let uids = uids([&live.set]);
    let known: Vec<&str> = uids.iter().map(String::as_str).collect();
    shared
        .agents
        .keep_only(&ObjectKey::of_owner(&owner), &known);
    pods.listen(&authority)?;
    let Some(term) = term else {
        return Ok(Outcome::Standby);
    };
    certificate::note(shared, &ObjectKey::of_owner(&owner), &live.common);
    let recovery_due = recovery::is_due(object, shared, &live);
    let wanted = if recovery_due { 1 } else { wanted };
    let mut members = site::members(&pods, wanted, recovery_due);
    nodes::look(&shared.client, &mut members).await;
    let mut site = Site {
        object,
        shared,
        owner,
        live: &live,
        members,
        term,
        recovery_due,
        handover_failed: false,
        notes: Notes::default(),
        refusals: Refusals::default(),
    };
    if site.is_too_early() {
        // Nothing is known yet, and nothing is what a restarted operator says then.
        return Ok(Outcome::After(FIRST_ROUND));
    }
    site.settle_terms().await;
    let instance = site.instance();
    let held = [&shared.handovers, &shared.epochs].map(|attempts| attempts.left(&instance));
    let has_pods = site.members.iter().any(|member| member.pod.is_some());
    let nobody_leads = has_pods && site.primary().is_none() && site.members.len() > 1;
    let done = Box::pin(look_after(&mut site, &authority)).await;
    let fetch = shared.recoveries.left(&instance);
    let again = held.into_iter().flatten().chain(fetch);
    match done {
        Ok(outcome) => Ok(match again.min() {
            Some(left) => outcome.within(left),
            None => outcome,
        }),
        Err(error) if nobody_leads => Err(PassError::NobodyLeads(Box::new(error))),
        Err(error) => Err(error),
    }
}

async fn look_after(site: &mut Site<'_>, authority: &Authority) -> Result<Outcome, PassError> {
    // Before anything that may fail or take its time.
    let mut failed = None;
    let seen = match site.heal(None).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return Ok(Outcome::Again),
        Err(HealError::GoesOn(error)) => {
            site.handover_failed |= matches!(error, PassError::HandOver(_));
            failed = Some(error);
            site.seen(0, 0).await
        }
        Err(HealError::Ends(error)) => return Err(error),
    };
    let done = Box::pin(carry_on(site, authority, seen)).await;
    if let Err(error) = &done
        && failed.is_none()
        && !matches!(error, PassError::Midway(_) | PassError::Refused(_))
    {
        site.handover_failed |= matches!(error, PassError::HandOver(_));
        let known = children::known_acl(&site.live.common, site.owner.uid);
        if let Err(error) = site.heal(known.as_ref()).await.map_err(PassError::from) {
            debug!(%error, "known users are not confirmed either");
        }
    }
    // Last: a pod that is written to keeps its node busy for a moment, and a handover may have begun.
    let role_of = |uid: &str| shown_role(&site.members, uid);
    let (client, namespace) = (&site.shared.client, site.owner.namespace);
    labels::show_roles(client, namespace, &site.live.set.pods, role_of).await;
    match failed {
        Some(error) => done.and(Err(error)),
        None => done,
    }
}

async fn carry_on(
    site: &Site<'_>,
    authority: &Authority,
    seen: Observation,
) -> Result<Outcome, PassError> {
    let Site {
        object,
        shared,
        owner,
        live,
        ..
    } = *site;
    let mut validated = match validate(&object.name_any(), &object.spec) {
        Ok(validated) => validated,
        Err(invalid) => {
            let words = invalid.to_string();
            return refuse(site, authority, ready::SPEC_INVALID, words).await;
        }
    };
    if site.recovery_due {
        // The others come, as in any scale-up, once the first has the data and leads.
        validated.replicas = 1;
        validated.surge = Surge::Never;
    }
    let resolved = image::resolve(
        &shared.client,
        &shared.namespace,
        wrote(object),
        &validated,
        &live.set,
    )
    .await?;
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err((reason, words)) => return refuse(site, authority, reason, words).await,
    };
    let mut ctx = Context {
        namespace: owner.namespace.to_owned(),
        uid: owner.uid.to_owned(),
        generation: object.metadata.generation.unwrap_or_default(),
        image: resolved.image.clone(),
        agent_image: shared.agent_image.clone(),
        rollback: None,
        live: children::live_stateful_set(&live.set),
        shard: None,
        recovery_due: site.recovery_due,
        restart: object.annotations().get(ANNOTATION_RESTART).cloned(),
        replicas: validated.replicas,
    };
    let waits = resolved.problem.is_some();
    let mut wanted = wanted_of(site, &validated, &ctx, waits);
    let way = rolled(site, seen.shard(&wanted))
        .direction(&validated, &resolved)
        .await?;
    if let Some((template, _)) = way.back() {
        ctx.image = template_image(template).unwrap_or(ctx.image);
        ctx.rollback = Some(template.clone());
        wanted = wanted_of(site, &validated, &ctx, waits);
    }
    ctx.replicas = set_size(&wanted, &seen);
    let annotations = rolled(site, seen.shard(&wanted)).annotations(&way, &resolved.source);
    let claims = live.set.claims.keys().copied();
    let pass = Pass {
        site,
        v: &validated,
        ctx: &ctx,
        going_claims: claims
            .filter(|ordinal| seen.shard(&wanted).claim_goes(*ordinal))
            .collect(),
        direction: way,
        annotations,
    };
    Box::pin(pass.go(authority, resolved.problem, seen)).await
}

fn rolled<'a>(site: &'a Site<'_>, shard: Shard<'a>) -> Rolled<'a> {
    Rolled {
        client: &site.shared.client,
        namespace: site.owner.namespace,
        live: &site.live.set,
        shard,
    }
}

/// A name from which no child can be named. The API server refuses it, where it enforces rules.
async fn refuse_name(object: &RedisInstance, shared: &Shared) -> Result<Outcome, PassError> {
    if shared.leadership.term().is_none() {
        return Ok(Outcome::Standby);
    }
    let words = "the name is not usable for Services and pods: create the object under another";
    let found = status::Found::of(object, ready::SPEC_INVALID, words.to_owned());
    write_status(object, shared, &status::build(&found, Timestamp::now())).await?;
    // No change makes it good.
    Ok(Outcome::Settled)
}

/// Nothing can be made or changed. What runs goes on as it is, and is looked after.
async fn refuse(
    site: &Site<'_>,
    authority: &Authority,
    reason: &'static str,
    words: String,
) -> Result<Outcome, PassError> {
    let known = children::known_acl(&site.live.common, site.owner.uid);
    let healed = site.heal(known.as_ref()).await;
    if site.live.set.stateful_set.is_some() {
        let (owner, live) = (&site.owner, &site.live.common);
        certificate::renew(site.shared, authority, owner, live, &site.refusals).await?;
    }
    let requests = raw_requests(&site.object.spec.common);
    let waiting = site.revocations(known.as_ref(), &requests).await;
    let words = match waiting.is_empty() {
        true => words,
        false => format!(
            "{words}; until then these users keep what they have: {}",
            waiting.join(", ")
        ),
    };
    let about = site.object.object_ref(&());
    let material = act::Material {
        site,
        positions_since_ms: 0,
        about: &about,
        config: None,
        acl: None,
        members: None,
    };
    let backups = Box::pin(backups::look(&material, &site.members)).await;
    let verdict = site.verdict().await;
    let found = status::Found {
        verdict: Some(&verdict),
        agent: site.running().and_then(|member| member.agent.status()),
        primary: site.primary().map(Member::name),
        pods: live_pods(site),
        app_user: known.is_some_and(|set| set.users.iter().any(|user| user.name == set.app)),
        backup_healthy: backups.said,
        backup: backups.overview,
        backup_policy: backups.policy.as_ref(),
        ..status::Found::of(site.object, reason, words)
    };
    let wanted = status::build(&found, Timestamp::now());
    write_status(site.object, site.shared, &wanted).await?;
    // Only another spec makes a bad one good, and that is news. Where somebody must lead, time counts too.
    let nobody_waits = live_pods(site) == 0 || site.primary().is_some();
    let at_rest = match reason {
        ready::SPEC_INVALID if nobody_waits => Outcome::Settled,
        _ => Outcome::Waiting,
    };
    let outcome = match healed? {
        Some(seen) => leaderless(&seen).map_or(at_rest, Outcome::After),
        None => Outcome::Again,
    };
    let outcome = match backups.again {
        Some(left) => outcome.within(left),
        None => outcome,
    };
    match (backups.failed, backups.due_unix_ms) {
        (Some(error), _) => Err(error),
        (None, Some(at)) => Ok(outcome.by(at)),
        (None, None) => Ok(outcome),
    }
}

pub(super) async fn write_status(
    object: &RedisInstance,
    shared: &Shared,
    wanted: &RedisInstanceStatus,
) -> Result<(), PassError> {
    if shared.status.write(object, wanted).await? {
        let last = object.status.as_ref().map(told).unwrap_or_default();
        let about = object.object_ref(&());
        events::publish_changes(shared, &about, last, told(wanted)).await;
    }
    Ok(())
}

fn told(status: &RedisInstanceStatus) -> Told<'_> {
    Told {
        conditions: &status.conditions,
        policies: &status.policies,
    }
}

/// What last wrote the data, as far as is known.
fn wrote(object: &RedisInstance) -> Option<(Engine, ServerVersion)> {
    let status = object.status.as_ref()?;
    Some((status.engine?, status.version.as_deref()?.parse().ok()?))
}

/// How many data pods there are.
pub(super) fn live_pods(site: &Site<'_>) -> usize {
    site.live.set.pods.len()
}
