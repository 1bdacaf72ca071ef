//! What agents are ordered about backups, and what they tell of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::recovery::Room;
use super::{BackupManifest, BaseManifest, OwnerFile, StoreAccess, Unbroken};

/// An order about backups. Carrying one out twice is harmless.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "order"
)]
pub enum BackupOrder {
    /// Read the whole dataset of the server and store it. One run at a time: another id while one runs is refused. A
    /// run of this id that is known already, running or over, goes on or stays as it is.
    Snapshot {
        /// Uid of the `RedisBackup` and a count of attempts: names the run.
        run: String,
        /// The shard: `0` of an object that has none.
        shard: String,
        /// Whose path it is.
        owner: OwnerFile,
        /// Where to.
        store: StoreAccess,
    },
    /// Write a backup whose bases are stored. The run with it becomes [`RunState::Committed`].
    Commit {
        /// As in [`Self::Snapshot`].
        run: String,
        /// What is written.
        manifest: Box<BackupManifest>,
        /// Where to.
        store: StoreAccess,
    },
    /// End a run that is not over: nothing of it is a backup.
    Cancel {
        /// The run.
        run: String,
    },
    /// Fill the empty volume from a backup before the server's first start. Refused of an agent that does not wait for
    /// it.
    Recover {
        /// From where.
        from: RecoverFrom,
        /// The store.
        store: StoreAccess,
    },
    /// Keep the log of the server in the store, from where it ends there, until [`Self::StopCapture`] or another order of
    /// this kind. The same order again changes nothing.
    Capture(Box<CaptureOrder>),
    /// Read the log of the server no further. What was read is stored still.
    StopCapture,
    /// Look at what the store has of the object, and delete what is named and not needed. One at a time: another while
    /// one runs is refused; the same again changes nothing.
    Sweep(Box<SweepOrder>),
    /// Start the server without data from a backup: the object's data is elsewhere already. Refused of an agent that
    /// does not wait for a recovery.
    StartWithout,
}

/// What log is kept, and where.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureOrder {
    /// The shard: `0` of an object that has none.
    pub shard: String,
    /// Whose path it is.
    pub owner: OwnerFile,
    /// Where to.
    pub store: StoreAccess,
    /// So long after it was acknowledged a write is in the store at the latest, while the store answers.
    pub max_delay_ms: u64,
}

/// What is looked at in a store, and what goes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepOrder {
    /// Names it.
    pub id: String,
    /// Whose path it is.
    pub owner: OwnerFile,
    /// Where.
    pub store: StoreAccess,
    /// What stays, by the spec.
    pub keep: Keep,
    /// Backups that stay whatever their age: somebody keeps them, or begins with them.
    pub kept: Vec<String>,
    /// Backups that go, if nothing needs them.
    pub drop: Vec<String>,
    /// The log that nothing needs goes too, and what no backup names. Without it and with nothing in `drop` nothing is
    /// deleted, and it is told what there is.
    #[serde(default)]
    pub trims: bool,
    /// The time by the operator's clock, in milliseconds since 1970.
    pub now_unix_ms: u64,
}

/// Which backups stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// Every instant, or backup, of so many milliseconds stays recoverable; none if nothing goes by age.
    pub for_ms: Option<u64>,
    /// So many of the last ones stay, whatever their age.
    pub last: u32,
}

/// What came of a [`BackupOrder::Sweep`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "state"
)]
pub enum SweepState {
    /// It is under way.
    Running {
        /// [`SweepOrder::id`].
        id: String,
    },
    /// It is done.
    Done {
        /// [`SweepOrder::id`].
        id: String,
        /// The backups that are in the store now, the latest first; at most [`MOST_HELD`].
        held: Vec<Held>,
        /// Backups that were deleted.
        dropped: Vec<String>,
        /// Backups that were named and are needed: they stay.
        refused: Vec<String>,
        /// Pieces of the log that were deleted.
        pieces: u64,
        /// More is to go than one sweep deletes: another one goes on.
        has_more: bool,
        /// The earliest instant that can be recovered, as far as the names of files tell, in milliseconds since 1970;
        /// none if there is none.
        first_unix_ms: Option<u64>,
    },
    /// Nothing came of it, or it ended half way.
    Failed {
        /// [`SweepOrder::id`].
        id: String,
        /// Why.
        failure: Failure,
    },
}

/// So many backups an agent tells of.
pub const MOST_HELD: usize = 1_024;

/// A backup in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its name in the store.
    pub id: String,
    /// The instant that it holds, in milliseconds since 1970.
    pub instant_unix_ms: u64,
    /// Bytes of its bases in the store.
    pub stored_bytes: u64,
    /// It stays, by what was ordered.
    pub needed: bool,
}

/// Which data a recovery takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "kind"
)]
pub enum RecoverFrom {
    /// What a backup holds.
    Backup {
        /// Path of the [`BackupManifest`] in the store.
        path: String,
        /// The shard whose base is taken.
        shard: String,
    },
    /// What an object held at an instant: a base, and the log from there on.
    Instant(RecoverInstant),
}

/// An instant of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoverInstant {
    /// Namespace of the object.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid; none if there is to be one object only that had the name.
    pub uid: Option<String>,
    /// The shard.
    pub shard: String,
    /// The instant, in milliseconds since 1970; none for the latest that is covered, unless that is before a gap.
    pub unix_ms: Option<u64>,
    /// A replication id: the history that ends there instead of the one that went on.
    pub branch: Option<String>,
    /// What the new server can load.
    pub loads: Vec<Loads>,
    /// What it may fill.
    pub room: Room,
}

/// What a server can load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Loads {
    /// Files of this engine: `redis` or `valkey`.
    pub engine: String,
    /// That a server of this version wrote, or of an earlier one: major and minor.
    pub up_to: (u32, u32),
}

/// Nothing secret.
impl fmt::Debug for BackupOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot { run, shard, .. } => write!(f, "Snapshot({run}, shard {shard})"),
            Self::Commit { run, manifest, .. } => write!(f, "Commit({run}, {})", manifest.id),
            Self::Cancel { run } => write!(f, "Cancel({run})"),
            Self::Recover {
                from: RecoverFrom::Backup { path, .. },
                ..
            } => write!(f, "Recover({path})"),
            Self::Recover {
                from: RecoverFrom::Instant(instant),
                ..
            } => write!(
                f,
                "Recover({}/{} at {:?})",
                instant.namespace, instant.name, instant.unix_ms
            ),
            Self::Capture(order) => write!(f, "Capture(shard {})", order.shard),
            Self::StopCapture => f.write_str("StopCapture"),
            Self::Sweep(order) => write!(f, "Sweep({}, drop {:?})", order.id, order.drop),
            Self::StartWithout => f.write_str("StartWithout"),
        }
    }
}

/// What an agent tells of backups when it is asked. It lives as long as the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackupState {
    /// The last runs, the latest last; at most four.
    pub runs: Vec<Run>,
    /// How far the log is; none where none is kept.
    pub capture: Option<CaptureState>,
    /// The last sweep; none before the first.
    pub sweep: Option<SweepState>,
    /// How busy the server is; none while that is not known.
    pub load: Option<ServerLoad>,
}

/// How busy a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerLoad {
    /// Memory that it uses, in bytes.
    pub used_bytes: Option<u64>,
    /// Memory that its container has left, in bytes; none if it has no limit or that cannot be read.
    pub free_bytes: Option<u64>,
    /// Commands a second in the last minute; none before it was looked at for so long.
    pub ops_per_second: Option<u64>,
    /// Commands a second, a mean over the last quarter of an hour; none before it was looked at for so long.
    pub usual_ops_per_second: Option<u64>,
}

/// How far a log is. It changes all the time, so no status tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CaptureState {
    /// The history that is read; empty while none is.
    pub id: String,
    /// How much of it was read.
    pub read_offset: u64,
    /// How much of it the store has.
    pub stored_offset: u64,
    /// Everything that was acknowledged before is in the store, in milliseconds since 1970; none while that is not known.
    pub covered_unix_ms: Option<u64>,
    /// Bytes that wait for the store.
    pub queue_bytes: u64,
    /// Times that the log began anew since the agent started.
    pub gaps: u64,
}

/// What an agent's status tells of a log that it keeps. Nothing that traffic drives is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureNews {
    /// The shard.
    pub shard: String,
    /// Uid of the object.
    pub uid: String,
    /// Since when the log is without a gap, in milliseconds since 1970; none while that is not known. A base taken later
    /// can be brought to any instant from then on.
    pub unbroken_since_unix_ms: Option<u64>,
    /// The histories that this log is of, the present one last; at most [`UNBROKEN`](super::UNBROKEN). Only failovers
    /// and gaps change them. Empty of an agent that does not tell them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unbroken: Vec<Unbroken>,
    /// True if there was a log before.
    pub after_gap: bool,
    /// What is wrong with it now.
    pub trouble: Option<Failure>,
}

/// A run of [`BackupOrder::Snapshot`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its name.
    pub run: String,
    /// How far it is.
    pub state: RunState,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "state"
)]
pub enum RunState {
    /// The dataset is read and stored.
    Running {
        /// Bytes that the server has sent.
        read_bytes: u64,
        /// Bytes that the store has.
        stored_bytes: u64,
    },
    /// The base is stored.
    Stored {
        /// It.
        base: Box<BaseManifest>,
    },
    /// The backup is written.
    Committed {
        /// What it holds, where that is not what this run stored: an earlier attempt had written it, and nobody had
        /// heard of it.
        #[serde(default)]
        base: Option<Box<BaseManifest>>,
    },
    /// It is over, and nothing came of it.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// Why nothing came of a run or a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// In one word.
    pub reason: FailureReason,
    /// In a sentence for people that says what they can do.
    pub message: String,
}

impl Failure {
    /// Why, in one word and in a sentence for people.
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Why nothing came of a run or a recovery, in one word. Each is a reason of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// The store does not answer, has no such bucket, or answers with an error.
    StoreUnreachable,
    /// The store does not accept the key, or does not let it do this.
    CredentialsRefused,
    /// Another object has this path in the store, or a file of this name has another content.
    PathOwned,
    /// No copy can be read now.
    NoCopyFits,
    /// The container has too little memory left for what a snapshot takes.
    NoHeadroom,
    /// It was let go, as it took too long, or as the server was needed otherwise.
    SnapshotTooSlow,
    /// The pod or its agent went away.
    LostItsPod,
    /// The server refuses, or what it sends is no snapshot.
    ServerRefused,
    /// Somebody ended it.
    Cancelled,
    /// There is no such backup in the store.
    NoSuchBackup,
    /// What is stored is not what was stored: the message names the file.
    Corrupt,
    /// The volume, or the memory, is too small for the data.
    TooSmall,
    /// The volume has data already, and keeps it.
    DataPresent,
    /// The server cannot read what another engine or a later version wrote.
    VersionIncompatible,
    /// The log is further behind than it may be.
    LogBehind,
    /// What is stored does not say what the data was at that instant: the message names the nearest that it does.
    TimeNotCovered,
    /// Several objects had this name: the message names their uids.
    SeveralSources,
}

impl FailureReason {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::StoreUnreachable,
        Self::CredentialsRefused,
        Self::PathOwned,
        Self::NoCopyFits,
        Self::NoHeadroom,
        Self::SnapshotTooSlow,
        Self::LostItsPod,
        Self::ServerRefused,
        Self::Cancelled,
        Self::NoSuchBackup,
        Self::Corrupt,
        Self::TooSmall,
        Self::DataPresent,
        Self::VersionIncompatible,
        Self::LogBehind,
        Self::TimeNotCovered,
        Self::SeveralSources,
    ];

    /// As reason of a condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StoreUnreachable => "StoreUnreachable",
            Self::CredentialsRefused => "CredentialsRefused",
            Self::PathOwned => "PathOwned",
            Self::NoCopyFits => "NoCopyFits",
            Self::NoHeadroom => "NoHeadroom",
            Self::SnapshotTooSlow => "SnapshotTooSlow",
            Self::LostItsPod => "LostItsPod",
            Self::ServerRefused => "ServerRefused",
            Self::Cancelled => "Cancelled",
            Self::NoSuchBackup => "NoSuchBackup",
            Self::Corrupt => "Corrupt",
            Self::TooSmall => "TooSmall",
            Self::DataPresent => "DataPresent",
            Self::VersionIncompatible => "VersionIncompatible",
            Self::LogBehind => "LogBehind",
            Self::TimeNotCovered => "TimeNotCovered",
            Self::SeveralSources => "SeveralSources",
        }
    }
}

/// How far a recovery is: part of an agent's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "state"
)]
pub enum RecoveryNews {
    /// The server is held down until somebody says what is recovered.
    Waiting,
    /// Data comes from the store.
    Running,
    /// The volume was filled.
    Done {
        /// When the data is from, in milliseconds since 1970: the instant that was asked for, or the last that is covered,
        /// or that of the backup.
        taken_unix_ms: u64,
        /// [`BaseManifest::path`].
        base: String,
    },
    /// It cannot be; the server is held down.
    Failed {
        /// Why.
        failure: Failure,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_agent_that_tells_no_histories_is_understood() {
        let told = serde_json::json!({
            "shard": "0", "uid": "u", "unbrokenSinceUnixMs": 7, "afterGap": false, "trouble": null,
        });
        let news: CaptureNews = serde_json::from_value(told.clone()).unwrap();
        assert!(news.unbroken.is_empty());
        assert_eq!(serde_json::to_value(news).unwrap(), told);
    }

    #[test]
    fn a_reason_is_called_the_same_on_the_wire_and_in_a_condition() {
        let words = FailureReason::ALL.map(FailureReason::as_str);
        for (reason, word) in FailureReason::ALL.into_iter().zip(words) {
            assert_eq!(serde_json::to_value(reason).unwrap(), word);
        }
        let different: BTreeSet<&str> = words.into_iter().collect();
        assert_eq!(different.len(), words.len());
    }
}
