//! The part of a pass that makes an instance what its spec wants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hera_api::conditions::{degraded, ready};
use hera_api::validate::Validated;
use hera_api::{Surge, UpdateMode};
use hera_core::acl::AclSet;
use hera_core::agent::{AgentStatus, ServerConfig};
use hera_core::instance::{Observation, Permit, Wanted, WantedStorage, told, verdict};
use hera_core::shard::{Member, PodsWanted, RevisionView};
use hera_render::{Context, pod_revision, server_config, user_requests};
use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;

use super::children::Children;
use super::heal::changes_roles;
use super::observe::{self, Live};
use super::pass::{live_pods, write_status};
use super::rollback::Direction;
use super::site::Site;
use super::{act, children, labels, status};
use crate::authority::Authority;
use crate::controllers::outcome::{Outcome, PassError};
use crate::users::{self, Decision, Passwords};

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
        let system = users::system_passwords(live.system.as_ref());
        let app = users::app_credentials(&v.auth.username, live.app.as_ref());
        let known = children::known_acl(live, &ctx.uid);
        let passwords = Passwords::read(&shared.client, &ctx.namespace, v, system, &app).await?;
        let first_revision = self.first_revision();
        let before = users::Before {
            set: known.as_ref(),
            at_agent: highest(&seen, |status| status.acl.revision),
            first_revision,
        };
        let decision = self.decide_users(&passwords, &before).await?;
        let mut acl = match (&decision, &known) {
            (Some(decision), _) => decision.set.clone(),
            (None, Some(known)) if v.paused => users::unchanged(known, before.at_agent),
            (None, _) => users::undecided(v, &ctx.uid, &passwords, &before),
        };
        let revocations = match v.paused {
            true => {
                let requests = user_requests(v);
                site.revocations(known.as_ref(), &requests).await
            }
            false => Vec::new(),
        };
        let at_agent = highest(&seen, |status| status.config.revision);
        let memory = v.memory.within(children::containers_limit(live));
        let served = Validated {
            memory,
            ..v.clone()
        };
        let wanted = server_config::build(&served, ctx);
        let lacks_memory = children::lacks_memory(live, &served, ctx, seen.primary().is_some());
        let mut config =
            children::next_config(live, wanted, lacks_memory, at_agent, first_revision);

        let mut growth_refused = None;
        if !v.paused {
            let children = self
                .apply_children(authority, &config, &acl, &passwords, &app)
                .await?;
            if let Some(words) = children.taken {
                refused = Some((ready::NAME_TAKEN, words));
            }
            growth_refused = children.growth_refused;
            // Agents are told what is written down: with another each pass would tell them anew.
            if !children.config {
                config = children::known_config(live, &ctx.uid).unwrap_or_default();
            }
            if !children.users {
                acl = known.clone().unwrap_or_default();
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
        let app_user = acl.users.iter().any(|user| user.name == v.auth.username);
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
                _ => self.attention(&passwords, decision.as_ref(), growth_refused, &revocations),
            },
            app_user,
            app_name: &v.auth.username,
            way: Some(&self.direction),
            no_pod: observe::why_no_pod(&shared.client, live).await,
            policy: decision.as_ref().map(|decision| &decision.made),
            memory: Some(memory),
            refusals: site.refusals.all(),
        };
        write_status(object, shared, &status::build(&found, Timestamp::now())).await?;
        if !found.refusals.is_empty() {
            return Err(PassError::Refused(found.refusals));
        }
        carried_out?;
        let undecided = decision.is_none() && site.primary().is_some() && !v.paused;
        // No watch tells that somebody else's object is gone.
        let taken = matches!(found.refused, Some((ready::NAME_TAKEN, _)));
        let again = decision.and_then(|decision| decision.made.again_unix_ms);
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
        Ok(match (result.at_rest, again) {
            (true, _) if undecided || taken => Outcome::Waiting,
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
        if decision.is_none() && site.primary().is_some() && !self.v.paused {
            let words = "neither the agent nor the server on port 6379 of the pod tells the operator which \
                         commands there are, so no change of users or their policy reaches it: check \
                         network policies";
            return Some((degraded::SERVER_UNREACHABLE, words.to_owned()));
        }
        if !passwords.missing.is_empty() {
            return Some((degraded::SECRET_MISSING, passwords.missing.join("; ")));
        }
        if let Some(refused) = decision.map(|d| &d.refused_rules).filter(|r| !r.is_empty()) {
            return Some((degraded::USER_REJECTED, refused.join("; ")));
        }
        if let Some(users) = decision.map(|d| &d.undecided).filter(|u| !u.is_empty()) {
            let words = format!(
                "no policy decided what these users get: {}; the condition PolicyHealthy says why",
                users.join(", ")
            );
            return Some((degraded::RIGHTS_UNDECIDED, words));
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
        config: &ServerConfig,
        acl: &AclSet,
        passwords: &Passwords,
        app: &hera_render::AppCredentials,
    ) -> Result<Children, PassError> {
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
            app: v.auth.password.is_none().then_some(app),
            system: &passwords.system,
            tls: &tls,
            going_claims: &self.going_claims,
        };
        let applied = children::apply(shared, &inputs, live, &site.refusals);
        Ok(Box::pin(applied).await?)
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

/// The highest revision that an agent holds.
fn highest(seen: &Observation, revision: impl Fn(&AgentStatus) -> u64) -> u64 {
    let statuses = seen
        .members
        .iter()
        .filter_map(|member| member.agent.status());
    statuses.map(revision).max().unwrap_or(0)
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
