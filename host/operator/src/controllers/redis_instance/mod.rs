//! The controller of RedisInstance: observe → decide → apply → status.

mod act;
mod carry;
mod children;
mod events;
mod farewell;
mod handover;
mod heal;
mod image;
mod labels;
#[cfg(test)]
mod lying;
mod nodes;
mod observe;
mod pass;
mod refusals;
mod rights;
mod site;
mod status;
mod way_back;
mod written;

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use hera_kube::{ApplyError, Refusal, Severity};
use hera_policy::{FairQueue, Places};
use kube::api::Api;
use kube::runtime::controller::{Action, Controller, Error as ControllerError};
use kube::runtime::{
    Predicate as _, PredicateConfig, WatchStreamExt as _, predicates, reflector, watcher,
};
use kube::{Resource as _, ResourceExt as _};
use thiserror::Error;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tracing::{Instrument as _, debug, info_span, warn};

use crate::agents::AgentError;
use crate::authority::AuthorityError;
use crate::shared::{Guarded, InstanceRef, Shared};
use crate::watches;

pub use farewell::Farewells;

const KIND: &str = "redisinstance";
/// Passes side by side. The controller itself takes in everything at once: of what waits for it, it would
/// take any next, and some of it never while others change all the time.
const PASSES: Places = Places {
    all: 16,
    of_owner: 8,
    waiting_of_owner: usize::MAX,
};
/// A settled object is looked at again after this, as a net under the watches.
const NET: Duration = Duration::from_secs(900);
/// An object that waits for something that a watch may not show is looked at again after this.
const WAITING: Duration = Duration::from_secs(15);
/// Agents tell of roles that changed sooner than this; it is for those that cannot.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two passes of a settled object that something is due for, and of one that nobody leads, when they
/// fail.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What the API server refuses is tried again after this at the latest: no watch tells that a quota or a
/// webhook is gone.
const REFUSED: Duration = Duration::from_secs(5);
/// A pass that takes longer hangs.
const PASS_LIMIT: Duration = Duration::from_secs(60);

/// Why a pass ended early.
#[derive(Debug, Error)]
pub enum PassError {
    /// The API server.
    #[error("the API server: {0}")]
    Kube(#[from] kube::Error),
    /// A child could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The primary could not hand over; it serves on.
    #[error("the primary did not hand over: {0}")]
    HandOver(String),
    /// The pass hung.
    #[error("the pass took more than {} s", PASS_LIMIT.as_secs())]
    Hung,
    /// This process was stopped, or something took long, between a look at the copies and a promotion.
    #[error("copies were looked at too long ago to promote one of them: they are looked at anew")]
    Overtaken,
    /// Another leader, or somebody by hand, wrote what this pass had read; or a rule forbids to write it.
    #[error(
        "the annotation {annotation} of the StatefulSet is not what it was, or may not be written, and is \
         read anew: {words}"
    )]
    WrittenMeanwhile {
        /// Which.
        annotation: &'static str,
        /// Those of the API server.
        words: String,
    },
    /// Another replica leads now.
    #[error("another replica leads now")]
    LeadershipLost,
    /// A step that changes who leads failed in the middle: who does is to be seen anew.
    #[error("{0}")]
    Midway(Box<Self>),
    /// The API server refuses objects; everything else is carried out, and the status says so.
    #[error("the API server refuses {} objects, first of all {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
    Refused(Vec<Refusal>),
    /// In a pass that found no primary: the next one comes soon, whatever has failed how often.
    #[error("nobody leads, and {0}")]
    NobodyLeads(Box<Self>),
}

impl PassError {
    /// The object that the API server refuses, if that is all.
    fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Apply(ApplyError::Refused(refusal)) => Some(refusal),
            Self::Refused(refusals) => refusals.first(),
            Self::Midway(error) | Self::NobodyLeads(error) => error.refusal(),
            _ => None,
        }
    }
}

/// What a pass came to.
pub enum Outcome {
    /// Nothing is left to do.
    Settled,
    /// Nothing is left to do before this time, in milliseconds since 1970.
    SettledUntil(u64),
    /// Something is under way that news will tell about.
    Waiting,
    /// Roles changed: what follows from that is to be done now.
    Again,
    /// Something may be done after this that no news tells of.
    After(Duration),
    /// This replica does not lead.
    Standby,
}

impl Outcome {
    /// The same, and another look after `limit` at the latest.
    fn within(self, limit: Duration) -> Self {
        match self {
            Self::Settled | Self::SettledUntil(_) | Self::Waiting => Self::After(limit),
            Self::After(wait) => Self::After(wait.min(limit)),
            soon @ (Self::Again | Self::Standby) => soon,
        }
    }
}

/// Runs a controller for each of the namespaces, or one for all, until `stop` is true; an item for
/// each pass.
pub fn run(
    shared: Arc<Shared>,
    namespaces: &[String],
    woken: UnboundedReceiver<InstanceRef>,
    stop: &watch::Receiver<bool>,
) -> impl Stream<Item = ()> + use<> {
    let scopes = watches::scopes(namespaces);
    let news = route(woken, &scopes);
    let controllers: Vec<_> = scopes
        .iter()
        .map(|scope| {
            let api: Api<Guarded> = match scope {
                Some(namespace) => Api::namespaced(shared.client.clone(), namespace),
                None => Api::all(shared.client.clone()),
            };
            controller(api, shared.clone())
        })
        .collect();
    let stores = controllers.iter().map(Controller::store).collect();
    shared.references.watch(stores);
    let passes =
        controllers
            .into_iter()
            .zip(scopes)
            .zip(news)
            .map(|((controller, scope), news)| {
                one(controller, scope, news, shared.clone(), stop.clone()).boxed()
            });
    stream::select_all(passes)
}

/// Turns of passes.
pub fn turns() -> FairQueue {
    FairQueue::new(PASSES)
}

/// A controller that what it writes into a status does not wake, and what others write there does.
fn controller(api: Api<Guarded>, shared: Arc<Shared>) -> Controller<Guarded> {
    let (reader, writer) = reflector::store();
    let status = move |object: &Guarded| object.0.as_ref().ok().map(|o| shared.status.news(o));
    let wanted = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::labels)
        .combine(predicates::finalizers)
        .combine(status);
    let objects = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(wanted, PredicateConfig::default());
    Controller::for_stream(objects, reader)
}

/// Each controller gets the news of its own namespace.
fn route(
    mut woken: UnboundedReceiver<InstanceRef>,
    scopes: &[Option<String>],
) -> Vec<UnboundedReceiver<InstanceRef>> {
    let (senders, receivers): (Vec<_>, Vec<_>) =
        scopes.iter().map(|_| mpsc::unbounded_channel()).unzip();
    let scopes = scopes.to_vec();
    tokio::spawn(async move {
        while let Some(instance) = woken.recv().await {
            let target = scopes
                .iter()
                .position(|scope| scope.is_none() || *scope == instance.namespace);
            // Nobody listens any more when the operator ends.
            let sender = target.and_then(|at| senders.get(at));
            let _ = sender.map(|sender| sender.send(instance));
        }
    });
    receivers
}

fn one(
    controller: Controller<Guarded>,
    scope: Option<String>,
    mut news: UnboundedReceiver<InstanceRef>,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) -> impl Stream<Item = ()> + Send {
    let news = stream::poll_fn(move |cx| news.poll_recv(cx));
    let pool = shared.clone();
    let children = watches::children(&shared.client, scope).map(move |news| {
        match &news.gone {
            Some((kind, uid)) if kind == "Pod" => pool.agents.drop_pod(uid),
            // It goes with the instance.
            Some((kind, _)) if kind == "StatefulSet" => pool.forget(&news.instance),
            _ => {}
        }
        news.instance
    });
    let leading = shared.clone();
    let elections = stream::unfold(shared.leadership.clone(), |mut leadership| async move {
        leadership.changed().await;
        Some(((), leadership))
    })
    .inspect(move |()| {
        leading
            .metrics
            .leader
            .set(i64::from(leading.leadership.term().is_some()));
    });
    let pods = shared.clone();
    let objects = controller.store();
    controller
        .reconcile_on(news)
        .reconcile_on(children)
        .reconcile_all_on(elections)
        .graceful_shutdown_on(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        })
        .run(
            move |object, shared: Arc<Shared>| {
                let objects = objects.clone();
                async move {
                    let namespace = object.namespace().unwrap_or_default();
                    shared.references.ensure(&namespace);
                    let wait = &shared.metrics.reconcile_wait_seconds;
                    let waited = wait.with_label_values(&[KIND]).start_timer();
                    // Nothing bounds how many wait.
                    let turn = shared.passes.turn(&namespace).await;
                    waited.observe_duration();
                    // What was changed while it waited counts.
                    let Some(object) = objects.get(&InstanceRef::from_obj(&*object)) else {
                        return Ok(Action::await_change());
                    };
                    let action = reconcile(object, shared).await;
                    drop(turn);
                    action
                }
            },
            on_error,
            shared,
        )
        .map(move |result| match result {
            Ok(_) => {}
            // News of what is left of an instance that is gone.
            Err(ControllerError::ObjectNotFound(gone)) => {
                let instance = InstanceRef::new(&gone.name)
                    .within(gone.namespace.as_deref().unwrap_or_default());
                let shared = pods.clone();
                tokio::spawn(async move {
                    farewell::let_go(&shared, &instance).await;
                    farewell::drop_empty_claims(&shared, &instance).await;
                });
            }
            Err(error) => debug!(%error, "controller"),
        })
}

async fn reconcile(object: Arc<Guarded>, shared: Arc<Shared>) -> Result<Action, PassError> {
    let name = object.name_any();
    let namespace = object.namespace().unwrap_or_default();
    let span = info_span!("reconcile", kind = KIND, %namespace, %name);
    let started = std::time::Instant::now();
    let work = async {
        match &object.0 {
            Ok(cached) => {
                let newer = shared.status.newer(cached);
                pass::run(newer.as_ref().unwrap_or(cached), &shared).await
            }
            Err(invalid) => {
                if shared.leadership.term().is_some() {
                    let note = format!("the object cannot be read: {}", invalid.error);
                    let about = object.object_ref(&());
                    shared
                        .events
                        .publish_state(&about, Severity::Warning, "SpecInvalid", &note)
                        .await;
                }
                Ok(Outcome::Standby)
            }
        }
    };
    let result = tokio::time::timeout(PASS_LIMIT, work.instrument(span))
        .await
        .unwrap_or(Err(PassError::Hung));
    shared
        .metrics
        .reconcile_seconds
        .with_label_values(&[KIND])
        .observe(started.elapsed().as_secs_f64());
    shared
        .metrics
        .agents
        .set(i64::try_from(shared.agents.connected()).unwrap_or(0));
    let outcome = match &result {
        Ok(Outcome::Settled | Outcome::SettledUntil(_) | Outcome::Standby) => "ok",
        Ok(Outcome::Waiting | Outcome::Again | Outcome::After(_)) => "waiting",
        Err(_) => "failed",
    };
    shared
        .metrics
        .reconciles
        .with_label_values(&[KIND, outcome])
        .inc();
    let outcome = result?;
    shared.attempts.reset(&InstanceRef::from_obj(&object));
    Ok(match outcome {
        Outcome::Settled => Action::requeue(NET),
        Outcome::SettledUntil(at) => {
            let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
            let left = Duration::from_millis(at.saturating_sub(now));
            Action::requeue(left.clamp(AT_ONCE, NET))
        }
        Outcome::Waiting => Action::requeue(WAITING),
        Outcome::Again => Action::requeue(AGAIN),
        Outcome::After(wait) => Action::requeue(wait.clamp(AGAIN, WAITING)),
        Outcome::Standby => Action::await_change(),
    })
}

fn on_error(object: Arc<Guarded>, error: &PassError, shared: Arc<Shared>) -> Action {
    let mut delay = shared
        .attempts
        .failed(&InstanceRef::from_obj(&object), KIND);
    if error.refusal().is_some() {
        delay = delay.min(REFUSED);
    }
    if matches!(error, PassError::NobodyLeads(_)) {
        delay = delay.min(AT_ONCE);
    }
    warn!(name = %object.name_any(), namespace = ?object.namespace(), %error, ?delay, "pass failed");
    Action::requeue(delay)
}
