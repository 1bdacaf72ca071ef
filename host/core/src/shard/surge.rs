//! The temporary pod: one beyond the wanted number, of the wanted revision, so that copies in sync
//! do not run short while the others are replaced.
//!
//! That it is needed is seen, never remembered: it comes while a pod that stays is outdated, and goes
//! once all that stay are as they should be and one of them leads.

use super::member::Member;
use super::wanted::{PodsWanted, Shard};

impl PodsWanted {
    /// True if too few copies would be in sync while one pod is replaced.
    pub fn surges(&self) -> bool {
        self.spare_ordinal().is_some()
    }

    /// The ordinal that a temporary pod would have; none if there never is one.
    pub(super) fn spare_ordinal(&self) -> Option<u32> {
        let needed = self.min_replicas_to_write.max(1);
        let is_short = |count: &u32| self.surge && !self.hibernate && *count < 2 + needed;
        self.count.filter(|count| *count > 0).filter(is_short)
    }
}

impl Shard<'_> {
    /// The ordinal of the temporary pod, while there is to be one.
    pub fn temporary(&self) -> Option<u32> {
        let ordinal = self.wanted.spare_ordinal()?;
        let primary = self.primary?;
        let is_due = |member: &Member| {
            member.why_outdated(&self.wanted.revision).is_some() && !member.would_lose_volume()
        };
        let outdated = self.that_stay().any(is_due);
        let away = self.that_stay().any(|member| member.is_away(primary));
        let spare = self.at(ordinal);
        let due = match spare.filter(|member| is_here(member)) {
            // Of an earlier revision it goes as a whole, and another comes: what its server wrote, an
            // earlier version may not read.
            Some(spare) if spare.why_outdated(&self.wanted.revision).is_some() => {
                away || spare.ordinal == primary.ordinal
            }
            Some(_) => outdated || away,
            // Without a primary that stays there is nothing that it could copy, or no need.
            None => {
                let is_left = spare.is_some_and(leaves_claim);
                outdated && self.wanted.keeps(primary.ordinal) && !self.wanted.paused && !is_left
            }
        };
        due.then_some(ordinal)
    }

    /// True if this is the temporary pod, wanted still or not.
    pub fn is_spare(&self, member: &Member) -> bool {
        self.wanted.spare_ordinal() == Some(member.ordinal)
    }

    /// How many pods there must be at least for temporary ones. One whose claim is not tied to it yet, or
    /// is about to be untied, stays: nobody would take the claim away, and it may have the best copy.
    pub fn size_for_temporary(&self) -> u32 {
        let due = self.temporary().map_or(0, |ordinal| ordinal + 1);
        let is_kept = |member: &Member| {
            let temporary = member.claim.as_ref().is_some_and(|claim| claim.temporary);
            temporary && is_here(member) && !self.claim_goes(member.ordinal)
        };
        let stay = self
            .members
            .iter()
            .filter(|member| !self.wanted.keeps(member.ordinal))
            .filter(|member| member.holds_temporary_claim() || is_kept(member));
        stay.map(|member| member.ordinal + 1)
            .max()
            .unwrap_or(0)
            .max(due)
    }

    /// True if a temporary claim of this ordinal is to go when its pod does: a pod that stays leads, and
    /// it and all others that stay have everything. Also once the temporary pod itself is leaving: what
    /// is lost of the primary may be nowhere else (simulation, seed 242817).
    pub fn claim_goes(&self, ordinal: u32) -> bool {
        let leads = |primary: &Member| {
            self.wanted.keeps(primary.ordinal)
                && !primary.is_leaving()
                && primary.is_saved()
                && !self.that_stay().any(|member| member.is_away(primary))
        };
        !self.wanted.keeps(ordinal)
            && self.temporary() != Some(ordinal)
            && self.primary.is_some_and(leads)
    }

    fn at(&self, ordinal: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.ordinal == ordinal)
    }
}

impl Member {
    /// True if it has, or had, a temporary pod's claim that nothing takes away yet.
    pub fn holds_temporary_claim(&self) -> bool {
        self.claim
            .as_ref()
            .is_some_and(|claim| claim.temporary && !claim.goes_with_pod && !claim.deleting)
    }
}

fn is_here(member: &Member) -> bool {
    member.pod.as_ref().is_some_and(|pod| !pod.deleting)
}

/// What is left of the last temporary pod goes before another comes.
fn leaves_claim(member: &Member) -> bool {
    let claim = member.claim.as_ref();
    claim.is_some_and(|claim| claim.deleting || claim.goes_with_pod)
}
