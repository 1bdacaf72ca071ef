//! The stream of news, as the operator reads it.

use std::time::Duration;

use hera_core::agent::{AgentStatus, HEARTBEAT_SECONDS, News as Line, PATH_EVENTS, Question};

use crate::pod::Pod;

/// Lines of the stream.
pub struct News {
    response: reqwest::Response,
    rest: Vec<u8>,
}

impl News {
    pub async fn open(pod: &Pod) -> Self {
        let response = pod.http.get(pod.url(PATH_EVENTS)).send().await.unwrap();
        Self {
            response,
            rest: Vec::new(),
        }
    }

    pub async fn line(&mut self) -> Vec<u8> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.rest, rest);
                line.pop();
                return line;
            }
            let limit = Duration::from_secs(HEARTBEAT_SECONDS + 5);
            let chunk = tokio::time::timeout(limit, self.response.chunk()).await;
            let chunk = chunk.expect("a line in time").unwrap();
            self.rest.extend(chunk.expect("the stream goes on"));
        }
    }

    pub async fn status(&mut self) -> AgentStatus {
        serde_json::from_slice(&self.line().await).unwrap()
    }

    /// The next question among the lines.
    pub async fn question(&mut self) -> Question {
        for _ in 0..100 {
            let line = self.line().await;
            if let Ok(Line::Question { question }) = serde_json::from_slice(&line) {
                return question;
            }
        }
        panic!("not among a hundred lines");
    }

    pub async fn until(&mut self, is: impl Fn(&AgentStatus) -> bool) -> AgentStatus {
        for _ in 0..100 {
            let status = self.status().await;
            if is(&status) {
                return status;
            }
        }
        panic!("not among a hundred lines");
    }
}
