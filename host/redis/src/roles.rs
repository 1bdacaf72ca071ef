use std::time::Duration;

use crate::{ConfigSet, Credentials, Error, Server};

/// What a server does with its dataset before it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// What its configuration says; an append-only file is always synced.
    AsConfigured,
    /// Writes a snapshot first; the server stays if it cannot.
    Save,
    /// Writes no snapshot.
    NoSave,
}

impl Server {
    /// Makes the server a primary.
    ///
    /// # Errors
    /// The server refuses while it loads.
    pub async fn promote(&self) -> Result<(), Error> {
        let mut command = redis::cmd("REPLICAOF");
        command.arg("NO").arg("ONE");
        self.ask("REPLICAOF NO ONE", &command).await
    }

    /// Makes the server a replica of the one at `host`, to which it logs in with `login`.
    ///
    /// # Errors
    /// The server refuses while it loads.
    pub async fn follow(&self, host: &str, port: u16, login: &Credentials) -> Result<(), Error> {
        self.log_in_to_primary_with(login).await?;
        let mut command = redis::cmd("REPLICAOF");
        command.arg(host).arg(port);
        self.ask("REPLICAOF", &command).await
    }

    /// Sets with which login a replica speaks to its primary, from the next connection on.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn log_in_to_primary_with(&self, login: &Credentials) -> Result<(), Error> {
        // One by one: several in one command came with 7.0.
        let pairs = [
            ("masteruser", login.username()),
            ("masterauth", login.password()),
        ];
        for (name, value) in pairs {
            if self.config_set(name, value).await? != ConfigSet::Applied {
                return Err(Error::unexpected(
                    "CONFIG SET",
                    format!("{name} is not set"),
                ));
            }
        }
        Ok(())
    }

    /// Holds back all writes, expiry and eviction for `limit`, or until [`Self::end_pause`].
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn pause_writes(&self, limit: Duration) -> Result<(), Error> {
        let mut command = redis::cmd("CLIENT");
        let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        command.arg("PAUSE").arg(millis).arg("WRITE");
        self.ask("CLIENT PAUSE", &command).await
    }

    /// Ends a pause; none is no error.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn end_pause(&self) -> Result<(), Error> {
        let mut command = redis::cmd("CLIENT");
        command.arg("UNPAUSE");
        self.ask("CLIENT UNPAUSE", &command).await
    }

    /// Closes the connections of all clients but this one; those of replication live.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn close_clients(&self) -> Result<(), Error> {
        for kind in ["normal", "pubsub"] {
            let mut command = redis::cmd("CLIENT");
            command.arg(&["KILL", "TYPE", kind, "SKIPME", "yes"]);
            let _: i64 = self.ask("CLIENT KILL", &command).await?;
        }
        Ok(())
    }

    /// Starts a snapshot in the background.
    ///
    /// # Errors
    /// One that runs already, or a rewrite of the append-only file, is refused.
    pub async fn save_in_background(&self) -> Result<(), Error> {
        let _: String = self.ask("BGSAVE", &redis::cmd("BGSAVE")).await?;
        Ok(())
    }

    /// Asks the server to leave. A lost connection is the answer of a server that did.
    ///
    /// # Errors
    /// [`Error::Refused`] when it stays, for example because it cannot save.
    pub async fn shutdown(&self, how: Shutdown) -> Result<(), Error> {
        let mut command = redis::cmd("SHUTDOWN");
        match how {
            Shutdown::AsConfigured => {}
            Shutdown::Save => {
                command.arg("SAVE");
            }
            Shutdown::NoSave => {
                command.arg("NOSAVE");
            }
        }
        match self.ask::<redis::Value>("SHUTDOWN", &command).await {
            Ok(_) | Err(Error::Unreachable { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
