//! Makes the child objects be as the spec wants them.

use std::collections::{BTreeMap, BTreeSet};

use hera_api::meta::ANNOTATION_REVISION;
use hera_api::validate::Validated;
use hera_core::acl::AclSet;
use hera_core::agent::ServerConfig;
use hera_kube::ApplyError;
use hera_render::{
    ACL_KEY, AppCredentials, CONFIG_KEY, ClaimFate, Context, LiveStatefulSet, SystemPasswords,
    TlsFiles, build_acl_secret, build_app_secret, build_claim, build_claim_patch,
    build_client_service, build_config_map, build_disruption_budget, build_headless_service,
    build_replicas_service, build_stateful_set, build_system_secret, build_tls_secret, goes_with,
    pod_revision, server_config,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{Api, PostParams};

use super::observe::{Live, memory_limit};
use crate::shared::Shared;

/// What the children are made from.
pub struct Inputs<'a> {
    pub v: &'a Validated,
    pub ctx: &'a Context,
    /// Annotations of the StatefulSet.
    pub annotations: &'a BTreeMap<String, String>,
    pub config: &'a ServerConfig,
    pub acl: &'a AclSet,
    pub app: Option<&'a AppCredentials>,
    pub system: &'a SystemPasswords,
    pub tls: &'a TlsFiles,
    /// Ordinals whose claims go with their pods, if they are those of temporary pods.
    pub going_claims: &'a BTreeSet<u32>,
}

/// Applies them: what a pod mounts first, the StatefulSet last. Answers the API server's words if it
/// does not let the volume grow: that holds back nothing else.
///
/// # Errors
/// The first that could not be applied; the next pass goes on from there.
pub async fn apply(
    shared: &Shared,
    inputs: &Inputs<'_>,
    live: &Live,
) -> Result<Option<String>, ApplyError> {
    let Inputs {
        v,
        ctx,
        annotations,
        config,
        acl,
        app,
        system,
        tls,
        going_claims: _,
    } = *inputs;
    let (applier, namespace) = (&shared.applier, ctx.namespace.as_str());
    // What is made from what was read must not undo what somebody wrote since.
    let uid = ctx.uid.as_str();
    let system = build_system_secret(v, ctx, system);
    applier
        .apply_over(namespace, uid, &system, live.system.as_ref())
        .await?;
    applier
        .apply(namespace, uid, &build_tls_secret(v, ctx, tls))
        .await?;
    if let Some(app) = app {
        let app = build_app_secret(v, ctx, app);
        applier
            .apply_over(namespace, uid, &app, live.app.as_ref())
            .await?;
    }
    let users = build_acl_secret(v, ctx, acl)?;
    applier
        .apply_over(namespace, uid, &users, live.acl.as_ref())
        .await?;
    let mut map = build_config_map(v, ctx)?;
    let text = serde_json::to_string_pretty(config)?;
    map.data
        .get_or_insert_default()
        .insert(CONFIG_KEY.to_owned(), text);
    applier
        .apply_over(namespace, uid, &map, live.config.as_ref())
        .await?;
    applier
        .apply(namespace, &ctx.uid, &build_headless_service(v, ctx))
        .await?;
    applier
        .apply(namespace, &ctx.uid, &build_client_service(v, ctx))
        .await?;
    applier
        .apply(namespace, &ctx.uid, &build_replicas_service(v, ctx))
        .await?;
    apply_budget(shared, inputs).await?;
    apply_claims(shared, inputs, live).await?;
    let mut set = build_stateful_set(v, ctx);
    set.annotations_mut().extend(annotations.clone());
    applier.apply(namespace, &ctx.uid, &set).await?;
    grow_claims(shared, inputs, live).await
}

/// A single pod has no budget: it would keep its node from being drained.
async fn apply_budget(shared: &Shared, inputs: &Inputs<'_>) -> Result<(), ApplyError> {
    let (v, ctx) = (inputs.v, inputs.ctx);
    let name = v.name.disruption_budget();
    match build_disruption_budget(v, ctx) {
        Some(budget) => {
            let applied = shared.applier.apply(&ctx.namespace, &ctx.uid, &budget);
            applied.await.map(drop)
        }
        None => {
            let deleted =
                shared
                    .applier
                    .delete::<PodDisruptionBudget>(&ctx.namespace, &ctx.uid, &name);
            deleted.await
        }
    }
}

/// The template of the StatefulSet has the size of the first day; a claim made in advance has that
/// of today.
async fn apply_claims(shared: &Shared, inputs: &Inputs<'_>, live: &Live) -> Result<(), ApplyError> {
    if live.stateful_set.is_none() {
        return Ok(());
    }
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(shared.client.clone(), &inputs.ctx.namespace);
    for ordinal in 0..inputs.ctx.replicas.max(inputs.v.replicas) {
        if live.claims.contains_key(&ordinal) {
            continue;
        }
        let Some(claim) = build_claim(inputs.v, inputs.ctx, ordinal, live.claims.values()) else {
            return Ok(());
        };
        match claims.create(&PostParams::default(), &claim).await {
            Ok(_) => {}
            Err(kube::Error::Api(s)) if s.is_already_exists() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn grow_claims(
    shared: &Shared,
    inputs: &Inputs<'_>,
    live: &Live,
) -> Result<Option<String>, ApplyError> {
    let mut refused = None;
    for (ordinal, claim) in &live.claims {
        let uid = live.pods.get(ordinal).and_then(ResourceExt::uid);
        let pod = inputs.v.name.pod(*ordinal);
        let fate = fate(inputs, *ordinal, claim, (&pod, uid.as_deref()));
        let Some(patch) = build_claim_patch(inputs.v, inputs.ctx, claim, fate) else {
            continue;
        };
        let name = claim.name_any();
        let patched = shared
            .applier
            .patch::<PersistentVolumeClaim>(&inputs.ctx.namespace, &name, claim, patch)
            .await;
        match patched {
            Err(ApplyError::Refused(words)) => refused = Some(words),
            other => other.map(drop)?,
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
pub fn live_stateful_set(live: &Live) -> Option<LiveStatefulSet> {
    let spec = live.stateful_set.as_ref()?.spec.as_ref()?;
    let claim_templates = spec.volume_claim_templates.clone().unwrap_or_default();
    Some(LiveStatefulSet { claim_templates })
}

/// True while the container of a server may have less memory than the spec says: one that was made of
/// another revision, or is to be made of the former one, or that nobody has seen at work yet.
pub fn lacks_memory(live: &Live, v: &Validated, ctx: &Context, serves: bool) -> bool {
    let revision = pod_revision(v, ctx);
    let other = |pod: &&Pod| pod.annotations().get(ANNOTATION_REVISION) != Some(&revision);
    let outdated = live.pods.values().filter(other);
    let outdated = outdated.filter_map(|pod| pod.spec.as_ref());
    let former = ctx
        .way_back
        .iter()
        .filter_map(|former| former.spec.as_ref());
    let mut limits = outdated.chain(former).filter_map(memory_limit);
    let has_less = |limit| v.memory.limit.is_none_or(|wanted| limit < wanted);
    !serves || limits.any(has_less)
}

/// The configuration to be in force: a new revision if its content is new, above what the agent holds.
/// While a server `lacks_memory` none gets more to fill than before.
pub fn next_config(
    live: &Live,
    mut wanted: ServerConfig,
    lacks_memory: bool,
    at_agent: u64,
    first: u64,
) -> ServerConfig {
    let known = live
        .config
        .as_ref()
        .and_then(|map| map.data.as_ref()?.get(CONFIG_KEY))
        .and_then(|text| serde_json::from_str::<ServerConfig>(text).ok())
        .filter(|config| config.owner == wanted.owner);
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

/// The users as they were left, if they are this object's.
pub fn known_acl(live: &Live, uid: &str) -> Option<AclSet> {
    let bytes = live.acl.as_ref()?.data.as_ref()?.get(ACL_KEY)?;
    serde_json::from_slice::<AclSet>(&bytes.0)
        .ok()
        .filter(|set| set.owner == uid)
}

/// The agents' certificate as it is.
pub fn known_tls(secret: &Secret) -> Option<TlsFiles> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(TlsFiles {
        certificate: text("tls.crt")?,
        key: text("tls.key")?,
        authority: text("ca.crt")?,
    })
}
