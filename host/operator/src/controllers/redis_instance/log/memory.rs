//! What agents were ordered about logs. Whoever forgets it orders once more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hera_core::shard::Member;

use crate::object::ObjectKey;

/// An agent tells within this that it does what it was ordered.
pub const HEARD: Duration = Duration::from_secs(5);
/// A copy that can be read may be missing for so long before that is told: while pods are replaced, for moments.
const MISSING: Duration = Duration::from_secs(30);

/// What an agent is told about a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// To keep it; the digest of the order.
    Capture(String),
    /// To keep it no further.
    Stop,
}

/// What is remembered of each instance.
#[derive(Default)]
pub struct Logs(Mutex<HashMap<ObjectKey, Known>>);

#[derive(Default)]
struct Known {
    /// By uid of the pod.
    orders: HashMap<String, Ordered>,
    /// Uid of the pod whose agent was ordered last to keep the log.
    keeper: Option<String>,
    /// Since when no copy can be read.
    no_copy_since: Option<Instant>,
}

struct Ordered {
    /// The start of the agent that was told: the next one knows nothing of it.
    boot: String,
    /// Under which it was told: in between another leader may have told something else.
    term: u64,
    told: Told,
    at: Instant,
}

impl Logs {
    /// True unless this start of an agent was ordered just that in this term, and does it or was told a moment ago.
    pub fn is_due(
        &self,
        instance: &ObjectKey,
        member: &Member,
        term: u64,
        told: &Told,
        is_done: bool,
    ) -> bool {
        let map = self.lock();
        let known = map.get(instance);
        let last = known.and_then(|known| known.orders.get(member.uid()));
        let same = last.filter(|last| {
            (last.boot.as_str(), last.term, &last.told) == (boot(member), term, told)
        });
        same.is_none_or(|last| !is_done && last.at.elapsed() >= HEARD)
    }

    /// A pod's agent was ordered that.
    pub fn ordered(&self, instance: &ObjectKey, member: &Member, term: u64, told: Told) {
        let mut map = self.lock();
        let known = map.entry(instance.clone()).or_default();
        if told != Told::Stop {
            known.keeper = Some(member.uid().to_owned());
        }
        let ordered = Ordered {
            boot: boot(member).to_owned(),
            term,
            told,
            at: Instant::now(),
        };
        known.orders.insert(member.uid().to_owned(), ordered);
    }

    /// Uid of the pod whose agent was ordered last to keep the log.
    pub fn keeper(&self, instance: &ObjectKey) -> Option<String> {
        self.lock().get(instance)?.keeper.clone()
    }

    /// Drops what is known of pods that are gone.
    pub fn keep_only(&self, instance: &ObjectKey, pods: &[&str]) {
        if let Some(known) = self.lock().get_mut(instance) {
            known.orders.retain(|uid, _| pods.contains(&uid.as_str()));
        }
    }

    /// No copy can be read now: after how long that is told, if it goes on.
    pub fn until_told(&self, instance: &ObjectKey) -> Option<Duration> {
        let mut map = self.lock();
        let known = map.entry(instance.clone()).or_default();
        let since = known.no_copy_since.get_or_insert_with(Instant::now);
        MISSING
            .checked_sub(since.elapsed())
            .filter(|left| !left.is_zero())
    }

    /// A copy can be read.
    pub fn found_copy(&self, instance: &ObjectKey) {
        if let Some(known) = self.lock().get_mut(instance) {
            known.no_copy_since = None;
        }
    }

    /// The instance is gone.
    pub fn forget(&self, instance: &ObjectKey) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn boot(member: &Member) -> &str {
    let status = member.agent.status();
    status.map_or("", |status| status.boot_id.as_str())
}

#[cfg(test)]
mod tests {
    use hera_core::shard::PodView;

    use super::*;

    fn pod(uid: &str) -> Member {
        Member {
            pod: Some(PodView {
                uid: uid.to_owned(),
                ..PodView::default()
            }),
            ..Member::default()
        }
    }

    fn shop() -> (Logs, ObjectKey) {
        (Logs::default(), ObjectKey::instance("default", "shop"))
    }

    fn kept(digest: &str) -> Told {
        Told::Capture(digest.to_owned())
    }

    #[test]
    fn the_same_is_ordered_once_and_another_order_at_once() {
        let (logs, shop) = shop();
        let (a, b) = (pod("a"), pod("b"));
        assert!(logs.is_due(&shop, &a, 1, &kept("1"), false));
        assert!(
            logs.is_due(&shop, &a, 1, &kept("1"), true),
            "nobody knows what it was told"
        );
        logs.ordered(&shop, &a, 1, kept("1"));
        for is_done in [false, true] {
            assert!(!logs.is_due(&shop, &a, 1, &kept("1"), is_done));
            assert!(
                logs.is_due(&shop, &a, 1, &kept("2"), is_done),
                "the key is another"
            );
            assert!(logs.is_due(&shop, &b, 1, &kept("1"), is_done));
        }
        assert!(
            logs.is_due(&shop, &a, 2, &kept("1"), true),
            "another leader may have told something else"
        );
        assert_eq!(logs.keeper(&shop).as_deref(), Some("a"));
        logs.ordered(&shop, &a, 1, Told::Stop);
        assert!(logs.is_due(&shop, &a, 1, &kept("1"), false));
        assert!(!logs.is_due(&shop, &a, 1, &Told::Stop, false));
        logs.keep_only(&shop, &["b"]);
        assert!(
            logs.is_due(&shop, &a, 1, &Told::Stop, false),
            "it is another pod"
        );
        logs.forget(&shop);
        assert_eq!(logs.keeper(&shop), None);
    }

    #[test]
    fn that_no_copy_can_be_read_is_told_only_if_it_lasts() {
        let (logs, shop) = shop();
        let left = logs.until_told(&shop).unwrap();
        assert!(left > Duration::from_secs(25), "{left:?}");
        assert!(logs.until_told(&shop).unwrap() <= left);
        logs.found_copy(&shop);
        assert!(logs.until_told(&shop).unwrap() > Duration::from_secs(25));
    }
}
