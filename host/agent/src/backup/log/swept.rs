//! What retention removed of a history: that it is missing is no hole in the log.

use hera_core::backup::log::PieceName;
use hera_core::backup::{FORMAT, Failure, FailureReason};
use hera_store::Store;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::backup::{failed, files};

/// Name of [`Swept`] in the folder of a history.
const SWEPT: &str = "swept.json";

/// `swept.json`: nothing needs the pieces of a history up to an offset, and they may be gone. Who goes on with the log
/// takes them for stored. Written over, before the first of them is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    /// [`FORMAT`].
    pub v: u32,
    /// Up to this offset. The store had all between it and the first piece that is left.
    pub at: u64,
}

impl Swept {
    /// Where it lies.
    pub fn path(folder: &str, id: &str) -> String {
        format!("{folder}/{id}/{SWEPT}")
    }

    /// What is stored; none if nothing was removed. One that is damaged says nothing.
    ///
    /// # Errors
    /// It is of a later release, or the store does not answer.
    pub async fn read(store: &Store, folder: &str, id: &str) -> Result<Option<Self>, Failure> {
        match files::read(store, &Self::path(folder, id)).await {
            Err(failure) if failure.reason == FailureReason::Corrupt => {
                warn!(why = %failure.message, "what was removed of the log is not known");
                Ok(None)
            }
            read => read,
        }
    }

    /// Notes that pieces of a history may go up to an offset. What was noted before stays noted.
    ///
    /// # Errors
    /// The store does not do it.
    pub async fn note(store: &Store, folder: &str, id: &str, at: u64) -> Result<(), Failure> {
        if let Some(noted) = Self::read(store, folder, id).await?
            && noted.at >= at
        {
            return Ok(());
        }
        let path = Self::path(folder, id);
        let swept = serde_json::to_vec(&Self { v: FORMAT, at }).map_err(|error| {
            let words = format!("{path} cannot be written: {error}");
            failed(FailureReason::Corrupt, words)
        })?;
        Ok(store.put(&path, swept).await?)
    }

    /// The end of what was removed, as a piece.
    pub fn last(&self, id: &str) -> Option<PieceName> {
        Some(PieceName {
            id: id.to_owned(),
            from: self.at.checked_sub(1)?,
            to: self.at,
            t0: 0,
            t1: 0,
        })
    }
}
