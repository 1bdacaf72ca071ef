//! Whether the revision of the spec proved itself in all pods, or the roll to it failed.

use super::cause::why_not_in_sync;
use super::member::Member;
use super::wanted::Shard;

impl Shard<'_> {
    /// True if all pods that stay are of the wanted revision, and in sync.
    pub fn is_proven(&self) -> bool {
        let (Some(primary), Some(count)) = (self.primary, self.wanted.count) else {
            return false;
        };
        let fine = |ordinal| {
            let mut members = self.members.iter();
            let member = members.find(|member| member.ordinal == ordinal);
            member.is_some_and(|member| {
                member.is_of(&self.wanted.revision)
                    && !member.is_leaving()
                    && !member.is_away(primary)
            })
        };
        count > 0 && (0..count).all(fine)
    }

    /// Why the roll to the wanted revision failed, for people; none unless it did: a pod of that revision
    /// had the time to become ready, and its server does not run. A server that runs may be copying, or
    /// cut off, and a pod that is not heard, or whose node is lost, says nothing about its revision. A
    /// revision that leads has not failed.
    pub fn why_failed(&self) -> Option<String> {
        let wanted = self.wanted;
        let lone = wanted.count == Some(1) && self.members.len() == 1;
        let leads = self
            .primary
            .is_some_and(|primary| primary.is_of(&wanted.revision));
        if wanted.paused || wanted.hibernate || leads || (self.primary.is_none() && !lone) {
            return None;
        }
        let temporary = self.temporary();
        let failed = |member: &&Member| {
            let takes_part = wanted.keeps(member.ordinal) || temporary == Some(member.ordinal);
            takes_part
                && member.is_of(&wanted.revision)
                && self.is_late(member)
                && !member.may_run()
        };
        let member = self.members.iter().find(failed)?;
        let (name, why) = (member.label(), why_not_in_sync(member));
        let minutes = wanted.progress_deadline_ms / 60_000;
        Some(format!("{name} was not ready after {minutes} min: {why}"))
    }

    fn is_late(&self, member: &Member) -> bool {
        let pod = member.pod.as_ref().filter(|pod| !pod.ready);
        let age = pod.map(|pod| self.now_ms.saturating_sub(pod.since_ms));
        age.is_some_and(|age| age > self.wanted.progress_deadline_ms)
    }
}
