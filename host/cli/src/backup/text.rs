//! Backups in words.

use hera_api::conditions::dropped;
use hera_api::meta::{ANNOTATION_BACKUP_DUE, ANNOTATION_BACKUP_LATEST};
use hera_api::{
    BackupPhase, BackupShard, KeepSpec, RedisBackup, RedisBackupStatus, RedisBackupStore,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::list::{self, cause, row, summary};
use super::log::{Kept, LogSeen};
use super::schedules::ScheduleSeen;
use super::status::{OfInstance, StoreSeen};
use super::{condition, stays, why, words};
use crate::output::{bad, faint, good, odd, size, strong};

/// All that is known of a backup.
pub fn backup(backup: &RedisBackup) -> String {
    let (name, namespace) = (backup.name_any(), backup.namespace().unwrap_or_default());
    let head = strong(&format!("RedisBackup {namespace}/{name}"));
    let phase = backup.phase();
    let of = &backup.spec.target.name;
    let mut text = format!("{head}  {}  of RedisInstance {of}\n", painted(phase));
    let why = why(backup);
    if !why.is_empty() {
        text.push_str(&format!("{why}\n"));
    }
    text.extend(of_demand(backup));
    if let Some(status) = &backup.status {
        text.extend(facts(status));
        text.extend(status.shards.iter().map(of_shard));
    }
    if phase == BackupPhase::Completed {
        text.push_str(&format!(
            "kubectl hera recover {of} --from {name} --as NEW prints a new instance that begins with it\n"
        ));
    }
    text
}

/// Why it was made, and whether it stays.
fn of_demand(backup: &RedisBackup) -> Vec<String> {
    let annotations = backup.annotations();
    let mut made = cause(backup);
    if let Some(due) = annotations.get(ANNOTATION_BACKUP_DUE) {
        made.push_str(&format!(", wanted since {due}"));
    }
    if let Some(latest) = annotations
        .get(ANNOTATION_BACKUP_LATEST)
        .filter(|_| backup.phase() == BackupPhase::Pending)
    {
        made.push_str(&format!(", begins by {latest}"));
    }
    let refused = condition(backup, dropped::TYPE).map(|said| odd(&words(said)));
    let kept = stays::is_kept(backup).then(|| "whatever its age".to_owned());
    let known = [
        ("cause:", Some(made)),
        ("kept:", kept),
        ("no drop:", refused),
    ];
    let known = known.into_iter();
    let lines = known.filter_map(|(what, value)| Some(line(what, &value?)));
    lines.collect()
}

fn line(what: &str, value: &str) -> String {
    format!("{what:<11}{value}\n")
}

/// What is said while somebody waits.
pub fn progress(backup: &RedisBackup) -> String {
    let phase = painted(backup.phase());
    match why(backup).as_str() {
        "" => phase,
        why => format!("{phase}  {why}"),
    }
}

fn painted(phase: BackupPhase) -> String {
    let word = format!("{phase:?}");
    match phase {
        BackupPhase::Completed => good(&word),
        BackupPhase::Failed => bad(&word),
        BackupPhase::Pending | BackupPhase::Running | BackupPhase::Skipped => odd(&word),
    }
}

fn facts(status: &RedisBackupStatus) -> Vec<String> {
    let moment = |at: &Option<Time>| at.as_ref().map(|at| at.0.to_string());
    let server = status.engine.zip(status.version.as_ref());
    let server = server.map(|(engine, version)| format!("{engine} {version}"));
    let attempts = (status.attempts > 1).then(|| status.attempts.to_string());
    let known = [
        ("instant:", moment(&status.instant)),
        ("began:", moment(&status.started_at)),
        ("ended:", moment(&status.completed_at)),
        ("attempts:", attempts),
        ("server:", server),
        ("stored:", status.stored_size.clone()),
        ("store:", status.store.clone()),
        ("path:", status.path.clone()),
    ];
    let known = known.into_iter();
    let lines = known.filter_map(|(what, value)| Some(line(what, &value?)));
    lines.collect()
}

fn of_shard(shard: &BackupShard) -> String {
    let bytes = |bytes: Option<i64>| bytes.and_then(|bytes| u64::try_from(bytes).ok()).map(size);
    let mut parts = vec![format!("pod {}", shard.pod)];
    parts.extend(shard.role.clone());
    let history = shard.replication_id.as_ref().zip(shard.offset);
    parts.extend(history.map(|(id, offset)| format!("history {id} up to {offset}")));
    parts.extend(bytes(shard.raw_bytes).map(|raw| format!("{raw} of data")));
    parts.extend(bytes(shard.stored_bytes).map(|stored| format!("{stored} stored")));
    parts.extend(bytes(shard.used_memory).map(|used| format!("{used} of memory used")));
    line("read:", &parts.join(", "))
}

/// An instance, its store, its schedules, its log, and its last backups.
pub fn instance(seen: &OfInstance) -> String {
    let name = format!("RedisInstance {}/{}", seen.namespace, seen.name);
    let mut text = format!("{}\n", strong(&name));
    text.push_str(&line("store:", &of_store(seen.store.as_ref())));
    text.extend(of_health(seen));
    text.push_str(&line("log:", &of_log(seen.log.as_ref())));
    text.extend(of_schedules(seen));
    text.push_str(&line("stays:", &of_keep(seen.keep.as_ref())));
    text.extend(of_window(seen));
    for waiting in &seen.waiting {
        let words = format!("{}, by the policy: {}", waiting.name, waiting.message);
        text.push_str(&line("waits:", &odd(&words)));
    }
    let last = match &seen.last_completed {
        Some(backup) => good(&summary(backup)),
        None => odd("no backup is whole in a store"),
    };
    text.push_str(&line("last:", &last));
    match seen.backups.as_slice() {
        [] => {
            let words = format!(
                "kubectl hera backup now {} makes the first one\n",
                seen.name
            );
            text.push_str(&faint(&words));
        }
        backups => {
            let of = |backup: &RedisBackup| row(backup, &seen.needed);
            let rows: Vec<_> = backups.iter().map(of).collect();
            text.push('\n');
            text.push_str(&list::lines(&rows));
        }
    }
    text
}

fn of_store(store: Option<&StoreSeen>) -> String {
    let Some(store) = store else {
        return bad(
            "none: spec.backup.storeRef names no RedisBackupStore, so no backup can be made",
        );
    };
    let Some(at) = &store.at else {
        return bad(&format!(
            "{}: there is no such RedisBackupStore",
            store.name
        ));
    };
    let name = format!("{}, {at}", store.name);
    match &store.available {
        None => format!("{name}; {}", faint("no agent has used it yet")),
        Some(known) if known.status == "True" => format!("{name}; {}", good("available")),
        Some(known) => {
            let words = format!("{}: {}", known.reason, known.message);
            format!("{name}; {}", bad(&words))
        }
    }
}

/// What the operator says of backups and log, where it has to look at them.
fn of_health(seen: &OfInstance) -> Option<String> {
    let is_wanted = seen.log.is_some() || !seen.schedules.is_empty() || seen.max_age.is_some();
    let words = match &seen.health {
        None if is_wanted => faint("the operator has not looked yet"),
        None => return None,
        Some(known) if known.status == "True" => good(&known.reason),
        Some(known) => bad(&words(known)),
    };
    Some(line("health:", &words))
}

/// How far the log is.
fn of_log(log: Option<&LogSeen>) -> String {
    let Some(log) = log else {
        return faint("none is kept (spec.backup.log): only the instants of backups come back");
    };
    match (&log.kept, &log.unasked) {
        (Some(kept), _) => of_kept(kept),
        (None, Some(why)) => odd(&format!("its pods do not say how far it is: {why}")),
        (None, None) => odd("no pod says that it keeps it"),
    }
}

/// When backups are made by themselves.
fn of_schedules(seen: &OfInstance) -> Vec<String> {
    let of = |schedule: &ScheduleSeen| {
        let ScheduleSeen {
            name,
            times,
            next,
            wrong,
        } = schedule;
        let next = match (next, wrong) {
            (_, Some(wrong)) => bad(wrong),
            (Some(next), None) => format!("next {next}"),
            (None, None) => "no next time".to_owned(),
        };
        line("schedule:", &format!("{name}, {times}, {next}"))
    };
    let mut lines: Vec<String> = seen.schedules.iter().map(of).collect();
    if let Some(age) = &seen.max_age {
        let words = format!("another is made before the last one is older than {age}");
        lines.push(line("age:", &words));
    } else if lines.is_empty() {
        let words = "none (spec.backup.schedules, maxAge): backups are made when somebody asks";
        lines.push(line("schedule:", &faint(words)));
    }
    lines
}

/// Which backups stay.
fn of_keep(keep: Option<&KeepSpec>) -> String {
    let Some(KeepSpec { window, last }) = keep else {
        return faint("all: nothing is deleted (spec.backup.keep)");
    };
    let last = match last {
        1 => "the last backup whatever its age".to_owned(),
        last => format!("the last {last} backups whatever their age"),
    };
    match window {
        Some(window) => format!("what the last {window} need, and {last}"),
        None => last,
    }
}

/// From when on there is something to recover, as far as somebody looked.
fn of_window(seen: &OfInstance) -> Option<String> {
    let overview = seen.overview.as_ref()?;
    let first = overview.first_recoverable.as_ref()?.0;
    let words = match &overview.swept_at {
        Some(swept) => format!(
            "{first} is the earliest, as of the last sweep at {}",
            swept.0
        ),
        None => format!("{first} is the earliest"),
    };
    Some(line("window:", &words))
}

fn of_kept(kept: &Kept) -> String {
    let pod = &kept.pod;
    let mut words = match kept.covered {
        Some(at) => format!("covers all that was acknowledged before {at}, kept by {pod}"),
        None => format!("kept by {pod}, which does not know yet until when it covers"),
    };
    if let Some(bytes) = kept.queue_bytes.filter(|bytes| *bytes > 0) {
        words.push_str(&format!(", {} wait for the store", size(bytes)));
    }
    words
}

/// Where a store is.
pub fn place(store: &RedisBackupStore) -> String {
    let s3 = &store.spec.s3;
    let prefix = s3.prefix.trim_matches('/');
    let bucket = match prefix {
        "" => s3.bucket.clone(),
        prefix => format!("{}/{prefix}", s3.bucket),
    };
    match &s3.endpoint {
        Some(endpoint) => format!("bucket {bucket} at {endpoint}"),
        None => format!("bucket {bucket} in {}", s3.region),
    }
}
