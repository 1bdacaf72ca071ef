//! The certificate of an object's agents.

use std::time::Duration;

use hera_render::{Owner, TlsFiles, build_tls_secret};
use k8s_openapi::api::core::v1::Secret;

use super::children::take_aside;
use super::observe::CommonLive;
use super::refusals::Refusals;
use crate::authority::{self, Authority, AuthorityError};
use crate::controllers::outcome::PassError;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// Tells of it in figures: of the one that is there, whatever this pass makes of it.
pub fn note(shared: &Shared, object: &ObjectKey, live: &CommonLive) {
    let files = live.tls.as_ref().and_then(known_tls);
    let until = files.and_then(|files| authority::good_until(&files));
    let objects = &shared.metrics.objects;
    objects.note_certificate(object, until.map(Duration::from_secs));
}

/// The agents' certificate: the known one while it is fresh.
///
/// # Errors
/// When none can be made.
pub fn of_agents(
    authority: &Authority,
    owner: &Owner<'_>,
    live: &CommonLive,
) -> Result<TlsFiles, AuthorityError> {
    match fresh(authority, live) {
        Some(files) => Ok(files),
        None => sign(authority, owner),
    }
}

/// Renews it, and nothing else, once the known one is not fresh. That is no change of the spec: without one nobody
/// could give orders to the pods of what is paused or refused.
///
/// # Errors
/// When none can be made, and what is not about its Secret alone.
pub async fn renew(
    shared: &Shared,
    authority: &Authority,
    owner: &Owner<'_>,
    live: &CommonLive,
    refusals: &Refusals,
) -> Result<(), PassError> {
    if fresh(authority, live).is_some() {
        return Ok(());
    }
    let secret = build_tls_secret(owner, &sign(authority, owner)?);
    let applied = shared.applier.apply(owner.namespace, owner.uid, &secret);
    Ok(take_aside(refusals, Box::pin(applied).await)?)
}

fn fresh(authority: &Authority, live: &CommonLive) -> Option<TlsFiles> {
    let known = live.tls.as_ref().and_then(known_tls);
    known.filter(|files| authority.is_fresh(files))
}

fn sign(authority: &Authority, owner: &Owner<'_>) -> Result<TlsFiles, AuthorityError> {
    let service = owner.name.headless_service();
    authority.sign_agent(vec![format!("*.{service}.{}.svc", owner.namespace)])
}

fn known_tls(secret: &Secret) -> Option<TlsFiles> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(TlsFiles {
        certificate: text("tls.crt")?,
        key: text("tls.key")?,
        authority: text("ca.crt")?,
    })
}
