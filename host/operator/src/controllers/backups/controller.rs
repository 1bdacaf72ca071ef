//! What wakes a backup, and when its next pass comes.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use hera_api::Kind;
use kube::api::Api;
use kube::runtime::controller::{Action, Controller, Error as ControllerError};
use kube::runtime::{
    Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, reflector, watcher,
};
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::watch;
use tracing::{Instrument as _, debug, info_span, warn};

use super::known::Guarded;
use super::memory::{Key, Memory};
use super::pass;
use crate::controllers::driver::{self, PAGE};
use crate::controllers::outcome::PassError;
use crate::shared::Shared;
use crate::watches;

/// A pass that takes longer is cut, and the next one begins anew.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two passes that fail.
const FAILED: Duration = Duration::from_secs(5);

/// Runs a controller for each of the namespaces, or one for all, until `stop` is true; an item for each pass.
pub fn run(
    shared: Arc<Shared>,
    namespaces: &[String],
    stop: &watch::Receiver<bool>,
) -> impl Stream<Item = ()> + use<> {
    let memory = Arc::<Memory>::default();
    let passes: Vec<_> = watches::scopes(namespaces)
        .into_iter()
        .map(|scope| {
            let shared = shared.clone();
            one(scope, shared, memory.clone(), stop.clone()).boxed()
        })
        .collect();
    stream::select_all(passes)
}

fn one(
    scope: Option<String>,
    shared: Arc<Shared>,
    memory: Arc<Memory>,
    mut stop: watch::Receiver<bool>,
) -> impl Stream<Item = ()> + Send {
    let api: Api<Guarded> = match &scope {
        Some(namespace) => Api::namespaced(shared.client.clone(), namespace),
        None => Api::all(shared.client.clone()),
    };
    let (reader, writer) = reflector::store();
    shared.backups.known.watch(scope.clone(), reader.clone());
    let pages = watcher::Config::default().page_size(PAGE);
    let listed = watcher(api, pages).default_backoff().reflect(writer);
    let told = shared.clone();
    // What is written into a status wakes no backup; its object goes by it.
    let objects = watches::whole_lists(listed)
        .inspect(move |event| {
            if let Ok(event) = event {
                tell(&told, scope.as_deref(), event);
            }
        })
        .applied_objects()
        .predicate_filter(
            predicates::generation.combine(predicates::annotations),
            PredicateConfig::default(),
        );
    let elections = driver::elections(&shared);
    let controller = Controller::for_stream(objects, reader);
    let known = controller.store();
    let (left, forgotten) = (shared.clone(), memory.clone());
    controller
        .reconcile_all_on(elections)
        .graceful_shutdown_on(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .run(
            move |backup: Arc<Guarded>, shared: Arc<Shared>| {
                let (known, memory) = (known.clone(), memory.clone());
                async move {
                    let namespace = backup.namespace().unwrap_or_default();
                    // Nothing bounds how many wait: nobody is refused.
                    let _turn = memory.places.turn(&namespace).await.ok();
                    let all = known.state();
                    let pass = Box::pin(reconcile(&backup, &shared, &memory, &all));
                    let done = tokio::time::timeout(LIMIT, pass).await;
                    let done = done.unwrap_or(Err(PassError::Hung));
                    done.map(|next| next.map_or_else(Action::await_change, Action::requeue))
                }
            },
            on_error,
            shared,
        )
        .map(move |result| match result {
            Ok(_) => {}
            Err(ControllerError::ObjectNotFound(gone)) => {
                let key = Key {
                    namespace: gone.namespace.unwrap_or_default(),
                    name: gone.name,
                };
                let (shared, reading) = (left.clone(), forgotten.forget(&key));
                tokio::spawn(async move { pass::end(&shared, &key, reading).await });
            }
            Err(error) => debug!(%error, "controller"),
        })
}

/// Wakes the objects of backups of which something is new.
fn tell(shared: &Shared, namespace: Option<&str>, event: &watcher::Event<Guarded>) {
    let news = shared.backups.known.note(namespace, event);
    let references = &shared.references;
    for object in &news.objects {
        references.wake_known(object);
    }
    if news.are_known {
        references.wake_all(Kind::RedisInstance);
    }
}

async fn reconcile(
    backup: &Guarded,
    shared: &Shared,
    memory: &Memory,
    all: &[Arc<Guarded>],
) -> Result<pass::Again, PassError> {
    let (name, namespace) = (backup.name_any(), backup.namespace().unwrap_or_default());
    let span = info_span!("reconcile", kind = "redisbackup", %namespace, %name);
    let work = async {
        match &backup.0 {
            Ok(read) => Box::pin(pass::run(shared, memory, read, all)).await,
            Err(invalid) => {
                driver::tell_unreadable(shared, &backup.object_ref(&()), &invalid.error).await;
                Ok(None)
            }
        }
    };
    work.instrument(span).await
}

fn on_error(backup: Arc<Guarded>, error: &PassError, _: Arc<Shared>) -> Action {
    let (name, namespace) = (backup.name_any(), backup.namespace().unwrap_or_default());
    warn!(namespace, name, %error, next = ?FAILED, "pass of a backup failed");
    Action::requeue(FAILED)
}
