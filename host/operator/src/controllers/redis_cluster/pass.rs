//! One pass over one cluster.

use std::sync::Mutex;

use hera_api::conditions::ready;
use hera_api::names::ObjectName;
use hera_api::validate::validate_cluster;
use hera_api::{Engine, Kind, RedisCluster, ServerVersion};
use hera_core::agent::Role;
use hera_core::cluster::Wanted;
use hera_render::{Owner, is_temporary};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::converge::Pass;
use super::heal::{Healed, Next};
use super::site::{self, Live, Site};
use super::status::{self, Found};
use crate::agents::FIRST_ROUND;
use crate::authority::Authority;
use crate::controllers::outcome::{Outcome, PassError};
use crate::controllers::pods::members::{Pods, uids};
use crate::controllers::pods::refusals::Refusals;
use crate::controllers::pods::requests::Requests;
use crate::controllers::pods::{certificate, image, labels, nodes};
use crate::object::ObjectKey;
use crate::shared::Shared;

/// Runs one pass.
///
/// # Errors
/// See [`PassError`]; the next pass starts from what is there then.
pub async fn run(object: &RedisCluster, shared: &Shared) -> Result<Outcome, PassError> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Outcome::Standby);
    }
    let namespace = object.namespace().unwrap_or_default();
    let term = shared.leadership.term();
    let authority = shared
        .authority
        .get(&shared.client, &shared.namespace, term.is_some())
        .await?;
    let Ok(name) = ObjectName::new(Kind::RedisCluster, &object.name_any()) else {
        return refuse_name(object, shared).await;
    };
    let wanted = wanted(object);
    let pods = wanted.replicas + 1;
    let volumes = match object.spec.common.persistence.enabled {
        true => pods,
        false => 0,
    };
    let uid = object.uid().unwrap_or_default();
    let owner = Owner {
        name: &name,
        namespace: &namespace,
        uid: &uid,
    };
    let live = site::read(&shared.client, &owner, wanted.shards, volumes).await?;
    let there = Wanted {
        shards: u32::try_from(live.sets.len()).unwrap_or(wanted.shards),
        ..wanted
    };
    let uids = uids(&live.sets);
    let known: Vec<&str> = uids.iter().map(String::as_str).collect();
    let key = ObjectKey::of_owner(&owner);
    shared.agents.keep_only(&key, &known);
    for set in by_shard(shared, owner, &live) {
        set.listen(&authority)?;
    }
    let Some(term) = term else {
        return Ok(Outcome::Standby);
    };
    certificate::note(shared, &key, &live.common);
    let sets = by_shard(shared, owner, &live);
    let sets = sets.map(|set| {
        let claims = set.live.claims.iter();
        let temporary = claims.filter(|(_, claim)| is_temporary(claim));
        let temporary: Vec<u32> = temporary.map(|(ordinal, _)| *ordinal).collect();
        set.members(pods, &temporary, &known)
    });
    let mut shards: Vec<_> = sets.collect();
    let looks = shards.iter_mut();
    let looks = looks.map(|members| async {
        nodes::look(&shared.client, members).await;
        shared.zones.note(&shared.client, members).await;
    });
    futures::future::join_all(looks).await;
    if shared.agents.is_new_to(&key) {
        // Nothing is known yet, and nothing is what a restarted operator says then.
        return Ok(Outcome::After(FIRST_ROUND));
    }
    let site = Site {
        object,
        shared,
        owner,
        live: &live,
        silent: Mutex::default(),
        requests: Requests::of_cluster(object, shards.iter().flatten()),
        shards,
        wanted: there,
        keep: wanted.shards,
        term,
        refusals: Refusals::default(),
    };
    site.settle_terms().await;
    // Before anything that may fail or take its time.
    let mut healed = site.heal().await?;
    let failed = healed.failed.take();
    let failed_words = failed.as_ref().map(ToString::to_string);
    let waiting_for = healed.plan.waiting_for.as_deref();
    let words = failed_words.as_deref().or(waiting_for);
    shared.last_seen.clusters.note(&site, words);
    let done = Box::pin(carry_on(&site, &authority, healed)).await;
    show_roles(&site).await;
    match (done, failed) {
        // What goes on does not wait for what one server refuses.
        (Ok(Outcome::Again), _) => Ok(Outcome::Again),
        (Ok(_), Some(error)) => Err(error),
        (done, _) => done,
    }
}

fn by_shard<'a>(
    shared: &'a Shared,
    owner: Owner<'a>,
    live: &'a Live,
) -> impl Iterator<Item = Pods<'a>> {
    (0_u32..).zip(&live.sets).map(move |(shard, live)| Pods {
        shared,
        owner,
        shard: Some(shard),
        live,
    })
}

/// What the spec wants, as far as it can be read: what is out of bounds is refused later.
fn wanted(object: &RedisCluster) -> Wanted {
    let within = |number: i32, least: u32, most: u32| {
        u32::try_from(number).unwrap_or(least).clamp(least, most)
    };
    Wanted {
        shards: within(object.spec.masters, 3, 128),
        replicas: within(object.spec.replicas_per_master, 0, 5),
    }
}

async fn carry_on(
    site: &Site<'_>,
    authority: &Authority,
    healed: Healed,
) -> Result<Outcome, PassError> {
    let Site {
        object,
        shared,
        live,
        ..
    } = site;
    let validated = match validate_cluster(&object.name_any(), &object.spec) {
        Ok(validated) => validated,
        Err(invalid) => {
            let words = invalid.to_string();
            return refuse(site, authority, &healed, ready::SPEC_INVALID, words).await;
        }
    };
    let no_set = Default::default();
    let first = live.sets.first().unwrap_or(&no_set);
    let (client, namespace) = (&shared.client, &shared.namespace);
    let resolved = image::resolve(client, namespace, wrote(site), &validated, first).await?;
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err((reason, words)) => return refuse(site, authority, &healed, reason, words).await,
    };
    Pass::of(site, &validated, &resolved)
        .go(authority, healed)
        .await
}

/// The newest that wrote data, as far as is known: in the middle of a roll shards have different ones, and an
/// older server cannot read what a newer one wrote.
fn wrote(site: &Site<'_>) -> Option<(Engine, ServerVersion)> {
    let status = site.object.status.as_ref()?;
    let told = site
        .members()
        .filter_map(|(_, member)| member.agent.status());
    let told = told.filter_map(|agent| agent.version.as_deref());
    let versions = told.chain(status.version.as_deref());
    let versions = versions.filter_map(|text| text.parse().ok());
    Some((
        status.engine?,
        versions.max_by_key(|v: &ServerVersion| v.sort_key())?,
    ))
}

/// Nothing can be made or changed. What runs goes on as it is, and is looked after.
async fn refuse(
    site: &Site<'_>,
    authority: &Authority,
    healed: &Healed,
    reason: &'static str,
    words: String,
) -> Result<Outcome, PassError> {
    if site.live.sets.iter().any(|set| set.stateful_set.is_some()) {
        let (owner, live) = (&site.owner, &site.live.common);
        certificate::renew(site.shared, authority, owner, live, &site.refusals).await?;
    }
    let lacks = site.lacks(&healed.seen);
    let found = Found {
        seen: Some(&healed.seen),
        lacks: lacks.as_deref(),
        waiting_for: healed.plan.waiting_for.as_deref(),
        refused: Some((reason, words)),
        app_user: true,
        ..Found::of(site)
    };
    status::write(site, &status::build(&found, Timestamp::now())).await?;
    Ok(match healed.next {
        Next::Soon => Outcome::Again,
        Next::Later | Next::Nothing => Outcome::Waiting,
    })
}

/// A name from which no child can be named. The API server refuses it, where it enforces rules.
async fn refuse_name(object: &RedisCluster, shared: &Shared) -> Result<Outcome, PassError> {
    if shared.leadership.term().is_none() {
        return Ok(Outcome::Standby);
    }
    let words = "the name is not usable for Services and pods: create the object under another";
    let found = Found {
        refused: Some((ready::SPEC_INVALID, words.to_owned())),
        ..Found::unseen(object)
    };
    let wanted = status::build(&found, Timestamp::now());
    status::write_of(object, shared, &wanted).await?;
    // No change makes it good.
    Ok(Outcome::Settled)
}

async fn show_roles(site: &Site<'_>) {
    let role_of = |uid: &str| {
        let mut members = site.members();
        let (_, member) = members.find(|(_, member)| member.uid() == uid)?;
        let role = member.agent.status()?.role;
        matches!(role, Role::Primary | Role::Replica).then_some(role)
    };
    for set in &site.live.sets {
        let (client, namespace) = (&site.shared.client, site.owner.namespace);
        labels::show_roles(client, namespace, &set.pods, role_of).await;
    }
}
