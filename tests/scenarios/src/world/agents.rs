//! What an agent does with what it receives.

use rand::Rng as _;

use super::{Buried, Guarantee, World};
use crate::net::{OPERATORS, Order, Payload, Position};
use crate::pod::{Process, Role};
use crate::rules::Fault;

impl World {
    pub(super) fn agent_receives(&mut self, from: usize, to: usize, payload: Payload) {
        let now = self.time;
        let rules = self.rules;
        match payload {
            Payload::Order { term, id, order } => {
                let (done, position) = self.obey(to, term, order);
                let status = self.pods[to].status(now);
                let answer = Payload::Answer {
                    id,
                    done,
                    position,
                    status,
                };
                if !matches!(order, Order::Members(_) | Order::Position) {
                    self.note(|_| {
                        let word = if done { "does" } else { "refuses" };
                        format!("pod {to} {word} {order:?} of {from}, term {term}")
                    });
                }
                self.send(to, from, answer);
            }
            Payload::Question { number, epoch } => {
                let Ok([asker, peer]) = self.pods.get_disjoint_mut([from, to]) else {
                    return;
                };
                if peer.vouches(asker.question(number, epoch), now, rules) {
                    let boot = asker.boot;
                    self.send(to, from, Payload::Vouch { number, boot });
                }
            }
            Payload::Confirm {
                term,
                number,
                epoch,
            } => {
                let pod = &mut self.pods[to];
                if term >= pod.term {
                    pod.term = term;
                    pod.is_confirmed(number, epoch, now, rules);
                }
            }
            Payload::Vouch { number, boot } => {
                let pod = &mut self.pods[to];
                if boot == pod.boot {
                    pod.is_vouched(number, from, now, rules);
                }
            }
            Payload::News(_) | Payload::Answer { .. } => {}
        }
    }

    /// Carries out an order, or does not.
    pub(crate) fn obey(
        &mut self,
        index: usize,
        term: u64,
        order: Order,
    ) -> (bool, Option<Position>) {
        let pod = &mut self.pods[index];
        let seen = pod.term;
        if order == Order::Position {
            let can = pod.runs();
            let position = can.then(|| pod.position(self.time));
            return (can, position);
        }
        if term < seen && !self.rules.has(Fault::TermIgnored) {
            return (false, None);
        }
        pod.term = seen.max(term);
        pod.news = true;
        let done = match order {
            Order::Promote { epoch, token } => self.promote(index, epoch, token),
            Order::Follow { epoch, whom } => self.follow(index, epoch, whom),
            Order::Pause { millis, epoch } => {
                let until = pod.clock(self.time) + millis;
                let known = pod.paused_for.max(pod.epoch);
                let can = pod.role == Role::Primary && pod.runs() && epoch > known;
                if can {
                    pod.paused_for = epoch;
                    pod.pause = Some((until, epoch));
                }
                can
            }
            Order::Release => {
                pod.pause = None;
                pod.runs()
            }
            Order::Fence { epoch } => {
                let can = pod.epoch <= epoch;
                if can {
                    pod.fenced = true;
                    self.stop_server(index, 0);
                }
                can
            }
            Order::Start => {
                if std::mem::take(&mut pod.fenced) {
                    pod.process = Process::Loading(self.time + self.rng.random_range(50..500));
                }
                true
            }
            Order::Promise { epoch } => {
                pod.promises(epoch, pod.quiet(self.time));
                true
            }
            Order::Members(members) => {
                let newer = members.revision >= pod.members.revision
                    || self.rules.has(Fault::ListsUnordered);
                let can = newer && members.pods & (1 << index) != 0;
                if can && members != pod.members {
                    pod.take_members(members, self.time, self.rules);
                }
                can
            }
            Order::Leave => {
                let can = pod.leaving.is_some();
                pod.alone |= can;
                can
            }
            Order::MarkLeft(left) => {
                let can = !(left && (pod.role == Role::Primary || pod.was_primary));
                if can {
                    pod.left = left;
                }
                can
            }
            Order::Position => false,
        };
        if done && term < seen {
            self.broken(Guarantee::OlderTerm, |_| {
                format!("pod {index} of term {seen} does {order:?} of term {term}")
            });
        }
        (done, None)
    }

    fn promote(&mut self, index: usize, epoch: u64, token: u64) -> bool {
        let now = self.time;
        let load = self.rng.random_range(50..500);
        let pod = &mut self.pods[index];
        if pod.leaving.is_some() {
            return false;
        }
        if pod.fenced {
            pod.fenced = false;
            pod.process = Process::Loading(now + load);
            return false;
        }
        let serves = pod.role == Role::Primary && pod.runs();
        if serves && pod.epoch == epoch {
            return true;
        }
        let twice = self.rules.has(Fault::PromotedTwice) && pod.epoch == epoch;
        let later = epoch > pod.epoch.max(pod.known().0);
        if !pod.runs() || epoch <= pod.promised_epoch || !(later || twice) {
            return false;
        }
        if pod.members.pods & (1 << index) == 0 {
            return false;
        }
        let Some(mut since) = pod.token(token, now) else {
            return false;
        };
        if self.rules.has(Fault::PromotionFromArrival) {
            since = pod.clock(now);
        }
        let watch = pod.new_watch(epoch, since);
        if watch.must_stop(pod.clock(now)) {
            return false;
        }
        if !serves {
            self.check_promotion(index, epoch);
            self.promotions += 1;
        }
        let pod = &mut self.pods[index];
        pod.arm(watch, now);
        pod.epoch = epoch;
        pod.copied_of = epoch;
        pod.primary = index;
        pod.was_primary = true;
        pod.is_of_object();
        pod.following = None;
        pod.followed = false;
        pod.pause = None;
        if !serves {
            pod.role = Role::Primary;
            pod.link_up = false;
            pod.sync_done = None;
            pod.second = Some(pod.data);
            pod.data = self.branches.fork(pod.data);
            pod.counted = true;
            self.drop_followers(index);
        }
        true
    }

    fn follow(&mut self, index: usize, epoch: u64, whom: usize) -> bool {
        let now = self.time;
        let rules = self.rules;
        let load = self.rng.random_range(50..500);
        let pod = &self.pods[index];
        let serves = pod.role == Role::Primary;
        if whom == index || epoch < pod.known().0.max(pod.epoch) {
            return false;
        }
        if serves {
            let paused = match pod.pause.filter(|_| pod.is_paused(now)) {
                Some((_, bound)) => bound == epoch || rules.has(Fault::AnyPause),
                None => false,
            };
            if epoch == pod.epoch || !(paused || rules.has(Fault::FollowsUnpaused)) {
                return false;
            }
            self.check_demotion(index, whom, epoch);
        }
        let pod = &mut self.pods[index];
        let same = pod.role == Role::Replica && pod.known().1 == whom;
        pod.was_primary = false;
        pod.following = Some((epoch, whom));
        pod.followed = true;
        pod.promises(epoch - 1, 0);
        pod.watch = None;
        if pod.fenced {
            pod.fenced = false;
            pod.process = Process::Loading(now + load);
        } else if pod.process == Process::Running {
            pod.role = Role::Replica;
            if !same {
                pod.link_up = false;
                pod.sync_done = None;
            }
            self.note_epoch(index);
        }
        true
    }

    /// A serving primary is demoted only for one that has everything.
    fn check_demotion(&mut self, index: usize, whom: usize, epoch: u64) {
        let (old, new) = (self.pods[index].data, self.pods[whom].data);
        self.demoted = Some((old, self.time, epoch));
        let restarted = !self.pods[whom].runs() || self.pods[whom].runs_since + 5_000 > self.time;
        if !restarted && !self.branches.contains(new, old) {
            self.broken(Guarantee::HandoverLosesNothing, |_| {
                format!("pod {index} at {old:?} is to follow pod {whom} at {new:?}")
            });
        }
    }

    fn check_promotion(&mut self, index: usize, epoch: u64) {
        let now = self.time;
        let calm = match self.net.weather.lost + self.net.weather.slow {
            0 => now - self.disturbed_at,
            _ => 0,
        };
        if let Some(other) = (0..self.pods.len()).find(|other| {
            *other != index && !self.pods[*other].gone && self.pods[*other].could_serve(now)
        }) {
            self.broken(Guarantee::OnePrimary, |world| {
                let epoch = world.pods[other].epoch;
                format!("pod {index} is promoted while pod {other} of epoch {epoch} may serve")
            });
        }
        // As long as it takes: a copy of the last epoch, and all of it if nothing fails.
        if let Some(Buried { had, last, at }) = self.buried.take() {
            let chosen = &self.pods[index];
            let whole = self.branches.contains(chosen.data, had);
            let calm = self.disturbed_at <= at && self.net.is_whole();
            if chosen.epoch < last || (calm && !whole) {
                self.broken(Guarantee::Remade, |world| {
                    let pod = &world.pods[index];
                    let (epoch, has) = (pod.epoch, pod.data);
                    format!(
                        "the last primary had {had:?} of epoch {last}, pod {index} of epoch {epoch} \
                         has {has:?}"
                    )
                });
            }
        }
        // When nothing fails the next primary has it all, and the one of the handover in any case.
        if let Some((had, at, planned)) = self.demoted.take()
            && ((now - at + 2_000 < calm && self.net.is_whole()) || planned == epoch)
        {
            self.handovers += 1;
            if !self.branches.contains(self.pods[index].data, had) {
                self.broken(Guarantee::HandoverLosesNothing, |world| {
                    let has = world.pods[index].data;
                    format!("the old primary had {had:?}, pod {index} has {has:?}")
                });
            }
        }
        let chosen = &self.pods[index];
        let (epoch, data, counted) = (chosen.epoch, chosen.data, chosen.counted);
        let leader = OPERATORS[usize::from(self.operators[1].leads(now))];
        // A copy of a later epoch, whether its server runs or not.
        let forgotten = self.pods.iter().find(|other| {
            other.index != index
                && !other.gone
                && other.up
                && !other.frozen
                && (other.fenced || matches!(other.process, Process::Loading(_)))
                && !other.left
                && other.epoch > epoch
                && self.api.listed & (1 << other.index) != 0
                && self.net.both_ways(other.index, leader)
                && !self.branches.contains(data, other.disk)
        });
        let better = self.pods.iter().find(|other| {
            other.index != index
                && !other.gone
                && other.runs()
                && !other.frozen
                && other.runs_since + 5_000 < now
                && other.role == Role::Replica
                // One that was left behind never wins against one that stayed.
                && !(other.left || self.api.records[other.ordinal].is_left())
                && other.counted
                && counted
                && self.api.listed & (1 << other.index) != 0
                && self.net.both_ways(other.index, leader)
                && other.members.revision == chosen.members.revision
                && !self.branches.contains(data, other.data)
                && (other.epoch > epoch
                    || (other.epoch == epoch && other.data.branch == data.branch)
                        && other.data.len > data.len)
        });
        if calm > 5_000
            && let Some(better) = better.or(forgotten)
        {
            let better = (better.index, better.epoch, better.data);
            self.broken(Guarantee::BestCopy, |_| {
                format!("pod {index} ({epoch}, {data:?}) is promoted instead of {better:?}")
            });
        }
    }
}
