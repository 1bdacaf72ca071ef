//! Has servers move slots, and takes away what is done.

use hera_api::RebalanceMode;
use hera_api::meta::{
    ANNOTATION_REBALANCE, ANNOTATION_REBALANCE_APPROVE, ANNOTATION_REBALANCE_NOW, REBALANCE_CANCEL,
};
use hera_core::cluster::{self, Command, MovingState, Step};
use hera_core::reshard::{self, Going, Job, Resharding};
use hera_core::shard::Target;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::plan::Plan;
use super::{Course, Look, max_stall_ms};
use crate::controllers::outcome::PassError;
use crate::controllers::pods::done_request;

impl Look<'_> {
    /// Has servers do what is next, and takes away shards that have nothing left.
    pub(super) async fn carry_out(&self, course: &Course, paused: bool) -> Result<Done, PassError> {
        let site = self.site;
        let plan = course.plan.as_ref().filter(|plan| self.is_approved(plan));
        let disabled = self.spec.mode == RebalanceMode::Disabled && course.plan.is_some();
        let stops = self.requests.paused || self.requests.cancels || disabled || paused;
        let going = match (stops, &self.held_up) {
            (true, _) => Going::Stops,
            // A job is short: a roll waits for those that run.
            (false, Some(_)) => Going::Out,
            (false, None) => Going::On,
        };
        let stays = self.stays();
        let servers = site.members().filter(|(_, member)| member.pod.is_some());
        let servers = servers.map(|(_, member)| {
            let status = member.agent.status();
            let engine = status.and_then(|status| status.engine.as_deref());
            (engine, status.and_then(|status| status.version.as_deref()))
        });
        let next = reshard::next(&Job {
            seen: self.seen,
            wanted: site.wanted,
            keep: site.keep,
            moves: plan.map_or(&[][..], |plan| plan.moves.as_slice()),
            stays: &stays,
            way: reshard::way(servers),
            max_stall_ms: max_stall_ms(&self.spec),
            going,
        });
        let mut steps = next.steps.clone();
        let begins = |step: &Step| {
            let command = &step.command;
            matches!(
                command,
                Command::GiveSlots { .. } | Command::TakeSlots { .. }
            )
        };
        let (key, known) = (site.key(), &site.shared.clusters.rebalances);
        let mut held_back = false;
        steps.retain(|step| {
            let failed = self.why_failed(&step.pod);
            let may = !begins(step) || known.orders(&key, &step.pod, failed, self.seen.now_ms);
            held_back |= !may;
            may
        });
        let steps = site.guarded(
            cluster::Plan {
                steps,
                waiting_for: next
                    .waiting_for
                    .clone()
                    .or(next.failed.clone().filter(|_| held_back)),
            },
            self.seen,
        );
        for step in &steps.steps {
            if let Command::GiveSlots { slots, .. } | Command::TakeSlots { slots, .. } =
                &step.command
            {
                known.sends(&key, slots, self.seen.now_ms);
            }
        }
        let ordered = held_back || !steps.steps.is_empty();
        let begins = steps.steps.iter().any(begins);
        site.carry_out(&steps).await?;
        let took_away = match paused {
            true => false,
            false => site.take_away(&next.drained).await?,
        };
        Ok(Done {
            begins: begins && plan.is_some_and(|plan| plan.begun.is_none()) && going == Going::On,
            waiting_for: steps.waiting_for,
            next,
            ordered,
            took_away,
        })
    }

    /// Why the last job of this pod failed, if it did.
    fn why_failed(&self, pod: &Target) -> Option<&str> {
        let mut nodes = self.seen.nodes.iter();
        let node = nodes.find(|node| node.pod == *pod)?;
        let job = node.server.as_ref()?.moving.as_ref();
        let failed = job.filter(|job| job.state == MovingState::Failed)?;
        Some(failed.words.as_str())
    }

    /// Takes away requests that are done, once the status has what came of them: a write that fails loses none.
    pub(super) async fn clear(&self, course: &Course) {
        let (client, object) = (&self.site.shared.client, self.site.object);
        let mut plans = course.plan.iter().chain(&course.ended);
        let is_begun = |asked: &str| plans.any(|plan| plan.begun.is_some() && plan.digest == asked);
        done_request::clear(client, object, ANNOTATION_REBALANCE_APPROVE, is_begun).await;
        let asked = course.made.is_some();
        done_request::clear(client, object, ANNOTATION_REBALANCE_NOW, |_| asked).await;
        // Without a plan there is none to drop.
        let dropped = course.cancelled.is_none() && course.plan.is_none();
        let is_cancel = |asked: &str| asked == REBALANCE_CANCEL && dropped;
        done_request::clear(client, object, ANNOTATION_REBALANCE, is_cancel).await;
    }
}

/// What was done in a pass.
pub(super) struct Done {
    pub(super) next: Resharding,
    /// What servers wait for, for people.
    pub(super) waiting_for: Option<String>,
    /// A server was told something, or is in a moment.
    pub(super) ordered: bool,
    /// The first slots of the plan begin to move.
    pub(super) begins: bool,
    pub(super) took_away: bool,
}

impl Done {
    /// When the plan began to move.
    pub(super) fn begun(&self, plan: &Plan, now: Timestamp) -> Option<Time> {
        let begins = self.begins.then_some(Time(now));
        plan.begun.clone().or(begins)
    }
}
