//! Which servers have the users as they are written down.

use crate::acl::AclSet;
use crate::shard::Member;

/// The users that are written down, and the pods that are to have them.
pub struct Spread<'a> {
    set: Option<&'a AclSet>,
    pods: Vec<&'a Member>,
}

impl<'a> Spread<'a> {
    /// That of a set and an object's pods. One that is wanted counts also while it is away; one that is not
    /// counts while it is there. `wanted` is how many a shard is to have.
    pub fn of(
        set: Option<&'a AclSet>,
        pods: impl IntoIterator<Item = &'a Member>,
        wanted: u32,
    ) -> Self {
        let pods = pods.into_iter();
        let counts = |pod: &&Member| pod.ordinal < wanted || pod.pod.is_some();
        Self {
            set,
            pods: pods.filter(counts).collect(),
        }
    }

    /// The pods that have not confirmed what is written down of a user.
    pub fn lacking(&self, user: &str) -> Vec<&'a Member> {
        let revision = self.set.map(|set| set.revision);
        let has = |pod: &&Member| {
            pod.agent.status().is_some_and(|status| {
                let acl = &status.acl;
                acl.confirmed && Some(acl.revision) == revision && !acl.rejected.contains_key(user)
            })
        };
        let pods = self.pods.iter().copied();
        pods.filter(|pod| !has(pod)).collect()
    }

    /// True if the user is among those that are written down.
    pub fn is_written(&self, user: &str) -> bool {
        !self.hashes(user).is_empty()
    }

    /// True if every server lets the user in with a password of this hash.
    pub fn all_accept(&self, user: &str, hash: &str) -> bool {
        self.hashes(user).iter().any(|known| known == hash) && self.has_come(user)
    }

    /// True if every server does, and with no other.
    pub fn all_accept_only(&self, user: &str, hash: &str) -> bool {
        let hashes = self.hashes(user);
        !hashes.is_empty() && hashes.iter().all(|known| known == hash) && self.has_come(user)
    }

    fn has_come(&self, user: &str) -> bool {
        !self.pods.is_empty() && self.lacking(user).is_empty()
    }

    fn hashes(&self, user: &str) -> &'a [String] {
        let mut users = self.set.into_iter().flat_map(|set| &set.users);
        let found = users.find(|known| known.name == user);
        let hashes = found.map(|found| found.password_sha256.as_slice());
        hashes.unwrap_or_default()
    }
}
