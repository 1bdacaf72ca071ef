use std::fmt;

use hera_core::backup::FailureReason;
use object_store::MultipartUpload;
use tokio::task::JoinSet;
use tracing::warn;

use crate::error::{StoreError, Told, within};
use crate::store::Store;

/// Parts that travel at the same time: each is in memory until the store has it.
const IN_FLIGHT: usize = 2;

/// A file that comes in parts. Stores want at most 10 000 of them, each but the last of 5 MiB or more, and many stores
/// want all but the last of one size or growing. What is dropped without [`Self::finish`] or [`Self::abort`] is no
/// file, but its parts take space until the store's own rule removes them.
pub struct Upload {
    store: Store,
    path: String,
    begun: Box<dyn MultipartUpload>,
    sent: JoinSet<Result<(), Told>>,
}

/// Nothing secret.
impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({:?}, {})", self.store, self.path)
    }
}

impl Upload {
    pub(crate) fn new(store: Store, path: &str, begun: Box<dyn MultipartUpload>) -> Self {
        Self {
            store,
            path: path.to_owned(),
            begun,
            sent: JoinSet::new(),
        }
    }

    /// Sends the next part, once fewer than two are on their way. That it returns does not mean that the store has it.
    ///
    /// # Errors
    /// When the store did not take this part or one before: then the file can only be given up.
    pub async fn part(&mut self, part: Vec<u8>) -> Result<(), StoreError> {
        while self.sent.len() >= IN_FLIGHT {
            self.one_arrived().await?;
        }
        self.sent.spawn(within(self.begun.put_part(part.into())));
        Ok(())
    }

    /// Makes the file of its parts, once the store has all.
    ///
    /// # Errors
    /// When there is no such file now: it is given up. Only if the store's last answer was lost it may be there.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        let done = self.complete().await;
        if done.is_err() {
            self.abort().await;
        }
        done
    }

    /// Gives the file up, and what the store has of it.
    pub async fn abort(mut self) {
        self.sent.shutdown().await;
        if let Err(told) = within(self.begun.abort()).await {
            let error = self.store.failed("give up", &self.path, &told);
            warn!(%error, "parts of a file that is given up stay in the store");
        }
    }

    async fn complete(&mut self) -> Result<(), StoreError> {
        while !self.sent.is_empty() {
            self.one_arrived().await?;
        }
        match within(self.begun.complete()).await {
            Ok(_) => Ok(()),
            Err(told) => Err(self.store.failed("write", &self.path, &told)),
        }
    }

    /// Waits for any part that is on its way.
    async fn one_arrived(&mut self) -> Result<(), StoreError> {
        match self.sent.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(told))) => Err(self.store.failed("write", &self.path, &told)),
            Some(Err(ended)) => Err(StoreError {
                reason: FailureReason::StoreUnreachable,
                message: format!("a part of {} was not sent: {ended}", self.path),
            }),
        }
    }
}
