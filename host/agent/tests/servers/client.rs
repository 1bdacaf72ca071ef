//! What an operator says to an agent, and an application to a server.

use std::net::SocketAddr;

use hera_core::acl::{AclUser, REPLICATION_USER};
use hera_core::agent::{Refusal, Request};
use hera_core::digest::sha256_hex;
use hera_redis::{Address, Credentials, Error, Server, Timeouts};
use reqwest::StatusCode;
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wait::LIMIT;

/// For which the certificate of the agents of an object is good.
pub const OBJECT_NAMES: &str = "*.agents.test";
/// Under which agents are reached.
pub const AGENT_NAME: &str = "pod-0.agents.test";

/// An HTTP client for the agent at `address`. Each request shows its certificate anew.
pub fn http(tls: ClientConfig, name: &str, address: SocketAddr) -> reqwest::Client {
    builder(tls, name, address)
        .pool_max_idle_per_host(0)
        .build()
        .unwrap()
}

/// One that keeps its connection, as the operator does.
pub fn keeping_http(tls: ClientConfig, name: &str, address: SocketAddr) -> reqwest::Client {
    builder(tls, name, address).build().unwrap()
}

fn builder(tls: ClientConfig, name: &str, address: SocketAddr) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve(name, address)
        .no_proxy()
}

/// What an agent answered.
pub type Answer<T> = Result<T, (StatusCode, Refusal)>;

/// Sends a request with a term.
pub async fn send<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
    term: u64,
    body: impl Serialize,
) -> Answer<T> {
    answer(request.json(&Request { term, body })).await
}

/// Sends a request.
pub async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Answer<T> {
    let response = request.timeout(LIMIT).send().await;
    let response = response.expect("the agent answers");
    let status = response.status();
    if status.is_success() {
        Ok(response.json().await.unwrap())
    } else {
        Err((status, response.json().await.unwrap()))
    }
}

/// A user whose password is its name.
pub fn user(name: &str, rules: &[&str]) -> AclUser {
    let clear = ["resetkeys", "resetchannels", "-@all"];
    AclUser {
        name: name.to_owned(),
        password_sha256: vec![sha256_hex(name.as_bytes())],
        rules: clear
            .iter()
            .chain(rules)
            .map(|rule| (*rule).to_owned())
            .collect(),
    }
}

/// The application's user.
pub fn app() -> AclUser {
    user("app", &["+@all", "-@admin", "+client|id", "~*", "&*"])
}

/// The user of replicas.
pub fn replication() -> AclUser {
    user(REPLICATION_USER, &["+psync", "+replconf", "+ping"])
}

/// A connection of a user whose password is its name.
pub async fn login(port: u16, name: &str) -> Result<Server, Error> {
    login_with(port, name, name).await
}

/// A connection of a user.
pub async fn login_with(port: u16, name: &str, password: &str) -> Result<Server, Error> {
    let address = Address::tcp("127.0.0.1", port);
    let credentials = Credentials::new(name, password);
    Server::connect(&address, Some(&credentials), Timeouts::default()).await
}

/// What applications say.
pub trait Client {
    async fn say(&self, words: &[&str]) -> Result<String, Error>;
    async fn set(&self, key: &str, value: &str) -> Result<(), Error>;
    async fn get(&self, key: &str) -> Result<Option<String>, Error>;
    async fn transaction(&self, keys: &[&str]) -> Result<(), Error>;
}

fn command(words: &[&str]) -> hera_redis::Cmd {
    let mut command = hera_redis::command(words[0]);
    command.arg(&words[1..]);
    command
}

impl Client for Server {
    async fn say(&self, words: &[&str]) -> Result<String, Error> {
        self.ask(words[0], &command(words)).await
    }

    async fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        self.ask("SET", &command(&["SET", key, value])).await
    }

    async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        self.ask("GET", &command(&["GET", key])).await
    }

    /// Sets all `keys` to `1`, or none.
    async fn transaction(&self, keys: &[&str]) -> Result<(), Error> {
        self.ask::<()>("MULTI", &command(&["MULTI"])).await?;
        for key in keys {
            self.say(&["SET", key, "1"]).await?;
        }
        let done: Vec<String> = self.ask("EXEC", &command(&["EXEC"])).await?;
        assert_eq!(done.len(), keys.len());
        Ok(())
    }
}
