//! The password with which the server logs in at others of its cluster: that of the mounted file, also once another
//! comes there (decision 025).

use hera_core::acl::replication_user;
use hera_redis::{Credentials, Server};
use tokio::sync::{Mutex, MutexGuard};
use tracing::{debug, info};

use crate::agent::Agent;
use crate::server::boot;

/// Who sets it, one at a time, and what the running server was given; none while that is not known.
#[derive(Default)]
pub struct Login(Mutex<Option<String>>);

impl Login {
    /// A server is about to start, whose configuration has this password.
    pub fn starts(&self, agent: &Agent, password: &str) {
        // Who borrows it has noted the same.
        if let Ok(mut given) = self.0.try_lock() {
            *given = None;
        }
        agent.tell_login(Some(password), false);
    }

    /// Lends it: nobody else sets the login until the answer is dropped. What the server has by then is not known, so
    /// it is given the password anew.
    pub async fn lend(&self, agent: &Agent) -> MutexGuard<'_, Option<String>> {
        let mut given = self.0.lock().await;
        *given = None;
        agent.tell_login(Some(&boot::login(&agent.settings)), false);
        given
    }
}

/// Gives the running server what the file shows, if that is another than before. The link that it has stays. What fails
/// is due again at the next look.
pub async fn follow_file(agent: &Agent, server: &Server) {
    let (Some(cluster), Some(shard)) = (&agent.cluster, agent.settings.shard) else {
        return;
    };
    // Who borrows it has it looked at again.
    let Ok(mut given) = cluster.login.0.try_lock() else {
        return;
    };
    let password = boot::login(&agent.settings);
    if password.is_empty() || given.as_deref() == Some(password.as_str()) {
        return;
    }
    let login = Credentials::new(replication_user(shard), password.as_str());
    match server.log_in_to_primary_with(&login).await {
        Ok(()) => {
            info!("the server logs in at others with the password that is mounted");
            agent.tell_login(Some(&password), true);
            *given = Some(password);
        }
        Err(error) => debug!(%error, "the server does not take the password that is mounted"),
    }
}
