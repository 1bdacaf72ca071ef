//! Who is to be promoted is written down before it is: the next leader may hear no agent that
//! remembers (design §6). It stands on the StatefulSet, which nobody else has a reason to write.

use hera_core::instance::Claim;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::PassError;
use super::observe::Live;
use super::site::Site;

/// Annotation on the StatefulSet: reign and uid of the pod.
const CROWN: &str = "cache.hera.io/crown";

/// What was written down last.
pub fn read(live: &Live) -> Option<Claim> {
    let text = live.stateful_set.as_ref()?.annotations().get(CROWN)?;
    let (reign, uid) = text.split_once(' ')?;
    Some(Claim {
        reign: reign.parse().ok()?,
        uid: uid.to_owned(),
    })
}

/// Writes it down.
///
/// # Errors
/// When the API server does not take it: then nobody is promoted.
pub async fn write(site: &Site<'_>, uid: &str, reign: u64) -> Result<(), PassError> {
    let sets: Api<StatefulSet> = Api::namespaced(site.shared.client.clone(), site.owner.namespace);
    let patch = json!({"metadata": {"annotations": {CROWN: format!("{reign} {uid}")}}});
    let name = site.owner.name.stateful_set();
    sets.patch(&name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}
