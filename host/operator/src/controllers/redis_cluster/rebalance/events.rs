//! What people are told when it happens.

use hera_api::RebalanceStatus;
use hera_core::cluster::SlotSet;
use hera_kube::Severity;
use kube::Resource as _;

use super::{Course, Done, Look};

/// Slots begin to move.
const REBALANCE_STARTED: &str = "RebalanceStarted";
/// Another quarter of them has.
const REBALANCE_PROGRESS: &str = "RebalanceProgress";
/// All of them have.
const REBALANCE_DONE: &str = "RebalanceDone";
/// They move no further by this plan.
const REBALANCE_DROPPED: &str = "RebalanceDropped";
/// A shard that had nothing left was taken away.
pub const SHARD_REMOVED: &str = "ShardRemoved";

impl Look<'_> {
    /// Tells of what is new in `status`.
    pub(super) async fn tell_of(&self, course: &Course, done: &Done, status: &RebalanceStatus) {
        let ended = course.ended.as_ref().filter(|plan| plan.begun.is_some());
        if let Some(plan) = ended {
            let slots = plan.slots();
            let left = plan.left(&self.owners, &self.stays()).len();
            let stay = plan.left(&self.owners, &SlotSet::default()).len();
            match (left, stay) {
                (0, 0) => {
                    let note = format!("{slots} slots moved, as plan {} said", plan.digest);
                    self.event(REBALANCE_DONE, &note).await;
                }
                (0, stay) => {
                    let note = format!(
                        "{} of {slots} slots moved by plan {}, and {stay} stay for keys that are too large",
                        slots.saturating_sub(stay),
                        plan.digest
                    );
                    self.event(REBALANCE_DONE, &note).await;
                }
                _ => {
                    let note = format!(
                        "plan {} is dropped with {left} of {slots} slots left: what moved stays where it is",
                        plan.digest
                    );
                    self.event(REBALANCE_DROPPED, &note).await;
                }
            }
        }
        let Some(plan) = &course.plan else {
            return;
        };
        if done.begins {
            let (slots, reason) = (status.slots, &plan.reason);
            let note = format!("{slots} slots begin to move between shards: {reason}");
            self.event(REBALANCE_STARTED, &note).await;
        }
        let is_same = self.last.digest.as_ref() == Some(&plan.digest);
        let before = quarters(&self.last).filter(|_| is_same).unwrap_or(0);
        let now = quarters(status).unwrap_or(0);
        if now > before && now < 4 {
            let moved = status.slots - status.slots_left;
            let note = format!("about {moved} of {} slots moved", status.slots);
            self.event(REBALANCE_PROGRESS, &note).await;
        }
    }

    async fn event(&self, reason: &str, note: &str) {
        let about = self.site.object.object_ref(&());
        let events = &self.site.shared.events;
        events
            .publish_deed(&about, Severity::Normal, reason, note)
            .await;
    }
}

/// How many quarters of the slots have moved; none if none were to.
fn quarters(status: &RebalanceStatus) -> Option<i32> {
    ((status.slots - status.slots_left) * 4).checked_div(status.slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_are_of_what_the_plan_moves() {
        let of = |slots, slots_left| {
            quarters(&RebalanceStatus {
                slots,
                slots_left,
                ..RebalanceStatus::default()
            })
        };
        let found = [
            of(100, 100),
            of(100, 76),
            of(100, 75),
            of(100, 1),
            of(100, 0),
        ];
        assert_eq!(found, [Some(0), Some(0), Some(1), Some(3), Some(4)]);
        assert_eq!(of(0, 0), None);
    }
}
