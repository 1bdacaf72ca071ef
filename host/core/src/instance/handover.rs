//! What a handover does, in order (redis-facts §2.4 A2): the Service moves, writes pause, the replica
//! has everything, the old primary follows, and only then the new one is promoted. Whatever ends it in the middle
//! leaves no primary for a moment, and never two.

use crate::agent::Position;
use crate::shard::Target;

/// Nodes take about as long to follow a Service (measured, decision 009).
pub const HEAD_START_MS: u64 = 100;
/// Writes wait this long at most; the pause ends by itself.
pub const PAUSE_MS: u64 = 2_000;
/// A replica that does not have everything by then will not in time.
pub const PARITY_MS: u64 = 1_000;
/// Later the pause may end before the old primary follows.
const DEMOTE_MS: u64 = PAUSE_MS / 2;
/// Both agents tell where their servers are in 1 to 3 ms; on nodes that start or end pods, in 10 to 40
/// (measured with the testbed), and a pause becomes longer by as much for each of its moves.
const CALM_MS: u64 = 8;

/// Whether nodes are calm, so that a pause is short. Some never are: it is not waited for long.
#[derive(Clone, Copy, Debug)]
pub struct Calm {
    quick: u32,
    needed: u32,
    limit_ms: u64,
}

impl Calm {
    /// Before anything is begun, no client waits.
    pub const BEGIN: Self = Self::after(8, 2_000);
    /// Clients that connect anew meanwhile reach a replica: nodes are given time to follow the Service,
    /// and not much more.
    pub const PAUSE: Self = Self::after(2, HEAD_START_MS);

    const fn after(needed: u32, limit_ms: u64) -> Self {
        Self {
            quick: 0,
            needed,
            limit_ms,
        }
    }

    /// For so long it is waited for, whatever is answered.
    pub fn limit_ms(&self) -> u64 {
        self.limit_ms
    }

    /// Notes how long an answer took; true if it is time.
    pub fn note(&mut self, took_ms: u64) -> bool {
        self.quick = match took_ms <= CALM_MS {
            true => self.quick + 1,
            false => 0,
        };
        self.quick >= self.needed
    }
}

/// One thing that a handover does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Write down who is to be promoted, beside who serves; clients do not wait for that.
    Nominate,
    /// See that the replica keeps up, that nodes take in where clients are led to at once, and that
    /// they are calm; clients do not wait for that either.
    Ready,
    /// Lead new clients to the replica, [`HEAD_START_MS`] ahead: those that are connected stay where they
    /// are until they are sent away, and nodes have followed by then.
    Lead,
    /// Hold back the old primary's writes.
    Pause,
    /// Wait until the replica has everything; its token is for the promotion.
    Await,
    /// Make the old primary a replica of the new one.
    Demote,
    /// Make the replica the primary.
    Promote,
    /// End the pause, and send the old primary's clients away if it is none any more.
    Release,
    /// Lead another replica to it.
    Follow(Target),
    /// Lead clients to the old primary again: it serves on.
    LeadBack,
    /// Send away the clients that have come to the replica, once nodes lead to the old primary again.
    Dismiss,
}

/// What follows a move that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// Nothing was begun.
    Stop,
    /// The pause ends; if the old primary follows already, the next pass promotes.
    Release,
    /// The pause ends, and clients are led to the old primary again.
    Undo,
    /// The next pass sees to it.
    GoOn,
}

impl Otherwise {
    /// What is done then.
    pub fn moves(self) -> Vec<Move> {
        match self {
            Self::Stop | Self::GoOn => Vec::new(),
            Self::Release => vec![Move::Release],
            Self::Undo => vec![Move::Release, Move::LeadBack, Move::Dismiss],
        }
    }
}

impl Move {
    /// All of them, in order; `others` are the replicas beside the new primary.
    pub fn all(others: impl IntoIterator<Item = Target>) -> Vec<Self> {
        let mut moves = vec![
            Self::Nominate,
            Self::Ready,
            Self::Lead,
            Self::Pause,
            Self::Await,
            Self::Demote,
            Self::Promote,
            Self::Release,
        ];
        moves.extend(others.into_iter().map(Self::Follow));
        moves
    }

    /// What follows if it fails.
    pub fn otherwise(&self) -> Otherwise {
        match self {
            Self::Nominate | Self::Ready => Otherwise::Stop,
            Self::Lead | Self::Pause | Self::Await | Self::Demote => Otherwise::Undo,
            Self::Promote => Otherwise::Release,
            Self::Follow(_) | Self::LeadBack | Self::Dismiss | Self::Release => Otherwise::GoOn,
        }
    }

    /// True if it is too late for it, so many milliseconds after the pause was ordered.
    pub fn is_too_late(&self, since_pause_ms: u64) -> bool {
        match self {
            Self::Await => since_pause_ms > PARITY_MS,
            Self::Demote => since_pause_ms > DEMOTE_MS,
            _ => false,
        }
    }
}

/// True if a replica has all that the paused primary wrote. `after` is the primary's position, read
/// after the replica's: what it wrote meanwhile counts as well.
pub fn has_everything(replica: &Position, primary: &Position, after: &Position) -> bool {
    replica.replication_id == primary.replication_id
        && replica.replication_id == after.replication_id
        && replica.offset >= primary.offset.max(after.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_primary_follows_before_the_new_one_is_promoted_and_after_it_has_everything() {
        let other = Target::default();
        let moves = Move::all([other.clone()]);
        let at = |which: &Move| moves.iter().position(|found| found == which);
        let order = [
            Move::Nominate,
            Move::Ready,
            Move::Lead,
            Move::Pause,
            Move::Await,
            Move::Demote,
            Move::Promote,
            Move::Release,
            Move::Follow(other),
        ];
        let places: Vec<_> = order.iter().map(at).collect();
        assert!(places.is_sorted() && places.iter().all(Option::is_some));
    }

    #[test]
    fn clients_are_led_back_whenever_the_old_primary_does_not_hand_over() {
        let moves = Move::all([]);
        let led = moves.iter().position(|step| *step == Move::Lead).unwrap();
        let demoted = moves.iter().position(|step| *step == Move::Demote).unwrap();
        for (at, step) in moves.iter().enumerate() {
            let back = step.otherwise().moves().contains(&Move::LeadBack);
            assert_eq!(back, at >= led && at <= demoted, "{step:?}");
            let ends = step.otherwise() != Otherwise::GoOn;
            let paused = at >= led && ends;
            let released = step.otherwise().moves().contains(&Move::Release);
            assert_eq!(released, paused, "{step:?}");
        }
    }

    #[test]
    fn nodes_are_calm_after_some_quick_answers_in_a_row() {
        let mut calm = Calm::BEGIN;
        let times = [3, 3, 3, 30, 3, 3, 3, 3, 3, 3, 3, 3];
        let quiet = times.iter().position(|took| calm.note(*took));
        assert_eq!(quiet, Some(11), "eight after the slow one");
    }

    #[test]
    fn what_the_primary_wrote_while_the_replica_was_asked_counts() {
        let at = |offset| Position {
            replication_id: "a".to_owned(),
            offset,
            ..Position::default()
        };
        assert!(has_everything(&at(7), &at(7), &at(7)));
        assert!(!has_everything(&at(7), &at(7), &at(8)));
        assert!(!has_everything(&at(6), &at(7), &at(7)));
        let other = Position {
            replication_id: "b".to_owned(),
            ..at(9)
        };
        assert!(!has_everything(&other, &at(7), &at(7)));
    }

    #[test]
    fn a_pause_that_may_end_soon_is_too_late_to_follow_in() {
        assert!(!Move::Demote.is_too_late(900) && Move::Demote.is_too_late(1_100));
        assert!(!Move::Promote.is_too_late(9_000));
    }
}
