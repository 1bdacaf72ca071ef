//! What the parts of the agent share.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::acl::{AGENT_USER, AclSet};
use hera_redis::{Address, Credentials, Server, Timeouts};
use tokio::sync::{Mutex, Notify, watch};

use crate::append::Saving;
use crate::board::Board;
use crate::held::Held;
use crate::push_acl::Applied;
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
    /// What is known. Held for short calls of the server only: neither a promotion nor a revoked
    /// right waits behind what takes as long as it likes.
    pub work: Mutex<Work>,
    /// One change of the configuration at a time, which may take as long as a trial.
    pub configuring: Mutex<()>,
    /// The running server may not have the configuration that is held.
    pub settle: Notify,
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
    /// Counts servers: what was found out about one says nothing of the next.
    pub run: u64,
    /// Directives in force on the running server.
    pub in_force: BTreeMap<String, String>,
    /// Directives that the next start brings, tried on another server.
    pub at_start: BTreeMap<String, String>,
    /// Directives that a spec named since the server started.
    pub from_spec: BTreeSet<String>,
    /// How far the switch of the append-only file is.
    pub saving: Saving,
    /// The users that are to be in force.
    pub acl: Option<AclSet>,
    /// The operator has handed over `acl`, or said that it is right. It stays so for the next
    /// server: nothing newer can have passed this agent by.
    pub acl_confirmed: bool,
    /// The server may not have the users that it is to have.
    pub acl_due: bool,
    /// Users applied to the running server.
    pub applied: BTreeMap<String, Applied>,
    /// Connection to the running server, once it answered.
    pub server: Option<Server>,
}

impl Work {
    /// What is known before any server runs.
    pub fn new(keeper: Keeper, held: Held, acl: Option<AclSet>) -> Self {
        Self {
            keeper,
            held,
            run: 0,
            in_force: BTreeMap::new(),
            at_start: BTreeMap::new(),
            from_spec: BTreeSet::new(),
            saving: Saving::Idle,
            acl,
            acl_confirmed: false,
            acl_due: true,
            applied: BTreeMap::new(),
            server: None,
        }
    }
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
