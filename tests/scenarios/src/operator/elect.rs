//! No primary is there: whether another may be promoted, and which.

use super::{Job, Operator, PATIENCE};
use crate::net::{Members, Order, set};
use crate::pod::Role;
use crate::rules::{Fault, Rules};
use crate::world::Api;

/// Every copy has had the chance to be heard after this.
const ALL_HEARD: u64 = 5_000;
/// A better copy that is being loaded is waited for; a model cannot wait for ever.
const LOADED: u64 = 30_000;
/// The first primary waits this long for every pod.
const FIRST: u64 = 5_000;

impl Operator {
    /// No primary is there.
    pub(super) fn elect(
        &mut self,
        api: &mut Api,
        crowned: Option<(usize, u64)>,
        now: u64,
        rules: Rules,
    ) {
        if let Job::Promoted { id, since } = self.job
            && self.answer(id) != Some(false)
            && now < since + PATIENCE
        {
            return;
        }
        let pods = set(api.listed).filter_map(|pod| self.connected(pod, now));
        let able = pods
            .filter(|status| status.running || status.fenced)
            .count();
        let safe = match crowned {
            None => able == api.listed.count_ones() as usize || now > self.leads_since + FIRST,
            Some((pod, reign)) => self.is_over(api, pod, reign, now, rules),
        };
        if !safe {
            self.job = Job::None;
            return;
        }
        match self.job {
            Job::Elect { since } if now < since + LOADED + PATIENCE => {
                self.choose(api, since, crowned, now, rules);
            }
            _ => {
                api.endpoint = None;
                for pod in set(api.listed) {
                    if self.connected(pod, now).is_some() {
                        self.order(pod, Order::Position, now);
                    }
                }
                self.job = Job::Elect { since: now };
            }
        }
    }

    /// True if the one that was crowned serves no more and will not: it says that it is no primary
    /// and takes no promotion of that reign any more; it is known to be gone; or its fence is over.
    fn is_over(&mut self, api: &Api, pod: usize, reign: u64, now: u64, rules: Rules) -> bool {
        if api.removed & (1 << pod) != 0 {
            return true;
        }
        if let Some(view) = self.views[pod] {
            let status = view.status;
            if status.role != Role::Primary && status.reign.max(status.forsworn) >= reign {
                return true;
            }
        }
        let mut wait = api.lists.is_empty();
        let today = [Members {
            pods: api.listed,
            fence_after: api.fence_after,
            revision: 0,
        }];
        let of_today = rules.has(Fault::ListOfToday) || rules.has(Fault::NothingWrittenDown);
        let lists = if of_today { &today[..] } else { &api.lists[..] };
        for list in lists {
            let peers = list.iter().filter(|peer| *peer != pod);
            let mut promises: Vec<u64> = peers.map(|peer| self.promises[peer]).collect();
            let mut count = list.count();
            if rules.has(Fault::PeersNotAsked) {
                promises = vec![u64::MAX; count];
            }
            if rules.has(Fault::OneTooFew) {
                count = count.saturating_sub(2);
            }
            let since = self.leads_since;
            let fence_after = if list.count() > 1 {
                list.fence_after
            } else {
                0
            };
            let asked = self
                .desk
                .may_promote(reign, &promises, count, fence_after, since, now);
            if fence_after > 0 {
                self.forsworn = self.forsworn.max(reign);
            }
            wait |= asked.is_err();
        }
        for peer in set(api.listed) {
            let Some(status) = self.connected(peer, now) else {
                continue;
            };
            if status.forsworn < reign && now >= self.told[peer] + 300 {
                self.told[peer] = now;
                self.order(peer, Order::Forswear { reign }, now);
            }
        }
        if !wait {
            self.granted = Some(pod);
        }
        !wait
    }

    /// The best of all copies that are heard: data, reign, offset, the last primary's, keys.
    fn choose(
        &mut self,
        api: &mut Api,
        since: u64,
        crowned: Option<(usize, u64)>,
        now: u64,
        rules: Rules,
    ) {
        // One that holds a list that is not written down cannot be waited out later.
        let lists = api.lists.clone();
        let written = |revision| lists.iter().any(|list| list.revision == revision);
        let mut best = None;
        let mut waits = false;
        // The highest reign of a copy that is there and cannot be asked yet.
        let mut loading = 0;
        let mut all = true;
        for pod in set(api.listed) {
            let Some(status) = self.connected(pod, now) else {
                all = false;
                continue;
            };
            // A ticket is good for a moment only.
            let known = self.positions[pod].filter(|known| known.asked >= since);
            let asked = known.map_or(0, |known| known.asked);
            if now > asked + 500 && now >= self.told[pod] + 300 {
                self.told[pod] = now;
                self.order(pod, Order::Position, now);
            }
            let known = known.filter(|known| now < known.asked + 1_500);
            let Some(known) = known.filter(|_| written(status.members)) else {
                waits = true;
                loading = loading.max(status.reign);
                continue;
            };
            let position = known.position;
            let rank = (
                position.keys > 0,
                status.reign,
                position.offset,
                status.was_primary,
                position.keys,
            );
            let better = match best {
                Some((before, _, _)) => (rank > before) != rules.has(Fault::AnyCopy),
                None => true,
            };
            if better {
                best = Some((rank, pod, position.ticket));
            }
        }
        // A replica that ran on since it was in sync with the last primary will do; else every copy
        // has the chance to be heard.
        let reign = crowned.map_or(0, |(_, reign)| reign);
        let good =
            best.is_some_and(|((data, of, offset, ..), ..)| data && of >= reign && offset > 0);
        let patience = match best {
            _ if good => PATIENCE,
            Some(((true, of, ..), ..)) if of >= loading => ALL_HEARD,
            _ if loading > 0 => LOADED,
            _ => ALL_HEARD,
        };
        let woke = now < self.awake_since.max(self.leads_since) + PATIENCE;
        if (waits || !(all || good && !woke)) && now < since + patience {
            return;
        }
        if let Some((_, pod, ticket)) = best {
            self.promote(api, pod, ticket, now);
        }
    }
}
