//! Runs passes over all objects of a kind: what wakes them, in whose turn, and when they come again.

use std::collections::HashSet;
use std::fmt::Debug;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use hera_api::{HasCommonSpec, Kind, Received};
use hera_kube::{Severity, StatusWriter};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::Api;
use kube::core::object::HasStatus;
use kube::runtime::controller::{Action, Controller, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{
    Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, reflector, watcher,
};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tracing::{Instrument as _, debug, info_span, warn};

use super::outcome::{Outcome, PassError};
use super::turns::Pass;
use super::wakes::{Turn, Wakes};
use crate::metrics::Figures;
use crate::object::ObjectKey;
use crate::shared::Shared;
use crate::watches;

/// Objects in one answer of the API server, each of which may have a megabyte and a half.
pub const PAGE: u32 = 32;
/// Children are made and changed several at a time: one pass sees to all that change within this.
const TOGETHER: Duration = Duration::from_millis(30);

/// What a kind of object brings to be carried out.
pub trait Controlled:
    HasCommonSpec<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: Serialize + PartialEq>
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
    /// Which it is.
    const KIND: Kind;
    /// Its name in metrics.
    const LABEL: &'static str;

    /// The Secrets and ConfigMaps of its namespace that its spec names: what changes there wakes it.
    fn references(&self) -> Vec<&str>;

    /// True if nobody is missing among those who lead, by the names of their servers; or if nobody is to lead.
    fn is_led(&self, leading: &[String]) -> bool;

    /// What metrics tell of it.
    fn figures(&self) -> Figures<'_>;

    /// Who writes its status.
    fn status_writer(shared: &Shared) -> &StatusWriter<Self>;

    /// One pass: observes, decides, applies and tells.
    fn pass(&self, shared: &Shared) -> impl Future<Output = Result<Outcome, PassError>> + Send;

    /// What is done once the object is gone and something of it is left.
    fn gone(object: &ObjectKey, shared: &Shared) -> impl Future<Output = ()> + Send;
}

/// Runs a controller for each of the namespaces, or one for all, until `stop` is true; an item for
/// each pass.
pub fn run<K: Controlled>(
    shared: Arc<Shared>,
    namespaces: &[String],
    woken: UnboundedReceiver<ObjectKey>,
    stop: &watch::Receiver<bool>,
) -> impl Stream<Item = ()> + use<K> {
    let scopes = watches::scopes(namespaces);
    let news = route(woken, &scopes);
    let wakes = Arc::<Wakes>::default();
    let controllers: Vec<_> = scopes
        .iter()
        .map(|scope| {
            let api: Api<Received<K>> = match scope {
                Some(namespace) => Api::namespaced(shared.client.clone(), namespace),
                None => Api::all(shared.client.clone()),
            };
            controller(api, shared.clone(), wakes.clone())
        })
        .collect();
    for (controller, _) in &controllers {
        shared.references.watch(controller.store());
        shared.metrics.objects.watch(controller.store());
    }
    let passes =
        controllers
            .into_iter()
            .zip(scopes)
            .zip(news)
            .map(|((controller, scope), news)| {
                let (shared, wakes) = (shared.clone(), wakes.clone());
                one(controller, scope, news, shared, wakes, stop.clone()).boxed()
            });
    stream::select_all(passes)
}

/// A controller that what it writes into a status does not wake, and what others write there does; and
/// objects that are gone.
fn controller<K: Controlled>(
    api: Api<Received<K>>,
    shared: Arc<Shared>,
    wakes: Arc<Wakes>,
) -> (Controller<Received<K>>, UnboundedReceiver<ObjectKey>) {
    let (reader, writer) = reflector::store();
    let status = move |object: &Received<K>| {
        // Who does not lead writes none, and sees to everything once it does.
        shared.leadership.term()?;
        let read = object.0.as_ref().ok()?;
        Some(K::status_writer(&shared).news(read))
    };
    let wanted = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::labels)
        .combine(predicates::finalizers)
        .combine(status);
    let pages = watcher::Config::default().page_size(PAGE);
    let (gone, left) = mpsc::unbounded_channel();
    let listed = watcher(api, pages).default_backoff().reflect(writer);
    let objects = watches::whole_lists(listed)
        .inspect(move |event| {
            if let Ok(watcher::Event::Delete(object)) = event {
                // Nobody listens any more when the operator ends.
                let _ = gone.send(ObjectKey::of(object));
            }
        })
        .applied_objects()
        .predicate_filter(wanted, PredicateConfig::default())
        .inspect(move |object| {
            if let Ok(object) = object {
                wakes.note(&ObjectKey::of(object));
            }
        });
    (Controller::for_stream(objects, reader), left)
}

/// Each controller gets the news of its own namespace.
fn route(
    mut woken: UnboundedReceiver<ObjectKey>,
    scopes: &[Option<String>],
) -> Vec<UnboundedReceiver<ObjectKey>> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        scopes.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let scopes = scopes.to_vec();
    tokio::spawn(async move {
        while let Some(instance) = woken.recv().await {
            let target = scopes.iter().position(|scope| {
                scope
                    .as_ref()
                    .is_none_or(|scope| *scope == instance.namespace)
            });
            // Nobody listens any more when the operator ends.
            let sender = target.and_then(|at| senders.get(at));
            let _ = sender.map(|sender| sender.send(instance));
        }
    });
    receivers
}

fn one<K: Controlled>(
    (controller, mut gone): (Controller<Received<K>>, UnboundedReceiver<ObjectKey>),
    scope: Option<String>,
    mut news: UnboundedReceiver<ObjectKey>,
    shared: Arc<Shared>,
    wakes: Arc<Wakes>,
    mut stop: watch::Receiver<bool>,
) -> impl Stream<Item = ()> + Send {
    let noted = wakes.clone();
    let note = move |object: ObjectKey| {
        noted.note(&object);
        object.reference()
    };
    let news = stream::poll_fn(move |cx| news.poll_recv(cx)).map(note.clone());
    // Looked for, and not found: what is left of them is seen to.
    let gone = stream::poll_fn(move |cx| gone.poll_recv(cx)).map(|key| key.reference());
    let pool = shared.clone();
    let children = watches::children(&shared.client, scope).filter_map(move |news| {
        let is_ours = news.object.kind == K::KIND;
        match &news.gone {
            Some((kind, uid)) if is_ours && kind == "Pod" => {
                pool.agents.drop_pod(uid);
                pool.tables.forget(uid);
            }
            // It goes with the object.
            Some((kind, _)) if is_ours && kind == "StatefulSet" => pool.forget(&news.object),
            _ => {}
        }
        ready(is_ours.then_some(news.object))
    });
    let children = together(children).map(note);
    let (leading, elected) = (shared.clone(), wakes.clone());
    let elections = elections(&shared).inspect(move |()| {
        leading
            .metrics
            .leader
            .set(i64::from(leading.leadership.term().is_some()));
        elected.note_all();
    });
    let (left, over) = (shared.clone(), wakes.clone());
    let objects = controller.store();
    controller
        .reconcile_on(news)
        .reconcile_on(gone)
        .reconcile_on(children)
        .reconcile_all_on(elections)
        .graceful_shutdown_on(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .run(
            move |object, shared: Arc<Shared>| {
                let (objects, wakes) = (objects.clone(), wakes.clone());
                async move {
                    let key = ObjectKey::of(&*object);
                    shared.references.ensure(&key.namespace);
                    let wait = &shared.metrics.reconcile_wait_seconds;
                    let waited = wait.with_label_values(&[K::LABEL]).start_timer();
                    let is_led = || {
                        let object = objects.get(&key.reference());
                        let object = object.as_ref().and_then(|object| object.0.as_ref().ok());
                        object.is_none_or(|o| o.is_led(&shared.agents.leading(&key)))
                    };
                    let pass = Pass::begin(&shared.turns, &key, is_led).await;
                    waited.observe_duration();
                    if let Turn::NothingNew(next) = wakes.begin(&key) {
                        return Ok(action(next));
                    }
                    // What was changed while it waited counts.
                    let Some(object) = objects.get(&key.reference()) else {
                        return Ok(Action::await_change());
                    };
                    let took = &shared.metrics.reconcile_seconds;
                    let took = took.with_label_values(&[K::LABEL]).start_timer();
                    let work = reconcile(object, &shared);
                    let done = pass.carry_out(work).await;
                    drop(pass);
                    took.observe_duration();
                    let done = done.unwrap_or_else(|| match is_led() {
                        true => Err(PassError::Hung),
                        // Soon again, however often passes were cut.
                        false => Err(PassError::NobodyLeads(Box::new(PassError::Hung))),
                    });
                    finished::<K>(&shared, &done);
                    match done {
                        Ok(outcome) => {
                            shared.backoff.reset(&key);
                            let next = outcome.next();
                            wakes.due(&key, next);
                            Ok(action(next))
                        }
                        Err(error) => {
                            let next = error.delay(shared.backoff.failed(&key, K::LABEL));
                            wakes.due(&key, Some(next));
                            Err(Failed { error, next })
                        }
                    }
                }
            },
            on_error,
            shared,
        )
        .map(move |result| match result {
            Ok(_) => {}
            // News of what is left of an object that is gone.
            Err(ControllerError::ObjectNotFound(gone)) => {
                let gone = ObjectKey {
                    kind: K::KIND,
                    namespace: gone.namespace.unwrap_or_default(),
                    name: gone.name,
                };
                K::status_writer(&left).forget(&ObjectRef::new(&gone.name).within(&gone.namespace));
                over.forget(&gone);
                left.agents.drop_finished(&gone);
                left.references.drop_unused(&gone.namespace);
                left.metrics.objects.forget(&gone);
                let shared = left.clone();
                tokio::spawn(async move { K::gone(&gone, &shared).await });
            }
            Err(error) => debug!(%error, "controller"),
        })
}

async fn reconcile<K: Controlled>(
    object: Arc<Received<K>>,
    shared: &Shared,
) -> Result<Outcome, PassError> {
    let name = object.name_any();
    let namespace = object.namespace().unwrap_or_default();
    let span = info_span!("reconcile", kind = K::LABEL, %namespace, %name);
    let work = async {
        match &object.0 {
            Ok(cached) => {
                let newer = K::status_writer(shared).newer(cached);
                newer.as_ref().unwrap_or(cached).pass(shared).await
            }
            Err(invalid) => {
                tell_unreadable(shared, &object.object_ref(&()), &invalid.error).await;
                Ok(Outcome::Standby)
            }
        }
    };
    work.instrument(span).await
}

/// An item whenever another replica leads, or none.
pub fn elections(shared: &Shared) -> impl Stream<Item = ()> + use<> {
    stream::unfold(shared.leadership.clone(), |mut leadership| async move {
        leadership.changed().await;
        Some(((), leadership))
    })
}

/// Who leads tells of an object that cannot be decoded: nothing else can be done about it.
pub async fn tell_unreadable(shared: &Shared, about: &ObjectReference, error: &str) {
    if shared.leadership.term().is_some() {
        let note = format!("the object cannot be read: {error}");
        shared
            .events
            .publish_state(about, Severity::Warning, "SpecInvalid", &note)
            .await;
    }
}

/// Counts a pass that has ended, or was cut.
fn finished<K: Controlled>(shared: &Shared, result: &Result<Outcome, PassError>) {
    shared
        .metrics
        .agents
        .set(i64::try_from(shared.agents.connected()).unwrap_or(0));
    let outcome = match result {
        Ok(Outcome::Settled | Outcome::SettledUntil(_) | Outcome::Standby) => "ok",
        Ok(Outcome::Waiting | Outcome::Again | Outcome::After(_)) => "waiting",
        Err(_) => "failed",
    };
    shared
        .metrics
        .reconciles
        .with_label_values(&[K::LABEL, outcome])
        .inc();
}

/// Objects of a stream, each once for all its mentions within [`TOGETHER`].
fn together(objects: impl Stream<Item = ObjectKey> + Send) -> impl Stream<Item = ObjectKey> + Send {
    let due = Arc::<Mutex<HashSet<ObjectKey>>>::default();
    let known = due.clone();
    objects
        .filter(move |object| ready(lock(&known).insert(object.clone())))
        .map(move |object| {
            let due = due.clone();
            async move {
                tokio::time::sleep(TOGETHER).await;
                lock(&due).remove(&object);
                object
            }
        })
        .buffer_unordered(usize::MAX)
}

fn lock(due: &Mutex<HashSet<ObjectKey>>) -> MutexGuard<'_, HashSet<ObjectKey>> {
    due.lock().unwrap_or_else(PoisonError::into_inner)
}

fn action(next: Option<Duration>) -> Action {
    next.map_or_else(Action::await_change, Action::requeue)
}

/// A pass that failed, and after how long the next one comes.
#[derive(Debug, Error)]
#[error("{error}")]
struct Failed {
    error: PassError,
    next: Duration,
}

fn on_error<K: Controlled>(object: Arc<Received<K>>, failed: &Failed, _: Arc<Shared>) -> Action {
    let object = ObjectKey::of(&*object);
    warn!(%object, error = %failed.error, next = ?failed.next, "pass failed");
    Action::requeue(failed.next)
}
