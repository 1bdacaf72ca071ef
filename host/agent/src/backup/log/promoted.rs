//! When this server was promoted. The primary before may live on, and go on telling how much it has written: from then
//! on that says nothing of what is acknowledged.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last promotion of the server by this agent.
#[derive(Default)]
pub struct Promoted(Mutex<Option<Promotion>>);

struct Promotion {
    unix_ms: u64,
    /// The history that began with it, once the server has told.
    id: Option<String>,
}

impl Promoted {
    /// The server is to be promoted now, in milliseconds since 1970.
    pub fn begins(&self, unix_ms: u64) {
        *self.lock() = Some(Promotion { unix_ms, id: None });
    }

    /// It was not, as far as is known.
    pub fn fails(&self) {
        *self.lock() = None;
    }

    /// The server leads, and this is its history. The first one since counts: a later one began by itself.
    pub fn leads(&self, id: &str) {
        if let Some(promotion) = self.lock().as_mut() {
            promotion.id.get_or_insert_with(|| id.to_owned());
        }
    }

    /// When this history began, in milliseconds since 1970; none if it did not begin with a promotion that is known.
    pub fn began(&self, id: &str) -> Option<u64> {
        let promotion = self.lock();
        let promotion = promotion.as_ref()?;
        (promotion.id.as_deref() == Some(id)).then_some(promotion.unix_ms)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Promotion>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promotion_begins_one_history_and_no_other() {
        let promoted = Promoted::default();
        promoted.leads("a");
        assert_eq!(promoted.began("a"), None);
        promoted.begins(5);
        assert_eq!(promoted.began("a"), None, "which one it is is not known");
        promoted.leads("b");
        // The server started anew, and nobody promoted it.
        promoted.leads("c");
        assert_eq!(
            ["a", "b", "c"].map(|id| promoted.began(id)),
            [None, Some(5), None]
        );
        promoted.begins(9);
        promoted.leads("d");
        assert_eq!(["b", "d"].map(|id| promoted.began(id)), [None, Some(9)]);
        promoted.begins(11);
        promoted.fails();
        promoted.leads("e");
        assert_eq!(promoted.began("e"), None);
    }
}
