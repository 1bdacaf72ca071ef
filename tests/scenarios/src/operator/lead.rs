//! A primary is there.

use super::{Job, Operator, PATIENCE, PAUSE, Stage};
use crate::net::{Order, set};
use crate::pod::{Role, Status};
use crate::rules::{Fault, Rules};
use crate::world::Api;

impl Operator {
    /// A primary is there: all others follow it.
    pub(super) fn lead(&mut self, api: &mut Api, primary: Status, now: u64, rules: Rules) {
        let pod = primary.pod;
        let latest = api.lists.last().map_or(0, |list| list.revision);
        if primary.members == latest && api.crown.is_some_and(|(crowned, _)| crowned == pod) {
            if api.lists.len() > 1 && !rules.has(Fault::ChangeUnnoted) {
                self.desk.note_change(now);
            }
            api.lists.retain(|list| list.revision == latest);
        }
        api.endpoint = Some(pod);
        self.crown_again(api, primary, now);
        let mut in_sync = None;
        for other in set(api.listed).filter(|other| *other != pod) {
            let Some(status) = self.connected(other, now) else {
                continue;
            };
            if status.following == Some((primary.reign, pod)) {
                if status.link_up && status.members == latest {
                    in_sync = in_sync.or(Some(other));
                }
                continue;
            }
            if now < self.told[other] + 400 {
                continue;
            }
            self.told[other] = now;
            if status.role == Role::Primary {
                self.order(
                    other,
                    Order::Fence {
                        reign: primary.reign - 1,
                    },
                    now,
                );
            } else {
                self.order(
                    other,
                    Order::Follow {
                        reign: primary.reign,
                        whom: pod,
                    },
                    now,
                );
            }
        }
        if let Some(to) = in_sync
            && api.wish
            && self.job == Job::None
            && primary.reign > self.forsworn
        {
            api.wish = false;
            let reign = self.next_reign(api);
            self.sent = reign;
            let id = self.order(
                pod,
                Order::Pause {
                    millis: PAUSE,
                    reign,
                },
                now,
            );
            let stage = Stage::Pausing(id);
            self.job = Job::Handover {
                from: pod,
                to,
                reign,
                since: now,
                stage,
            };
        }
    }

    /// Nobody would confirm a reign that was forsworn, so the primary begins another.
    fn crown_again(&mut self, api: &mut Api, primary: Status, now: u64) {
        let pod = primary.pod;
        let heard = set(api.listed).filter_map(|pod| self.connected(pod, now));
        let forsworn = heard.map(|status| status.forsworn).max().unwrap_or(0);
        if forsworn.max(self.forsworn) < primary.reign {
            if !matches!(self.job, Job::Promoted { since, .. } if now < since + PATIENCE) {
                self.job = Job::None;
            }
            return;
        }
        match self.job {
            Job::Promoted { since, .. } if now < since + PATIENCE => {}
            Job::CrownAgain { pod: asked, since } if asked == pod && now < since + PATIENCE => {
                if let Some(known) = self.positions[pod].filter(|known| known.asked >= since) {
                    let ticket = known.position.ticket;
                    self.promote(api, pod, ticket, now);
                }
            }
            _ => {
                self.order(pod, Order::Position, now);
                self.job = Job::CrownAgain { pod, since: now };
            }
        }
    }
}
