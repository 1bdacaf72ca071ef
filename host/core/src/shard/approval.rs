//! Whether a primary may be touched, where a person says so.

use serde::{Deserialize, Serialize};

use super::member::Member;
use super::step::{Stall, Wait};
use super::wanted::Shard;
use crate::digest::short_hex;

/// What somebody is asked to approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Digest of the step.
    pub digest: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

impl Shard<'_> {
    /// Whether the primary may be replaced.
    ///
    /// # Errors
    /// What is to be approved before.
    pub fn approval(&self, primary: &Member, reason: &str) -> Result<(), Wait> {
        let wanted = self.wanted;
        if !wanted.supervised {
            return Ok(());
        }
        let digest = short_hex(format!("{} {}", wanted.revision, primary.uid()).as_bytes());
        if wanted.approved.as_deref() == Some(digest.as_str()) {
            return Ok(());
        }
        let words = format!(
            "{reason}; the primary {} is replaced once somebody approves {digest}",
            primary.name()
        );
        let asked = self.asked.filter(|asked| asked.digest == digest);
        let late =
            asked.filter(|asked| self.now_ms.saturating_sub(asked.since_ms) > wanted.max_wait_ms);
        Err(Wait {
            stalled: late.map(|asked| Stall {
                step: words.clone(),
                since_ms: asked.since_ms,
            }),
            words,
            to_approve: Some(digest),
        })
    }
}
