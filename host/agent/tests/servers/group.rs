//! The pods of one instance, on addresses of their own, told what an operator would tell them.

use std::net::SocketAddr;
use std::ops::{Deref, Index, IndexMut};
use std::sync::Arc;

use hera_core::acl::REPLICATION_USER;
use hera_core::agent::{
    AgentStatus, Confirmation, Members, Order, PATH_CONFIRM, Position, Role, ServerState,
};

use crate::certificates::Authority;
use crate::client::{Answer, Client as _, app, keeping_http, login, replication, send};
use crate::engine::Engine;
use crate::news::News;
use crate::pod::{Pod, free_port, is_running};
use crate::wait::until;

/// What makes replicas link at once.
const QUICK: [(&str, &str); 3] = [
    ("appendonly", "yes"),
    ("save", "\"\""),
    ("repl-diskless-sync-delay", "0"),
];
/// Long enough that no test of something else is fenced.
const LONG_MS: u64 = 600_000;

/// The pods.
pub struct Group {
    pub pods: Vec<Pod>,
    pub fence_after_ms: u64,
}

impl Index<usize> for Group {
    type Output = Pod;

    fn index(&self, at: usize) -> &Pod {
        &self.pods[at]
    }
}

impl IndexMut<usize> for Group {
    fn index_mut(&mut self, at: usize) -> &mut Pod {
        &mut self.pods[at]
    }
}

impl Group {
    /// So many pods, not started.
    pub fn new(engine: Engine, count: u8) -> Self {
        let (authority, port) = (Arc::new(Authority::new()), free_port());
        let pod = |ordinal: u8| {
            let control = SocketAddr::from(([127, 0, 0, 1 + ordinal], port));
            let (uid, name) = (
                format!("uid-{ordinal}"),
                format!("pod-{ordinal}.agents.test"),
            );
            let mut pod = Pod::with(engine, authority.clone(), &uid, &name, control);
            let tls = authority.client(Some(&authority.operator()));
            pod.http = keeping_http(tls, &name, control);
            pod.lone = false;
            pod.mount_config(1, &QUICK);
            pod
        };
        Self {
            pods: (0..count).map(pod).collect(),
            fence_after_ms: LONG_MS,
        }
    }

    /// Starts all, and brings them their users and the members.
    pub async fn start(&mut self) {
        for at in 0..self.pods.len() {
            self.start_one(at).await;
        }
        self.tell_members().await;
    }

    /// Starts one, and brings it its users.
    pub async fn start_one(&mut self, at: usize) {
        self[at].start().await;
        let started =
            |status: &AgentStatus| is_running(status) || status.server == ServerState::Fenced;
        self[at].until("the server answers", started).await;
        self[at]
            .push_users(1, &[app(), replication()])
            .await
            .unwrap();
    }

    pub fn members(&self) -> Members {
        Members {
            pods: self.pods.iter().map(Pod::peer).collect(),
            fence_after_ms: self.fence_after_ms,
            revision: 1,
        }
    }

    pub async fn tell_members(&self) {
        for pod in &self.pods {
            pod.push_members(1, &self.members()).await.unwrap();
        }
    }

    /// Starts all; the first is the primary of epoch 1, the others follow it.
    pub async fn lead(&mut self) {
        self.start().await;
        self[0].promote_for(1, 1).await.unwrap();
        for at in 1..self.pods.len() {
            self.follow(at, 0, 1).await.unwrap();
        }
        for at in 1..self.pods.len() {
            self.until_linked(at).await;
        }
    }

    /// Orders a pod to follow another.
    pub async fn follow(&self, at: usize, primary: usize, epoch: u64) -> Answer<AgentStatus> {
        self[at].order(1, self.following(primary, epoch)).await
    }

    /// Holds the writes of a pod back for a handover.
    pub async fn pause(&self, at: usize, millis: u64, epoch: u64) -> Answer<AgentStatus> {
        self[at].order(1, Order::Pause { millis, epoch }).await
    }

    /// The order to follow a pod.
    pub fn following(&self, primary: usize, epoch: u64) -> Order {
        Order::Follow {
            epoch,
            primary_uid: self[primary].uid.clone(),
            host: "127.0.0.1".to_owned(),
            port: self[primary].port,
            lineage: String::new(),
            password: REPLICATION_USER.to_owned(),
        }
    }

    pub async fn until_linked(&self, at: usize) -> AgentStatus {
        self[at].until("it follows", is_linked).await
    }

    /// Awaits a value on a replica. A former primary sends its clients away for a while.
    pub async fn until_has(&self, at: usize, key: &str, value: &str) {
        let read = async || login(self[at].port, "app").await?.get(key).await;
        until("the replica has it", async || match read().await {
            Ok(Some(is)) if is == value => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    /// Says yes to all questions of a primary, as the operator does.
    pub async fn confirm(&self, at: usize) -> Confirmer {
        let news = News::open(&self[at]).await;
        let (http, url) = (self[at].http.clone(), self[at].url(PATH_CONFIRM));
        Confirmer(tokio::spawn(confirm(news, http, url)))
    }

    /// Awaits that two copies stand at the same place; answers the second's.
    pub async fn until_equal(&self, one: usize, other: usize) -> Position {
        until("equal offsets", async || {
            let one = self[one].position().await.unwrap();
            let other = self[other].position().await.unwrap();
            match one.offset == other.offset && one.replication_id == other.replication_id {
                true => Ok(other),
                false => Err(format!("{one:?} {other:?}")),
            }
        })
        .await
    }
}

async fn confirm(mut news: News, http: reqwest::Client, url: String) {
    loop {
        let question = news.question().await;
        let confirmation = Confirmation {
            number: question.number,
            epoch: question.epoch,
        };
        let _: Answer<AgentStatus> = send(http.post(&url), 1, confirmation).await;
    }
}

/// Stops confirming when it goes.
pub struct Confirmer(tokio::task::JoinHandle<()>);

impl Drop for Confirmer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Deref for Group {
    type Target = [Pod];

    fn deref(&self) -> &[Pod] {
        &self.pods
    }
}

pub fn is_linked(status: &AgentStatus) -> bool {
    status.role == Role::Replica && status.link.as_ref().is_some_and(|link| link.up)
}
