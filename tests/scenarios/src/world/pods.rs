//! Who makes and ends pods: the StatefulSet's controller, kubelets, and the garbage collector for claims.

use hera_core::shard::Record;
use rand::Rng as _;

use super::{Guarantee, World};
use crate::net::{API, set};
use crate::pod::{NAMES, Persistence, Pod, Process, Role};
use crate::rules::Fault;

/// A primary among several whose pod is to end waits for another to take over, this long at most.
const HANDOVER: u64 = 20_000;
/// The kubelet kills what has not ended after this.
const GRACE: u64 = 60_000;

/// What the spec asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spec {
    /// Data pods.
    pub pods: u32,
    /// Of the pods.
    pub revision: u32,
    /// A temporary pod may be added.
    pub surge: bool,
    /// The primary refuses writes below so many linked replicas.
    pub min_replicas: u32,
}

impl World {
    pub(super) fn run_stateful_set(&mut self) {
        let size = self.api.size as usize;
        for pod in set(self.api.listed) {
            if self.pods[pod].ordinal >= size {
                self.api.deleted |= 1 << pod;
            }
        }
        for pod in set(self.api.deleted) {
            self.end(pod);
        }
        for ordinal in 0..size {
            let has = |pod: usize| self.pods[pod].ordinal == ordinal;
            if !set(self.api.listed).any(has) {
                self.make(ordinal);
            }
        }
    }

    /// A pod that was deleted: its kubelet hears of it, and its agent.
    fn end(&mut self, index: usize) {
        let now = self.time;
        if !self.net.both_ways(index, API) {
            return;
        }
        let pod = &mut self.pods[index];
        let since = match pod.leaving {
            Some(since) => since,
            None => {
                pod.leaving = Some(now);
                pod.news = true;
                self.note(|_| format!("pod {index} is asked to end"));
                now
            }
        };
        let pod = &mut self.pods[index];
        let runs = pod.up && pod.process == Process::Running;
        let among_several = pod.members.iter().nth(1).is_some();
        let leads = runs && pod.role == Role::Primary && among_several;
        let waits = match pod.frozen || pod.stopped_at.is_some() {
            true => now < since + GRACE,
            false => leads && !pod.alone && now < since + HANDOVER,
        };
        if waits {
            return;
        }
        // What it has is saved.
        if runs && !pod.frozen && pod.stopped_at.is_none() && !pod.full {
            pod.is_saved();
            pod.synced = pod.data;
        }
        let ordinal = pod.ordinal;
        self.note(|_| format!("pod {index} ends"));
        let bit = 1 << ordinal;
        let goes = self.api.temporary & self.api.tied & bit != 0;
        let calm = now - self.disturbed_at.max(self.stirred_at);
        let lasts = self.persistence != Persistence::None;
        let was_decided = goes && self.tied_with_all_known;
        if was_decided || (!lasts && calm > 45_000 && self.net.is_whole()) {
            self.check_end(index);
        }
        self.stop_server(index, 0);
        self.pods[index].gone = true;
        self.api.listed &= !(1 << index);
        self.api.deleted &= !(1 << index);
        if goes {
            self.api.temporary &= !bit;
            self.api.tied &= !bit;
        }
        if goes {
            self.api.records[ordinal] = Record::New;
        }
        // Without a volume nothing outlives the pod.
        self.volumes[ordinal] = (lasts && !goes).then_some(index);
    }

    /// The copy goes for good: another has all of it, or what came after it.
    fn check_end(&mut self, index: usize) {
        let pod = &self.pods[index];
        let (epoch, data) = (pod.epoch, pod.data);
        let has = |other: &Pod| {
            let copies = [other.data, other.disk];
            let whole = |copy| self.branches.contains(copy, data);
            other.epoch > epoch || copies.into_iter().any(whole)
        };
        let mut others = self.pods.iter().filter(|other| {
            other.index != index
                && (!other.gone || self.volumes[other.ordinal] == Some(other.index))
        });
        if !others.any(has) {
            self.broken(Guarantee::NothingWiped, |_| {
                format!("pod {index} ends, and nobody else has its {data:?} of epoch {epoch}")
            });
        }
    }

    fn make(&mut self, ordinal: usize) {
        let new = self.pods.len();
        if new == NAMES.len() {
            self.out_of_names = true;
            return;
        }
        let clock = self.rng.random_range(0..1 << 30);
        let start = self.time + self.rng.random_range(500..3_000);
        let mut pod = Pod::new(new, ordinal, clock, self.time);
        pod.is_to_start(start);
        pod.revision = self.api.spec.revision;
        pod.object = self.api.object;
        let volume = self.volumes[ordinal].take();
        if let Some(volume) = volume {
            pod.inherit(&self.pods[volume]);
            if pod.inherited && self.rules.has(Fault::LineageForgotten) {
                pod.forgets_lineage();
            }
        }
        let beyond = ordinal >= self.api.spec.pods as usize;
        if beyond && volume.is_none() && self.persistence != Persistence::None {
            self.api.temporary |= 1 << ordinal;
        }
        self.api.listed |= 1 << new;
        self.note(|_| format!("pod {new} comes, of ordinal {ordinal}"));
        self.pods.push(pod);
    }

    /// Names that are left for pods when all that is under way is done, and a temporary pod has come
    /// twice.
    pub(crate) fn names_left(&self) -> usize {
        let spec = self.api.spec;
        let listed = self.api.listed.count_ones() as usize;
        let outdated = set(self.api.listed).filter(|pod| {
            let deleted = self.api.deleted & (1 << pod) != 0;
            deleted || self.pods[*pod].revision != spec.revision
        });
        let pending = outdated.count() + (spec.pods as usize).saturating_sub(listed) + 2;
        NAMES.len().saturating_sub(self.pods.len() + pending)
    }

    /// All pods are those that the spec asks for.
    pub(crate) fn is_as_asked(&self) -> bool {
        let spec = self.api.spec;
        self.api.deleted == 0
            && self.api.temporary == 0
            && self.api.size == spec.pods
            && self.api.listed.count_ones() == spec.pods
            && set(self.api.listed).all(|pod| self.pods[pod].revision == spec.revision)
    }
}
