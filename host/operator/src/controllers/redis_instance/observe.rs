//! Reads everything that a pass needs, at once.

use hera_api::names::{InstanceName, SERVER_CONTAINER};
use hera_api::quantity;
use hera_core::instance::{ClaimView, PodView};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, ContainerStatus, Event, PersistentVolumeClaim, Pod, Secret,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};

/// The objects of an instance as they are.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub stateful_set: Option<StatefulSet>,
    pub pod: Option<Pod>,
    pub claim: Option<PersistentVolumeClaim>,
    pub config: Option<ConfigMap>,
    pub acl: Option<Secret>,
    pub app: Option<Secret>,
    pub system: Option<Secret>,
    pub tls: Option<Secret>,
    pub slice: Option<EndpointSlice>,
    /// The class that the claim names, if it does not exist.
    pub missing_class: Option<String>,
}

/// Reads them from the API server, not from a cache.
///
/// # Errors
/// When one of them cannot be read: unknown is not absent.
pub async fn read(client: &Client, namespace: &str, name: &InstanceName) -> kube::Result<Live> {
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let names = [
        name.stateful_set(),
        name.pod(0),
        name.claim(0),
        name.config_map(),
        name.acl_secret(),
        name.app_secret(),
        name.system_secret(),
        name.agent_tls_secret(),
        name.endpoint_slice(),
    ];
    let [set, pod, claim, config, acl, app, system, tls, slice] = &names;
    let (stateful_set, pod, claim, config, acl, app, system, tls, slice) = tokio::try_join!(
        sets.get_opt(set),
        pods.get_opt(pod),
        claims.get_opt(claim),
        maps.get_opt(config),
        secrets.get_opt(acl),
        secrets.get_opt(app),
        secrets.get_opt(system),
        secrets.get_opt(tls),
        slices.get_opt(slice),
    )?;
    let missing_class = missing_class(client, claim.as_ref()).await;
    Ok(Live {
        stateful_set,
        pod,
        claim,
        config,
        acl,
        app,
        system,
        tls,
        slice,
        missing_class,
    })
}

/// Asked only while a claim waits. Without the right to read classes nothing is said about them.
async fn missing_class(client: &Client, claim: Option<&PersistentVolumeClaim>) -> Option<String> {
    let claim = claim?;
    let bound = claim
        .status
        .as_ref()
        .is_some_and(|s| s.phase.as_deref() == Some("Bound"));
    let class = claim.spec.as_ref()?.storage_class_name.clone()?;
    if bound {
        return None;
    }
    let classes: Api<StorageClass> = Api::all(client.clone());
    match classes.get_opt(&class).await {
        Ok(None) => Some(class),
        Ok(Some(_)) | Err(_) => None,
    }
}

/// Why the StatefulSet makes no pod, in the words of its controller: a quota, an admission webhook, a
/// missing priority class. Asked only while there is none; without the right to read Events nothing
/// is said.
pub async fn why_no_pod(client: &Client, live: &Live) -> Option<String> {
    let set = live.stateful_set.as_ref().filter(|_| live.pod.is_none())?;
    let events: Api<Event> = Api::namespaced(client.clone(), set.namespace().as_deref()?);
    let about = format!("involvedObject.uid={},reason=FailedCreate", set.uid()?);
    let found = events
        .list(&ListParams::default().fields(&about))
        .await
        .ok()?;
    found
        .items
        .into_iter()
        .filter_map(|event| event.message)
        .next_back()
}

/// The pod as the decision sees it.
pub fn pod_view(pod: &Pod) -> PodView {
    let status = pod.status.clone().unwrap_or_default();
    let phase = status.phase.as_deref().unwrap_or_default();
    let unschedulable = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False")
        .map(|c| c.message.clone().or(c.reason.clone()).unwrap_or_default());
    PodView {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        ip: status.pod_ip.clone().filter(|ip| !ip.is_empty()),
        revision: pod
            .annotations()
            .get(hera_api::meta::ANNOTATION_REVISION)
            .cloned(),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        finished: matches!(phase, "Failed" | "Succeeded"),
        unschedulable,
        waiting: status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten()
            .find_map(waiting),
    }
}

fn waiting(container: &ContainerStatus) -> Option<(String, String)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.clone()?,
        waiting.message.clone().unwrap_or_default(),
    ))
}

/// The claim as the decision sees it.
pub fn claim_view(live: &Live) -> Option<ClaimView> {
    let claim = live.claim.as_ref()?;
    let bytes = |quantity: Option<&Quantity>| quantity.and_then(|q| quantity::units(q).ok());
    let requests = claim
        .spec
        .as_ref()
        .and_then(|s| s.resources.as_ref()?.requests.as_ref());
    let capacity = claim.status.as_ref().and_then(|s| s.capacity.as_ref());
    Some(ClaimView {
        name: claim.name_any(),
        requested: bytes(requests.and_then(|map| map.get("storage")))?,
        capacity: bytes(capacity.and_then(|map| map.get("storage"))),
        missing_class: live.missing_class.clone(),
        deleting: claim.metadata.deletion_timestamp.is_some(),
    })
}

/// Where the client Service leads.
pub fn endpoint(live: &Live) -> Option<String> {
    live.slice
        .as_ref()?
        .endpoints
        .first()?
        .addresses
        .first()
        .cloned()
}

/// The server's image in the live StatefulSet.
pub fn live_image(live: &Live) -> Option<String> {
    let template = &live.stateful_set.as_ref()?.spec.as_ref()?.template;
    let containers = &template.spec.as_ref()?.containers;
    containers
        .iter()
        .find(|c| c.name == SERVER_CONTAINER)?
        .image
        .clone()
}
