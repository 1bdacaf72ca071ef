use std::collections::BTreeMap;

use hera_api::validate::Validated;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use crate::{Context, Owner, metadata, server_config};

/// Key of the server's configuration in its ConfigMap, and name of the file in the pod.
pub const CONFIG_KEY: &str = "server.json";

/// Key beside it, and name of the file, by which an agent knows that the volume is to be filled from a backup before
/// its server starts.
pub const RECOVERY_KEY: &str = "recovery.json";

/// The ConfigMap from which a pod boots. The operator pushes changes to running agents itself.
///
/// # Errors
///
/// The configuration cannot be written as JSON; it can.
pub fn build_config_map(v: &Validated, ctx: &Context) -> Result<ConfigMap, serde_json::Error> {
    let config = serde_json::to_string_pretty(&server_config::build(v, ctx))?;
    let mut data = BTreeMap::from([(CONFIG_KEY.to_owned(), config)]);
    if ctx.recovery_due {
        let waits = json!({"uid": ctx.uid}).to_string();
        data.insert(RECOVERY_KEY.to_owned(), waits);
    }
    Ok(ConfigMap {
        metadata: metadata::child(&Owner::of(v, ctx), v.name.config_map()),
        data: Some(data),
        ..ConfigMap::default()
    })
}
