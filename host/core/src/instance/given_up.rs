//! What is lost with the tail of a former primary.

use serde::{Deserialize, Serialize};

use crate::agent::Mark;
use crate::shard::Member;

/// A pod led an earlier epoch, did not hand over, and is to follow now: what its copy has and today's
/// data has not is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The epoch that it led.
    pub epoch: u64,
    /// Bytes of the replication stream that it was seen to have beyond what the next primary had. Its
    /// agent looks once a second, so there may be more. None if nobody saw.
    pub at_least: Option<u64>,
}

/// What is given up if `member` follows the primary of `epoch`, whose history leaves that of the primary
/// before at `fork`.
pub(super) fn given_up(member: &Member, epoch: u64, fork: Option<&Mark>) -> Option<GivenUp> {
    let status = member.agent.status()?;
    let memory = &status.memory;
    if !(memory.deposed || memory.was_primary) || memory.epoch >= epoch {
        return None;
    }
    let at_least = match (&status.led_to, fork) {
        (Some(led), Some(fork)) if led.replication_id == fork.replication_id => {
            Some(led.offset.saturating_sub(fork.offset))
        }
        _ => None,
    };
    Some(GivenUp {
        epoch: memory.epoch,
        at_least,
    })
}
