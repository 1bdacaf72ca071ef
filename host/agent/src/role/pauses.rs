//! Pauses of writes, each for one handover. Pure.
//!
//! A primary that was told to follow and took in one more write would lose it. So it follows only
//! while the pause for that very handover is known to be in force, and pauses once for each: a pause
//! that came twice would let an order to follow pass that was sent for the first.

use thiserror::Error;

/// The order to the server may take this long.
const MARGIN_MS: u64 = 100;

/// Why a primary does not pause, or does not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoPause {
    /// The handover is over, or names no later epoch.
    #[error("the handover to epoch {asked} is over: epoch {known} is known")]
    Over {
        /// The epoch of the handover.
        asked: u64,
        /// The last that it knows of.
        known: u64,
    },
    /// It is not paused.
    #[error("the server is the primary and its writes are not paused for a handover to epoch {0}")]
    None(u64),
    /// It is paused for another handover.
    #[error("the server's writes are paused for a handover to epoch {paused}, not to {asked}")]
    Another {
        /// The epoch of the handover.
        asked: u64,
        /// The epoch for which it is paused.
        paused: u64,
    },
    /// The pause has ended by itself.
    #[error("the pause for the handover to epoch {0} has ended: the primary goes on")]
    Ended(u64),
}

/// The pause of the running server, if there is one.
#[derive(Debug, Default)]
pub struct Pauses {
    /// The last handover for which it paused.
    last: u64,
    /// Until when writes are known to be held back.
    until: Option<u64>,
}

impl Pauses {
    /// Whether a primary whose data is of epoch `own` may pause for the handover to `epoch`.
    ///
    /// # Errors
    /// Why not.
    pub fn may_begin(&self, epoch: u64, own: u64) -> Result<(), NoPause> {
        let known = self.last.max(own);
        match epoch > known {
            true => Ok(()),
            false => Err(NoPause::Over {
                asked: epoch,
                known,
            }),
        }
    }

    /// It pauses now, until then at least.
    pub fn begin(&mut self, epoch: u64, until: u64) {
        self.last = epoch;
        self.until = Some(until);
    }

    /// The pause has ended, or its server has.
    pub fn end(&mut self) {
        self.until = None;
    }

    /// True as long as its end is not known.
    pub fn is_in_effect(&self) -> bool {
        self.until.is_some()
    }

    /// Whether the pause for the handover to `epoch` is in force, and will be for a moment.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, epoch: u64, now: u64) -> Result<(), NoPause> {
        match self.until {
            None if epoch == self.last && epoch > 0 => Err(NoPause::Ended(epoch)),
            None => Err(NoPause::None(epoch)),
            Some(_) if epoch != self.last => Err(NoPause::Another {
                asked: epoch,
                paused: self.last,
            }),
            Some(until) if now.saturating_add(MARGIN_MS) < until => Ok(()),
            Some(_) => Err(NoPause::Ended(epoch)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_for_one_handover_and_ends() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.check(8, 0), Err(NoPause::None(8)));
        pauses.may_begin(8, 7).unwrap();
        pauses.begin(8, 2_000);
        assert_eq!(pauses.check(8, 1_000), Ok(()));
        assert_eq!(
            pauses.check(9, 1_000),
            Err(NoPause::Another {
                asked: 9,
                paused: 8
            })
        );
        assert_eq!(pauses.check(8, 1_900), Err(NoPause::Ended(8)));
        pauses.end();
        assert_eq!(pauses.check(8, 1_000), Err(NoPause::Ended(8)));
    }

    #[test]
    fn there_is_one_pause_for_each_handover_and_none_for_a_epoch_that_is_over() {
        let mut pauses = Pauses::default();
        pauses.begin(8, 2_000);
        pauses.end();
        let over = |asked| Err(NoPause::Over { asked, known: 8 });
        assert_eq!(pauses.may_begin(8, 7), over(8));
        assert_eq!(pauses.may_begin(7, 7), over(7));
        assert_eq!(pauses.may_begin(8, 8), over(8));
        assert_eq!(pauses.may_begin(9, 8), Ok(()));
    }
}
