//! What is remembered between passes of logs behind backups. Who forgets it asks once more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::object::ObjectKey;

/// What is remembered of each instance.
#[derive(Default)]
pub struct Looks(Mutex<HashMap<ObjectKey, Known>>);

#[derive(Default)]
struct Known {
    /// Since when a log has been waited for.
    awaits_log: Option<Instant>,
    log: Option<Log>,
}

/// How long a log was.
struct Log {
    /// Where the backup before it ends.
    from: u64,
    bytes: u64,
    at: Instant,
}

impl Looks {
    /// How much longer a log is waited for that is to begin and `is_awaited`; none once that took too long.
    pub fn until_log(
        &self,
        instance: &ObjectKey,
        is_awaited: bool,
        limit: Duration,
    ) -> Option<Duration> {
        let mut map = self.lock();
        let known = map.entry(instance.clone()).or_default();
        if !is_awaited {
            known.awaits_log = None;
            return None;
        }
        let since = known.awaits_log.get_or_insert_with(Instant::now);
        let left = limit.checked_sub(since.elapsed());
        left.filter(|left| !left.is_zero())
    }

    /// How long the log behind this offset was, if that was asked so lately.
    pub fn log_bytes(&self, instance: &ObjectKey, from: u64, good_for: Duration) -> Option<u64> {
        let map = self.lock();
        let log = map.get(instance)?.log.as_ref()?;
        (log.from == from && log.at.elapsed() < good_for).then_some(log.bytes)
    }

    /// So long it is now.
    pub fn note_log_bytes(&self, instance: &ObjectKey, from: u64, bytes: u64) {
        let mut map = self.lock();
        map.entry(instance.clone()).or_default().log = Some(Log {
            from,
            bytes,
            at: Instant::now(),
        });
    }

    /// The instance is gone.
    pub fn forget(&self, instance: &ObjectKey) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(120);

    fn cache() -> ObjectKey {
        ObjectKey::instance("shop", "cache")
    }

    #[test]
    fn a_log_that_is_to_begin_is_waited_for_and_not_for_ever() {
        let looks = Looks::default();
        assert_eq!(looks.until_log(&cache(), false, LIMIT), None);
        let left = looks.until_log(&cache(), true, LIMIT).unwrap();
        assert!(looks.until_log(&cache(), true, LIMIT).unwrap() <= left);
        assert_eq!(looks.until_log(&cache(), true, Duration::ZERO), None);
    }

    #[test]
    fn how_long_a_log_was_is_known_of_the_backup_before_it_alone() {
        let looks = Looks::default();
        looks.note_log_bytes(&cache(), 100, 7);
        assert_eq!(looks.log_bytes(&cache(), 100, LIMIT), Some(7));
        assert_eq!(looks.log_bytes(&cache(), 200, LIMIT), None);
        assert_eq!(looks.log_bytes(&cache(), 100, Duration::ZERO), None);
    }
}
