//! What wakes an instance beside its own changes: its children, and what it refers to.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures::stream::{self, Stream, StreamExt as _};
use hera_api::meta::{LABEL_INSTANCE, LABEL_KEPT_POLICY, LABEL_MANAGED_BY, LABEL_NAME, MANAGED_BY};
use hera_api::{Kind, Received, RedisBackupStore};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource, ResourceExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::controllers::driver::Controlled;
use crate::object::ObjectKey;

/// News about a child.
pub struct ChildNews {
    /// The object to wake.
    pub object: ObjectKey,
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
        owners::<NetworkPolicy>(client, namespace).boxed(),
    ])
}

/// Events of a watch, those of a list not before the whole of it is known: only then a store has it as well,
/// and lists come in pages, as an object may be large.
pub fn whole_lists<K>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> {
    let mut listed = Vec::new();
    events.flat_map(move |event| {
        let due = match event {
            Ok(watcher::Event::Init) => {
                listed.clear();
                vec![Ok(watcher::Event::Init)]
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed.push(Ok(watcher::Event::InitApply(object)));
                Vec::new()
            }
            Ok(watcher::Event::InitDone) => {
                listed.push(Ok(watcher::Event::InitDone));
                std::mem::take(&mut listed)
            }
            other => vec![other],
        };
        stream::iter(due)
    })
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
            let kind = Kind::of_label(child.labels().get(LABEL_NAME)?)?;
            let object = ObjectKey {
                kind,
                namespace: child.namespace()?,
                name: child.labels().get(LABEL_INSTANCE)?.clone(),
            };
            let gone = child
                .uid()
                .filter(|_| gone)
                .map(|uid| (K::kind(&()).into_owned(), uid));
            Some(ChildNews { object, gone })
        })
}

/// Watches Secrets and ConfigMaps, as metadata, in namespaces that hold an instance; and stores of backups, in those
/// where an instance keeps a log.
pub struct ReferenceWatches {
    client: Client,
    wake: UnboundedSender<ObjectKey>,
    own_namespace: String,
    stores: Arc<RwLock<Vec<Box<dyn Referring>>>>,
    further: Further,
    watched: Mutex<HashMap<String, Watched>>,
}

/// What follows one namespace.
struct Watched {
    references: Vec<JoinHandle<()>>,
    backup_stores: Option<JoinHandle<()>>,
}

impl ReferenceWatches {
    /// No watch yet. In `own_namespace` every ConfigMap concerns every instance: the catalog and
    /// the default policies lie there.
    pub fn new(client: Client, wake: UnboundedSender<ObjectKey>, own_namespace: String) -> Self {
        let further = Further::default();
        let stores: Vec<Box<dyn Referring>> = vec![Box::new(further.clone())];
        Self {
            client,
            wake,
            own_namespace,
            stores: Arc::new(RwLock::new(stores)),
            further,
            watched: Mutex::default(),
        }
    }

    /// Has a pass over an object begin soon.
    pub fn wake(&self, object: ObjectKey) {
        // Nobody listens any more when the operator ends.
        let _ = self.wake.send(object);
    }

    /// The same, of an object that there is.
    pub fn wake_known(&self, object: &ObjectKey) {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let is_there = stores.iter().any(|store| store.has(object));
        drop(stores);
        if is_there {
            self.wake(object.clone());
        }
    }

    /// Has a pass over each object of a kind begin soon.
    pub fn wake_all(&self, kind: Kind) {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<ObjectKey> = stores.iter().flat_map(|store| store.all()).collect();
        drop(stores);
        let of_kind = all.into_iter().filter(|object| object.kind == kind);
        of_kind.for_each(|object| self.wake(object));
    }

    /// What an object refers to beyond what its spec names, from now on: objects of its namespace.
    pub fn note(&self, object: &ObjectKey, names: Vec<String>) {
        let mut further = self.further.lock();
        match names.is_empty() {
            true => further.remove(object),
            false => further.insert(object.clone(), names),
        };
    }

    /// Knows these objects too from now on, and watches the operator's own namespace.
    pub fn watch<K: Controlled>(&self, objects: Store<Received<K>>) {
        let mut stores = self.stores.write().unwrap_or_else(PoisonError::into_inner);
        stores.push(Box::new(objects));
        drop(stores);
        self.ensure(&self.own_namespace);
    }

    /// Makes sure that `namespace` is watched.
    pub fn ensure(&self, namespace: &str) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.contains_key(namespace) {
            return;
        }
        let references = vec![
            tokio::spawn(self.follow::<Secret>(namespace)),
            tokio::spawn(self.follow::<ConfigMap>(namespace)),
        ];
        let tasks = Watched {
            references,
            backup_stores: None,
        };
        watched.insert(namespace.to_owned(), tasks);
    }

    /// Makes sure that stores of backups in `namespace`, which is watched, are watched as well.
    pub fn ensure_backup_stores(&self, namespace: &str) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = watched.get_mut(namespace) else {
            return;
        };
        let begin = || tokio::spawn(self.follow::<RedisBackupStore>(namespace));
        tasks.backup_stores.get_or_insert_with(begin);
    }

    /// Ends the watch of `namespace` if no object is left there.
    pub fn drop_unused(&self, namespace: &str) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        let is_used = stores.iter().any(|store| store.is_in(namespace));
        if is_used || namespace == self.own_namespace {
            return;
        }
        let tasks = watched.remove(namespace).into_iter();
        let tasks = tasks.flat_map(|tasks| tasks.references.into_iter().chain(tasks.backup_stores));
        tasks.for_each(|task| task.abort());
    }

    fn follow<K>(&self, namespace: &str) -> impl Future<Output = ()> + Send + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + Send
            + 'static,
    {
        let api: Api<PartialObjectMeta<K>> = Api::namespaced(self.client.clone(), namespace);
        let (wake, stores) = (self.wake.clone(), self.stores.clone());
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
                let everybody = own && K::kind(&()) == "ConfigMap" && !kept;
                let concerned: Vec<ObjectKey> = {
                    let stores = stores.read().unwrap_or_else(PoisonError::into_inner);
                    let about = |store: &dyn Referring| match everybody {
                        true => store.all(),
                        false => store.referring(&namespace, &name),
                    };
                    let stores = stores.iter().map(Box::as_ref);
                    stores.flat_map(about).collect()
                };
                for object in concerned {
                    if wake.send(object).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// Objects that may refer to others, of one kind.
trait Referring: Send + Sync {
    /// Every object.
    fn all(&self) -> Vec<ObjectKey>;

    /// Those that the object of this name is a child of, or that name it in their spec.
    fn referring(&self, namespace: &str, name: &str) -> Vec<ObjectKey>;

    /// True if one is there.
    fn is_in(&self, namespace: &str) -> bool;

    /// True if this object is one of them.
    fn has(&self, object: &ObjectKey) -> bool;
}

/// What objects refer to beyond what their specs name, as their passes found it.
#[derive(Clone, Default)]
struct Further(Arc<Mutex<HashMap<ObjectKey, Vec<String>>>>);

impl Further {
    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Referring for Further {
    fn all(&self) -> Vec<ObjectKey> {
        Vec::new()
    }

    fn referring(&self, namespace: &str, name: &str) -> Vec<ObjectKey> {
        let all = self.lock();
        let concerned = all.iter().filter(|(object, names)| {
            object.namespace == namespace && names.iter().any(|named| named == name)
        });
        concerned.map(|(object, _)| object.clone()).collect()
    }

    fn is_in(&self, _: &str) -> bool {
        false
    }

    fn has(&self, _: &ObjectKey) -> bool {
        false
    }
}

impl<K: Controlled> Referring for Store<Received<K>> {
    fn all(&self) -> Vec<ObjectKey> {
        let objects = self.state();
        objects
            .iter()
            .map(|object| ObjectKey::of(&**object))
            .collect()
    }

    fn referring(&self, namespace: &str, name: &str) -> Vec<ObjectKey> {
        let objects = self.state();
        let concerned = objects.iter().filter(|object| {
            let about = object.meta();
            let is_child = || {
                let rest = name.strip_prefix(about.name.as_deref().unwrap_or_default());
                rest.is_some_and(|rest| rest.starts_with('-'))
            };
            let is_named = || {
                let read = object.0.as_ref();
                read.is_ok_and(|object| object.references().contains(&name))
            };
            about.namespace.as_deref() == Some(namespace) && (is_child() || is_named())
        });
        concerned.map(|object| ObjectKey::of(&**object)).collect()
    }

    fn is_in(&self, namespace: &str) -> bool {
        let is_here =
            |object: &Arc<Received<K>>| object.meta().namespace.as_deref() == Some(namespace);
        self.state().iter().any(is_here)
    }

    fn has(&self, object: &ObjectKey) -> bool {
        object.kind == K::KIND && self.get(&object.reference()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pass_found_that_an_object_refers_to_concerns_it_in_its_namespace_alone() {
        let further = Further::default();
        let cart = ObjectKey::instance("shop", "cart");
        further
            .lock()
            .insert(cart.clone(), vec!["s3-key".to_owned()]);
        assert_eq!(further.referring("shop", "s3-key"), [cart]);
        assert!(further.referring("shop", "other").is_empty());
        assert!(further.referring("bank", "s3-key").is_empty());
        assert!(further.all().is_empty() && !further.is_in("shop"));
    }

    #[tokio::test]
    async fn of_a_list_nothing_is_told_before_the_whole_of_it_is_known() {
        use watcher::Event::{Apply, Init, InitApply, InitDone};
        let begun = [Init, InitApply("gone by then"), Init, InitApply("a")];
        let begun = whole_lists(stream::iter(begun.map(Ok)));
        let told: Vec<_> = begun
            .map(|event| format!("{:?}", event.unwrap()))
            .collect()
            .await;
        assert_eq!(told, ["Init", "Init"]);
        let whole = [Init, InitApply("a"), InitApply("b"), InitDone, Apply("c")];
        let told = whole_lists(stream::iter(whole.clone().map(Ok)));
        let told: Vec<_> = told
            .map(|event| format!("{:?}", event.unwrap()))
            .collect()
            .await;
        assert_eq!(told, whole.map(|event| format!("{event:?}")));
    }
}
