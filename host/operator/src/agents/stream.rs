use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use hera_core::agent::AgentStatus;
use hera_core::instance::AgentView;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, warn};

use super::AgentClient;
use crate::shared::InstanceRef;

/// Wait before the next attempt: short at first, as a pod that starts is worth it.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// An agent that was not heard at all for this long does not answer.
pub const FIRST_WORD: Duration = Duration::from_secs(10);
/// A stream that broke and comes back within this was only a moment's trouble.
const BROKEN: Duration = Duration::from_secs(3);
/// A status is a few kilobytes; more in one line is no status.
const LINE_BYTES: usize = 256 * 1024;

/// Listens to an agent until the task is aborted; reconnects by itself.
pub async fn listen(
    client: AgentClient,
    instance: InstanceRef,
    view: Arc<Mutex<AgentView>>,
    wake: UnboundedSender<InstanceRef>,
) {
    let mut retry = FIRST_RETRY;
    let started = Instant::now();
    let mut broken: Option<Instant> = None;
    loop {
        let mut lines = Lines::default();
        let mut heard = false;
        let why = match client.events().await {
            Err(error) => error.to_string(),
            Ok(response) => {
                let mut chunks = response.bytes_stream();
                loop {
                    match chunks.next().await {
                        Some(Ok(chunk)) => {
                            for status in lines.push(&chunk) {
                                heard = true;
                                broken = None;
                                let next = AgentView::Connected(Box::new(status));
                                tell(&view, next, &wake, &instance);
                            }
                        }
                        Some(Err(error)) => break error.to_string(),
                        None => break "the agent closed the stream".to_owned(),
                    }
                }
            }
        };
        if heard {
            retry = FIRST_RETRY;
        }
        debug!(%instance, why, "agent stream broke");
        let since = *broken.get_or_insert_with(Instant::now);
        let is_news = match *view.lock().unwrap_or_else(PoisonError::into_inner) {
            AgentView::Absent => started.elapsed() > FIRST_WORD,
            AgentView::Connected(_) => since.elapsed() > BROKEN,
            AgentView::Unreachable(_) => true,
        };
        if is_news {
            tell(
                &view,
                AgentView::Unreachable(stable(&why)),
                &wake,
                &instance,
            );
        }
        tokio::time::sleep(retry).await;
        retry = (retry * 2).min(LAST_RETRY);
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

fn tell(
    view: &Mutex<AgentView>,
    next: AgentView,
    wake: &UnboundedSender<InstanceRef>,
    instance: &InstanceRef,
) {
    let mut current = view.lock().unwrap_or_else(PoisonError::into_inner);
    if *current == next {
        return;
    }
    *current = next;
    drop(current);
    if wake.send(instance.clone()).is_err() {
        debug!("nobody listens to news of agents any more");
    }
}

/// Cuts a byte stream into lines and reads them.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, chunk: &[u8]) -> Vec<AgentStatus> {
        self.rest.extend_from_slice(chunk);
        let mut found = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(status) => found.push(status),
                Err(error) => warn!(%error, "an agent sent a line that is no status"),
            }
        }
        if self.rest.len() > LINE_BYTES {
            self.rest.clear();
        }
        found
    }
}
