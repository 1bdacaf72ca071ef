//! How it stands with slots, in the status and for who asks.

use hera_api::conditions::{degraded, progressing};
use hera_api::{RebalanceMode, RebalancePhase, RebalanceStatus};
use hera_core::cluster::{RebalanceView, why_not_whole};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::Plan;
use super::{Course, Done, Look, Rebalanced};
use crate::controllers::pods::observe::millis;
use crate::controllers::pods::status::shorten;
use crate::metrics::SlotFigures;

/// In so many parts of a plan progress is told in a status.
const PARTS: usize = 20;
/// Keys that are named.
const NAMED: usize = 3;

impl Look<'_> {
    /// Tells of it wherever it is told.
    pub(super) async fn tell(&self, course: Course, done: Done) -> Rebalanced {
        let key = self.site.key();
        let shared = self.site.shared;
        let status = self.status(&course, &done);
        self.tell_of(&course, &done, &status).await;
        let again_unix_ms = shared.clusters.rebalances.again_unix_ms(&key);
        let again_unix_ms = again_unix_ms.filter(|_| course.plan.is_none());
        // Where it is time and nobody asks, what holds that up is news when it ends.
        let is_due = |at: &u64| course.made.is_some() || *at > millis(self.now);
        let again_unix_ms = again_unix_ms.filter(is_due);
        let left = course.plan.as_ref().map(|plan| self.left(plan));
        let view = RebalanceView {
            slots: u32::try_from(status.slots).unwrap_or(0),
            left: left.map_or(0, narrow),
            running: done.next.running,
            waiting_for: status.waiting_for.clone(),
            too_large: self.large.keys.values().cloned().collect(),
            again_unix_ms,
        };
        shared.last_seen.clusters.note_rebalance(&key, view);
        let dropped = course.ended.as_ref().map(|plan| self.left(plan));
        let figures = SlotFigures {
            plan: course.plan.as_ref().map(|plan| plan.digest.clone()),
            left: left.or(dropped).unwrap_or(0),
            too_large: self.large.keys.len(),
        };
        shared.metrics.objects.note_slots(&key, figures);
        let waits = course.plan.as_ref().filter(|plan| plan.begun.is_none());
        let waits = waits.filter(|plan| !self.is_approved(plan));
        let is_default = status.phase == RebalancePhase::Settled
            && status.history.is_empty()
            && status.digest.is_none();
        Rebalanced {
            attention: self.attention(&course),
            refused: self
                .requests
                .refused(waits.map(|plan| plan.digest.as_str())),
            moves: self.seen.has_jobs() || done.ordered,
            again: done.took_away || course.ended.is_some(),
            due_ms: again_unix_ms,
            status: (!is_default).then_some(status),
            made: course.made,
        }
    }

    fn left(&self, plan: &Plan) -> usize {
        plan.left(&self.owners, &self.stays()).len()
    }

    fn status(&self, course: &Course, done: &Done) -> RebalanceStatus {
        let (last, now) = (&self.last, Time(self.now));
        let history = match &course.ended {
            Some(plan) => plan.history(&self.owners, &last.history, &now),
            None => last.history.clone(),
        };
        let (phase, waiting_for) = match &course.plan {
            Some(plan) => self.of_plan(plan, done),
            None => self.without_plan(course, done),
        };
        // An order that is told in words may have many slots.
        let waiting_for = waiting_for.map(|words| shorten(&words));
        let since = last.since.clone().filter(|_| last.phase == phase);
        let status = RebalanceStatus {
            phase,
            since: since.or(Some(now)),
            waiting_for,
            history,
            ..RebalanceStatus::default()
        };
        let Some(plan) = &course.plan else {
            let masters = i32::try_from(self.site.keep).ok();
            // Whoever asked for another has an answer.
            let known = self.dropped().filter(|_| course.made.is_none());
            let digest = course.cancelled.clone().or(known.map(str::to_owned));
            return RebalanceStatus {
                masters: masters.filter(|_| digest.is_some()),
                digest,
                ..status
            };
        };
        let slots = plan.slots();
        RebalanceStatus {
            digest: Some(plan.digest.clone()),
            reason: Some(plan.reason.clone()).filter(|reason| !reason.is_empty()),
            masters: i32::try_from(plan.masters).ok(),
            moves: plan.told(),
            slots: count(slots),
            slots_left: count(coarse(self.left(plan), slots)),
            started_at: done.begun(plan, self.now),
            ..status
        }
    }

    fn of_plan(&self, plan: &Plan, done: &Done) -> (RebalancePhase, Option<String>) {
        let words = |words: &str| Some(words.to_owned());
        if self.requests.paused {
            return (RebalancePhase::Paused, words("somebody paused it"));
        }
        if self.spec.mode == RebalanceMode::Disabled {
            return (RebalancePhase::Paused, words("rebalance.mode is Disabled"));
        }
        if !self.is_approved(plan) {
            return (RebalancePhase::Planned, None);
        }
        match &self.held_up {
            Some(words) => (RebalancePhase::Waiting, Some(words.clone())),
            None => (RebalancePhase::Moving, done.waiting_for.clone()),
        }
    }

    fn without_plan(&self, course: &Course, done: &Done) -> (RebalancePhase, Option<String>) {
        let waiting = |words: String| (RebalancePhase::Waiting, Some(words));
        let is_scaled = self.subject().is_scaled();
        if is_scaled && self.requests.paused {
            return (
                RebalancePhase::Paused,
                Some("somebody paused it".to_owned()),
            );
        }
        if let Some(words) = &course.waits {
            return waiting(words.clone());
        }
        if !done.next.drained.is_empty() {
            let drained: Vec<String> = done.next.drained.iter().map(u32::to_string).collect();
            return waiting(format!(
                "shards without a slot are taken away: {}",
                drained.join(", ")
            ));
        }
        if is_scaled {
            let words = done.waiting_for.clone().or(self.lacks.clone());
            let words =
                words.unwrap_or_else(|| "the policy leaves every slot where it is".to_owned());
            return waiting(words);
        }
        // What moved last, or who left, is not known to every server yet.
        let lacks = why_not_whole(self.site.wanted, self.seen);
        match lacks.filter(|_| self.last.phase != RebalancePhase::Settled) {
            Some(words) => waiting(words),
            None => (RebalancePhase::Settled, None),
        }
    }

    fn attention(&self, course: &Course) -> Option<(&'static str, String)> {
        if let (true, Some(words)) = (course.no_room, &course.waits) {
            return Some((degraded::MEMORY_TOO_SMALL, words.clone()));
        }
        let known = &self.site.shared.clusters.rebalances;
        if let Some(words) = known.failing(&self.site.key(), self.seen) {
            let words = format!("slots do not move, though that is tried again and again: {words}");
            return Some((degraded::SLOT_MOVES_FAIL, words));
        }
        let large = &self.large.keys;
        if large.is_empty() {
            return None;
        }
        let named = large.values().take(NAMED);
        let named = named.map(|key| {
            let mib = key.bytes >> 20;
            format!("{:?} in slot {} ({mib} MiB)", key.key, key.slot)
        });
        let named: Vec<String> = named.collect();
        let more = match large.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let words = format!(
            "keys take longer to be sent than rebalance.maxStall lets clients wait, and their slots stay: {}{more}; \
             split or delete them, or raise maxStall",
            named.join(", ")
        );
        Some((degraded::KEYS_TOO_LARGE, words))
    }
}

/// What `Progressing` says of it: a reason, and words; none at rest.
pub fn progress(status: &RebalanceStatus) -> Option<(&'static str, String)> {
    let RebalanceStatus {
        slots, slots_left, ..
    } = status;
    let waits = status.waiting_for.as_deref().unwrap_or_default();
    let reason = status.reason.as_deref().unwrap_or_default();
    Some(match status.phase {
        RebalancePhase::Settled => return None,
        RebalancePhase::Planned => {
            let digest = status.digest.as_deref().unwrap_or_default();
            let words = format!("{slots} slots move once somebody approves {digest}: {reason}");
            (progressing::REBALANCE_NEEDS_APPROVAL, words)
        }
        RebalancePhase::Moving => {
            let words = format!("about {slots_left} of {slots} slots are still to move: {reason}");
            let words = match waits {
                "" => words,
                waits => format!("{words}; {waits}"),
            };
            (progressing::REBALANCING, words)
        }
        RebalancePhase::Paused | RebalancePhase::Waiting if *slots > 0 => {
            let words = format!("about {slots_left} of {slots} slots are still to move: {waits}");
            (progressing::REBALANCE_WAITING, words)
        }
        RebalancePhase::Paused | RebalancePhase::Waiting => {
            (progressing::REBALANCE_WAITING, waits.to_owned())
        }
    })
}

/// Since when pods may have been on their way, where `Progressing` is true since then: because of slots that moved
/// before, or of a plan that waits for days to be approved, no roll is late.
pub fn changing_since(since_ms: u64, slots: Option<&RebalanceStatus>) -> Option<u64> {
    let Some(slots) = slots else {
        return Some(since_ms);
    };
    let of_slots = slots.since.as_ref().map_or(0, |since| millis(since.0));
    (slots.phase != RebalancePhase::Planned).then_some(since_ms.max(of_slots))
}

/// What is left, in parts of the whole: 0 only once nothing is.
fn coarse(left: usize, slots: usize) -> usize {
    let part = (slots / PARTS).max(1);
    (left.div_ceil(part) * part).min(slots)
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    #[test]
    fn what_is_left_is_told_in_parts_and_nothing_only_once_nothing_is() {
        assert_eq!(coarse(0, 4_096), 0);
        assert_eq!(coarse(1, 4_096), 204);
        assert_eq!(coarse(4_096, 4_096), 4_096);
        assert_eq!(coarse(4_000, 4_096), 4_080);
        assert_eq!(coarse(3, 7), 3);
        let told: std::collections::BTreeSet<usize> =
            (0..=4_096).map(|left| coarse(left, 4_096)).collect();
        assert!(told.len() <= PARTS + 2, "{told:?}");
    }

    #[test]
    fn no_roll_is_late_because_slots_moved_before_it_began() {
        use RebalancePhase::{Planned, Settled, Waiting};
        let of = |phase, second| RebalanceStatus {
            phase,
            since: Some(Time(Timestamp::from_second(second).unwrap())),
            ..RebalanceStatus::default()
        };
        assert_eq!(changing_since(5_000, None), Some(5_000));
        assert_eq!(changing_since(5_000, Some(&of(Settled, 1))), Some(5_000));
        assert_eq!(changing_since(5_000, Some(&of(Waiting, 9))), Some(9_000));
        assert_eq!(changing_since(5_000, Some(&of(Planned, 1))), None);
    }

    fn status(phase: RebalancePhase) -> RebalanceStatus {
        RebalanceStatus {
            phase,
            digest: Some("abc".to_owned()),
            reason: Some("even".to_owned()),
            waiting_for: Some("a pod".to_owned()),
            slots: 10,
            slots_left: 4,
            ..RebalanceStatus::default()
        }
    }

    #[test]
    fn each_phase_has_its_reason() {
        use RebalancePhase::{Moving, Paused, Planned, Settled, Waiting};
        let said = |phase| progress(&status(phase)).unwrap();
        assert_eq!(said(Planned).0, "RebalanceNeedsApproval");
        assert!(said(Planned).1.contains("abc"));
        assert_eq!(said(Moving).0, "Rebalancing");
        assert!(said(Moving).1.contains("4 of 10") && said(Moving).1.contains("a pod"));
        assert_eq!(
            (said(Paused).0, said(Waiting).0),
            ("RebalanceWaiting", "RebalanceWaiting")
        );
        assert_eq!(progress(&status(Settled)), None);
    }
}
