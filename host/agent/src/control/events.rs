//! The stream of news: the status, now and on each change, and the primary's questions.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use hera_core::agent::{AgentStatus, HEARTBEAT_SECONDS, News, Question};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::agent::Agent;

/// One line for each piece of news, and an empty one when there is none for long.
pub async fn events(State(agent): State<Arc<Agent>>) -> Response {
    let reader = Reader {
        status: agent.board.watch(),
        questions: agent.fence.questions(),
    };
    let lines = stream::unfold((reader, true), |(mut reader, first)| async move {
        let line = if first {
            reader.status()
        } else {
            reader.next().await?
        };
        Some((Ok::<_, Infallible>(line), (reader, false)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}

struct Reader {
    status: watch::Receiver<AgentStatus>,
    questions: broadcast::Receiver<Question>,
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        let heartbeat = Duration::from_secs(HEARTBEAT_SECONDS);
        loop {
            tokio::select! {
                changed = self.status.changed() => {
                    changed.ok()?;
                    return Some(self.status());
                }
                asked = self.questions.recv() => match asked {
                    Ok(question) => return Some(line(&News::Question { question })),
                    // The last ones are those that matter.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(heartbeat) => return Some(Bytes::from_static(b"\n")),
            }
        }
    }

    fn status(&mut self) -> Bytes {
        let status = self.status.borrow_and_update().clone();
        line(&News::Status(Box::new(status)))
    }
}

fn line(news: &News) -> Bytes {
    let mut text = serde_json::to_vec(news).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
