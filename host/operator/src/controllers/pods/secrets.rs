//! Secrets with passwords: that of the application, and whether one holds what it is to hold.

use hera_api::meta::KEY_PASSWORD;
use hera_api::validate::Validated;
use hera_kube::{Applied, ApplyError};
use hera_render::{AppCredentials, Context, build_app_secret};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::shared::Shared;

/// Makes the Secret from which an application learns how to connect be as the spec wants it. A password that
/// is elsewhere by now is taken out, also where somebody else wrote it there.
///
/// # Errors
/// See [`ApplyError`]; a change since it was read as `live` is a conflict.
pub async fn apply_app(
    shared: &Shared,
    v: &Validated,
    ctx: &Context,
    app: &AppCredentials,
    live: Option<&Secret>,
) -> Result<Applied, ApplyError> {
    let applier = &shared.applier;
    let (namespace, uid) = (ctx.namespace.as_str(), ctx.uid.as_str());
    let wanted = build_app_secret(v, ctx, app);
    let outdated = live.filter(|live| app.password.is_none() && has_password(live));
    let without = match outdated {
        Some(live) => {
            let password = json!({"data": {KEY_PASSWORD: null}});
            Some(applier.take_out(namespace, uid, live, password).await?)
        }
        None => None,
    };
    let live = without.as_ref().or(live);
    applier.apply_over(namespace, uid, &wanted, live).await
}

/// True if the application's Secret holds its password, if it is to hold one.
pub fn holds_app(secret: Option<&Secret>, app: &AppCredentials) -> bool {
    let holds = |password: &String| holds(secret, KEY_PASSWORD, password);
    app.password.as_ref().is_none_or(holds)
}

/// True if a Secret has this text under this key.
pub fn holds(secret: Option<&Secret>, key: &str, text: &str) -> bool {
    let data = secret.and_then(|secret| secret.data.as_ref());
    data.and_then(|data| data.get(key))
        .is_some_and(|bytes| bytes.0 == text.as_bytes())
}

fn has_password(secret: &Secret) -> bool {
    let data = secret.data.as_ref();
    data.is_some_and(|data| data.contains_key(KEY_PASSWORD))
}
