use crate::{Error, Server};

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
