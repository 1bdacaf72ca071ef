//! One pass over one backup: what is found of it, and the one thing that is done about it next.
//!
//! What is to be done is written down before it is ordered: whoever leads next asks that pod's agent for that run.

mod ask;
mod begin;
mod look;

use std::sync::Arc;
use std::time::Duration;

use hera_api::conditions::{available, completed};
use hera_api::{BackupPhase, BackupShard, RedisBackup, RedisBackupStatus};
use hera_core::agent::Request;
use hera_core::backup::{BackupOrder, Failure, Next, OwnerFile, Paths, StoreAccess, Tries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt as _};
use tracing::debug;

use super::memory::{Kept, Key, Memory, Reading};
use super::owner::SHARD;
use super::status::{self, Said};
use super::{access, dropping};
use crate::controllers::outcome::PassError;
use crate::leaders::boot_millis;
use crate::object::ObjectKey;
use crate::shared::Shared;

/// Between two looks at a run.
const RUNS: Duration = Duration::from_secs(1);
/// Between two looks of who waits for another backup of the object. It asks nobody.
const QUEUED: Duration = Duration::from_secs(2);

/// After how long the next pass comes; none if no other is needed.
pub type Again = Option<Duration>;

/// Runs one pass. `all` are the backups that are known.
///
/// # Errors
/// See [`PassError`]; the next pass starts from what is there then.
pub async fn run(
    shared: &Shared,
    memory: &Memory,
    cached: &RedisBackup,
    all: &[Arc<DeserializeGuard<RedisBackup>>],
) -> Result<Again, PassError> {
    let key = Key::of(cached);
    if dropping::is_asked(cached) && shared.leadership.term().is_some() {
        return Box::pin(dropping::run(shared, memory, cached)).await;
    }
    let Some(term) = shared.leadership.term().filter(|_| !cached.is_over()) else {
        // Another replica looks after its run now, or nobody needs to.
        memory.forget(&key);
        return Ok(None);
    };
    let now_ms = boot_millis();
    let stands_aside = memory.stands_aside(&key);
    let first = memory.comes_first(cached, all, now_ms);
    if let Some(first) = &first {
        debug!(backup = %key.name, first, "it waits for its turn");
        // What one that could not begin says is so until it is looked at again.
        let has_queued = cached.status.as_ref() == Some(&queued(cached));
        if stands_aside || has_queued || tells_of_attempts(cached) {
            return Ok(Some(QUEUED));
        }
    }
    let backups: Api<RedisBackup> = Api::namespaced(shared.client.clone(), &key.namespace);
    let found = backups.get_opt(&key.name).await?;
    let found = found.filter(|found| {
        found.uid() == cached.uid()
            && found.metadata.deletion_timestamp.is_none()
            && !found.is_over()
    });
    let Some(backup) = found else {
        // One that is over has nothing that could be ended.
        let reading = memory.forget(&key);
        end(shared, &key, reading).await;
        return Ok(None);
    };
    if first.is_some() {
        // A cache may be late: what runs by now says so.
        if backup.phase() != BackupPhase::Running && !tells_of_attempts(&backup) {
            status::write(shared, &backup, &queued(&backup)).await?;
        }
        return Ok(Some(QUEUED));
    }
    let uid = backup.uid().unwrap_or_default();
    let kept = memory.kept(&key, &uid).unwrap_or_else(|| Kept {
        uid,
        since_ms: now_ms,
        tries: recalled(&backup, now_ms, Timestamp::now()),
        ..Kept::default()
    });
    let mut pass = Pass {
        shared,
        memory,
        target: ObjectKey::instance(&key.namespace, &backup.spec.target.name),
        backup,
        kept,
        term,
        now_ms,
    };
    let before = pass.kept.tries;
    let done = match pass.backup.phase() {
        BackupPhase::Running => Box::pin(pass.look()).await,
        _ => Box::pin(pass.begin()).await,
    };
    if done.is_err() {
        // What is not written down is found once more.
        pass.kept.tries = before;
    }
    match pass.backup.is_over() {
        true => drop(memory.forget(&key)),
        false => memory.keep(&key, pass.kept),
    }
    done
}

/// What one says that waits for its turn. The same whoever comes first: else each that ends would have all that wait
/// written anew.
fn queued(backup: &RedisBackup) -> RedisBackupStatus {
    let words = "another RedisBackup of the same object comes first";
    let said = Said::new(completed::PENDING, words);
    status::with(backup, BackupPhase::Pending, &said)
}

/// True of one that waits and says what came of its attempts, or what is in the way: who was not there goes by that.
fn tells_of_attempts(backup: &RedisBackup) -> bool {
    let tells = |status: &RedisBackupStatus| status.attempts > 0 || status.waits_since.is_some();
    backup.phase() != BackupPhase::Running && backup.status.as_ref().is_some_and(tells)
}

/// What is written down of attempts, for who was not there. `now` is by the clock of what is written.
fn recalled(backup: &RedisBackup, now_ms: u64, now: Timestamp) -> Tries {
    let status = backup.status.as_ref();
    let waits_since = status.and_then(|status| status.waits_since.as_ref());
    let waited = waits_since.map(|since| {
        let ms = now.as_millisecond() - since.0.as_millisecond();
        u64::try_from(ms).unwrap_or(0)
    });
    let begun = status.map_or(0, |status| u32::try_from(status.attempts).unwrap_or(0));
    let runs = backup.phase() == BackupPhase::Running;
    Tries::recalled(
        begun.saturating_sub(u32::from(runs)),
        status::is_foiled_by_store(backup),
        waited,
        now_ms,
    )
}

/// Has the agent of a run end it, if it can be asked. One that goes on does no harm: nothing of it becomes a backup.
pub async fn end(shared: &Shared, key: &Key, reading: Option<Reading>) {
    let (Some(reading), Some(term)) = (reading, shared.leadership.term()) else {
        return;
    };
    let Some(client) = shared.agents.client(&reading.pod_uid) else {
        return;
    };
    let target = ObjectKey::instance(&key.namespace, &reading.target);
    let order = Request {
        term: shared.leaders.terms.speak(&target, term),
        body: BackupOrder::Cancel {
            run: reading.run.clone(),
        },
    };
    if let Err(error) = client.order_backup(&order).await {
        debug!(run = reading.run, %error, "a run of which nothing is wanted was not ended");
    }
}

/// A pass under way.
struct Pass<'a> {
    shared: &'a Shared,
    memory: &'a Memory,
    /// As it was found, or written last.
    backup: RedisBackup,
    target: ObjectKey,
    kept: Kept,
    term: u64,
    now_ms: u64,
}

impl Pass<'_> {
    fn attempts(&self) -> i32 {
        self.backup
            .status
            .as_ref()
            .map_or(0, |status| status.attempts)
    }

    fn shard(&self) -> Option<&BackupShard> {
        self.backup.status.as_ref()?.shards.first()
    }

    fn target_uid(&self) -> Option<&str> {
        self.backup.status.as_ref()?.target_uid.as_deref()
    }

    fn store(&self) -> Option<&str> {
        self.backup.status.as_ref()?.store.as_deref()
    }

    /// The run of the attempt that was begun last.
    fn run(&self) -> String {
        format!("{}-{}", self.kept.uid, self.attempts())
    }

    fn paths(&self, target_uid: &str) -> Paths {
        Paths::new(&self.target.namespace, &self.target.name, target_uid)
    }

    fn request<T>(&self, body: T) -> Request<T> {
        let terms = &self.shared.leaders.terms;
        Request {
            term: terms.speak(&self.target, self.term),
            body,
        }
    }

    /// Whose path in the store it is.
    async fn owner(&self, uid: &str) -> kube::Result<OwnerFile> {
        let shared = self.shared;
        let owner = shared.owners.file(&shared.client, &self.target, uid);
        owner.await
    }

    /// How the store is reached, or why not; which its status tells as well.
    async fn access(&self, store: &str) -> Result<StoreAccess, Said> {
        let (client, namespace) = (&self.shared.client, self.target.namespace.as_str());
        let missing = match Box::pin(access::of(client, namespace, store)).await {
            Ok(access) => return Ok(access),
            Err(missing) => missing,
        };
        if missing.reason != available::SECRET_MISSING {
            return Err(Said::new(missing.reason, missing.words));
        }
        status::tell_store(client, namespace, store, missing.reason, &missing.words).await;
        Err(Said::new(completed::NO_STORE, missing.words))
    }

    /// An attempt cannot begin now.
    async fn held_up(&mut self, reason: &'static str, words: String) -> Result<Again, PassError> {
        match self.kept.tries.held_up(self.now_ms) {
            Next::After(wait) => {
                let said = Said::new(reason, words);
                let wanted = status::with(&self.backup, BackupPhase::Pending, &said);
                self.write(wanted).await?;
                self.stands_aside(wait);
                Ok(Some(Duration::from_millis(wait)))
            }
            Next::GiveUp => {
                let words = format!("{words}; it was waited for long enough");
                self.over(BackupPhase::Failed, Said::new(reason, words))
                    .await
            }
        }
    }

    /// Others of the object need not wait for what this one waits for.
    fn stands_aside(&self, wait_ms: u64) {
        let until_ms = self.now_ms.saturating_add(wait_ms);
        self.memory.stand_aside(&Key::of(&self.backup), until_ms);
    }

    /// Nothing came of the attempt.
    async fn lost(&mut self, failure: Failure) -> Result<Again, PassError> {
        let Failure { reason, message } = failure;
        let pod = self.shard().map_or("", |shard| shard.pod.as_str());
        let words = format!("attempt {}, pod {pod}: {message}", self.attempts());
        if let (Some(reason), Some(store)) = (status::available_of(reason), self.store()) {
            let (client, namespace) = (&self.shared.client, &self.target.namespace);
            status::tell_store(client, namespace, store, reason, &message).await;
        }
        let said = Said::new(status::reason_of(reason), words);
        let next = self.kept.tries.lost(reason, self.now_ms);
        let done = match next {
            Next::After(wait) => {
                let mut wanted = status::with(&self.backup, BackupPhase::Pending, &said);
                status::forget_base(&mut wanted);
                self.kept.due_ms = self.now_ms.saturating_add(wait);
                self.write(wanted).await?;
                self.stands_aside(wait);
                Some(Duration::from_millis(wait))
            }
            Next::GiveUp => self.over(BackupPhase::Failed, said).await?,
        };
        // It may go on where the agent was not heard.
        end(
            self.shared,
            &Key::of(&self.backup),
            self.kept.reading.take(),
        )
        .await;
        Ok(done)
    }

    /// Nothing is done about it any more.
    async fn over(&mut self, phase: BackupPhase, said: Said) -> Result<Again, PassError> {
        let mut wanted = status::with(&self.backup, phase, &said);
        if phase == BackupPhase::Failed {
            status::forget_base(&mut wanted);
            // Of an object that there is: nobody would forget the others, whatever names people make up.
            if said.reason != completed::NO_TARGET {
                let objects = &self.shared.metrics.objects;
                objects.note_failed_backup(&self.target);
            }
        }
        wanted.completed_at = Some(Time(Timestamp::now()));
        self.write(wanted).await?;
        Ok(None)
    }

    async fn write(&mut self, mut wanted: RedisBackupStatus) -> Result<(), PassError> {
        if self.shared.leadership.term() != Some(self.term) {
            return Err(PassError::LeadershipLost);
        }
        let waits = self.kept.tries.is_held_up();
        status::note_waiting(&mut wanted, waits, Timestamp::now());
        self.backup = status::write(self.shared, &self.backup, &wanted).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SINCE: &str = "2026-01-01T00:00:00Z";

    /// For how many milliseconds who was not there waits on, from `now` on, for what was in the way from [`SINCE`] on.
    fn waits_on_ms(now: &str) -> u64 {
        let object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackup",
            "metadata": {"name": "nightly", "namespace": "shop"},
            "spec": {"target": {"name": "cache"}},
            "status": {"phase": "Pending", "waitsSince": SINCE},
        });
        let backup: RedisBackup = serde_json::from_value(object).unwrap();
        let mut tries = recalled(&backup, 0, now.parse().unwrap());
        let mut waited = 0;
        while let Next::After(wait) = tries.held_up(waited) {
            waited += wait;
        }
        waited
    }

    #[test]
    fn an_hour_that_others_began_to_wait_goes_on_by_what_is_written_down() {
        assert_eq!(waits_on_ms(SINCE), 3_600_000);
        assert_eq!(waits_on_ms("2026-01-01T00:20:00Z"), 2_400_000);
    }

    #[test]
    fn an_hour_that_ended_while_nobody_led_is_a_minute_of_looks_longer_and_no_more() {
        assert_eq!(waits_on_ms("2026-01-02T00:00:00Z"), 60_000);
    }
}
