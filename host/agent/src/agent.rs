//! What the parts of the agent share.

use std::collections::BTreeMap;

use hera_core::acl::{AGENT_USER, AclSet, AclUser};
use hera_redis::{Address, Credentials, Server, Timeouts};
use tokio::sync::{Mutex, Notify, watch};

use crate::board::Board;
use crate::files::Held;
use crate::reaper::Reaper;
use crate::settings::Settings;
use crate::state::Keeper;

/// What the parts of the agent share.
pub struct Agent {
    /// How it was started.
    pub settings: Settings,
    /// Its status.
    pub board: Board,
    /// Reaps children.
    pub reaper: Reaper,
    /// What only one may do at a time: talk to the server to change it, keep files.
    pub work: Mutex<Work>,
    /// Ends a back-off early: something changed that may let the server start.
    pub retry: Notify,
    /// True once the pod is to end.
    pub stopping: watch::Sender<bool>,
    /// The agent's password for its server: in memory only.
    pub password: String,
}

/// What changes the server, and what is known of it.
pub struct Work {
    /// The agent's memory.
    pub keeper: Keeper,
    /// The configuration.
    pub held: Held,
    /// Directives in force on the running server.
    pub in_force: BTreeMap<String, String>,
    /// The users that are to be in force.
    pub acl: Option<AclSet>,
    /// Users applied to the running server.
    pub applied: BTreeMap<String, AclUser>,
    /// Connection to the running server, once it answered.
    pub server: Option<Server>,
}

impl Agent {
    /// Connects to the server of this pod.
    ///
    /// # Errors
    /// As told by [`hera_redis::Error`].
    pub async fn connect(&self, timeouts: Timeouts) -> Result<Server, hera_redis::Error> {
        let address = Address::unix(self.settings.socket());
        let login = Credentials::new(AGENT_USER, self.password.as_str());
        Server::connect(&address, Some(&login), timeouts).await
    }

    /// True once the pod is to end.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Completes once the pod is to end.
    pub async fn until_stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as this agent.
        let _ = stopping.wait_for(|stop| *stop).await.map(|_| ());
    }
}
