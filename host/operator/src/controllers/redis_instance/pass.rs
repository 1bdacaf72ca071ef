//! One pass over one instance.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use hera_api::conditions::{degraded, ready};
use hera_api::meta::ANNOTATION_RESTART;
use hera_api::names::InstanceName;
use hera_api::validate::{Validated, validate};
use hera_api::{RedisInstance, Surge, UpdateMode};
use hera_core::acl::AclSet;
use hera_core::agent::{AgentStatus, ServerConfig};
use hera_core::instance::{
    Member, Observation, Permit, RevisionView, Step, Wanted, WantedStorage, claim_goes, set_size,
    told, verdict,
};
use hera_kube::ApplyError;
use hera_render::{Context, Owner, pod_revision, server_config};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use tracing::debug;

use super::observe::{self, Live, template_image};
use super::site::{self, Site};
use super::way_back::{self, Way};
use super::written::Notes;
use super::{Outcome, PassError, act, children, events, farewell, image, labels, nodes, status};
use crate::agents::{AgentClient, Target};
use crate::authority::Authority;
use crate::shared::{InstanceRef, Shared};
use crate::users::{self, Decision, Passwords};

/// Longer than any wait for copies of the data that may still be heard; in milliseconds.
const LEADERLESS: u64 = 30_000;

/// Runs one pass.
///
/// # Errors
/// See [`PassError`]; the next pass starts from what is there then.
pub async fn run(object: &RedisInstance, shared: &Shared) -> Result<Outcome, PassError> {
    let namespace = object.namespace().unwrap_or_default();
    if object.metadata.deletion_timestamp.is_some() {
        let instance = InstanceRef::new(&object.name_any()).within(&namespace);
        farewell::let_go(shared, &instance).await;
        return Ok(Outcome::Standby);
    }
    let term = shared.leadership.term();
    let authority = shared
        .authority
        .get(&shared.client, &shared.namespace, term.is_some())
        .await?;
    let Ok(name) = InstanceName::new(&object.name_any()) else {
        return refuse_name(object, shared).await;
    };
    let live = observe::read(&shared.client, &namespace, &name).await?;
    let uid = object.uid().unwrap_or_default();
    let owner = Owner {
        name: &name,
        namespace: &namespace,
        uid: &uid,
    };
    listen(shared, &authority, &owner, &live)?;
    let Some(term) = term else {
        return Ok(Outcome::Standby);
    };
    let wanted = u32::try_from(object.spec.replicas).unwrap_or(1).max(1);
    let mut members = site::members(shared, &owner, wanted, &live);
    nodes::look(&shared.client, &mut members).await;
    let mut site = Site {
        object,
        shared,
        owner,
        live: &live,
        members,
        term,
        handover_failed: false,
        notes: Notes::default(),
    };
    if site.is_too_early() {
        // Nothing is known yet, and nothing is what a restarted operator says then.
        return Ok(Outcome::Waiting);
    }
    // Before anything that may fail or take its time.
    let mut failed = None;
    let seen = match site.heal(None).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return Ok(Outcome::Again),
        // The primary serves on, and everything else goes on with it.
        Err(error @ PassError::HandOver(_)) => {
            failed = Some(error);
            site.handover_failed = true;
            site.seen(0, 0).await
        }
        Err(error) => return Err(error),
    };
    let done = carry_on(&site, &authority, seen).await;
    if done.is_err() {
        let known = children::known_acl(&live, &uid);
        if let Err(error) = site.heal(known.as_ref()).await {
            debug!(%error, "known users are not confirmed either");
        }
    }
    // Last: a pod that is written to keeps its node busy for a moment, and a handover may have begun.
    labels::show_roles(shared, &site).await;
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
    let validated = match validate(&object.name_any(), &object.spec) {
        Ok(validated) => validated,
        Err(invalid) => return refuse(site, ready::SPEC_INVALID, invalid.to_string()).await,
    };
    let resolved =
        image::resolve(&shared.client, &shared.namespace, object, &validated, live).await?;
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err((reason, words)) => return refuse(site, reason, words).await,
    };
    let mut ctx = Context {
        namespace: owner.namespace.to_owned(),
        uid: owner.uid.to_owned(),
        generation: object.metadata.generation.unwrap_or_default(),
        image: resolved.image.clone(),
        agent_image: shared.agent_image.clone(),
        way_back: None,
        live: children::live_stateful_set(live),
        restart: object.annotations().get(ANNOTATION_RESTART).cloned(),
        replicas: validated.replicas,
    };
    let waits = resolved.problem.is_some();
    let mut wanted = wanted_of(site, &validated, &ctx, waits);
    let way = way_back::find(site, &validated, &resolved, &wanted, &seen).await?;
    if let Way::Back { template, .. } = &way {
        ctx.image = template_image(template).unwrap_or(ctx.image);
        ctx.way_back = Some((**template).clone());
        wanted = wanted_of(site, &validated, &ctx, waits);
    }
    ctx.replicas = set_size(&wanted, &seen);
    let annotations = way_back::annotations(site, &wanted, &seen, &way, &resolved.source);
    let claims = live.claims.keys().copied();
    let pass = Pass {
        site,
        v: &validated,
        ctx: &ctx,
        going_claims: claims
            .filter(|ordinal| claim_goes(&wanted, &seen, *ordinal))
            .collect(),
        way,
        annotations,
    };
    pass.go(authority, resolved.problem, seen).await
}

/// A name from which no child can be named. The API server refuses it, where it enforces rules.
async fn refuse_name(object: &RedisInstance, shared: &Shared) -> Result<Outcome, PassError> {
    if shared.leadership.term().is_none() {
        return Ok(Outcome::Standby);
    }
    let words = "the name is not usable for Services and pods: create the object under another";
    let found = status::Found::of(object, ready::SPEC_INVALID, words.to_owned());
    write_status(object, shared, &status::build(&found, Timestamp::now())).await?;
    Ok(Outcome::Waiting)
}

/// Nothing can be made or changed. What runs goes on as it is, and is looked after.
async fn refuse(
    site: &Site<'_>,
    reason: &'static str,
    words: String,
) -> Result<Outcome, PassError> {
    let known = children::known_acl(site.live, site.owner.uid);
    let healed = site.heal(known.as_ref()).await;
    let verdict = site.verdict().await;
    let found = status::Found {
        verdict: Some(&verdict),
        agent: site.running().and_then(|member| member.agent.status()),
        primary: site.primary().map(Member::name),
        pods: live_pods(site),
        app_user: known.is_some_and(|set| set.users.iter().any(|user| user.name == set.app)),
        ..status::Found::of(site.object, reason, words)
    };
    let wanted = status::build(&found, Timestamp::now());
    write_status(site.object, site.shared, &wanted).await?;
    healed.map(|_| Outcome::Waiting)
}

async fn write_status(
    object: &RedisInstance,
    shared: &Shared,
    wanted: &hera_api::RedisInstanceStatus,
) -> Result<(), PassError> {
    let namespace = object.namespace().unwrap_or_default();
    let last = object.status.as_ref();
    let sent = shared
        .status
        .write::<RedisInstance, _>(&namespace, &object.name_any(), last, wanted)
        .await?;
    if sent {
        events::publish_changes(shared, &object.object_ref(&()), last, wanted).await;
    }
    Ok(())
}

/// How many data pods there are.
fn live_pods(site: &Site<'_>) -> usize {
    site.live.pods.len()
}

/// Listens to the agents of the pods that can be listened to.
fn listen(
    shared: &Shared,
    authority: &Authority,
    owner: &Owner<'_>,
    live: &Live,
) -> Result<(), PassError> {
    let instance = InstanceRef::new(owner.name.as_str()).within(owner.namespace);
    let uids: Vec<String> = live
        .pods
        .values()
        .filter_map(kube::ResourceExt::uid)
        .collect();
    let known: Vec<&str> = uids.iter().map(String::as_str).collect();
    shared.agents.keep_only(&instance, &known);
    for (ordinal, pod) in &live.pods {
        let pod = observe::pod_view(pod);
        let Some(ip) = pod.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) else {
            continue;
        };
        let target = Target {
            instance: instance.clone(),
            pod_uid: pod.uid,
            ip,
            server_name: site::server_name(owner, *ordinal),
        };
        if !shared.agents.knows(&target) {
            let client = AgentClient::new(ip, &target.server_name, &authority.sign_operator()?)?;
            shared.agents.listen(target, client);
        }
    }
    Ok(())
}

/// A pass over an instance whose spec can be carried out.
pub struct Pass<'a> {
    pub site: &'a Site<'a>,
    pub v: &'a Validated,
    pub ctx: &'a Context,
    /// Ordinals whose claims go with their pods, if they are those of temporary pods.
    pub going_claims: BTreeSet<u32>,
    /// To what the pods are taken.
    pub way: Way,
    /// Annotations of the StatefulSet.
    pub annotations: BTreeMap<String, String>,
}

impl Pass<'_> {
    async fn go(
        &self,
        authority: &Authority,
        mut refused: Option<(&'static str, String)>,
        seen: Observation,
    ) -> Result<Outcome, PassError> {
        let Self { site, v, ctx, .. } = *self;
        let Site {
            object,
            shared,
            live,
            ..
        } = *site;
        let system = users::system_passwords(live.system.as_ref());
        let app = users::app_credentials(live.app.as_ref());
        let known = children::known_acl(live, &ctx.uid);
        let passwords = Passwords::read(
            &shared.client,
            &ctx.namespace,
            v,
            system,
            &app,
            known.as_ref(),
        )
        .await?;
        let first_revision = self.first_revision();
        let before = users::Before {
            set: known.as_ref(),
            at_agent: highest(&seen, |status| status.acl.revision),
            first_revision,
        };
        let decision = self.decide_users(&passwords, &before).await?;
        let acl = match &decision {
            Some(decision) => decision.set.clone(),
            None => users::undecided(v, &ctx.uid, &passwords, &before),
        };
        let at_agent = highest(&seen, |status| status.config.revision);
        let wanted = server_config::build(v, ctx);
        let lacks_memory = children::lacks_memory(live, v, ctx, seen.primary().is_some());
        let config = children::next_config(live, wanted, lacks_memory, at_agent, first_revision);

        let mut growth_refused = None;
        if !v.paused {
            let applied = self
                .apply_children(authority, &config, &acl, &passwords, &app)
                .await;
            match applied {
                Ok(claim_refused) => growth_refused = claim_refused,
                Err(PassError::Apply(ApplyError::Taken(words))) => {
                    refused = Some((ready::NAME_TAKEN, words));
                }
                Err(PassError::Apply(ApplyError::Refused(words))) => {
                    refused = Some((degraded::APPLY_FAILED, words));
                }
                Err(error) => return Err(error),
            }
        }

        let seen = Observation {
            config: RevisionView {
                revision: config.revision,
            },
            acl: RevisionView {
                revision: acl.revision,
            },
            ..seen
        };
        let wanted = wanted_of(site, v, ctx, refused.is_some());
        let plan = site.plan(&wanted, &seen);
        site.tell(&seen, &wanted, &plan);
        let about = object.object_ref(&());
        let lists = plan.lists().unwrap_or(&seen.lists);
        let peers = told(&wanted, lists, &seen);
        let material = act::Material {
            site,
            positions_since_ms: seen.positions_since_ms,
            about: &about,
            config: Some(&config),
            acl: Some(&acl),
            members: Some(&peers),
        };
        let carried_out = act::carry_out(&plan, &material).await;
        labels::clear_request(shared, site, &seen).await;
        let result = verdict(&wanted, &seen, &plan);
        let app_user = acl.users.iter().any(|user| user.name == passwords.app_name);
        let found = status::Found {
            object,
            validated: Some(v),
            verdict: Some(&result),
            agent: site.running().and_then(|member| member.agent.status()),
            primary: seen.primary().map(Member::name),
            pods: live_pods(site),
            hibernates: wanted.hibernate,
            plan: Some(&plan),
            image: Some(&ctx.image),
            refused,
            attention: match &carried_out {
                Err(PassError::HandOver(_)) => Some(status::handover_failed()),
                _ if site.handover_failed => Some(status::handover_failed()),
                _ => self.attention(&passwords, decision.as_ref(), growth_refused),
            },
            app_user,
            app_name: &passwords.app_name,
            way: Some(&self.way),
            no_pod: observe::why_no_pod(&shared.client, live).await,
            policy: decision.as_ref().map(|decision| &decision.made),
        };
        write_status(object, shared, &status::build(&found, Timestamp::now())).await?;
        carried_out?;
        let undecided = decision.is_none() && site.primary().is_some() && !v.paused;
        let again = decision.and_then(|decision| decision.made.again_unix_ms);
        if let Some(wait) = leaderless(&seen) {
            return Ok(Outcome::Leaderless(wait));
        }
        if plan
            .steps
            .iter()
            .any(|planned| changes_roles(&planned.step))
        {
            return Ok(Outcome::Again);
        }
        Ok(match (result.settled, again) {
            (true, _) if undecided => Outcome::Waiting,
            (true, None) => Outcome::Settled,
            (true, Some(at)) => Outcome::SettledUntil(at),
            (false, _) => Outcome::Waiting,
        })
    }

    fn attention(
        &self,
        passwords: &Passwords,
        decision: Option<&Decision>,
        growth_refused: Option<String>,
    ) -> Option<(&'static str, String)> {
        let site = self.site;
        if decision.is_none() && site.primary().is_some() && !self.v.paused {
            let words = "the operator cannot ask the server on port 6379 of the pod, so no change of users \
                         or their policy reaches it: check network policies";
            return Some((degraded::SERVER_UNREACHABLE, words.to_owned()));
        }
        if !passwords.missing.is_empty() {
            return Some((degraded::SECRET_MISSING, passwords.missing.join("; ")));
        }
        if let Some(refused) = decision.map(|d| &d.refused_rules).filter(|r| !r.is_empty()) {
            return Some((degraded::USER_REJECTED, refused.join("; ")));
        }
        if let Some(words) = growth_refused {
            return Some((degraded::VOLUME_GROWTH_REFUSED, words));
        }
        persistence_change(self.v, site.live)
            .map(|words| (degraded::PERSISTENCE_CHANGE_REFUSED, words))
    }

    async fn apply_children(
        &self,
        authority: &Authority,
        config: &ServerConfig,
        acl: &AclSet,
        passwords: &Passwords,
        app: &hera_render::AppCredentials,
    ) -> Result<Option<String>, PassError> {
        let Self { site, v, ctx, .. } = *self;
        let Site { shared, live, .. } = *site;
        let known = live.tls.as_ref().and_then(children::known_tls);
        let tls = match known.filter(|files| authority.is_fresh(files)) {
            Some(files) => files,
            None => authority.sign_agent(vec![format!(
                "*.{}.{}.svc",
                v.name.headless_service(),
                ctx.namespace
            )])?,
        };
        let inputs = children::Inputs {
            v,
            ctx,
            annotations: &self.annotations,
            config,
            acl,
            app: v.auth.secret.is_none().then_some(app),
            system: &passwords.system,
            tls: &tls,
            going_claims: &self.going_claims,
        };
        Ok(children::apply(shared, &inputs, live).await?)
    }
}

/// What the spec wants. Changes of it wait if something must be mended first.
fn wanted_of(site: &Site<'_>, v: &Validated, ctx: &Context, waits: bool) -> Wanted {
    let volume = v.persistence.volume.as_ref();
    Wanted {
        pod_revision: pod_revision(v, ctx),
        storage: volume.map(|volume| WantedStorage {
            bytes: volume.bytes,
        }),
        paused: v.paused || waits,
        replicas: v.replicas,
        supervised: v.update_mode == UpdateMode::Supervised,
        max_wait_ms: v.max_wait_ms,
        progress_deadline_ms: v.progress_deadline_ms,
        surge: v.surge == Surge::Auto,
        min_replicas_to_write: v.min_replicas_to_write,
        ..site.requests()
    }
}

/// The highest revision that an agent holds.
fn highest(seen: &Observation, revision: impl Fn(&AgentStatus) -> u64) -> u64 {
    let statuses = seen
        .members
        .iter()
        .filter_map(|member| member.agent.status());
    statuses.map(revision).max().unwrap_or(0)
}

/// How long nothing changes by itself, while several pods have no primary.
fn leaderless(seen: &Observation) -> Option<Duration> {
    if seen.primary().is_some() || seen.members.len() < 2 {
        return None;
    }
    match seen.remembered.permit {
        Some(Permit::Wait(millis)) => Some(Duration::from_millis(millis)),
        _ if seen.remembered.leaderless_ms < LEADERLESS => Some(Duration::ZERO),
        _ => None,
    }
}

fn changes_roles(step: &Step) -> bool {
    matches!(
        step,
        Step::Promote { .. } | Step::Follow { .. } | Step::HandOver { .. } | Step::Fence { .. }
    )
}

/// What a live object cannot change, for API servers that do not enforce the schema's rules.
fn persistence_change(v: &Validated, live: &Live) -> Option<String> {
    let template = children::live_stateful_set(live)?
        .claim_templates
        .into_iter()
        .next();
    match (&template, &v.persistence.volume) {
        (Some(_), None) | (None, Some(_)) => Some(
            "spec.persistence.enabled cannot change on a live object: set it back, or make a new \
             object and copy the data"
                .to_owned(),
        ),
        (Some(template), Some(volume)) => {
            let class = template
                .spec
                .as_ref()
                .and_then(|spec| spec.storage_class_name.clone());
            let changed = volume.storage_class.is_some() && class != volume.storage_class;
            changed.then(|| {
                "spec.persistence.storageClassName cannot change on a live object: set it back, or \
                 make a new object and copy the data"
                    .to_owned()
            })
        }
        (None, None) => None,
    }
}
