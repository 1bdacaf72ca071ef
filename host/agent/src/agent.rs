//! What the parts of the agent share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hera_core::acl::{AGENT_USER, AclSet, METRICS_USER};
use hera_core::agent::{LoginState, Mark, Role};
use hera_core::digest::sha256_hex;
use hera_redis::{Address, Credentials, Server, Timeouts};
use tokio::sync::{Mutex, Notify, watch};

use crate::apply::altered_users::Looked;
use crate::apply::append::Saving;
use crate::apply::config_state::Held;
use crate::apply::push_acl::Applied;
use crate::backup::load::Load;
use crate::backup::log::Log;
use crate::backup::recovery::Recovery;
use crate::backup::runs::Runs;
use crate::backup::sweep::Sweeps;
use crate::cluster::state::Cluster;
use crate::control::status::Board;
use crate::fence::clock;
use crate::fence::tokens::Tokens;
use crate::fence::vouched::Vouched;
use crate::fence::watchdog::Fence;
use crate::role::pauses::Pauses;
use crate::server::boot::DataFiles;
use crate::server::listen::Listening;
use crate::server::reaper::Reaper;
use crate::settings::Settings;
use crate::state::durable::FileError;
use crate::state::remembered::{Following, State};
use crate::state::state_file::StateFile;
use crate::volume::gauge::Gauge;
use crate::volume::room::Room;

/// What the parts of the agent share.
pub struct Agent {
    /// How it was started.
    pub settings: Settings,
    /// Its status.
    pub board: Board,
    /// Its memory. A promise to peers waits for nobody who waits for the server.
    pub state_file: StateFile,
    /// When it last vouched for another.
    pub vouched: Vouched,
    /// Kills a primary that nobody confirms.
    pub fence: Arc<Fence>,
    /// See [`Self::tokens`].
    pub tokens: std::sync::Mutex<Tokens>,
    /// See [`Self::turn`].
    pub turns: AtomicU64,
    /// How far the server was when it last told.
    pub offset: AtomicU64,
    /// Reaps children.
    pub reaper: Reaper,
    /// Measures the data volume.
    pub gauge: Arc<Gauge>,
    /// What the data volume takes.
    pub room: std::sync::Mutex<Room>,
    /// Whether the volume is filled from a backup first.
    pub recovery: Recovery,
    /// What is known. Held for short calls of the server only: neither a promotion nor a revoked
    /// right waits behind what takes as long as it likes.
    pub work: Mutex<Work>,
    /// One change of the configuration at a time, which may take as long as a trial.
    pub configuring: Mutex<()>,
    /// The running server may not have the configuration that is held.
    pub settle: Notify,
    /// The server's role changes: it is looked at now.
    pub look: Notify,
    /// Ends a back-off early: something changed that may let the server start.
    pub retry: Notify,
    /// Ends the wait for a handover: nobody is left who could take over.
    pub alone: Notify,
    /// What is known of the server as one of a cluster, if it is.
    pub cluster: Option<Cluster>,
    /// The last snapshots for backups.
    pub backups: Arc<Runs>,
    /// What log of its server is kept.
    pub log: Log,
    /// The last look at what the store has, at which files may go.
    pub sweeps: Arc<Sweeps>,
    /// How busy the server is.
    pub load: Load,
    /// When the pod was asked to end.
    pub asked: OnceLock<Instant>,
    /// True once the server is to stop for good.
    pub stopping: watch::Sender<bool>,
    /// The agent's password for its server: in memory only.
    pub password: String,
    /// That of the user as which it asks for metrics: in memory only as well.
    pub metrics_password: String,
}

/// Whom to follow, and with which password: in memory only.
#[derive(Clone)]
pub struct Followed {
    /// Whom.
    pub whom: Following,
    /// Of the replication user.
    pub password: String,
}

/// What changes the server, and what is known of it.
pub struct Work {
    /// The configuration.
    pub held: Held,
    /// Counts servers: what was found out about one says nothing of the next.
    pub run: u64,
    /// What the running server read at its start.
    pub files: DataFiles,
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
    /// How the server takes users and its port.
    pub listening: Listening,
    /// Users applied to the running server.
    pub applied: BTreeMap<String, Applied>,
    /// When it was looked whether they still are what was applied.
    pub users_looked: Looked,
    /// Whom the server is to follow, since the operator told.
    pub followed: Option<Followed>,
    /// The running server has the password for it.
    pub login_known: bool,
    /// The pause of writes for a handover.
    pub pauses: Pauses,
    /// Connection to the running server, once it answered.
    pub server: Option<Server>,
    /// How far the running server was when it was last seen to lead.
    pub leads_to: Option<Mark>,
}

impl Work {
    /// What is known before any server runs.
    pub fn new(held: Held, acl: Option<AclSet>) -> Self {
        Self {
            held,
            run: 0,
            files: DataFiles::default(),
            in_force: BTreeMap::new(),
            at_start: BTreeMap::new(),
            from_spec: BTreeSet::new(),
            saving: Saving::Idle,
            acl,
            acl_confirmed: false,
            acl_due: true,
            listening: Listening::default(),
            applied: BTreeMap::new(),
            users_looked: Looked::default(),
            followed: None,
            login_known: false,
            pauses: Pauses::default(),
            server: None,
            leads_to: None,
        }
    }
}

impl Agent {
    /// Connects to the server of this pod.
    ///
    /// # Errors
    /// As told by [`hera_redis::Error`].
    pub async fn connect(&self, timeouts: Timeouts) -> Result<Server, hera_redis::Error> {
        self.log_in(AGENT_USER, &self.password, timeouts).await
    }

    /// The same as a user that can ask for what there are metrics of, and nothing else.
    ///
    /// # Errors
    /// As told by [`hera_redis::Error`].
    pub async fn connect_for_metrics(
        &self,
        timeouts: Timeouts,
    ) -> Result<Server, hera_redis::Error> {
        let password = &self.metrics_password;
        self.log_in(METRICS_USER, password, timeouts).await
    }

    async fn log_in(
        &self,
        user: &str,
        password: &str,
        timeouts: Timeouts,
    ) -> Result<Server, hera_redis::Error> {
        let address = Address::unix(self.settings.socket());
        let login = Credentials::new(user, password);
        Server::connect(&address, Some(&login), timeouts).await
    }

    /// Tells with which password the server logs in at its primary, and whether it has it.
    pub fn tell_login(&self, password: Option<&str>, in_force: bool) {
        let login = password.map(|password| LoginState {
            password_sha256: sha256_hex(password.as_bytes()),
            in_force,
        });
        self.board.change(|status| status.login = login);
    }

    /// Notes something durably, before it is done, and tells of it.
    ///
    /// # Errors
    /// All is as before.
    pub fn note(&self, change: impl FnOnce(&mut State)) -> Result<(), FileError> {
        let noted = self
            .state_file
            .change(change, |state| self.board.remembers(state));
        match noted {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.board.writes_state(None);
                Ok(())
            }
            Err(error) => {
                self.board.writes_state(Some(&error));
                Err(error)
            }
        }
    }

    /// The tokens of promotions.
    pub fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token for a promotion. None once the pod is asked to end: only the primary still tells its
    /// position then.
    pub fn token(&self) -> Option<u64> {
        let mut tokens = self.tokens();
        let leads = self.board.status().role == Role::Primary;
        (leads || self.asked.get().is_none()).then(|| tokens.give(clock::now()))
    }

    /// An order about the role was sent to the server: what was asked before says nothing any more.
    pub fn turn(&self) {
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    /// How many such orders were sent.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    /// How long the server may take to stop: what waiting for a handover took is off.
    pub fn stop_limit(&self) -> Duration {
        let spent = self.asked.get().map_or(Duration::ZERO, Instant::elapsed);
        self.settings.stop_limit().saturating_sub(spent)
    }

    /// True once the server is to stop for good.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Completes once the server is to stop for good.
    pub async fn until_stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as this agent.
        let _ = stopping.wait_for(|stop| *stop).await.map(|_| ());
    }
}
