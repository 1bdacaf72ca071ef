//! Are the custom resource definitions in the cluster as new as this operator?

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::{Api, Client};
use tracing::{error, info, warn};

const RETRY: Duration = Duration::from_secs(2);

/// Waits until the definition has every field that this operator writes or reads, telling why it
/// waits. A definition that lacks fields would drop what users say in them (P43).
pub async fn wait_until_current(client: &Client, wanted: &CustomResourceDefinition) {
    let mut last = String::new();
    loop {
        let Some(problem) = problem(client, wanted).await else {
            let name = wanted.metadata.name.as_deref();
            info!(name, "the custom resource definition is current");
            return;
        };
        if problem != last {
            error!("{problem}");
            last = problem;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// What is wrong with the definition, if anything is.
async fn problem(client: &Client, wanted: &CustomResourceDefinition) -> Option<String> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = wanted.metadata.name.clone().unwrap_or_default();
    match api.get_opt(&name).await {
        Ok(Some(live)) => {
            let field = missing_fields(wanted, &live).into_iter().next()?;
            Some(format!(
                "the custom resource definition {name} is older than this operator, it has no {field}: \
                 kubectl apply -f deploy/crd/ of this release"
            ))
        }
        Ok(None) => Some(format!(
            "the custom resource definition {name} is missing: kubectl apply -f deploy/crd/"
        )),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            warn!(
                name,
                "no right to read the custom resource definition: its age is not checked"
            );
            None
        }
        Err(error) => Some(format!("the API server cannot be asked: {error}")),
    }
}

/// Fields of `wanted` that `live` lacks, as paths.
fn missing_fields(
    wanted: &CustomResourceDefinition,
    live: &CustomResourceDefinition,
) -> Vec<String> {
    let live = fields(live);
    fields(wanted)
        .into_iter()
        .filter(|field| !live.contains(field))
        .collect()
}

fn fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for version in &crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_ref()
            .and_then(|s| s.open_api_v3_schema.as_ref())
        {
            collect(schema, &version.name, &mut found);
        }
    }
    found
}

fn collect(schema: &JSONSchemaProps, path: &str, found: &mut BTreeSet<String>) {
    for (name, property) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        collect(property, &path, found);
        found.insert(path);
    }
    if let Some(items) = &schema.items
        && let k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::Schema(items) = items
    {
        collect(items, &format!("{path}[]"), found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hera_api::RedisInstance;
    use kube::CustomResourceExt as _;

    #[test]
    fn a_definition_without_a_field_is_older() {
        let wanted = RedisInstance::crd();
        let mut live = wanted.clone();
        let schema = live.spec.versions[0].schema.as_mut().unwrap();
        let root = schema.open_api_v3_schema.as_mut().unwrap();
        let spec = root.properties.as_mut().unwrap().get_mut("spec").unwrap();
        spec.properties.as_mut().unwrap().remove("paused");
        assert_eq!(missing_fields(&wanted, &live), ["v1alpha1.spec.paused"]);
        assert!(missing_fields(&live, &wanted).is_empty());
    }
}
