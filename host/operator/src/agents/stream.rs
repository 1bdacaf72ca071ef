use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use hera_core::agent::{Confirmation, Members, News, Question, Request, Role};
use hera_core::shard::AgentView;
use hera_http::answer;
use hera_kube::Leadership;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tracing::debug;

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
const LINE_BYTES: usize = 128 * 1024;
/// Lines in a row that are taken at once: roles that change tell a dozen.
const LINES_AT_ONCE: u32 = 50;
/// Who goes on telling is read as slowly as this: each line costs a pass.
const A_LINE: Duration = Duration::from_millis(100);
/// A stream that lasts is worth another one at once.
const LASTS: Duration = Duration::from_secs(2);
/// Answers to questions of one primary that are under way at a time.
pub const ANSWERS: usize = 4;

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
    /// Answers to questions of a primary that are under way.
    pub answers: Arc<Semaphore>,
}

impl Listener {
    /// Listens until the task is aborted, or nothing is left to listen to; reconnects by itself.
    pub async fn listen(self) {
        let mut retry = FIRST_RETRY;
        let started = Instant::now();
        let mut broken: Option<Instant> = None;
        let mut pace = Pace::new(started);
        loop {
            let mut heard = false;
            let begun = Instant::now();
            let why = match self.client.events().await {
                Err(error) => error.cause(),
                Ok(response) => {
                    self.read(response, &mut heard, &mut broken, &mut pace)
                        .await
                }
            };
            if heard && begun.elapsed() > LASTS {
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
        pace: &mut Pace,
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
            for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                let line = match lines.push(part) {
                    Ok(Some(line)) => line,
                    Ok(None) => continue,
                    Err(why) => return why,
                };
                let wait = pace.takes_one(Instant::now());
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                // A sign of life.
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let news = match answer::parse(&line) {
                    Ok(news) => news,
                    Err(error) => return error.to_string(),
                };
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
        // One that asks faster than it takes answers is told later.
        let Ok(place) = self.answers.clone().try_acquire_owned() else {
            return;
        };
        let client = self.client.clone();
        tokio::spawn(async move {
            let _place = place;
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

/// How fast an agent speaks, over all its streams: so many lines are to its credit, and more with time.
struct Pace {
    since: Instant,
    credit: u32,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            credit: LINES_AT_ONCE,
        }
    }

    /// For how long the next line stays where it is.
    fn takes_one(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.since);
        let earned = passed.as_millis() / A_LINE.as_millis();
        let earned = u32::try_from(earned).unwrap_or(LINES_AT_ONCE);
        if self.credit.saturating_add(earned) >= LINES_AT_ONCE {
            *self = Self::new(now);
        } else {
            self.credit += earned;
            self.since += A_LINE * earned;
        }
        match self.credit.checked_sub(1) {
            Some(left) => {
                self.credit = left;
                Duration::ZERO
            }
            None => {
                self.since += A_LINE;
                A_LINE.saturating_sub(passed)
            }
        }
    }
}

/// Puts lines together that come in parts.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The line that a part ends, without its end; or why nothing more is read of who sends it.
    fn push(&mut self, part: &[u8]) -> Result<Option<Vec<u8>>, String> {
        if self.rest.len().saturating_add(part.len()) > LINE_BYTES {
            return Err(format!(
                "the agent sent more than {LINE_BYTES} bytes in a line"
            ));
        }
        self.rest.extend_from_slice(part);
        let ends = self.rest.pop_if(|last| *last == b'\n').is_some();
        Ok(ends.then(|| std::mem::take(&mut self.rest)))
    }
}

#[cfg(test)]
mod tests {
    use hera_core::agent::Peer;

    use super::*;

    #[test]
    fn lines_are_put_together_however_they_are_cut_and_none_without_end() {
        let mut lines = Lines::default();
        for byte in b"abc" {
            assert_eq!(lines.push(&[*byte]), Ok(None));
        }
        assert_eq!(lines.push(b"d\n"), Ok(Some(b"abcd".to_vec())));
        assert_eq!(lines.push(b"\n"), Ok(Some(Vec::new())));
        assert_eq!(lines.push(&vec![b'x'; LINE_BYTES]), Ok(None));
        assert!(lines.push(b"x").is_err());
    }

    #[test]
    fn who_speaks_without_end_is_read_slowly() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        let mut now = begun;
        for _ in 0..LINES_AT_ONCE {
            assert!(pace.takes_one(now).is_zero());
        }
        for _ in 0..100 {
            now += pace.takes_one(now);
        }
        let took = now - begun;
        assert!(took > A_LINE * 95 && took < A_LINE * 105, "{took:?}");
        let later = now + A_LINE * LINES_AT_ONCE * 2;
        let mut at_once = (0..LINES_AT_ONCE).map(|_| pace.takes_one(later));
        assert!(at_once.all(|wait| wait.is_zero()));
    }

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
