//! Slots that move between shards: a policy is asked which, a person may have to approve it, and servers are told
//! what is next. Only the answer is remembered; how far it is, servers say.

mod act;
mod ask;
mod events;
mod known;
mod plan;
mod question;
mod remove;
mod requests;
mod told;

use std::collections::BTreeSet;

use hera_api::validate::Rebalance;
use hera_api::{RebalanceMode, RebalanceStatus};
use hera_core::cluster::{Observation, SlotSet, is_empty_shard};
use hera_core::rebalance::{GuardRule, RebalanceAnswer, Table, guard};
use k8s_openapi::jiff::Timestamp;

use super::converge::Pass;
use super::site::Site;
use crate::controllers::outcome::PassError;
use crate::policies::Made;

use act::Done;
pub use known::Rebalances;
use known::{Again, LargeKeys};
use plan::{Plan, owners};
use question::{Subject, lacks_replica, without_replicas};
use requests::Requests;
pub use told::{changing_since, progress};

/// How it stands with slots that move.
pub struct Rebalanced {
    /// As it stands in the status from now on.
    pub status: Option<RebalanceStatus>,
    /// What a policy said, if one was asked.
    pub made: Option<Made<RebalanceAnswer>>,
    /// Something that needs attention: a reason of `Degraded`, and words.
    pub attention: Option<(&'static str, String)>,
    /// Somebody asked for what cannot be done.
    pub refused: Option<String>,
    /// Slots move now: how far they are is to be seen.
    pub moves: bool,
    /// A plan ended, or a shard was taken away: what follows is to be done now.
    pub again: bool,
    /// When a policy is asked again, in milliseconds since 1970.
    pub due_ms: Option<u64>,
}

/// What one pass goes by.
struct Look<'a> {
    site: &'a Site<'a>,
    spec: Rebalance,
    seen: &'a Observation,
    owners: Table,
    requests: Requests<'a>,
    /// As the status has it.
    last: RebalanceStatus,
    /// Keys that are too large to be sent.
    large: LargeKeys,
    /// Why nothing moves now, whatever is planned, for people.
    held_up: Option<String>,
    /// What the cluster lacks to serve, for people.
    lacks: Option<String>,
    /// Shards that lack a replica, and for which the others wait no longer.
    unwell: BTreeSet<u32>,
    now: Timestamp,
}

/// What one pass came to.
struct Course {
    plan: Option<Plan>,
    made: Option<Made<RebalanceAnswer>>,
    /// What is waited for before the next plan, for people.
    waits: Option<String>,
    /// What is in shards that leave finds no room.
    no_room: bool,
    /// Digest of the plan that a person dropped.
    cancelled: Option<String>,
    /// The plan ended, or was dropped.
    ended: Option<Plan>,
}

impl Pass<'_> {
    /// Asks what is to move, and moves it. `rolls` tells that pods are replaced, or are to be, so that nothing
    /// begins to move.
    ///
    /// # Errors
    /// When the API server does not answer, or this replica does not lead any more.
    pub async fn rebalance(
        &self,
        seen: &Observation,
        rolls: bool,
        now: Timestamp,
    ) -> Result<Option<Rebalanced>, PassError> {
        let site = self.site;
        let Some(spec) = self.v.rebalance.filter(|_| site.is_formed()) else {
            return Ok(None);
        };
        if site.requests.hibernate {
            return Ok(None);
        }
        let known = site.object.status.as_ref();
        let key = site.key();
        let requests = Requests::of(site.object);
        let again = Again {
            max_stall_ms: max_stall_ms(&spec),
            anew: requests.now.is_some(),
        };
        let look = Look {
            site,
            spec,
            seen,
            owners: owners(seen),
            requests,
            last: known
                .and_then(|status| status.rebalance.clone())
                .unwrap_or_default(),
            large: site.shared.clusters.rebalances.large(&key, seen, &again),
            held_up: self.held_up(rolls),
            lacks: site.lacks(seen),
            unwell: unwell(site, seen),
            now,
        };
        let course = Box::pin(self.course(&look)).await?;
        let done = Box::pin(look.carry_out(&course, self.v.paused)).await?;
        Box::pin(look.clear(&course)).await;
        Ok(Some(Box::pin(look.tell(course, done)).await))
    }

    /// Why nothing moves now, for people.
    fn held_up(&self, rolls: bool) -> Option<String> {
        let words = match (self.v.paused, rolls) {
            (true, _) => "spec.paused is set: changes wait",
            (false, true) => "pods are replaced first",
            (false, false) if self.site.has_several_versions() => {
                "servers have different versions, and an older one cannot read what a newer one sends"
            }
            (false, false) => return None,
        };
        Some(words.to_owned())
    }

    /// From what stands in the status to the plan that is to be carried out, if there is one.
    async fn course(&self, look: &Look<'_>) -> Result<Course, PassError> {
        let site = self.site;
        let mut course = Course {
            plan: Plan::of(&look.last),
            made: None,
            waits: None,
            no_room: false,
            cancelled: None,
            ended: None,
        };
        if let Some(plan) = &course.plan {
            let fits = plan.fits(site.keep, site.wanted.shards);
            let left = plan.left(&look.owners, &look.stays());
            let begun = plan.begun.is_some();
            // What has begun goes on to its end, whatever else is asked for.
            let is_asked_anew = look.requests.now.is_some() && !begun;
            if look.requests.cancels {
                course.cancelled = Some(plan.digest.clone());
                course.ended = course.plan.take();
            } else if !fits
                || is_asked_anew
                || (!begun && look.is_outdated(plan))
                || (left.is_empty() && !look.seen.has_jobs())
            {
                course.ended = course.plan.take();
            }
            // Whoever reads the status sees that it ended; the next pass asks what is next.
            if course
                .ended
                .as_ref()
                .is_some_and(|plan| plan.begun.is_some())
            {
                let known = &site.shared.clusters.rebalances;
                known.asks(&site.key(), String::new(), None);
                return Ok(course);
            }
        }
        if course.plan.is_none() && !look.requests.cancels {
            Box::pin(self.ask(look, &mut course)).await?;
        }
        Ok(course)
    }
}

/// For how long a step may hold up clients.
fn max_stall_ms(spec: &Rebalance) -> u64 {
    u64::try_from(spec.max_stall.as_millis()).unwrap_or(u64::MAX)
}

/// Shards for whose replicas the others wait no longer. One that has no slot is waited for: nothing moves to it before
/// its replicas are there.
fn unwell(site: &Site<'_>, seen: &Observation) -> BTreeSet<u32> {
    let lacks = |shard: &u32| {
        !is_empty_shard(seen, *shard) && lacks_replica(seen, site.wanted, *shard).is_some()
    };
    let lacking = (0..site.wanted.shards).filter(lacks).collect();
    let known = &site.shared.clusters.rebalances;
    known.unwell(&site.key(), &lacking, seen.now_ms)
}

impl Look<'_> {
    /// What keeps a policy from being asked, for people. Replicas that shards lack for long do not.
    fn waits_for(&self) -> Option<&str> {
        let lacks_more = || {
            let without = without_replicas(self.seen, &self.unwell);
            self.site.lacks(&without).is_some()
        };
        let lacks = self.lacks.as_deref();
        let lacks = lacks.filter(|_| self.unwell.is_empty() || lacks_more());
        self.held_up.as_deref().or(lacks)
    }

    fn stays(&self) -> SlotSet {
        self.large.stays.clone()
    }

    /// Digest of the plan that somebody dropped. While the spec wants as many shards none comes in its place before
    /// somebody asks for it.
    fn dropped(&self) -> Option<&str> {
        let last = &self.last;
        let is_same = last.masters == i32::try_from(self.site.keep).ok();
        let digest = last.digest.as_deref();
        digest.filter(|_| is_same && last.moves.is_empty())
    }

    /// True if a plan that may begin finds no room any more: it may have been made days ago.
    fn is_outdated(&self, plan: &Plan) -> bool {
        if !self.is_approved(plan) {
            return false;
        }
        let Ok(input) = self.subject().input() else {
            return false;
        };
        let answer = RebalanceAnswer {
            moves: plan.moves.clone(),
            reason: plan.reason.clone(),
        };
        guard(&input, &answer).is_err_and(|broken| broken.rule == GuardRule::TargetOverfull)
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            seen: self.seen,
            there: self.site.wanted,
            keep: self.site.keep,
            unwell: &self.unwell,
            stays: self.stays(),
            history: &self.last.history,
            cooldown_seconds: self.spec.cooldown.as_secs(),
            now: self.now,
        }
    }

    /// True if the plan may be carried out: what has begun goes on.
    fn is_approved(&self, plan: &Plan) -> bool {
        match self.spec.mode {
            RebalanceMode::Disabled => false,
            RebalanceMode::Auto => true,
            RebalanceMode::Approve => {
                plan.begun.is_some() || self.requests.approved == Some(plan.digest.as_str())
            }
        }
    }
}
