//! Files go, and no more of them than one sweep may remove.

use hera_core::backup::Failure;
use hera_store::Store;

/// Files that one sweep removes at most: another goes on.
const MOST: usize = 20_000;

/// What one sweep removes.
pub struct Removing<'a> {
    /// From where.
    pub store: &'a Store,
    left: usize,
    has_more: bool,
}

impl<'a> Removing<'a> {
    /// Nothing yet.
    pub fn new(store: &'a Store) -> Self {
        Self {
            store,
            left: MOST,
            has_more: false,
        }
    }

    /// More is to go than may.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Removes these, or as many of them as may go: the first ones. Answers how many.
    ///
    /// # Errors
    /// The store does not do it. Any of them may be gone then.
    pub async fn remove(&mut self, paths: &[String]) -> Result<usize, Failure> {
        let count = paths.len().min(self.left);
        self.has_more |= count < paths.len();
        let first = paths.get(..count).unwrap_or_default();
        self.store.delete_all(first).await?;
        self.left -= count;
        Ok(count)
    }
}
