use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hera_core::acl::{AclSet, Categories};
use hera_core::agent::{
    AclState, AgentStatus, CONTROL_PORT, ClusterState, ConfigState, Confirmation, FenceState,
    HEARTBEAT_SECONDS, Members, NOT_GONE_YET, Order, PATH_ACL, PATH_BACKUP, PATH_BACKUP_ORDERS,
    PATH_CLUSTER, PATH_COMMANDS, PATH_CONFIG, PATH_CONFIRM, PATH_EVENTS, PATH_FENCE, PATH_MEMBERS,
    PATH_ORDERS, PATH_POSITION, Position, Refusal, Request, ServerConfig,
};
use hera_core::backup::{BackupOrder, BackupState};
use hera_core::term::is_term;
use hera_http::answer::{self, AnswerError};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::Identity;
use super::late::Late;

/// What is handed over is answered within this. A trial start of the server may take longer: its verdict is in
/// the agent's news then.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
/// Between two questions to an agent that was late.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// An order is carried out at once, or not at all.
const ORDER_LIMIT: Duration = Duration::from_secs(5);
/// Where copies stand, which is asked before, is good for four seconds.
const PROMISE_LIMIT: Duration = Duration::from_millis(1_500);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// An agent waits half a second for its server; all shards wait for the slowest.
const CLUSTER_LIMIT: Duration = Duration::from_millis(1_200);
/// A stream of news begins at once. One asked for over a kept connection to a pod that is cut off would
/// otherwise not break before the silence of a whole stream has passed, once more.
const FIRST_LINE_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of a refusal: words for people.
const REFUSAL: usize = 4 * 1024;
/// Bytes of what a server of a cluster tells of one that it knows: its id and its primary's, address, epoch.
const SERVER: usize = 1024;
/// And of all slots, in however many ranges.
const SLOTS: usize = 128 * 1024;

/// Why an agent could not be asked.
#[derive(Debug, Error)]
pub enum AgentError {
    /// It did not answer.
    #[error("the agent does not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// What it answered is no answer.
    #[error("the agent does not answer: {0}")]
    Answer(#[from] AnswerError),
    /// It takes connections and says nothing.
    #[error("the agent does not answer in time")]
    Late(#[from] tokio::time::error::Elapsed),
    /// It was late before and has not answered since.
    #[error("the agent does not answer: it was late, and is asked again in the background")]
    StillLate,
    /// It refused.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// It has seen a higher term.
    #[error("the agent knows a later leader, of term {0}")]
    OldTerm(u64),
    /// The operator's own certificate is not usable.
    #[error("the operator's certificate is not usable: {0}")]
    Tls(#[from] rustls::Error),
    /// The operator's own certificate cannot be read.
    #[error("the operator's certificate cannot be read: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
}

impl AgentError {
    /// It took the request, and no answer came in time.
    fn is_late(&self) -> bool {
        match self {
            Self::Http(error) | Self::Answer(AnswerError::Http(error)) => error.is_timeout(),
            _ => false,
        }
    }

    /// It says something, whatever that is.
    fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Refused(_) | Self::OldTerm(_) | Self::Answer(AnswerError::Strange(_))
        )
    }

    /// It has killed its server, which is not gone yet.
    pub fn has_killed(&self) -> bool {
        matches!(self, Self::Refused(words) if words == NOT_GONE_YET)
    }

    /// The cause alone, for words that say already that the agent does not answer.
    pub fn cause(&self) -> String {
        match self {
            Self::Http(error) => error.to_string(),
            Self::Answer(error) => error.to_string(),
            Self::Late(_) => "it says nothing in time".to_owned(),
            _ => self.to_string(),
        }
    }
}

/// Speaks to one agent. Cheap to clone.
#[derive(Clone)]
pub struct AgentClient {
    http: reqwest::Client,
    base: String,
    identity: Identity,
    late: Late,
}

impl AgentClient {
    /// A client for the agent at `ip`, whose certificate must be for `server_name`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(ip: IpAddr, server_name: &str, identity: &Identity) -> Result<Self, AgentError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(identity.tls().clone())
            .resolve(server_name, SocketAddr::new(ip, CONTROL_PORT))
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(Duration::from_secs(3 * HEARTBEAT_SECONDS))
            .pool_max_idle_per_host(1)
            // A pod does not say whom else the operator asks.
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        let base = format!("https://{server_name}:{CONTROL_PORT}");
        Ok(Self {
            http,
            base,
            identity: identity.clone(),
            late: Late::default(),
        })
    }

    /// Asks an agent that was late until it answers, and tells `heard` then; over and over.
    pub async fn look_after_late(&self, heard: impl Fn() + Send) -> Infallible {
        loop {
            let pause = self.late.begins().await;
            tokio::time::sleep(pause).await;
            while matches!(self.fence().await, Err(error) if !error.is_answer()) {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            self.late.ends();
            heard();
        }
    }

    /// True when the certificate that this client shows should be renewed.
    pub fn is_ageing(&self) -> bool {
        self.identity.is_ageing()
    }

    /// Opens the stream of status lines.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn events(&self) -> Result<reqwest::Response, AgentError> {
        let asked = self.http.get(format!("{}{PATH_EVENTS}", self.base)).send();
        let response = tokio::time::timeout(FIRST_LINE_LIMIT, asked).await??;
        Ok(response.error_for_status()?)
    }

    /// Hands over the configuration. As with all that is handed over, an agent that was late is not waited for.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn push_config(
        &self,
        request: &Request<ServerConfig>,
    ) -> Result<ConfigState, AgentError> {
        self.put(PATH_CONFIG, request).await
    }

    /// Hands over the users, or confirms them.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn push_acl(&self, request: &Request<AclSet>) -> Result<AclState, AgentError> {
        self.put(PATH_ACL, request).await
    }

    /// Tells who the data pods are.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn push_members(
        &self,
        request: &Request<Members>,
    ) -> Result<AgentStatus, AgentError> {
        self.put(PATH_MEMBERS, request).await
    }

    /// Gives an order about a role.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn order(&self, request: &Request<Order>) -> Result<AgentStatus, AgentError> {
        let limit = match request.body {
            Order::Promise { .. } => PROMISE_LIMIT,
            _ => ORDER_LIMIT,
        };
        self.send_in_term(Method::POST, PATH_ORDERS, limit, request)
            .await
    }

    /// Tells a primary that it is confirmed.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn confirm(&self, request: &Request<Confirmation>) -> Result<(), AgentError> {
        let answer: serde_json::Value = self
            .send_in_term(Method::POST, PATH_CONFIRM, CONNECT_LIMIT, request)
            .await?;
        drop(answer);
        Ok(())
    }

    /// Where its copy of the data stands.
    ///
    /// # Errors
    /// When the agent or its server does not answer.
    pub async fn position(&self) -> Result<Position, AgentError> {
        self.send(Method::GET, PATH_POSITION, CONNECT_LIMIT, None::<&()>)
            .await
    }

    /// The commands that its server has.
    ///
    /// # Errors
    /// When the agent or its server does not answer, or the agent is too old to tell.
    pub async fn commands(&self) -> Result<Categories, AgentError> {
        self.send(Method::GET, PATH_COMMANDS, CONNECT_LIMIT, None::<&()>)
            .await
    }

    /// What it knows of its server as one of a cluster of so many servers.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn cluster(&self, servers: usize) -> Result<ClusterState, AgentError> {
        let bound = SLOTS.saturating_add(servers.saturating_mul(2 * SERVER));
        let asked = self.ask(Method::GET, PATH_CLUSTER, CLUSTER_LIMIT, None::<&()>);
        read(asked.await?, bound).await
    }

    /// When its server stops by itself.
    ///
    /// # Errors
    /// When the agent does not answer, or is too old to tell.
    pub async fn fence(&self) -> Result<FenceState, AgentError> {
        self.send(Method::GET, PATH_FENCE, CONNECT_LIMIT, None::<&()>)
            .await
    }

    /// How far its backups are, and its recovery.
    ///
    /// # Errors
    /// When the agent does not answer, or is too old to tell.
    pub async fn backup(&self) -> Result<BackupState, AgentError> {
        self.send(Method::GET, PATH_BACKUP, CONNECT_LIMIT, None::<&()>)
            .await
    }

    /// Gives an order about backups, which goes on by itself; how far they are after it.
    ///
    /// # Errors
    /// When the agent does not answer or refuses.
    pub async fn order_backup(
        &self,
        request: &Request<BackupOrder>,
    ) -> Result<BackupState, AgentError> {
        self.send_in_term(Method::POST, PATH_BACKUP_ORDERS, ORDER_LIMIT, request)
            .await
    }

    async fn put<B: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        request: &Request<B>,
    ) -> Result<A, AgentError> {
        let waiting = self.late.wait().ok_or(AgentError::StillLate)?;
        let sent = self.send_in_term(Method::PUT, path, ANSWER_LIMIT, request);
        let sent = sent.await;
        if !matches!(&sent, Err(error) if error.is_late()) {
            waiting.answered();
        }
        sent
    }

    /// Sends what carries a term. An agent of an earlier release may have stored a number that is none, when
    /// one agent in the cluster had told it (issue 16, 13), and takes no lower one until its pod starts with
    /// this release. To be replaced its pod must take orders: it gets them under the number that it tells.
    /// That goes no further than this agent, and lasts as long as it is of that release.
    async fn send_in_term<B: Serialize + Sync, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
        request: &Request<B>,
    ) -> Result<A, AgentError> {
        let sent = self.send(method.clone(), path, limit, Some(request)).await;
        match sent {
            Err(AgentError::OldTerm(told)) if !is_term(told) => {
                let request = Request {
                    term: told,
                    body: &request.body,
                };
                self.send(method, path, limit, Some(&request)).await
            }
            sent => sent,
        }
    }

    async fn send<B: Serialize + Sync, A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
        body: Option<&B>,
    ) -> Result<A, AgentError> {
        read(self.ask(method, path, limit, body).await?, answer::USUAL).await
    }

    async fn ask<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
        body: Option<&B>,
    ) -> Result<reqwest::Response, AgentError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url).timeout(limit);
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(request.send().await?)
    }
}

/// An answer of at most `bound` bytes, or a refusal.
async fn read<A: DeserializeOwned>(
    response: reqwest::Response,
    bound: usize,
) -> Result<A, AgentError> {
    let status = response.status();
    if status.is_success() {
        return Ok(answer::json(response, bound).await?);
    }
    let refusal: Refusal = answer::json(response, REFUSAL).await?;
    match refusal.term {
        Some(term) if status == StatusCode::CONFLICT => Err(AgentError::OldTerm(term)),
        _ => Err(AgentError::Refused(refusal.message)),
    }
}
