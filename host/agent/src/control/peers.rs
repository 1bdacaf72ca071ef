//! Asks the agents of the other data pods whether this server is still the primary.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hera_core::agent::{PATH_VOUCH, Peer, Question, Refusal, Vouch};
use hera_http::answer::{self, AnswerError};
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::agent::Agent;
use crate::control::api::ASKED_POD;

/// A peer that does not answer by then is asked again soon.
const LIMIT: Duration = Duration::from_secs(1);

/// Bytes of an answer at most: yes, or no.
const VOUCH: usize = 1024;
/// Bytes of any other, which may be words.
const WORDS: usize = 4096;

/// A peer, and how it is reached.
pub struct Known {
    peer: Peer,
    http: reqwest::Client,
}

/// Why a peer has not done what it was asked for.
#[derive(Debug, Error)]
pub enum PeerError {
    /// No answer, or none that is understood.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It will not, in its words.
    #[error("{0}")]
    Refused(String),
}

/// Passes each question on to all peers at once.
pub async fn ask(agent: Arc<Agent>, mut tls: watch::Receiver<ClientConfig>) {
    let mut questions = agent.fence.questions();
    let mut known: Vec<Known> = Vec::new();
    loop {
        let question = match questions.recv().await {
            Ok(question) => question,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        if tls.has_changed().unwrap_or(false) {
            known.clear();
        }
        let peers = others(&agent);
        if !known.iter().map(|known| &known.peer).eq(&peers) {
            let tls = tls.borrow_and_update().clone();
            known = peers
                .into_iter()
                .filter_map(|peer| reach(&agent, &tls, peer))
                .collect();
        }
        for Known { peer, http } in &known {
            let asking = vouch(agent.clone(), http.clone(), peer.clone(), question.clone());
            tokio::spawn(asking);
        }
    }
}

/// The other data pods that have an address.
pub fn others(agent: &Agent) -> Vec<Peer> {
    let pods = agent.board.status().members.pods;
    pods.into_iter()
        .filter(|peer| peer.pod_uid != agent.settings.pod_uid && peer.ip.is_some())
        .collect()
}

/// A client for one peer. All agents listen on the same port.
pub fn reach(agent: &Agent, tls: &ClientConfig, peer: Peer) -> Option<Known> {
    let ip: IpAddr = peer.ip.as_ref()?.parse().ok()?;
    let address = SocketAddr::new(ip, agent.settings.control.port());
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .resolve(&peer.server_name, address)
        .pool_max_idle_per_host(1)
        .redirect(Policy::none())
        .no_proxy()
        .build();
    match http {
        Ok(http) => Some(Known { peer, http }),
        Err(error) => {
            warn!(%error, peer = peer.server_name, "a peer cannot be asked");
            None
        }
    }
}

async fn vouch(agent: Arc<Agent>, http: reqwest::Client, peer: Peer, question: Question) {
    match send(&agent, &http, &peer, &question).await {
        // Who promised its own epoch vouches for itself no more, and so others do not suffice.
        Ok(Vouch { confirmed: true }) if agent.state_file.get().promised_epoch < question.epoch => {
            agent.fence.vouched_by(question.number, &peer.pod_uid);
        }
        Ok(_) => debug!(peer = peer.server_name, "a peer does not vouch"),
        Err(error) => debug!(peer = peer.server_name, ?error, "a peer does not answer"),
    }
}

async fn send(
    agent: &Agent,
    http: &reqwest::Client,
    peer: &Peer,
    question: &Question,
) -> Result<Vouch, AnswerError> {
    let answer = post(agent, http, peer, PATH_VOUCH, question).await?;
    answer::json(answer, VOUCH).await
}

async fn post(
    agent: &Agent,
    http: &reqwest::Client,
    peer: &Peer,
    path: &str,
    body: &impl Serialize,
) -> Result<reqwest::Response, reqwest::Error> {
    let answer = request(agent, http, peer, path, body, LIMIT).await?;
    answer.error_for_status()
}

async fn request(
    agent: &Agent,
    http: &reqwest::Client,
    peer: &Peer,
    path: &str,
    body: &impl Serialize,
    limit: Duration,
) -> Result<reqwest::Response, reqwest::Error> {
    let port = agent.settings.control.port();
    http.post(format!("https://{}:{port}{path}", peer.server_name))
        .header(ASKED_POD, &peer.pod_uid)
        .timeout(limit)
        .json(body)
        .send()
        .await
}

impl Known {
    /// True if it is reached as this peer is.
    pub fn is(&self, peer: &Peer) -> bool {
        self.peer == *peer
    }

    /// Tells the peer something.
    ///
    /// # Errors
    /// It is not reached, or will not.
    pub async fn post(
        &self,
        agent: &Agent,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), reqwest::Error> {
        let answer = post(agent, &self.http, &self.peer, path, body);
        answer.await.map(drop)
    }

    /// Asks the peer for something that takes `limit` at most.
    ///
    /// # Errors
    /// It is not reached, or will not.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        agent: &Agent,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, PeerError> {
        let answer = request(agent, &self.http, &self.peer, path, body, limit).await;
        let answer = answer.map_err(AnswerError::from)?;
        if answer.status().is_success() {
            return Ok(answer::json(answer, WORDS).await?);
        }
        let refusal: Refusal = answer::json(answer, WORDS).await?;
        Err(PeerError::Refused(refusal.message))
    }
}
