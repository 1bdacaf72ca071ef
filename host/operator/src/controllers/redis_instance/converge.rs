//! The part of a pass that makes an instance what its spec wants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hera_api::conditions::{degraded, ready};
use hera_api::meta::{
    ANNOTATION_ASK_POLICIES, ANNOTATION_PROMOTE, ANNOTATION_ROTATE, ANNOTATION_ROTATE_REPLICATION,
};
use hera_api::validate::Validated;
use hera_api::{Surge, UpdateMode};
use hera_core::digest::sha256_hex;
use hera_core::instance::{Observation, Permit, Wanted, WantedStorage, told, verdict};
use hera_core::shard::{Member, PodsWanted, RevisionView};
use hera_policy::{Acl, Decision as _};
use hera_render::{Context, build_replicas_service, pod_revision, user_requests};
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use super::heal::changes_roles;
use super::observe::Live;
use super::pass::{live_pods, write_status};
use super::site::Site;
use super::{act, backups, status};
use crate::authority::Authority;
use crate::controllers::outcome::{Outcome, PassError};
use crate::controllers::pods::children::{self, Children};
use crate::controllers::pods::holdings::{Holder, Holdings};
use crate::controllers::pods::rollback::Direction;
use crate::controllers::pods::{certificate, done_request, observe, pod_monitor};
use crate::object::ObjectKey;
use crate::users;

/// A pass over an instance whose spec can be carried out.
pub struct Pass<'a> {
    pub site: &'a Site<'a>,
    pub v: &'a Validated,
    pub ctx: &'a Context,
    /// Ordinals whose claims go with their pods, if they are those of temporary pods.
    pub going_claims: BTreeSet<u32>,
    /// To what the pods are taken.
    pub direction: Direction,
    /// Annotations of the StatefulSet.
    pub annotations: BTreeMap<String, String>,
}

impl Pass<'_> {
    /// Carries it out.
    ///
    /// # Errors
    /// The first step that failed.
    pub async fn go(
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
        let key = site.instance();
        let mut held = self.holder(&key, &seen).holdings().await?;
        let revocations = match v.paused {
            true => {
                let requests = user_requests(v);
                site.revocations(held.known.as_ref(), &requests).await
            }
            false => Vec::new(),
        };

        let mut growth_refused = None;
        let mut monitor_unknown = false;
        if !v.paused {
            let children = self.apply_children(authority, &held).await?;
            held.as_written(&children, &live.common, &ctx.uid);
            if let Some(words) = children.taken {
                refused = Some((ready::NAME_TAKEN, words));
            }
            growth_refused = children.growth_refused;
            monitor_unknown = children.monitor_unknown;
        } else if live.set.stateful_set.is_some() {
            let (owner, refusals) = (&site.owner, &site.refusals);
            certificate::renew(shared, authority, owner, &live.common, refusals).await?;
        }

        let login = users::replication_password(live.common.system.as_ref());
        let seen = Observation {
            config: RevisionView {
                revision: held.config.revision,
            },
            acl: RevisionView {
                revision: held.acl.revision,
            },
            login: login.map(|password| sha256_hex(password.as_bytes())),
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
            config: Some(&held.config),
            acl: Some(&held.acl),
            members: Some(&peers),
        };
        let went_back = self.direction.back().is_some();
        let objects = &shared.metrics.objects;
        objects.note_roll(&key, plan.stalled.is_some(), went_back);
        let carried_out = act::carry_out(&plan, &material).await;
        let recovery = self.look_at_recovery(&seen, &material, &held.config);
        let recovery = Box::pin(recovery).await;
        let backups = Box::pin(backups::look(&material, &seen.members)).await;
        let taken = site.refusals.taken();
        let refused = refused.or(taken.map(|words| (ready::NAME_TAKEN, words)));
        let leads = |asked: &str| seen.primary().is_some_and(|p| p.name() == asked);
        done_request::clear(&shared.client, object, ANNOTATION_PROMOTE, leads).await;
        held.clear_begun(&shared.client, object).await;
        let result = verdict(&wanted, &seen, &plan);
        let handover_waits = shared.handovers.left(&site.instance()).is_some();
        let found = status::Found {
            object,
            validated: Some(v),
            verdict: Some(&result),
            agent: site.running().and_then(|member| member.agent.status()),
            primary: seen.primary().map(Member::name),
            pods: live_pods(site),
            hibernates: wanted.pods.hibernate,
            plan: Some(&plan),
            image: Some(&ctx.image),
            refused,
            attention: match &carried_out {
                Err(PassError::HandOver(_)) => Some(status::handover_failed()),
                _ if site.handover_failed || handover_waits => Some(status::handover_failed()),
                _ => self.attention(&held, growth_refused, &revocations),
            },
            notice: held.notice(pod_monitor::notice(monitor_unknown)),
            app_user: held.has_app_user(v),
            app_name: &v.auth.username,
            way: Some(&self.direction),
            no_pod: observe::why_no_pod(&shared.client, &live.set).await,
            policy: held.decision.as_ref().map(|decision| &decision.made),
            passwords: Some(&held.news),
            memory: Some(held.memory),
            refusals: site.refusals.all(),
            recovering: recovery.said,
            recovered: recovery.over,
            backup_healthy: backups.said,
            backup: backups.overview,
            backup_policy: backups.policy.as_ref(),
        };
        write_status(object, shared, &status::build(&found, Timestamp::now())).await?;
        if !found.refusals.is_empty() {
            return Err(PassError::Refused(found.refusals));
        }
        carried_out?;
        if let Some(error) = recovery.failed {
            return Err(error);
        }
        if found.recovered.is_some() {
            // The other pods come now.
            return Ok(Outcome::Again);
        }
        let undecided = held.decision.is_none() && site.primary().is_some() && !v.paused;
        // No watch tells that somebody else's object is gone.
        let taken = matches!(found.refused, Some((ready::NAME_TAKEN, _)));
        let look =
            monitor_unknown.then(|| observe::millis(Timestamp::now()) + pod_monitor::AGAIN_MS);
        let again = [held.due_ms(), look].into_iter().flatten().min();
        if let Some(wait) = leaderless(&seen) {
            return Ok(Outcome::After(wait));
        }
        if plan
            .steps
            .iter()
            .any(|planned| changes_roles(&planned.step, &seen))
        {
            return Ok(Outcome::Again);
        }
        if let Some(error) = backups.failed {
            return Err(error);
        }
        let under_way = held.news.under_way.is_some() && !wanted.pods.hibernate;
        let outcome = match (result.at_rest, again) {
            _ if held.rotation_moved() && !taken => Outcome::Again,
            (true, _) if undecided || taken || under_way => Outcome::Waiting,
            (true, None) => Outcome::Settled,
            (true, Some(at)) => Outcome::SettledUntil(at),
            (false, _) => Outcome::Waiting,
        };
        let outcome = match backups.again {
            Some(left) => outcome.within(left),
            None => outcome,
        };
        Ok(match backups.due_unix_ms {
            Some(at) => outcome.by(at),
            None => outcome,
        })
    }

    fn holder<'a>(&'a self, key: &'a ObjectKey, seen: &Observation) -> Holder<'a> {
        let Self { site, v, ctx, .. } = *self;
        let status = site.object.status.as_ref();
        let mut policies = status.iter().flat_map(|status| &status.policies);
        let annotations = site.object.annotations();
        Holder {
            shared: site.shared,
            v,
            ctx,
            key,
            common: &site.live.common,
            sets: vec![&site.live.set],
            members: site.members.iter().collect(),
            asked: site.running(),
            // Data is read once, with what there is by then.
            serves: seen.primary().is_some() || site.recovery_due,
            lived: status.is_some_and(|status| status.version.is_some()),
            policy: policies.find(|policy| policy.decision == Acl::NAME),
            request: annotations.get(ANNOTATION_ASK_POLICIES).map(String::as_str),
            rotate: annotations.get(ANNOTATION_ROTATE).map(String::as_str),
            rotate_replication: annotations
                .get(ANNOTATION_ROTATE_REPLICATION)
                .map(String::as_str),
        }
    }

    fn attention(
        &self,
        held: &Holdings,
        growth_refused: Option<String>,
        revocations: &[String],
    ) -> Option<(&'static str, String)> {
        let site = self.site;
        if !revocations.is_empty() {
            let words = format!(
                "spec.paused is set, so these users keep what they have: {}",
                revocations.join(", ")
            );
            return Some((degraded::REVOCATIONS_WAIT, words));
        }
        if let Some(attention) = held.attention(site.primary().is_some(), self.v.paused) {
            return Some(attention);
        }
        if let Some(words) = growth_refused {
            return Some((degraded::VOLUME_GROWTH_REFUSED, words));
        }
        if let Some(words) = site.term_refused() {
            return Some((degraded::TERM_REFUSED, words));
        }
        persistence_change(self.v, site.live)
            .map(|words| (degraded::PERSISTENCE_CHANGE_REFUSED, words))
    }

    async fn apply_children(
        &self,
        authority: &Authority,
        held: &Holdings,
    ) -> Result<Children, PassError> {
        let Self { site, v, ctx, .. } = *self;
        let Site { shared, live, .. } = *site;
        let tls = certificate::of_agents(authority, &site.owner, &live.common)?;
        let inputs = children::Inputs {
            v,
            ctx,
            annotations: &self.annotations,
            config: &held.config,
            acl: &held.acl,
            app: &held.app,
            system: &held.passwords.system,
            tls: &tls,
            going_claims: &self.going_claims,
        };
        let replicas = build_replicas_service(v, ctx);
        let replicas = async {
            let applier = &shared.applier;
            let applied = applier.apply(&ctx.namespace, &ctx.uid, &replicas);
            vec![applied.await]
        };
        let (common, refusals) = (&live.common, &site.refusals);
        let applied = children::apply_common(shared, &inputs, common, refusals, replicas);
        let mut children = Box::pin(applied).await?;
        let complete = children.complete;
        let applied = children::apply_set(shared, &inputs, &live.set, complete, refusals);
        children.also(Box::pin(applied).await?);
        Ok(children)
    }
}

/// What the spec wants. Changes of it wait if something must be mended first.
pub fn wanted_of(site: &Site<'_>, v: &Validated, ctx: &Context, waits: bool) -> Wanted {
    let volume = v.persistence.volume.as_ref();
    let asked = site.requests();
    Wanted {
        pods: PodsWanted {
            revision: pod_revision(v, ctx),
            count: Some(v.replicas),
            paused: v.paused || waits,
            supervised: v.update_mode == UpdateMode::Supervised,
            max_wait_ms: v.max_wait_ms,
            progress_deadline_ms: v.progress_deadline_ms,
            surge: v.surge == Surge::Auto,
            min_replicas_to_write: v.min_replicas_to_write,
            ..asked.pods
        },
        storage: volume.map(|volume| WantedStorage {
            bytes: volume.bytes,
        }),
        ..asked
    }
}

/// Longer than any wait for copies of the data that may still be heard; in milliseconds.
const LEADERLESS: u64 = 30_000;

/// How long nothing changes by itself, while several pods have no primary.
pub fn leaderless(seen: &Observation) -> Option<Duration> {
    let has_pods = seen.members.iter().any(|member| member.pod.is_some());
    if seen.primary().is_some() || seen.members.len() < 2 || !has_pods {
        return None;
    }
    match seen.remembered.permit {
        Some(Permit::Wait(millis)) => Some(Duration::from_millis(millis)),
        _ if seen.remembered.leaderless_ms < LEADERLESS => Some(Duration::ZERO),
        _ => None,
    }
}

/// What a live object cannot change, for API servers that do not enforce the schema's rules.
fn persistence_change(v: &Validated, live: &Live) -> Option<String> {
    let template = children::live_stateful_set(&live.set)?
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
