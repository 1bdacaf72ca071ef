use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use hera_core::agent::{Confirmation, Members, News, Question, Request, Role};
use hera_core::shard::AgentView;
use hera_kube::Leadership;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, warn};

use super::AgentClient;
use crate::leaders::Leaders;
use crate::object::ObjectKey;

/// Wait before the next attempt: short at first, as a pod that starts is worth it.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// An agent that was not heard at all for this long does not answer.
pub const FIRST_WORD: Duration = Duration::from_secs(10);
/// Agents that answer are all heard within this once a process begins to listen to them.
pub const FIRST_ROUND: Duration = Duration::from_secs(2);
/// A stream that broke and comes back within this was only a moment's trouble.
const BROKEN: Duration = Duration::from_secs(3);
/// A primary with peers asks every second at least; one that is not heard for this long is cut off, or
/// dead.
const SILENCE: Duration = Duration::from_millis(2_500);
/// A status is a few kilobytes; more in one line is no status.
const LINE_BYTES: usize = 256 * 1024;

/// Listens to one agent.
pub struct Listener {
    pub client: AgentClient,
    pub instance: ObjectKey,
    pub view: Arc<Mutex<AgentView>>,
    pub wake: UnboundedSender<ObjectKey>,
    pub leadership: Leadership,
    pub leaders: Arc<Leaders>,
    /// The pod object is gone.
    pub gone: Arc<AtomicBool>,
}

impl Listener {
    /// Listens until the task is aborted, or nothing is left to listen to; reconnects by itself.
    pub async fn listen(self) {
        let mut retry = FIRST_RETRY;
        let started = Instant::now();
        let mut broken: Option<Instant> = None;
        loop {
            let mut heard = false;
            let why = match self.client.events().await {
                Err(error) => error.cause(),
                Ok(response) => self.read(response, &mut heard, &mut broken).await,
            };
            if heard {
                retry = FIRST_RETRY;
            }
            debug!(instance = %self.instance, why, "agent stream broke");
            if self.gone.load(Ordering::Relaxed) {
                return self.tell(AgentView::Unreachable(stable(&why)));
            }
            let since = *broken.get_or_insert_with(Instant::now);
            let is_news = match *self.view.lock().unwrap_or_else(PoisonError::into_inner) {
                AgentView::Absent => started.elapsed() > FIRST_WORD,
                AgentView::Connected(_) => since.elapsed() > BROKEN,
                AgentView::Unreachable(_) => true,
            };
            if is_news {
                self.tell(AgentView::Unreachable(stable(&why)));
            }
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    /// Reads a stream to its end; answers why it ended.
    async fn read(
        &self,
        response: reqwest::Response,
        heard: &mut bool,
        broken: &mut Option<Instant>,
    ) -> String {
        let mut lines = Lines::default();
        let mut chunks = response.bytes_stream();
        // Also one that was asked before the last peer had gone says nothing of what comes.
        let (mut asks, mut has_to) = (false, true);
        loop {
            // A primary with peers asks again and again; its silence is news.
            let limit = if asks { SILENCE } else { Duration::MAX };
            let chunk = match tokio::time::timeout(limit, chunks.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => return error.to_string(),
                Ok(None) => return "the agent closed the stream".to_owned(),
                Err(_) => {
                    *broken = Instant::now().checked_sub(BROKEN);
                    return "the primary has fallen silent".to_owned();
                }
            };
            for news in lines.push(&chunk) {
                *heard = true;
                *broken = None;
                match news {
                    News::Status(status) => {
                        has_to = has_to_ask(status.role, &status.members);
                        asks &= has_to;
                        self.tell(AgentView::Connected(status));
                    }
                    News::Question { question } => {
                        asks = has_to;
                        self.answer(&question);
                    }
                }
            }
        }
    }

    /// Only who holds the Lease says yes to a primary.
    fn answer(&self, question: &Question) {
        let Some(term) = self.leadership.term() else {
            return;
        };
        if !self.leaders.confirm(&self.instance, term, question) {
            return;
        }
        let request = Request {
            term: self.leaders.terms.speak(&self.instance, term),
            body: Confirmation {
                number: question.number,
                epoch: question.epoch,
            },
        };
        let client = self.client.clone();
        tokio::spawn(async move {
            if let Err(error) = client.confirm(&request).await {
                debug!(%error, "a primary was not told that it is confirmed");
            }
        });
    }

    fn tell(&self, next: AgentView) {
        let mut current = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == next {
            return;
        }
        *current = next;
        drop(current);
        if self.wake.send(self.instance.clone()).is_err() {
            debug!("nobody listens to news of agents any more");
        }
    }
}

/// Words that stay the same while the trouble does, so that a condition does not flap.
fn stable(why: &str) -> String {
    why.split(" (")
        .next()
        .unwrap_or(why)
        .chars()
        .take(200)
        .collect()
}

/// A primary asks again and again as long as it has peers and a limit.
fn has_to_ask(role: Role, members: &Members) -> bool {
    role == Role::Primary && members.pods.len() > 1 && members.fence_after_ms > 0
}

/// Cuts a byte stream into lines and reads them.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Vec<News> {
        self.rest.extend_from_slice(chunk);
        let mut found = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(news) => found.push(news),
                Err(error) => warn!(%error, "an agent sent a line that is no status"),
            }
        }
        if self.rest.len() > LINE_BYTES {
            self.rest.clear();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use hera_core::agent::Peer;

    use super::*;

    #[test]
    fn only_a_primary_that_may_be_fenced_is_silent_when_it_asks_nothing() {
        let list = |pods, fence_after_ms| Members {
            pods: vec![Peer::default(); pods],
            fence_after_ms,
            revision: 1,
        };
        assert!(has_to_ask(Role::Primary, &list(2, 15_000)));
        assert!(!has_to_ask(Role::Replica, &list(2, 15_000)));
        assert!(!has_to_ask(Role::Primary, &list(1, 15_000)), "it is alone");
        assert!(!has_to_ask(Role::Primary, &list(2, 0)), "fences are off");
    }
}
