//! Which servers have the users as they are written down, and with which password they log in themselves.

use crate::acl::{AclSet, REPLICATION_USER, is_replication_user};
use crate::agent::{AgentStatus, Role};
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
                let refuses = acl.rejected.keys().any(|name| is_called(user, name));
                acl.confirmed && Some(acl.revision) == revision && !refuses
            })
        };
        let pods = self.pods.iter().copied();
        pods.filter(|pod| !has(pod)).collect()
    }

    /// The pods whose server may log in at its primary with another password than the one with this hash. One that
    /// is away may: it comes back with what it knew.
    pub fn logging_in_otherwise(&self, hash: &str) -> Vec<&'a Member> {
        let logs_in_so = |pod: &&Member| {
            let status = pod.agent.status();
            status.is_some_and(|status| logs_in_with(status, hash))
        };
        let pods = self.pods.iter().copied();
        pods.filter(|pod| !logs_in_so(pod)).collect()
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

/// True if a server's name for a user means this one.
fn is_called(user: &str, name: &str) -> bool {
    user == name || (user == REPLICATION_USER && is_replication_user(name))
}

/// One that was told no password gets the one of then. An agent of an earlier release says nothing of it, though its
/// server follows, or may by itself as one of a cluster.
fn logs_in_with(status: &AgentStatus, hash: &str) -> bool {
    match &status.login {
        Some(login) => login.in_force && login.password_sha256 == hash,
        None => status.role != Role::Replica && status.cluster.is_none(),
    }
}
