//! `policy apply`: a module into a ConfigMap.

use std::collections::BTreeMap;

use anyhow::bail;
use hera_api::meta::LABEL_DEFAULT_POLICY;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;

use super::{check, module};
use crate::args::{Cluster, Module};
use crate::output::{Output, bad, good};
use crate::{Verdict, cluster};

/// Whose fields these are.
const MANAGER: &str = "kubectl-hera";

/// Where a module goes.
pub struct Place {
    /// The ConfigMap.
    pub configmap: String,
    /// Its key.
    pub key: String,
    /// It is to be the operator's default.
    pub default: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied {
    namespace: String,
    config_map: String,
    key: String,
    digest: String,
    default: bool,
}

/// Checks a module and applies it.
///
/// # Errors
/// When a file or the cluster cannot be used.
pub async fn run(
    asked: &Module,
    place: &Place,
    wanted: &Cluster,
    output: Output,
) -> anyhow::Result<Verdict> {
    let suite = check::Suite {
        cases: None,
        questions: 50,
        seed: 1,
    };
    let report = check::report(asked, &suite).await?;
    let Some((decision, _)) = report
        .module
        .as_ref()
        .filter(|_| report.passed)
        .and_then(|module| module.decision.clone())
    else {
        output.print(&report, |report| {
            check::describe(report) + &bad("nothing was applied") + "\n"
        })?;
        return Ok(Verdict::No);
    };
    let connected = cluster::connect(wanted).await?;
    if place.default && place.key != "policy.wasm" {
        bail!("a default policy stands under policy.wasm: leave --key out");
    }
    let namespace = match place.default {
        true => connected.operator_namespace().to_owned(),
        false => connected.namespace.clone(),
    };
    let bytes = module::read(&asked.file)?;
    let applied = Applied {
        namespace: namespace.clone(),
        config_map: place.configmap.clone(),
        key: place.key.clone(),
        digest: hera_core::digest::of(&bytes),
        default: place.default,
    };
    let label = (LABEL_DEFAULT_POLICY.to_owned(), decision.clone());
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(place.configmap.clone()),
            labels: place.default.then(|| BTreeMap::from([label])),
            ..ObjectMeta::default()
        },
        binary_data: Some(BTreeMap::from([(place.key.clone(), ByteString(bytes))])),
        ..ConfigMap::default()
    };
    let api: Api<ConfigMap> = Api::namespaced(connected.client, &namespace);
    let params = PatchParams::apply(MANAGER).force();
    api.patch(&place.configmap, &params, &Patch::Apply(&map))
        .await?;
    output.print(&applied, |applied| describe(applied, &decision))?;
    Ok(Verdict::Yes)
}

fn describe(applied: &Applied, decision: &str) -> String {
    let Applied {
        namespace,
        config_map,
        key,
        digest,
        default,
    } = applied;
    let next = match default {
        true => "every object that names no policy is decided by it now".to_owned(),
        false => format!(
            "point objects of this namespace at it:\n  spec:\n    policies:\n      {decision}:\n        \
             configMapRef: {{name: {config_map}, key: {key}}}"
        ),
    };
    format!(
        "{} ConfigMap {namespace}/{config_map} {digest}\n{next}\n",
        good("applied")
    )
}
