//! Connections to the agents of data pods: one event stream each, and requests.

mod client;
mod identity;
mod late;
mod stream;
mod streams;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hera_core::agent::Role;
use hera_core::shard::AgentView;
use hera_kube::Leadership;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

pub use client::{AgentClient, AgentError};
pub use identity::{Identities, Identity};
pub use stream::FIRST_ROUND;
use streams::Streams;

use crate::leaders::Leaders;
use crate::object::ObjectKey;

/// A pod whose agent is to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The instance that is woken by news.
    pub instance: ObjectKey,
    /// The pod's uid.
    pub pod_uid: String,
    /// The pod's address.
    pub ip: IpAddr,
    /// The name in the agent's certificate.
    pub server_name: String,
}

/// Listens to agents and keeps the last that each said.
pub struct AgentPool {
    wake: UnboundedSender<ObjectKey>,
    leadership: Leadership,
    leaders: Arc<Leaders>,
    streams: Mutex<Streams>,
}

/// What one agent says, and how it is asked.
struct Stream {
    target: Target,
    client: AgentClient,
    view: Arc<Mutex<AgentView>>,
    since: Instant,
    /// The pod object is gone: once the agent is not heard either, nobody listens any more.
    gone: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Stream {
    fn view(&self) -> MutexGuard<'_, AgentView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_heard(&self) -> bool {
        self.view().status().is_some()
    }

    /// Nobody listens any more, or is about to end that.
    fn is_over(&self) -> bool {
        let gone = self.gone.load(Ordering::Relaxed) && !self.view().serves();
        gone || self.task.is_finished()
    }

    fn is_unknown(&self) -> bool {
        matches!(*self.view(), AgentView::Absent)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AgentPool {
    /// A pool that reports news to `wake`.
    pub fn new(
        wake: UnboundedSender<ObjectKey>,
        leadership: Leadership,
        leaders: Arc<Leaders>,
    ) -> Self {
        Self {
            wake,
            leadership,
            leaders,
            streams: Mutex::default(),
        }
    }

    /// What is known of an agent.
    pub fn view(&self, pod_uid: &str) -> AgentView {
        self.lock()
            .get(pod_uid)
            .map_or(AgentView::Absent, |stream| stream.view().clone())
    }

    /// True while it is too early to say anything about an agent: it is listened to since a moment,
    /// as after a start of the operator, and was not heard yet.
    pub fn is_too_early(&self, pod_uid: &str) -> bool {
        self.lock().get(pod_uid).is_some_and(|stream| {
            stream.is_unknown() && stream.since.elapsed() < stream::FIRST_WORD
        })
    }

    /// True while this process has only just begun to listen to an instance's agents, and has not heard
    /// all of them: what is not heard is no news then.
    pub fn is_new_to(&self, instance: &ObjectKey) -> bool {
        let streams = self.lock();
        streams.of(instance).any(Stream::is_unknown)
            && streams
                .of(instance)
                .all(|s| s.since.elapsed() < stream::FIRST_ROUND)
    }

    /// The client of an agent that is listened to.
    pub fn client(&self, pod_uid: &str) -> Option<AgentClient> {
        self.lock().get(pod_uid).map(|stream| stream.client.clone())
    }

    /// Those of an instance's agents that wait for another pod to take over before theirs ends.
    pub fn leaving(&self, instance: &ObjectKey) -> Vec<AgentClient> {
        let streams = self.lock();
        let waits = |stream: &&Stream| stream.view().status().is_some_and(|status| status.leaving);
        let waiting = streams.of(instance).filter(waits);
        waiting.map(|stream| stream.client.clone()).collect()
    }

    /// True if `target` is listened to already, so that no client needs to be made for it.
    pub fn knows(&self, target: &Target) -> bool {
        self.lock()
            .get(&target.pod_uid)
            .is_some_and(|stream| stream.target == *target && !stream.client.is_ageing())
    }

    /// Listens to `target` with `client`, instead of whatever was there for the pod.
    pub fn listen(&self, target: Target, client: AgentClient) {
        let view: Arc<Mutex<AgentView>> = Arc::default();
        let gone = Arc::<AtomicBool>::default();
        let listener = stream::Listener {
            client: client.clone(),
            instance: target.instance.clone(),
            view: view.clone(),
            wake: self.wake.clone(),
            leadership: self.leadership.clone(),
            leaders: self.leaders.clone(),
            gone: gone.clone(),
            answers: Arc::new(Semaphore::new(stream::ANSWERS)),
        };
        let (asked, wake, object) = (client.clone(), self.wake.clone(), target.instance.clone());
        let task = tokio::spawn(async move {
            let heard = move || {
                // Nobody listens any more when the operator ends.
                let _ = wake.send(object.clone());
            };
            tokio::select! {
                () = listener.listen() => {}
                never = asked.look_after_late(heard) => match never {},
            }
        });
        let stream = Stream {
            target: target.clone(),
            client,
            view,
            since: Instant::now(),
            gone,
            task,
        };
        self.lock().insert(stream);
    }

    /// Stops listening to every pod of an instance but those of `pod_uids`, and primaries that are
    /// heard although their pod object is gone: it proves nothing.
    pub fn keep_only(&self, instance: &ObjectKey, pod_uids: &[&str]) {
        self.lock().retain_of(instance, |stream| {
            pod_uids.contains(&stream.target.pod_uid.as_str()) || stream.view().serves()
        });
    }

    /// A pod object is gone: stops listening to its agent, unless a primary is heard there.
    pub fn drop_pod(&self, pod_uid: &str) {
        let mut streams = self.lock();
        let Some(stream) = streams.get(pod_uid) else {
            return;
        };
        stream.gone.store(true, Ordering::Relaxed);
        let instance = stream.target.instance.clone();
        streams.retain_of(&instance, |stream| !stream.is_over());
    }

    /// Drops what is known of the agents of an instance that is gone and that are not listened to any more.
    pub fn drop_finished(&self, instance: &ObjectKey) {
        self.lock().retain_of(instance, |stream| !stream.is_over());
    }

    /// Agents of an instance that are heard and whose pod is none of `pod_uids`.
    pub fn heard_beside(&self, instance: &ObjectKey, pod_uids: &[&str]) -> Vec<Target> {
        let streams = self.lock();
        let beside = streams.of(instance).filter(|stream| {
            !pod_uids.contains(&stream.target.pod_uid.as_str()) && stream.is_heard()
        });
        beside.map(|stream| stream.target.clone()).collect()
    }

    /// The names of those of an object's servers that are heard as primaries.
    pub fn leading(&self, object: &ObjectKey) -> Vec<String> {
        let streams = self.lock();
        let leads = |stream: &&Stream| {
            let view = stream.view();
            view.status()
                .is_some_and(|status| status.role == Role::Primary && !status.hangs)
        };
        let leading = streams.of(object).filter(leads);
        leading
            .map(|stream| stream.target.server_name.clone())
            .collect()
    }

    /// Agents that are connected now.
    pub fn connected(&self) -> usize {
        let streams = self.lock();
        streams.all().filter(|stream| stream.is_heard()).count()
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
