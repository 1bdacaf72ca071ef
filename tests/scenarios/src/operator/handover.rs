//! A planned handover, step by step; it may end at each.

use super::{Job, Known, Operator, PAUSE, Stage};
use crate::net::Order;
use crate::world::Api;

impl Operator {
    /// Writes pause, offsets are equal, the old primary follows, and only then the new one is
    /// promoted.
    pub(super) fn hand_over(&mut self, api: &mut Api, now: u64) {
        let Job::Handover {
            from,
            to,
            reign,
            since,
            stage,
        } = self.job
        else {
            return;
        };
        let next = match stage {
            Stage::Pausing(id) => match self.answer(id) {
                Some(true) => Some(self.ask_both(from, to, now)),
                Some(false) => None,
                None => Some(stage),
            },
            Stage::Parity { asked } => {
                let fresh = |pod: usize| self.positions[pod].filter(|known| known.asked >= asked);
                match (fresh(from), fresh(to)) {
                    (Some(old), Some(new)) => {
                        let (old, new) = (old.position, new.position);
                        if (old.branch, old.keys) == (new.branch, new.keys) {
                            let order = Order::Follow { reign, whom: to };
                            let id = self.order(from, order, now);
                            Some(Stage::Demoting(id, new.branch, new.keys))
                        } else {
                            Some(self.ask_both(from, to, now))
                        }
                    }
                    _ => Some(stage),
                }
            }
            Stage::Demoting(id, branch, keys) => match self.answer(id) {
                Some(true) => {
                    self.order(to, Order::Position, now);
                    Some(Stage::Ticket {
                        asked: now,
                        branch,
                        keys,
                    })
                }
                Some(false) => None,
                None => Some(stage),
            },
            Stage::Ticket {
                asked,
                branch,
                keys,
            } => {
                let known = self.positions[to].filter(|known| known.asked >= asked);
                // A server that has started again may have less.
                let same =
                    |known: &Known| (known.position.branch, known.position.keys) == (branch, keys);
                if known.is_some_and(|known| !same(&known)) {
                    self.job = Job::None;
                    return;
                }
                if let Some(known) = known {
                    api.crown = Some((to, reign));
                    let ticket = known.position.ticket;
                    let id = self.order(to, Order::Promote { reign, ticket }, now);
                    self.order(from, Order::Release, now);
                    self.job = Job::Promoted { id, since: now };
                    return;
                }
                Some(stage)
            }
        };
        match next {
            Some(stage) if now < since + PAUSE => {
                self.job = Job::Handover {
                    from,
                    to,
                    reign,
                    since,
                    stage,
                };
            }
            _ => {
                self.order(from, Order::Release, now);
                self.job = Job::None;
            }
        }
    }

    fn ask_both(&mut self, from: usize, to: usize, now: u64) -> Stage {
        self.order(from, Order::Position, now);
        self.order(to, Order::Position, now);
        Stage::Parity { asked: now }
    }
}
