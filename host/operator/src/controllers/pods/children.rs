//! Makes the child objects be as the spec wants them.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use hera_api::meta::{ANNOTATION_POD_MONITOR, ANNOTATION_REVISION};
use hera_api::validate::Validated;
use hera_core::acl::AclSet;
use hera_core::agent::ServerConfig;
use hera_kube::{Applied, ApplyError, Standing};
use hera_render::{
    ACL_KEY, AppCredentials, CONFIG_KEY, ClaimFate, ClaimSize, Context, LiveStatefulSet, Owner,
    REPLICATION_PASSWORD_KEY, REPLICATION_ROTATION_KEY, ROTATION_KEY, SystemPasswords, TlsFiles,
    build_acl_secret, build_claim, build_claim_patch, build_client_service, build_config_map,
    build_disruption_budget, build_headless_service, build_network_policy, build_stateful_set,
    build_system_secret, build_tls_secret, claim_size, goes_with, is_let_go, pod_revision,
    server_config,
};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use serde_json::json;

use super::observe::{CommonLive, SetLive, memory_limit, place};
use super::pod_monitor;
use super::refusals::Refusals;
use super::secrets;
use crate::shared::Shared;

/// What the children are made from.
pub struct Inputs<'a> {
    pub v: &'a Validated,
    pub ctx: &'a Context,
    /// Annotations of the StatefulSet.
    pub annotations: &'a BTreeMap<String, String>,
    pub config: &'a ServerConfig,
    pub acl: &'a AclSet,
    pub app: &'a AppCredentials,
    pub system: &'a SystemPasswords,
    pub tls: &'a TlsFiles,
    /// Ordinals whose claims go with their pods, if they are those of temporary pods.
    pub going_claims: &'a BTreeSet<u32>,
}

/// How far the children are as the spec wants them.
#[derive(Debug, Default)]
pub struct Children {
    /// The configuration is written down, so agents may be told.
    pub config: bool,
    /// The users are.
    pub users: bool,
    /// A child's name is taken by an object of somebody else's: which.
    pub taken: Option<String>,
    /// The API server's words, if it does not let a volume grow.
    pub growth_refused: Option<String>,
    /// A PodMonitor is wanted, and the cluster knows of no such kind.
    pub monitor_unknown: bool,
    /// All that a pod mounts is there.
    pub complete: bool,
}

impl Children {
    /// What became of others as well.
    pub fn also(&mut self, others: Self) {
        self.taken = self.taken.take().or(others.taken);
        self.growth_refused = self.growth_refused.take().or(others.growth_refused);
        self.monitor_unknown |= others.monitor_unknown;
    }

    /// Whether a child is as it is wanted.
    fn take(
        &mut self,
        refusals: &Refusals,
        written: Result<Applied, ApplyError>,
    ) -> Result<bool, ApplyError> {
        match written {
            Err(ApplyError::Taken(words)) => {
                self.taken.get_or_insert(words);
                Ok(false)
            }
            other => refusals.take(other),
        }
    }
}

/// Takes what became of a child that no pod needs: where somebody else's has its name, that is told, and nothing
/// waits for it.
pub(super) fn take_aside(
    refusals: &Refusals,
    written: Result<Applied, ApplyError>,
) -> Result<(), ApplyError> {
    match written {
        Err(ApplyError::Taken(words)) => {
            refusals.note_taken(&words);
            Ok(())
        }
        other => refusals.take(other).map(drop),
    }
}

/// Applies all but the StatefulSets: what does not depend on another child at once, as each may wait for an
/// admission webhook that does not answer; then the users. `also` is done beside. What the API server refuses
/// is noted in `refusals`, and holds back only what depends on it.
///
/// # Errors
/// What is not about one child; the next pass goes on from there.
pub async fn apply_common(
    shared: &Shared,
    inputs: &Inputs<'_>,
    live: &CommonLive,
    refusals: &Refusals,
    also: impl Future<Output = Vec<Result<Applied, ApplyError>>> + Send,
) -> Result<Children, ApplyError> {
    let Inputs { v, ctx, acl, .. } = *inputs;
    let (applier, namespace, uid) = (&shared.applier, ctx.namespace.as_str(), ctx.uid.as_str());
    // What is made from what was read must not undo what somebody wrote since.
    let system = build_system_secret(v, ctx, inputs.system);
    let tls = build_tls_secret(&Owner::of(v, ctx), inputs.tls);
    let monitor = pod_monitor::Monitored::of(inputs, live);
    let may_be_monitored = boxed(monitor.drop_unwanted(shared, refusals)).await?;
    let map = config_map(inputs, may_be_monitored)?;
    let headless = build_headless_service(v, ctx);
    let client = build_client_service(v, ctx);
    let (system, app, tls, map, headless, client, network, also) = tokio::join!(
        boxed(applier.apply_over(namespace, uid, &system, live.system.as_ref())),
        boxed(secrets::apply_app(
            shared,
            v,
            ctx,
            inputs.app,
            live.app.as_ref()
        )),
        boxed(applier.apply(namespace, uid, &tls)),
        boxed(applier.apply_over(namespace, uid, &map, live.config.as_ref())),
        boxed(applier.apply(namespace, uid, &headless)),
        boxed(applier.apply(namespace, uid, &client)),
        boxed(apply_network_policy(shared, inputs)),
        boxed(also),
    );
    let mut children = Children::default();
    let system = children.take(refusals, system)?;
    let app = match inputs.app.password {
        Some(_) => children.take(refusals, app)?,
        // No user waits for it.
        None => take_aside(refusals, app).map(|()| true)?,
    };
    let passwords = children.taken.is_none()
        && (system || knows_system(live, inputs.system))
        && (app || secrets::holds_app(live.app.as_ref(), inputs.app));
    let tls = children.take(refusals, tls)?;
    children.config = children.take(refusals, map)?;
    take_aside(refusals, network)?;
    for written in [headless, client].into_iter().chain(also) {
        children.take(refusals, written)?;
    }
    // Their passwords are written down.
    if passwords {
        let users = build_acl_secret(v, ctx, acl)?;
        let applied = applier.apply_over(namespace, uid, &users, live.acl.as_ref());
        children.users = children.take(refusals, boxed(applied).await)?;
    }
    // Not before it is written down that there may be one; and no users wait for a webhook of another's kind.
    if children.config {
        children.monitor_unknown = boxed(monitor.apply(shared, refusals)).await?;
    }
    // The kubelet looks again for what a pod mounts only after minutes.
    children.complete = tls && children.config && children.users && children.taken.is_none();
    Ok(children)
}

/// Applies a StatefulSet, what it needs before, and what it has by then. `complete` tells that what its pods
/// mount is there.
///
/// # Errors
/// What is not about one child; the next pass goes on from there.
pub async fn apply_set(
    shared: &Shared,
    inputs: &Inputs<'_>,
    live: &SetLive,
    complete: bool,
    refusals: &Refusals,
) -> Result<Children, ApplyError> {
    let Inputs { v, ctx, .. } = *inputs;
    let mut children = Children::default();
    let is_made = complete || live.stateful_set.is_some();
    let claims = NewClaims {
        shared,
        inputs,
        live,
        refusals,
        are_made: is_made,
    };
    let (budget, lacking) = tokio::join!(
        boxed(apply_budget(shared, inputs)),
        boxed(claims.apply(&mut children)),
    );
    take_aside(refusals, budget)?;
    let lacking = lacking?;
    if is_made {
        let ctx = Context {
            replicas: with_claims(ctx.replicas, lacking, live),
            ..ctx.clone()
        };
        let mut set = build_stateful_set(v, &ctx);
        set.annotations_mut().extend(inputs.annotations.clone());
        let applied = shared.applier.apply(&ctx.namespace, &ctx.uid, &set);
        children.take(refusals, boxed(applied).await)?;
    }
    if let Some(pod) = live.foreign_pods.first() {
        let words = format!("Pod {pod} is there already and belongs to somebody else: delete it");
        children.taken.get_or_insert(words);
    }
    children.growth_refused = boxed(grow_claims(shared, inputs, live, refusals)).await?;
    Ok(children)
}

/// So many at once would be too much for a stack.
fn boxed<'a, T>(work: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(work)
}

/// Nobody could log in with a password that is written down nowhere, and the next pass would make another.
fn knows_system(live: &CommonLive, system: &SystemPasswords) -> bool {
    let live = live.system.as_ref();
    let holds = |key: &str, text: &Option<String>| {
        let text = text.as_ref();
        text.is_none_or(|text| secrets::holds(live, key, text))
    };
    secrets::holds(live, REPLICATION_PASSWORD_KEY, &system.replication)
        && holds(ROTATION_KEY, &system.rotation)
        && holds(REPLICATION_ROTATION_KEY, &system.replication_rotation)
}

fn config_map(inputs: &Inputs<'_>, may_be_monitored: bool) -> Result<ConfigMap, ApplyError> {
    let mut map = build_config_map(inputs.v, inputs.ctx)?;
    if may_be_monitored {
        let (key, made) = (ANNOTATION_POD_MONITOR.to_owned(), "made".to_owned());
        map.annotations_mut().insert(key, made);
    }
    let text = serde_json::to_string_pretty(inputs.config)?;
    map.data
        .get_or_insert_default()
        .insert(CONFIG_KEY.to_owned(), text);
    Ok(map)
}

/// A single pod has no budget: it would keep its node from being drained.
async fn apply_budget(shared: &Shared, inputs: &Inputs<'_>) -> Result<Applied, ApplyError> {
    let (v, ctx) = (inputs.v, inputs.ctx);
    let name = v.name.pods(ctx.shard).disruption_budget();
    let budget = build_disruption_budget(v, ctx);
    let (applier, budget) = (&shared.applier, budget.as_ref());
    let applied = applier.apply_or_delete(&ctx.namespace, &ctx.uid, &name, budget);
    applied.await
}

/// Where none is wanted, only the object's own goes.
async fn apply_network_policy(shared: &Shared, inputs: &Inputs<'_>) -> Result<Applied, ApplyError> {
    let (v, ctx) = (inputs.v, inputs.ctx);
    let name = v.name.network_policy();
    let policy = build_network_policy(v, ctx, &shared.control_sources);
    let (applier, policy) = (&shared.applier, policy.as_ref());
    let applied = applier.apply_or_delete(&ctx.namespace, &ctx.uid, &name, policy);
    applied.await
}

/// The claims of a StatefulSet's pods.
struct NewClaims<'a> {
    shared: &'a Shared,
    inputs: &'a Inputs<'a>,
    live: &'a SetLive,
    refusals: &'a Refusals,
    /// Their StatefulSet is there, or about to be.
    are_made: bool,
}

/// The claim of this ordinal is not there, and no pod may mount what has its name.
#[derive(Clone, Copy)]
struct Lacking {
    ordinal: u32,
    /// One of somebody else's has the name; else it is refused.
    is_taken: bool,
}

impl NewClaims<'_> {
    /// Makes those that are not there, before the StatefulSet has a pod for them: whoever has the name by then is
    /// seen, and nobody takes it later. Also, its template has the size of the first day, and these that of
    /// today. Answers the first that may not be mounted.
    async fn apply(&self, children: &mut Children) -> Result<Option<Lacking>, ApplyError> {
        let Self { inputs, live, .. } = *self;
        let Inputs { v, ctx, .. } = *inputs;
        for ordinal in 0..ctx.replicas.max(v.replicas) {
            if live.claims.contains_key(&ordinal) {
                continue;
            }
            let Some(claim) = build_claim(v, ctx, ordinal, live.claims.values()) else {
                return Ok(None);
            };
            let made = match live.foreign_claims.get(&ordinal) {
                Some(words) => Err(ApplyError::Taken(words.clone())),
                None if !self.are_made => continue,
                None => self.make(ordinal, &claim).await,
            };
            let is_taken = matches!(made, Err(ApplyError::Taken(_)));
            // One that is in use is somebody's to sort out, and its pod stays.
            let is_in_use = is_taken && live.pods.contains_key(&ordinal);
            if !children.take(self.refusals, made)? && !is_in_use {
                return Ok(Some(Lacking { ordinal, is_taken }));
            }
        }
        Ok(None)
    }

    async fn make(
        &self,
        ordinal: u32,
        claim: &PersistentVolumeClaim,
    ) -> Result<Applied, ApplyError> {
        let ctx = self.inputs.ctx;
        let owner = Owner::of(self.inputs.v, ctx);
        let place = place(&owner, ctx.shard, ordinal);
        match self.shared.applier.create(&ctx.namespace, claim).await? {
            Some(there) if place.standing(&there.metadata) == Standing::Foreign => {
                Err(ApplyError::Taken(place.taken(&there.metadata)))
            }
            _ => Ok(Applied::Sent),
        }
    }
}

/// How many pods there may be, if a claim may not be mounted. One that is refused: the StatefulSet would make one of
/// the size of the first day once it is not any more. One that is somebody else's: then pods that are there stay,
/// and one that is gone would mount it.
fn with_claims(replicas: u32, lacking: Option<Lacking>, live: &SetLive) -> u32 {
    let Some(Lacking { ordinal, is_taken }) = lacking else {
        return replicas;
    };
    let spec = live.stateful_set.as_ref().and_then(|set| set.spec.as_ref());
    let there = live.pods.keys().next_back().map(|last| last + 1);
    let now = match is_taken {
        true => there,
        // One that is made anew ends no pod of the one before.
        false => spec
            .and_then(|spec| u32::try_from(spec.replicas?).ok())
            .or(there),
    };
    replicas.min(ordinal.max(now.unwrap_or(0)))
}

async fn grow_claims(
    shared: &Shared,
    inputs: &Inputs<'_>,
    live: &SetLive,
    refusals: &Refusals,
) -> Result<Option<String>, ApplyError> {
    let mut refused = None;
    let owner = Owner::of(inputs.v, inputs.ctx);
    for (ordinal, claim) in &live.claims {
        let place = place(&owner, inputs.ctx.shard, *ordinal);
        if place.standing(&claim.metadata) != Standing::Own {
            continue;
        }
        let uid = live.pods.get(ordinal).and_then(ResourceExt::uid);
        let pod = inputs.v.name.pods(inputs.ctx.shard).pod(*ordinal);
        let fate = fate(inputs, *ordinal, claim, (&pod, uid.as_deref()));
        let Some(patch) = build_claim_patch(inputs.v, inputs.ctx, claim, fate) else {
            continue;
        };
        let (namespace, uid) = (inputs.ctx.namespace.as_str(), inputs.ctx.uid.as_str());
        if is_let_go(inputs.ctx, claim, &patch) {
            let owners = json!({"metadata": {"ownerReferences": null}});
            let let_go = shared.applier.take_out(namespace, uid, claim, owners);
            if !refusals.take(let_go.await)? {
                continue;
            }
        }
        let name = claim.name_any();
        let patched = shared
            .applier
            .patch::<PersistentVolumeClaim>(namespace, &name, claim, patch)
            .await;
        match patched {
            Err(ApplyError::Refused(refusal))
                if matches!(claim_size(inputs.v, claim), ClaimSize::Grow(_)) =>
            {
                refused = Some(refusal.to_string());
            }
            other => drop(refusals.take(other)?),
        }
    }
    Ok(refused)
}

/// What becomes of a claim whose pod is there as `pod`.
fn fate<'a>(
    inputs: &Inputs<'_>,
    ordinal: u32,
    claim: &'a PersistentVolumeClaim,
    pod: (&'a str, Option<&'a str>),
) -> ClaimFate<'a> {
    if ordinal < inputs.v.replicas {
        return ClaimFate::Stays;
    }
    let (pod, here) = pod;
    match (here, goes_with(claim)) {
        (Some(uid), _) if inputs.going_claims.contains(&ordinal) => ClaimFate::GoesWith {
            pod,
            uid,
            gone: false,
        },
        (None, Some(uid)) => ClaimFate::GoesWith {
            pod,
            uid,
            gone: true,
        },
        _ => ClaimFate::Needed,
    }
}

/// What of the StatefulSet is final.
pub fn live_stateful_set(live: &SetLive) -> Option<LiveStatefulSet> {
    let spec = live.stateful_set.as_ref()?.spec.as_ref()?;
    let claim_templates = spec.volume_claim_templates.clone().unwrap_or_default();
    Some(LiveStatefulSet { claim_templates })
}

/// The least memory limit that the container of a server has, in bytes: also where the spec says none, and
/// a LimitRange gives one to pods that are made.
pub fn containers_limit<'a>(sets: impl IntoIterator<Item = &'a SetLive>) -> Option<u64> {
    let pods = sets.into_iter().flat_map(|live| live.pods.values());
    let specs = pods.filter_map(|pod| pod.spec.as_ref());
    specs.filter_map(memory_limit).min()
}

/// True while the container of a server may have less memory than the spec says: one that was made of
/// another revision, or is to be made of the former one, or that nobody has seen at work yet.
pub fn lacks_memory<'a>(
    sets: impl IntoIterator<Item = &'a SetLive>,
    v: &Validated,
    ctx: &Context,
    serves: bool,
) -> bool {
    let revision = pod_revision(v, ctx);
    let other = |pod: &&Pod| pod.annotations().get(ANNOTATION_REVISION) != Some(&revision);
    let pods = sets.into_iter().flat_map(|live| live.pods.values());
    let outdated = pods.filter(other);
    let outdated = outdated.filter_map(|pod| pod.spec.as_ref());
    let former = ctx
        .rollback
        .iter()
        .filter_map(|former| former.spec.as_ref());
    let mut limits = outdated.chain(former).filter_map(memory_limit);
    let has_less = |limit| v.memory.limit.is_none_or(|wanted| limit < wanted);
    !serves || limits.any(has_less)
}

/// The configuration to be in force: a new revision if its content is new, above what the agent holds.
/// While a server `lacks_memory` none gets more to fill than before.
pub fn next_config(
    live: &CommonLive,
    mut wanted: ServerConfig,
    lacks_memory: bool,
    at_agent: u64,
    first: u64,
) -> ServerConfig {
    let known = known_config(live, &wanted.owner);
    if let Some(known) = known.as_ref().filter(|_| lacks_memory) {
        server_config::hold_back(&mut wanted, known);
    }
    wanted.revision = match known {
        Some(known) if known.directives == wanted.directives && known.revision >= at_agent => {
            known.revision
        }
        Some(known) => known.revision.max(at_agent).saturating_add(1),
        None => at_agent.saturating_add(1).max(first),
    };
    wanted
}

/// The configuration as it was left, if it is this object's.
pub fn known_config(live: &CommonLive, uid: &str) -> Option<ServerConfig> {
    let text = live.config.as_ref()?.data.as_ref()?.get(CONFIG_KEY)?;
    serde_json::from_str::<ServerConfig>(text)
        .ok()
        .filter(|config| config.owner == uid)
}

/// The users as they were left, if they are this object's.
pub fn known_acl(live: &CommonLive, uid: &str) -> Option<AclSet> {
    let bytes = live.acl.as_ref()?.data.as_ref()?.get(ACL_KEY)?;
    serde_json::from_slice::<AclSet>(&bytes.0)
        .ok()
        .filter(|set| set.owner == uid)
}
