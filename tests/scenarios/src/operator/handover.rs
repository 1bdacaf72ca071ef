//! A handover under way: the real moves ([`hera_core::instance::handover`]), each at a moment of its
//! own.

use std::collections::VecDeque;

use hera_core::instance::Candidate;
use hera_core::instance::handover::{Move, Otherwise, PAUSE_MS, has_everything};
use hera_core::shard::Target;

use super::seen::{pod_of, position};
use super::{Known, Operator, PATIENCE};
use crate::net::{Members, Order};
use crate::pod::NAMES;
use crate::world::Api;

/// A handover under way.
#[derive(Clone, Debug)]
pub struct HandOver {
    from: usize,
    to: usize,
    epoch: u64,
    candidates: Vec<Candidate>,
    moves: VecDeque<Move>,
    paused: Option<u64>,
    awaited: Vec<u64>,
    since: u64,
    /// Where both were, while the old one is asked once more.
    places: Option<(Known, Known)>,
    token: u64,
    failed: bool,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.position)
    }
}

impl HandOver {
    pub(super) fn new(
        from: usize,
        to: usize,
        epoch: u64,
        candidates: Vec<Candidate>,
        members: Members,
    ) -> Self {
        let others = members.iter().filter(|pod| *pod != from && *pod != to);
        let others = others.map(|pod| Target {
            name: NAMES[pod].to_owned(),
            uid: NAMES[pod].to_owned(),
        });
        Self {
            from,
            to,
            epoch,
            candidates,
            moves: Move::all(others).into(),
            paused: None,
            awaited: Vec::new(),
            since: 0,
            places: None,
            token: 0,
            failed: false,
        }
    }
}

impl Operator {
    /// Goes on; none while an answer is awaited, else whether it came to its end.
    pub(super) fn hand_over(
        &mut self,
        over: &mut HandOver,
        api: &mut Api,
        now: u64,
    ) -> Option<bool> {
        let step = over.moves.front()?.clone();
        let done = self.make(over, &step, api, now)?;
        over.moves.pop_front();
        over.awaited.clear();
        over.places = None;
        if !done {
            over.failed = true;
            let otherwise = step.otherwise();
            if otherwise != Otherwise::GoOn {
                over.moves = otherwise.moves().into();
            }
        }
        if over.moves.is_empty() {
            return Some(!over.failed);
        }
        self.next_tick = 0;
        None
    }

    /// Makes a move, or goes on with it; none while an answer is awaited.
    fn make(&mut self, over: &mut HandOver, step: &Move, api: &mut Api, now: u64) -> Option<bool> {
        let late = |over: &HandOver| step.is_too_late(over.paused.map_or(0, |at| now - at));
        let (epoch, whom) = (over.epoch, over.to);
        let (pod, order) = match step {
            Move::Nominate => {
                api.candidates.clone_from(&over.candidates);
                return Some(true);
            }
            // Here nodes follow at once, and a replica that lags behind is waited for in the pause.
            Move::Ready => return Some(true),
            Move::Lead => {
                api.endpoint = Some(over.to);
                return Some(true);
            }
            Move::LeadBack => {
                api.endpoint = Some(over.from);
                return Some(true);
            }
            Move::Await => return self.await_parity(over, now, late(over)),
            Move::Pause => {
                over.paused.get_or_insert(now);
                let millis = PAUSE_MS;
                (over.from, Order::Pause { millis, epoch })
            }
            Move::Demote => (over.from, Order::Follow { epoch, whom }),
            Move::Promote => {
                let token = over.token;
                (over.to, Order::Promote { epoch, token })
            }
            Move::Follow(other) => (
                pod_of(&other.uid).unwrap_or_default(),
                Order::Follow { epoch, whom },
            ),
            Move::Release => (over.from, Order::Release),
            Move::Dismiss => (over.to, Order::Release),
        };
        match over.awaited.first() {
            None if late(over) => Some(false),
            None => {
                over.since = now;
                over.awaited.push(self.order(pod, order, now));
                None
            }
            Some(id) => self
                .answer(*id)
                .or_else(|| (now >= over.since + PATIENCE).then_some(false)),
        }
    }

    /// Both are asked, and then the old one once more: what it wrote meanwhile counts as well.
    fn await_parity(&mut self, over: &mut HandOver, now: u64, late: bool) -> Option<bool> {
        let answers: Vec<_> = over.awaited.iter().map(|id| self.answer(*id)).collect();
        if answers.contains(&Some(false)) || late {
            return Some(false);
        }
        if answers.contains(&None) {
            return None;
        }
        let at = |pod: usize| self.positions[pod];
        match (over.places, answers.is_empty()) {
            (None, true) => {
                over.awaited = [over.from, over.to]
                    .map(|pod| self.order(pod, Order::Position, now))
                    .into();
                None
            }
            (None, false) => {
                over.places = at(over.from).zip(at(over.to));
                over.awaited = vec![self.order(over.from, Order::Position, now)];
                None
            }
            (Some((was, has)), _) => {
                let after = at(over.from).unwrap_or(was);
                if has_everything(&position(&has), &position(&was), &position(&after)) {
                    over.token = has.position.token;
                    return Some(true);
                }
                (over.places, over.awaited) = (None, Vec::new());
                None
            }
        }
    }
}
