use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hera_core::acl::{AclSet, Categories};
use hera_core::agent::{
    AclState, AgentStatus, CONTROL_PORT, ClusterState, ConfigState, Confirmation, FenceState,
    HEARTBEAT_SECONDS, Members, Order, PATH_ACL, PATH_CLUSTER, PATH_COMMANDS, PATH_CONFIG,
    PATH_CONFIRM, PATH_EVENTS, PATH_FENCE, PATH_MEMBERS, PATH_ORDERS, PATH_POSITION, Position,
    Refusal, Request, ServerConfig,
};
use hera_core::term::is_term;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::Identity;

/// A trial start of the server may take this long; everything else answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// An order is carried out at once, or not at all.
const ORDER_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// An agent waits half a second for its server; all shards wait for the slowest.
const CLUSTER_LIMIT: Duration = Duration::from_millis(1_200);
/// A stream of news begins at once. One asked for over a kept connection to a pod that is cut off would
/// otherwise not break before the silence of a whole stream has passed, once more.
const FIRST_LINE_LIMIT: Duration = Duration::from_secs(5);

/// Why an agent could not be asked.
#[derive(Debug, Error)]
pub enum AgentError {
    /// It did not answer.
    #[error("the agent does not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// It takes connections and says nothing.
    #[error("the agent does not answer in time")]
    Late(#[from] tokio::time::error::Elapsed),
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
    /// The cause alone, for words that say already that the agent does not answer.
    pub fn cause(&self) -> String {
        match self {
            Self::Http(error) => error.to_string(),
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
            .no_proxy()
            .build()?;
        let base = format!("https://{server_name}:{CONTROL_PORT}");
        Ok(Self {
            http,
            base,
            identity: identity.clone(),
        })
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

    /// Hands over the configuration.
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
        self.send_in_term(Method::POST, PATH_ORDERS, ORDER_LIMIT, request)
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

    /// What it knows of its server as one of a cluster.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn cluster(&self) -> Result<ClusterState, AgentError> {
        self.send(Method::GET, PATH_CLUSTER, CLUSTER_LIMIT, None::<&()>)
            .await
    }

    /// When its server stops by itself.
    ///
    /// # Errors
    /// When the agent does not answer, or is too old to tell.
    pub async fn fence(&self) -> Result<FenceState, AgentError> {
        self.send(Method::GET, PATH_FENCE, CONNECT_LIMIT, None::<&()>)
            .await
    }

    async fn put<B: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        request: &Request<B>,
    ) -> Result<A, AgentError> {
        self.send_in_term(Method::PUT, path, ANSWER_LIMIT, request)
            .await
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
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, url).timeout(limit);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response.json().await?);
        }
        let refusal: Refusal = response.json().await?;
        match refusal.term {
            Some(term) if status == StatusCode::CONFLICT => Err(AgentError::OldTerm(term)),
            _ => Err(AgentError::Refused(refusal.message)),
        }
    }
}
