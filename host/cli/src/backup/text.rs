//! Backups in words.

use hera_api::{BackupPhase, BackupShard, RedisBackup, RedisBackupStatus, RedisBackupStore};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::list::{self, row};
use super::log::{Kept, LogSeen};
use super::status::{OfInstance, StoreSeen};
use super::why;
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
        BackupPhase::Pending | BackupPhase::Running => odd(&word),
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

/// An instance, its store, its log, and its last backups.
pub fn instance(seen: &OfInstance) -> String {
    let name = format!("RedisInstance {}/{}", seen.namespace, seen.name);
    let mut text = format!("{}\n", strong(&name));
    text.push_str(&line("store:", &of_store(seen.store.as_ref())));
    text.extend(
        of_log(seen.log.as_ref())
            .iter()
            .map(|words| line("log:", words)),
    );
    let last = match &seen.last_completed {
        Some(backup) => good(&row(backup).summary()),
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
            let rows: Vec<_> = backups.iter().map(row).collect();
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

/// How the log is, and how far.
fn of_log(log: Option<&LogSeen>) -> Vec<String> {
    let Some(log) = log else {
        let words = "none is kept (spec.backup.log): only the instants of backups come back";
        return vec![faint(words)];
    };
    let health = match &log.health {
        None => faint("the operator has not looked at it yet"),
        Some(known) if known.status == "True" => good(&known.reason),
        Some(known) => bad(&format!("{}: {}", known.reason, known.message)),
    };
    let far = match (&log.kept, &log.unasked) {
        (Some(kept), _) => of_kept(kept),
        (None, Some(why)) => odd(&format!("its pods do not say how far it is: {why}")),
        (None, None) => odd("no pod says that it keeps it"),
    };
    vec![health, far]
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
