//! Reads data pods and what belongs to them, and makes views of it for decisions.

use std::collections::{BTreeMap, BTreeSet};

use hera_api::meta::{LABEL_INSTANCE, LABEL_NAME};
use hera_api::names::{ObjectName, SERVER_CONTAINER};
use hera_api::quantity::{self, units};
use hera_core::reshard::shards_there;
use hera_core::shard::{ClaimView, NodeState, PodView};
use hera_kube::{ClaimPlace, Standing, is_owned_by, is_pod_of};
use hera_render::{Owner, claim_record, goes_with, is_lent, is_temporary};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, ContainerStatus, Event, PersistentVolumeClaim, Pod, PodSpec,
    PodTemplateSpec, Secret,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

/// One StatefulSet and what belongs to it, as they are. What is somebody else's is not among it, whatever it is
/// called.
#[derive(Clone, Debug, Default)]
pub struct SetLive {
    pub stateful_set: Option<StatefulSet>,
    /// Its data pods by ordinal.
    pub pods: BTreeMap<u32, Pod>,
    /// Their claims by ordinal: the object's own, and those that somebody lends to it.
    pub claims: BTreeMap<u32, PersistentVolumeClaim>,
    /// Ordinals whose claims are somebody else's, with words for people.
    pub foreign_claims: BTreeMap<u32, String>,
    /// Names of pods of somebody else's that keep the StatefulSet from making its own.
    pub foreign_pods: Vec<String>,
    /// Classes that unbound claims name and that do not exist.
    pub missing_classes: BTreeSet<String>,
}

/// What all pods of an object share, as it is.
#[derive(Clone, Debug, Default)]
pub struct CommonLive {
    pub config: Option<ConfigMap>,
    pub acl: Option<Secret>,
    pub app: Option<Secret>,
    pub system: Option<Secret>,
    pub tls: Option<Secret>,
}

/// What finds the children of an object, and none of an object of another kind that has its name.
pub fn children_of(name: &ObjectName) -> ListParams {
    let kind = name.kind().label();
    ListParams::default().labels(&format!("{LABEL_NAME}={kind},{LABEL_INSTANCE}={name}"))
}

/// Reads what all pods of an object share, from the API server, not from a cache. What another owns counts as
/// absent: nobody goes by passwords and users that somebody else wrote.
///
/// # Errors
/// When one of them cannot be read: unknown is not absent.
pub async fn read_common(client: &Client, owner: &Owner<'_>) -> kube::Result<CommonLive> {
    let Owner {
        name,
        namespace,
        uid,
    } = *owner;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let names = [
        name.config_map(),
        name.acl_secret(),
        name.app_secret(),
        name.system_secret(),
        name.agent_tls_secret(),
    ];
    let [config, acl, app, system, tls] = &names;
    let (config, acl, app, system, tls) = tokio::try_join!(
        maps.get_opt(config),
        secrets.get_opt(acl),
        secrets.get_opt(app),
        secrets.get_opt(system),
        secrets.get_opt(tls),
    )?;
    let owned = |secret: Option<Secret>| secret.filter(|found| is_owned_by(&found.metadata, uid));
    Ok(CommonLive {
        config: config.filter(|found| is_owned_by(&found.metadata, uid)),
        acl: owned(acl),
        app: owned(app),
        system: owned(system),
        tls: owned(tls),
    })
}

/// Reads the StatefulSets of an object's shards, of its only one where `shards` is none, with their pods and
/// claims. Claims of the first `volumes` pods are looked at whatever their labels are: StatefulSets go by names.
/// Of shards beyond the first `shards` those are read that there are, by the labels of their StatefulSets.
///
/// # Errors
/// When one of them cannot be read: unknown is not absent.
pub async fn read_sets(
    client: &Client,
    owner: &Owner<'_>,
    shards: Option<u32>,
    volumes: u32,
) -> kube::Result<Vec<SetLive>> {
    let (name, namespace) = (owner.name, owner.namespace);
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let claims = claims_of(client, namespace);
    let ours = children_of(name);
    let listed = async {
        match shards {
            Some(_) => Ok(sets.list(&ours).await?.items),
            None => kube::Result::Ok(Vec::new()),
        }
    };
    let (listed, pods, claims) = tokio::try_join!(listed, api.list(&ours), claims.list(&ours))?;
    let mut listed = by_ordinal(&listed, &name.pods(Some(0)).stateful_set());
    listed.retain(|_, set| is_owned_by(&set.metadata, owner.uid));
    let shards: Vec<Option<u32>> = match shards {
        Some(wanted) => {
            let there = shards_there(wanted, listed.keys().copied());
            (0..there).map(Some).collect()
        }
        None => vec![None],
    };
    let read = shards.into_iter().map(|shard| {
        let names = name.pods(shard);
        let mut pods = by_ordinal(&pods.items, &names.pod(0));
        let labelled = by_ordinal(&claims.items, &names.claim(0));
        let listed = shard.and_then(|shard| listed.remove(&shard));
        let (sets, api) = (&sets, &api);
        async move {
            let set = names.stateful_set();
            // One without our labels has its name all the same.
            let set = async {
                match listed {
                    Some(set) => Ok(Some(set)),
                    None => sets.get_opt(&set).await,
                }
            };
            let named = named_claims(client, owner, shard, volumes, &labelled);
            let (set, named) = tokio::try_join!(set, named)?;
            let found = set.as_ref().and_then(|set| {
                let uid = set.metadata.uid.as_deref()?;
                Some((uid, is_owned_by(&set.metadata, owner.uid)))
            });
            let name = names.stateful_set();
            pods.retain(|_, pod| is_pod_of(&pod.metadata, &name, found));
            let stateful_set = set.filter(|set| is_owned_by(&set.metadata, owner.uid));
            let foreign_pods = match &stateful_set {
                Some(set) => foreign_pods(api, owner, set, &pods).await?,
                None => Vec::new(),
            };
            let claims = labelled.into_iter().chain(named);
            let (foreign, claims): (Claims, Claims) = claims.partition(|(ordinal, claim)| {
                let standing = place(owner, shard, *ordinal).standing(&claim.metadata);
                standing == Standing::Foreign
            });
            let missing_classes = missing_classes(client, claims.values()).await;
            Ok(SetLive {
                stateful_set,
                pods,
                claims,
                foreign_claims: foreign
                    .into_iter()
                    .map(|(at, claim)| (at, place(owner, shard, at).taken(&claim.metadata)))
                    .collect(),
                foreign_pods,
                missing_classes,
            })
        }
    });
    futures::future::try_join_all(read).await
}

/// By ordinal.
type Claims = BTreeMap<u32, PersistentVolumeClaim>;

/// The place of the claim of one of an object's pods.
pub fn place<'a>(owner: &Owner<'a>, shard: Option<u32>, ordinal: u32) -> ClaimPlace<'a> {
    ClaimPlace {
        object: owner.name,
        uid: Some(owner.uid),
        shard,
        ordinal,
    }
}

/// Names of pods that a StatefulSet does not have because somebody else's have them. Its controller waits until
/// they are gone, and says nothing. Asked only while pods are missing.
async fn foreign_pods(
    api: &Api<Pod>,
    owner: &Owner<'_>,
    set: &StatefulSet,
    pods: &BTreeMap<u32, Pod>,
) -> kube::Result<Vec<String>> {
    let (name, uid) = (set.name_any(), set.uid().unwrap_or_default());
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas);
    let wanted = u32::try_from(wanted.unwrap_or(0)).unwrap_or(0);
    let missing = (0..wanted).filter(|ordinal| !pods.contains_key(ordinal));
    let asked = missing.map(|ordinal| {
        let pod = format!("{name}-{ordinal}");
        async move {
            let found = api.get_metadata_opt(&pod).await?;
            Ok::<_, kube::Error>(found.map(|found| (pod, found.metadata)))
        }
    });
    let found = futures::future::try_join_all(asked).await?;
    let stays = found.into_iter().flatten().filter(|(_, found)| {
        // One that was made, or let go, meanwhile is seen in the next pass.
        let label = |key: &str| found.labels.as_ref()?.get(key).map(String::as_str);
        let is_labelled = label(LABEL_NAME) == Some(owner.name.kind().label())
            && label(LABEL_INSTANCE) == Some(owner.name.as_str());
        let is_ours = is_labelled && is_pod_of(found, &name, Some((uid.as_str(), true)));
        found.deletion_timestamp.is_none() && !is_ours
    });
    Ok(stays.map(|(name, _)| name).collect())
}

/// Claims of the first `volumes` pods that have other labels, or none.
async fn named_claims(
    client: &Client,
    owner: &Owner<'_>,
    shard: Option<u32>,
    volumes: u32,
    labelled: &Claims,
) -> kube::Result<Claims> {
    let names = owner.name.pods(shard);
    let named = (0..volumes).filter(|ordinal| !labelled.contains_key(ordinal));
    let named = named.map(|ordinal| {
        let api = claims_of(client, owner.namespace);
        let name = names.claim(ordinal);
        async move {
            let found = api.get_opt(&name).await;
            found.map(|claim| claim.map(|claim| (ordinal, claim)))
        }
    });
    let named = futures::future::try_join_all(named).await?;
    Ok(named.into_iter().flatten().collect())
}

fn claims_of(client: &Client, namespace: &str) -> Api<PersistentVolumeClaim> {
    Api::namespaced(client.clone(), namespace)
}

/// Those that are called as `first`, but for the number at its end.
pub fn by_ordinal<K: ResourceExt + Clone>(items: &[K], first: &str) -> BTreeMap<u32, K> {
    let stem = first.strip_suffix('0').unwrap_or(first);
    let numbered = items.iter().filter_map(|item| {
        let name = item.name_any();
        let number = name.strip_prefix(stem)?;
        let ordinal: u32 = number.parse().ok()?;
        // No pod of a StatefulSet has a number with a zero before it.
        (ordinal.to_string() == number).then(|| (ordinal, item.clone()))
    });
    numbered.collect()
}

/// Asked only while a claim waits. Without the right to read classes nothing is said about them.
async fn missing_classes(
    client: &Client,
    claims: impl Iterator<Item = &PersistentVolumeClaim>,
) -> BTreeSet<String> {
    let waiting = claims.filter(|claim| {
        let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
        phase != Some("Bound")
    });
    let named: BTreeSet<String> = waiting
        .filter_map(|claim| claim.spec.as_ref()?.storage_class_name.clone())
        .collect();
    let classes: Api<StorageClass> = Api::all(client.clone());
    let mut missing = BTreeSet::new();
    for class in named {
        if let Ok(None) = classes.get_opt(&class).await {
            missing.insert(class);
        }
    }
    missing
}

/// Why the StatefulSet makes no pod, in the words of its controller: a quota, an admission webhook, a
/// missing priority class. Asked only while one is missing; without the right to read Events nothing
/// is said.
pub async fn why_no_pod(client: &Client, live: &SetLive) -> Option<String> {
    let set = live.stateful_set.as_ref()?;
    let wanted = set.spec.as_ref()?.replicas.unwrap_or(1);
    if live.pods.len() >= usize::try_from(wanted).unwrap_or(0) {
        return None;
    }
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
        since_ms: unready_since(pod),
        ready: status
            .conditions
            .iter()
            .flatten()
            .any(|c| c.type_ == "Ready" && c.status == "True"),
        revision: pod
            .annotations()
            .get(hera_api::meta::ANNOTATION_REVISION)
            .cloned(),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        finished: matches!(phase, "Failed" | "Succeeded"),
        terminated: status
            .container_statuses
            .iter()
            .flatten()
            .any(|c| c.name == SERVER_CONTAINER && is_terminated(c)),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        zone: None,
        node_state: NodeState::Unknown,
        unschedulable,
        waiting: status
            .init_container_statuses
            .iter()
            .chain(&status.container_statuses)
            .flatten()
            .find_map(waiting),
    }
}

/// What its server's container may use, in bytes; none without a limit.
pub fn memory_limit(spec: &PodSpec) -> Option<u64> {
    let limits = server(spec)?.resources.as_ref()?.limits.as_ref()?;
    units(limits.get("memory")?).ok()
}

fn server(spec: &PodSpec) -> Option<&Container> {
    let mut containers = spec.containers.iter();
    containers.find(|container| container.name == SERVER_CONTAINER)
}

/// When it was made, or ceased to be ready.
fn unready_since(pod: &Pod) -> u64 {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let unready = conditions
        .flatten()
        .find(|c| c.type_ == "Ready" && c.status == "False")
        .and_then(|c| c.last_transition_time.as_ref());
    let made = pod.metadata.creation_timestamp.as_ref();
    let latest = made.into_iter().chain(unready).map(|time| millis(time.0));
    latest.max().unwrap_or(0)
}

/// Milliseconds since 1970.
pub fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or(0)
}

/// The kubelet has seen this very container end, and not started another yet.
fn is_terminated(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    state.is_some_and(|state| state.terminated.is_some())
}

fn waiting(container: &ContainerStatus) -> Option<(String, String)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.clone()?,
        waiting.message.clone().unwrap_or_default(),
    ))
}

/// A claim as the decision sees it.
pub fn claim_view(claim: &PersistentVolumeClaim, live: &SetLive) -> Option<ClaimView> {
    let bytes = |quantity: Option<&Quantity>| quantity.and_then(|q| quantity::units(q).ok());
    let spec = claim.spec.as_ref();
    let requests = spec.and_then(|s| s.resources.as_ref()?.requests.as_ref());
    let capacity = claim.status.as_ref().and_then(|s| s.capacity.as_ref());
    let class = spec.and_then(|spec| spec.storage_class_name.clone());
    Some(ClaimView {
        name: claim.name_any(),
        requested: bytes(requests.and_then(|map| map.get("storage")))?,
        capacity: bytes(capacity.and_then(|map| map.get("storage"))),
        missing_class: class.filter(|class| live.missing_classes.contains(class)),
        deleting: claim.metadata.deletion_timestamp.is_some(),
        temporary: is_temporary(claim),
        goes_with_pod: goes_with(claim).is_some(),
        adopted: is_lent(claim),
        record: claim_record(claim),
    })
}

/// The server's image in the live StatefulSet.
pub fn live_image(live: &SetLive) -> Option<String> {
    template_image(&live.stateful_set.as_ref()?.spec.as_ref()?.template)
}

/// The server's image in a template.
pub fn template_image(template: &PodTemplateSpec) -> Option<String> {
    server(template.spec.as_ref()?)?.image.clone()
}
