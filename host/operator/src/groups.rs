//! What this process remembers of instances with several pods. A new leader remembers nothing, and
//! waits anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hera_core::agent::Question;
use hera_core::fence::{Desk, Wait};
use hera_core::instance::{Claim, Observation, Permit, Remembered, last_claim, unproven};
use nix::time::{ClockId, clock_gettime};

use crate::shared::InstanceRef;

/// Memory of all instances.
#[derive(Default)]
pub struct Groups(Mutex<HashMap<InstanceRef, Group>>);

#[derive(Default)]
struct Group {
    /// The term under which this was remembered.
    term: u64,
    leads_since: u64,
    desk: Desk,
    leaderless_since: Option<u64>,
    proven: u64,
    /// When a Service of it moved last.
    moved: Option<Instant>,
}

/// kube-proxy takes in changes at most once in this time, unless it is told otherwise.
const NODES_FOLLOW: Duration = Duration::from_millis(1_000);

impl Groups {
    /// True if this leader confirms the primary that asks.
    pub fn confirm(&self, instance: &InstanceRef, term: u64, question: &Question) -> bool {
        let now = boot_millis();
        self.with(instance, term, now, |group| {
            group.desk.confirm(question, now)
        })
    }

    /// A primary is told who the data pods are: it may count its fence from then on anew.
    pub fn note_change(&self, instance: &InstanceRef, term: u64) {
        let now = boot_millis();
        self.with(instance, term, now, |group| group.desk.note_change(now));
    }

    /// A Service of it moves: nodes take in the next move later.
    pub fn note_move(&self, instance: &InstanceRef, term: u64) {
        let now = boot_millis();
        self.with(instance, term, now, |group| {
            group.moved = Some(Instant::now());
        });
    }

    /// Until nodes take in a move at once.
    pub fn until_nodes_follow(&self, instance: &InstanceRef) -> Duration {
        let moved = self.lock().get(instance).and_then(|group| group.moved);
        moved.map_or(Duration::ZERO, |moved| {
            NODES_FOLLOW.saturating_sub(moved.elapsed())
        })
    }

    /// Notes what was seen, and tells what is remembered. Where nothing proves that the last primary
    /// is dead, it is confirmed no more from now on, unless fences are off.
    pub fn remember(
        &self,
        instance: &InstanceRef,
        term: u64,
        seen: &Observation,
        fence_after_ms: u64,
    ) -> Remembered {
        let now = boot_millis();
        self.with(instance, term, now, |group| {
            if seen.primary().is_some() {
                group.leaderless_since = None;
                return group.remembered(now, None);
            }
            group.leaderless_since.get_or_insert(now);
            let before = group.remembered(now, None);
            let known = Observation {
                remembered: before,
                ..seen.clone()
            };
            let permit = match unproven(&known) {
                Some(claim) => Some(group.permit(&known, &claim, fence_after_ms, now)),
                None => {
                    let claim = last_claim(seen).map_or(0, |claim| claim.reign);
                    group.proven = group.proven.max(claim);
                    None
                }
            };
            group.remembered(now, permit)
        })
    }

    /// Drops what is remembered of an instance that is gone.
    pub fn forget(&self, instance: &InstanceRef) {
        self.lock().remove(instance);
    }

    fn with<T>(
        &self,
        instance: &InstanceRef,
        term: u64,
        now: u64,
        work: impl FnOnce(&mut Group) -> T,
    ) -> T {
        let mut groups = self.lock();
        let group = groups.entry(instance.clone()).or_default();
        if group.term != term {
            *group = Group {
                term,
                leads_since: now,
                ..Group::default()
            };
        }
        work(group)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<InstanceRef, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn remembered(&self, now: u64, permit: Option<Permit>) -> Remembered {
        Remembered {
            leaderless_ms: self
                .leaderless_since
                .map_or(0, |since| now.saturating_sub(since)),
            proven: self.proven,
            permit,
            forsworn: self.desk.forsworn(),
            term: self.term,
        }
    }

    /// Every list of data pods that the old primary may go by must have promised: today's, and those
    /// that agents still have. What it promises itself proves nothing.
    fn permit(&mut self, seen: &Observation, claim: &Claim, fence_after: u64, now: u64) -> Permit {
        let promised: BTreeMap<&str, u64> = seen
            .members
            .iter()
            .filter_map(|member| Some((member.uid(), member.agent.status()?.memory.forsworn)))
            .collect();
        let today = seen.members.iter().map(|member| member.uid()).collect();
        let told = seen.members.iter().filter_map(|member| {
            let pods = &member.agent.status()?.members.pods;
            Some(pods.iter().map(|pod| pod.pod_uid.as_str()).collect())
        });
        let lists: BTreeSet<Vec<&str>> = std::iter::once(today)
            .chain(told)
            .filter(|list: &Vec<&str>| !list.is_empty())
            .collect();
        let mut worst = Permit::Granted;
        for list in lists {
            let peers = list.iter().filter(|uid| **uid != claim.uid);
            let promises: Vec<u64> = peers.filter_map(|uid| promised.get(uid).copied()).collect();
            let (reign, since) = (claim.reign, self.leads_since);
            let asked =
                self.desk
                    .may_promote(reign, &promises, list.len(), fence_after, since, now);
            worst = match (worst, asked) {
                (Permit::Never, _) | (_, Err(Wait::Proof)) => Permit::Never,
                (Permit::Promises, _) | (_, Err(Wait::Promises { .. })) => Permit::Promises,
                (Permit::Wait(before), Err(Wait::Until(at))) => {
                    Permit::Wait(before.max(at.saturating_sub(now)))
                }
                (Permit::Granted, Err(Wait::Until(at))) => Permit::Wait(at.saturating_sub(now)),
                (before, Ok(())) => before,
            };
        }
        worst
    }
}

/// Milliseconds of a clock that goes on while the machine sleeps.
fn boot_millis() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let millis = u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000;
        seconds.saturating_mul(1000).saturating_add(millis)
    })
}
