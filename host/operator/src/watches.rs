//! What wakes an instance beside its own changes: its children, and what it refers to.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::stream::{self, Stream, StreamExt as _};
use hera_api::RedisInstance;
use hera_api::meta::{LABEL_INSTANCE, LABEL_KEPT_POLICY, LABEL_MANAGED_BY, MANAGED_BY};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::shared::{Guarded, InstanceRef};

/// News about a child.
pub struct ChildNews {
    /// The instance to wake.
    pub instance: InstanceRef,
    /// The child's kind and uid, if it is gone.
    pub gone: Option<(String, String)>,
}

/// Tells of each change of a child of an instance, in one namespace or in all. Only metadata is
/// watched.
pub fn children(
    client: &Client,
    namespace: Option<String>,
) -> impl Stream<Item = ChildNews> + Send + use<> {
    let namespace = namespace.as_deref();
    stream::select_all([
        owners::<StatefulSet>(client, namespace).boxed(),
        owners::<Pod>(client, namespace).boxed(),
        owners::<PersistentVolumeClaim>(client, namespace).boxed(),
        owners::<Service>(client, namespace).boxed(),
        owners::<EndpointSlice>(client, namespace).boxed(),
        owners::<PodDisruptionBudget>(client, namespace).boxed(),
    ])
}

/// `None` for all namespaces at once.
pub fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    let named: Vec<_> = namespaces
        .iter()
        .filter(|name| !name.is_empty())
        .cloned()
        .map(Some)
        .collect();
    if named.is_empty() { vec![None] } else { named }
}

fn owners<K>(
    client: &Client,
    namespace: Option<&str>,
) -> impl Stream<Item = ChildNews> + Send + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + 'static,
{
    let api: Api<PartialObjectMeta<K>> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let ours = watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}"));
    watcher(api, ours)
        .default_backoff()
        .filter_map(|event| async move {
            let (child, gone) = match event {
                Ok(watcher::Event::Apply(child) | watcher::Event::InitApply(child)) => {
                    (child, false)
                }
                Ok(watcher::Event::Delete(child)) => (child, true),
                Ok(watcher::Event::Init | watcher::Event::InitDone) => return None,
                Err(error) => {
                    debug!(%error, kind = %K::kind(&()), "watch interrupted");
                    return None;
                }
            };
            let name = child.labels().get(LABEL_INSTANCE)?.clone();
            let instance = InstanceRef::new(&name).within(child.namespace().as_deref()?);
            let gone = child
                .uid()
                .filter(|_| gone)
                .map(|uid| (K::kind(&()).into_owned(), uid));
            Some(ChildNews { instance, gone })
        })
}

/// Watches Secrets and ConfigMaps, as metadata, in namespaces that hold an instance.
pub struct ReferenceWatches {
    client: Client,
    wake: UnboundedSender<InstanceRef>,
    own_namespace: String,
    stores: OnceLock<Arc<[Store<Guarded>]>>,
    watched: Mutex<HashMap<String, Vec<JoinHandle<()>>>>,
}

impl ReferenceWatches {
    /// No watch yet. In `own_namespace` every ConfigMap concerns every instance: the catalog and
    /// the default policies lie there.
    pub fn new(client: Client, wake: UnboundedSender<InstanceRef>, own_namespace: String) -> Self {
        Self {
            client,
            wake,
            own_namespace,
            stores: OnceLock::new(),
            watched: Mutex::default(),
        }
    }

    /// Knows from now on which instances there are, and watches the operator's own namespace.
    pub fn watch(&self, stores: Vec<Store<Guarded>>) {
        let _ = self.stores.set(stores.into());
        self.ensure(&self.own_namespace);
    }

    /// Makes sure that `namespace` is watched, and ends watches where no instance is left.
    pub fn ensure(&self, namespace: &str) {
        let Some(stores) = self.stores.get() else {
            return;
        };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let used: BTreeSet<String> = instances(stores)
            .filter_map(|instance| instance.namespace())
            .collect();
        watched.retain(|name, tasks| {
            let keep = used.contains(name) || *name == self.own_namespace || name == namespace;
            if !keep {
                tasks.iter().for_each(JoinHandle::abort);
            }
            keep
        });
        if watched.contains_key(namespace) {
            return;
        }
        let tasks = vec![
            tokio::spawn(self.follow::<Secret>(namespace, stores.clone())),
            tokio::spawn(self.follow::<ConfigMap>(namespace, stores.clone())),
        ];
        watched.insert(namespace.to_owned(), tasks);
    }

    fn follow<K>(
        &self,
        namespace: &str,
        stores: Arc<[Store<Guarded>]>,
    ) -> impl Future<Output = ()> + Send + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Send
            + 'static,
    {
        let api: Api<PartialObjectMeta<K>> = Api::namespaced(self.client.clone(), namespace);
        let wake = self.wake.clone();
        let own = namespace == self.own_namespace;
        let namespace = namespace.to_owned();
        async move {
            let mut events = watcher(api, watcher::Config::default())
                .default_backoff()
                .touched_objects()
                .boxed();
            while let Some(event) = events.next().await {
                let Ok(object) = event else { continue };
                let name = object.name_any();
                let kept = object.labels().contains_key(LABEL_KEPT_POLICY);
                for instance in instances(&stores) {
                    let here = instance.namespace().as_deref() == Some(namespace.as_str());
                    let concerned = (own && K::kind(&()) == "ConfigMap" && !kept)
                        || (here && refers_to(&instance, &name));
                    if concerned && wake.send(InstanceRef::from_obj(&instance)).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn instances(stores: &[Store<Guarded>]) -> impl Iterator<Item = Arc<Guarded>> + use<> {
    let all: Vec<_> = stores.iter().flat_map(Store::state).collect();
    all.into_iter()
}

/// True if the object called `name` is a child of the instance or named in its spec.
fn refers_to(instance: &Guarded, name: &str) -> bool {
    if name
        .strip_prefix(&instance.name_any())
        .is_some_and(|rest| rest.starts_with('-'))
    {
        return true;
    }
    instance
        .0
        .as_ref()
        .is_ok_and(|object| references(object).any(|named| named == name))
}

fn references(object: &RedisInstance) -> impl Iterator<Item = &str> {
    let spec = &object.spec;
    let app = spec
        .auth
        .secret_ref
        .iter()
        .map(|secret| secret.name.as_str());
    let users = spec
        .users
        .iter()
        .map(|user| user.password_secret_ref.name.as_str());
    let policies = spec.policies.acl.iter().flat_map(|policy| {
        let shadow = policy.shadow.iter().map(|shadow| &shadow.config_map_ref);
        policy.config_map_ref.iter().chain(shadow)
    });
    app.chain(users)
        .chain(policies.map(|reference| reference.name.as_str()))
}
