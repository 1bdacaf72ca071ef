//! The backups from which a log goes on.

use hera_api::{BackupShard, RedisBackup};
use hera_core::backup::{CaptureNews, Unbroken};
use hera_core::shard::Member;

use super::{SHARD, record};

/// By how much the clocks of two nodes may differ, in milliseconds.
const CLOCKS: u64 = 1_000;

/// A log without a gap, as the agent tells that keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoesOn {
    /// Uid of the pod whose agent keeps it.
    pub pod_uid: String,
    /// Since when it has none, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Of which histories it is; empty if the agent does not tell.
    pub unbroken: Vec<Unbroken>,
}

impl GoesOn {
    /// That of the object with this uid, if an agent of these tells of one.
    pub fn told(members: &[Member], uid: &str) -> Option<Self> {
        members
            .iter()
            .find_map(|member| Self::of(member, news(member, uid)?))
    }

    /// That which this agent tells of.
    pub fn of(member: &Member, news: &CaptureNews) -> Option<Self> {
        Some(Self {
            pod_uid: member.uid().to_owned(),
            unix_ms: news.unbroken_since_unix_ms?,
            unbroken: news.unbroken.clone(),
        })
    }

    /// That, of the object with this uid, in this store.
    pub fn since<'a>(&'a self, object_uid: &'a str, store: &'a str) -> Since<'a> {
        Since {
            object_uid,
            store,
            pod_uid: &self.pod_uid,
            unix_ms: self.unix_ms,
            unbroken: &self.unbroken,
        }
    }
}

/// What an agent tells of the log of the object with this uid.
pub fn news<'a>(member: &'a Member, uid: &str) -> Option<&'a CaptureNews> {
    let told = member.agent.status()?.capture.as_ref();
    told.filter(|news| news.uid == uid && news.shard == SHARD)
}

/// A log without a gap.
#[derive(Clone, Copy, Debug)]
pub struct Since<'a> {
    /// Uid of the object.
    pub object_uid: &'a str,
    /// Name of the store.
    pub store: &'a str,
    /// Uid of the pod whose agent keeps it.
    pub pod_uid: &'a str,
    /// Since when it has none, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Of which histories it is; empty if the agent does not tell.
    pub unbroken: &'a [Unbroken],
}

/// When the first backup was taken from which this log goes on, in milliseconds since 1970.
pub fn first(backups: &[&RedisBackup], since: &Since<'_>) -> Option<u64> {
    let taken = backups.iter().filter_map(|backup| instant(backup, since));
    taken.min()
}

/// The newest backup from which this log goes on.
pub fn newest<'a>(backups: &[&'a RedisBackup], since: &Since<'_>) -> Option<&'a RedisBackup> {
    let taken = backups
        .iter()
        .filter_map(|backup| Some((instant(backup, since)?, *backup)));
    let newest = taken.max_by_key(|(taken, _)| *taken);
    newest.map(|(_, backup)| backup)
}

/// The newest backup of an object in a store, whatever became of its log.
pub fn newest_of_all<'a>(
    backups: &[&'a RedisBackup],
    object_uid: &str,
    store: &str,
) -> Option<&'a RedisBackup> {
    let stored = backups.iter().copied();
    let stored = stored.filter(|backup| record::is_stored(backup, object_uid, store));
    stored.max_by_key(|backup| record::taken_unix_ms(backup))
}

/// How much of its history a backup has.
pub fn offset(backup: &RedisBackup) -> Option<u64> {
    let shard = shard(backup)?;
    shard.offset.and_then(|offset| u64::try_from(offset).ok())
}

fn shard(backup: &RedisBackup) -> Option<&BackupShard> {
    let mut shards = backup.status.iter().flat_map(|status| &status.shards);
    shards.find(|shard| shard.shard == SHARD)
}

/// When a backup was taken, if the log goes on from it.
fn instant(backup: &RedisBackup, since: &Since<'_>) -> Option<u64> {
    let is_of_it = record::is_stored(backup, since.object_uid, since.store);
    let shard = shard(backup).filter(|_| is_of_it)?;
    let taken = record::taken_unix_ms(backup)?;
    since.goes_on_from(shard, taken).then_some(taken)
}

impl Since<'_> {
    /// By what the backup has of which history: one that was taken late may be of a tail that a failover lost, or of a
    /// replica that was behind. Only where that is not told by when it was.
    fn goes_on_from(&self, shard: &BackupShard, taken: u64) -> bool {
        if self.unbroken.is_empty() {
            let beyond = match shard.pod_uid == self.pod_uid {
                true => 0,
                false => CLOCKS,
            };
            return taken >= self.unix_ms.saturating_add(beyond);
        }
        let offset = shard.offset.and_then(|offset| u64::try_from(offset).ok());
        let place = shard.replication_id.as_deref().zip(offset);
        let has = |(id, offset)| self.unbroken.iter().any(|part| part.has(id, offset));
        place.is_some_and(has)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SINCE: Since<'static> = Since {
        object_uid: "uid-1",
        store: "s3",
        pod_uid: "pod-1",
        unix_ms: 1_800_000_000_000,
        unbroken: &[],
    };

    fn taken(change: impl FnOnce(&mut Value)) -> Option<u64> {
        taken_of(&SINCE, change)
    }

    fn taken_of(since: &Since<'_>, change: impl FnOnce(&mut Value)) -> Option<u64> {
        let mut status = json!({
            "phase": "Completed", "store": "s3", "targetUid": "uid-1", "instant": "2027-01-15T08:00:00Z",
            "shards": [{
                "shard": "0", "pod": "cache-1", "podUid": "pod-1",
                "instant": "2027-01-15T08:00:00.000000Z",
            }],
        });
        change(&mut status);
        let backup = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup", "metadata": {"name": "nightly"},
            "spec": {"target": {"name": "cache"}}, "status": status,
        });
        instant(&serde_json::from_value(backup).unwrap(), since)
    }

    #[test]
    fn a_log_goes_on_from_a_whole_backup_of_its_object_in_its_store() {
        assert_eq!(taken(|_| {}), Some(SINCE.unix_ms));
        assert_eq!(taken(|status| status["phase"] = json!("Running")), None);
        assert_eq!(taken(|status| status["targetUid"] = json!("uid-2")), None);
        assert_eq!(taken(|status| status["store"] = json!("other")), None);
        assert_eq!(taken(|status| status["shards"] = json!([])), None);
    }

    #[test]
    fn one_that_was_taken_before_it_began_is_none_of_its_backups() {
        let at = |time: &str| taken(|status| status["shards"][0]["instant"] = json!(time));
        assert_eq!(at("2027-01-15T07:59:59.999000Z"), None);
        assert_eq!(at("2027-01-15T08:00:00.250000Z"), Some(SINCE.unix_ms + 250));
    }

    #[test]
    fn of_two_clocks_nobody_knows_which_is_ahead() {
        let by_other = |time: &str| {
            taken(|status| {
                status["shards"][0]["podUid"] = json!("pod-2");
                status["shards"][0]["instant"] = json!(time);
            })
        };
        assert_eq!(by_other("2027-01-15T08:00:00.999000Z"), None);
        assert_eq!(
            by_other("2027-01-15T08:00:01.000000Z"),
            Some(SINCE.unix_ms + 1_000)
        );
    }

    #[test]
    fn of_one_that_says_no_exact_time_the_second_counts() {
        let rounded = |time: &str| {
            taken(|status| {
                status["instant"] = json!(time);
                status["shards"][0]["instant"] = Value::Null;
            })
        };
        assert_eq!(rounded("2027-01-15T07:59:59Z"), None);
        assert_eq!(rounded("2027-01-15T08:00:01Z"), Some(SINCE.unix_ms + 1_000));
    }

    #[test]
    fn where_histories_are_told_what_it_has_of_which_counts_and_no_time() {
        let part = |id: &str, to| Unbroken {
            id: id.to_owned(),
            from: 100,
            to,
        };
        let unbroken = [part("a", Some(500)), part("b", None)];
        let since = Since {
            unbroken: &unbroken,
            ..SINCE
        };
        let has = |id: &str, offset: i64, time: &str| {
            let found = taken_of(&since, |status| {
                let shard = &mut status["shards"][0];
                shard["replicationId"] = json!(id);
                shard["offset"] = json!(offset);
                shard["instant"] = json!(time);
            });
            found.is_some()
        };
        let (before, after) = ("2027-01-15T07:00:00.000000Z", "2027-01-15T09:00:00.000000Z");
        for time in [before, after] {
            assert!(has("a", 100, time) && has("a", 500, time) && has("b", 900, time));
            assert!(!has("a", 501, time), "the failover lost what it has");
            assert!(!has("a", 99, time), "it is of a replica that was behind");
            assert!(!has("c", 300, time));
        }
        assert_eq!(
            taken_of(&since, |_| {}),
            None,
            "it does not say what it has"
        );
    }
}
