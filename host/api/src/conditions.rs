//! Condition types and their reasons. Each has a row in `docs/conditions.md`; a test sees to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

macro_rules! reasons {
    ($($(#[$doc:meta])* $module:ident $type:literal { $($(#[$reason_doc:meta])* $name:ident = $reason:literal,)* })*) => {
        $(
            $(#[$doc])*
            pub mod $module {
                /// The condition's type.
                pub const TYPE: &str = $type;
                $($(#[$reason_doc])* pub const $name: &str = $reason;)*
            }
        )*

        /// Every type with each of its reasons.
        pub const ALL: &[(&str, &[&str])] = &[$(($type, &[$($reason),*])),*];
    };
}

reasons! {
    /// Does it serve?
    ready "Ready" {
        /// True: the primary accepts writes.
        SERVING = "Serving",
        /// False: its objects are being made.
        CREATING = "Creating",
        /// False: the data of a backup is being put on its volume.
        RECOVERING_DATA = "RecoveringData",
        /// False: it cannot begin with the backup that it is to begin with; the message says why, and its first word is
        /// one of those in docs/backup.md.
        RECOVERY_REFUSED = "RecoveryRefused",
        /// False: the servers of a cluster do not agree on who serves which slots, or a replica is not in
        /// sync; the message says what is missing. Slots whose primary is there are served.
        NOT_WHOLE = "NotWhole",
        /// False: there is no primary; the message says what is waited for.
        NO_PRIMARY = "NoPrimary",
        /// False: a script or function keeps the primary from answering anybody else; the message says what
        /// ends it.
        SCRIPT_RUNNING = "ScriptRunning",
        /// False: somebody asked that there be no pods; the data stays.
        HIBERNATED = "Hibernated",
        /// False: the pod does not run yet.
        WAITING_FOR_POD = "WaitingForPod",
        /// False: no node takes the pod.
        UNSCHEDULABLE = "Unschedulable",
        /// False: the pod's image cannot be pulled.
        IMAGE_PULL_FAILED = "ImagePullFailed",
        /// False: the claim's storage class does not exist.
        STORAGE_CLASS_MISSING = "StorageClassMissing",
        /// False: the pod runs, its agent does not answer.
        AGENT_UNREACHABLE = "AgentUnreachable",
        /// False: the server was started and does not answer yet.
        SERVER_STARTING = "ServerStarting",
        /// False: the server reads its data.
        SERVER_LOADING = "ServerLoading",
        /// False: the server stops again and again.
        SERVER_CRASHING = "ServerCrashing",
        /// False: the server is being stopped.
        SERVER_STOPPING = "ServerStopping",
        /// False: the primary's volume is full, and its server refuses writes; reads work.
        VOLUME_FULL = "VolumeFull",
        /// False: the primary's server refuses writes, for another reason of its volume; reads work.
        WRITES_REFUSED = "WritesRefused",
        /// False: no users are in force yet.
        WAITING_FOR_USERS = "WaitingForUsers",
        /// False: the spec is refused.
        SPEC_INVALID = "SpecInvalid",
        /// False: the catalog has no image for the version.
        UNKNOWN_VERSION = "UnknownVersion",
        /// False: two ConfigMaps of overrides name an image for the version; neither is taken.
        IMAGE_DISPUTED = "ImageDisputed",
        /// False: the wanted server cannot read the data.
        VERSION_INCOMPATIBLE = "VersionIncompatible",
        /// False: a Secret that the spec names is missing, or a key of it.
        SECRET_MISSING = "SecretMissing",
        /// False: an object with a child's name belongs to somebody else.
        NAME_TAKEN = "NameTaken",
        /// False: the API server refuses an object without which clients are not led to the primary, or no
        /// pod is made; the message has its words.
        APPLY_FAILED = "ApplyFailed",
        /// False: paused before anything was made.
        PAUSED = "Paused",
    }
    /// Is something on its way to what the spec wants?
    progressing "Progressing" {
        /// False: all is as the spec wants it.
        SETTLED = "Settled",
        /// True: its objects are being made.
        CREATING = "Creating",
        /// True: the pod is being replaced by one of the wanted revision.
        ROLLING_OUT = "RollingOut",
        /// True: pods are being added or removed.
        SCALING = "Scaling",
        /// True: the primary hands over to a replica.
        SWITCHING_OVER = "SwitchingOver",
        /// True: the primary is lost, and a replica takes over.
        FAILING_OVER = "FailingOver",
        /// True: the next step touches the primary and waits for an approval; the message has it.
        WAITING_FOR_APPROVAL = "WaitingForApproval",
        /// True: the volume grows.
        VOLUME_GROWING = "VolumeGrowing",
        /// True: configuration or users are on their way to the server.
        CONFIG_APPLYING = "ConfigApplying",
        /// True: a password is on its way to the servers, or out of them; the message says which, and who lacks.
        PASSWORD_SPREADING = "PasswordSpreading",
        /// True: a password is being replaced, and pods that are away keep that from being done.
        ROTATION_WAITING = "RotationWaiting",
        /// True: slots move between shards; the message says how many are left.
        REBALANCING = "Rebalancing",
        /// True: slots or shards are to move, and something holds that up; the message says what.
        REBALANCE_WAITING = "RebalanceWaiting",
        /// True: slots are to move once somebody approves the plan; the message has its digest.
        REBALANCE_NEEDS_APPROVAL = "RebalanceNeedsApproval",
        /// True: the server is on its way back.
        RECOVERING = "Recovering",
        /// False: changes of the spec wait.
        PAUSED = "Paused",
        /// False: something must be mended first; Ready or Degraded says what.
        BLOCKED = "Blocked",
    }
    /// Does it need attention although it serves?
    degraded "Degraded" {
        /// False: nothing needs attention.
        AS_EXPECTED = "AsExpected",
        /// False: there is no memory limit to derive maxmemory from, so the server has none.
        MAXMEMORY_UNSET = "MaxmemoryUnset",
        /// False: the spec has no memory limit, the pods have one, and maxmemory is derived from that.
        MAXMEMORY_FROM_PODS = "MaxmemoryFromPods",
        /// False: owners have not all keys or channels, so they lack what would reach beyond; the message says what.
        RIGHTS_LIMITED = "RightsLimited",
        /// False: the next password in a Secret is the current one, so nothing is to be replaced.
        NEXT_PASSWORD_SAME = "NextPasswordSame",
        /// False: a PodMonitor is asked for, and the cluster knows of no such kind.
        POD_MONITOR_CRD_MISSING = "PodMonitorCrdMissing",
        /// True: config.maxmemory is no less than the memory limit that the pods have.
        MAXMEMORY_ABOVE_LIMIT = "MaxmemoryAboveLimit",
        /// True: the server refused directives; the last good values stay.
        CONFIG_REJECTED = "ConfigRejected",
        /// True: a smaller volume is asked for.
        VOLUME_SHRINK_REFUSED = "VolumeShrinkRefused",
        /// True: the storage class does not let the volume grow.
        VOLUME_GROWTH_REFUSED = "VolumeGrowthRefused",
        /// True: the volume claim was deleted; it goes when its pod does.
        VOLUME_DELETED = "VolumeDeleted",
        /// True: the volumes of pods are full; the message names them.
        VOLUME_FULL = "VolumeFull",
        /// True: a server could not write its data, though its volume is not full.
        WRITES_REFUSED = "WritesRefused",
        /// True: the data of a pod may soon not fit into its volume once more, as a rewrite needs.
        VOLUME_NEARLY_FULL = "VolumeNearlyFull",
        /// True: nine tenths of the connections of a server are taken; the message names the pod.
        CONNECTIONS_NEAR_LIMIT = "ConnectionsNearLimit",
        /// True: the agent of a pod cannot write its own state on the volume.
        STATE_NOT_WRITTEN = "StateNotWritten",
        /// True: a snapshot that somebody put on a volume is not read, and kept; the message names the pod.
        DUMP_NOT_READ = "DumpNotRead",
        /// True: the operator cannot ask the server, so no change of users reaches it.
        SERVER_UNREACHABLE = "ServerUnreachable",
        /// True: an agent refuses orders, as it knows a higher term than the operator has.
        TERM_REFUSED = "TermRefused",
        /// True: a change that a live object cannot make is asked for.
        PERSISTENCE_CHANGE_REFUSED = "PersistenceChangeRefused",
        /// True: the server refused users; they have the rights they had before.
        USER_REJECTED = "UserRejected",
        /// True: somebody changed users at the server itself, and they were put right; for ten minutes.
        USERS_PUT_RIGHT = "UsersPutRight",
        /// True: users have something else than a policy decided; the message names them.
        RIGHTS_UNDECIDED = "RightsUndecided",
        /// True: the object is paused, and rights go beyond its spec; the message names who has them.
        REVOCATIONS_WAIT = "RevocationsWait",
        /// True: a Secret of a user is missing; the user keeps the password it has.
        SECRET_MISSING = "SecretMissing",
        /// True: the wanted change is refused; what runs keeps running as it is.
        SPEC_INVALID = "SpecInvalid",
        /// True: the catalog has no image for the wanted version; the last image keeps running.
        UNKNOWN_VERSION = "UnknownVersion",
        /// True: two ConfigMaps of overrides name an image for the wanted version; the last keeps running.
        IMAGE_DISPUTED = "ImageDisputed",
        /// True: the wanted server could not read the data; the last image keeps running.
        VERSION_INCOMPATIBLE = "VersionIncompatible",
        /// True: a replica is there and does not receive what the primary writes.
        REPLICA_NOT_IN_SYNC = "ReplicaNotInSync",
        /// True: fewer pods serve than the spec asks for.
        REPLICA_MISSING = "ReplicaMissing",
        /// True: a pod is on a node that is not ready; the message says what to do.
        NODE_LOST = "NodeLost",
        /// True: a pod that led was stopped, another leads, and it takes over that one's data.
        FENCED_PRIMARY = "FencedPrimary",
        /// True: a roll waits for longer than it should; the message says for what and since when.
        ROLL_STOPPED = "RollStopped",
        /// True: a roll failed, and its pods went back to what they were before.
        ROLLED_BACK = "RolledBack",
        /// True: an annotation asks for what cannot be done; the message says why.
        REQUEST_REFUSED = "RequestRefused",
        /// True: keys are too large to be moved within the time that clients may be held up; their slots stay.
        KEYS_TOO_LARGE = "KeysTooLarge",
        /// True: shards are to leave whose data finds no room in the others; nothing moves.
        MEMORY_TOO_SMALL = "MemoryTooSmall",
        /// True: slots are ordered to move again and again, and that fails; the message says why.
        SLOT_MOVES_FAIL = "SlotMovesFail",
        /// True: the primary could not hand over, so what needed it waits.
        HANDOVER_FAILED = "HandoverFailed",
        /// True: the primary is not available.
        NOT_SERVING = "NotServing",
        /// True: an object with a child's name belongs to somebody else; what does not depend on it is applied.
        NAME_TAKEN = "NameTaken",
        /// True: the API server refuses objects; what does not depend on them is applied.
        APPLY_FAILED = "ApplyFailed",
    }
    /// Do the policies that are asked for decide?
    policy_healthy "PolicyHealthy" {
        /// True: the policy that is asked for decides.
        AS_EXPECTED = "AsExpected",
        /// True: no policy is asked for; the built-in decides.
        BUILTIN = "Builtin",
        /// True: it is being loaded; what was in force stays.
        LOADING = "Loading",
        /// False: its ConfigMap does not exist.
        CONFIG_MAP_MISSING = "ConfigMapMissing",
        /// False: its ConfigMap has no such key.
        KEY_MISSING = "KeyMissing",
        /// False: the module is not the one that the digest names.
        DIGEST_MISMATCH = "DigestMismatch",
        /// False: the module is none, is too large, or imports what it may not.
        LOAD_FAILED = "LoadFailed",
        /// False: the module refuses its settings.
        SETTINGS_INVALID = "SettingsInvalid",
        /// False: two ConfigMaps of the operator claim to be the default.
        DEFAULT_AMBIGUOUS = "DefaultAmbiguous",
        /// False: it crashed.
        TRAP = "Trap",
        /// False: it used up its fuel.
        OUT_OF_FUEL = "OutOfFuel",
        /// False: it used more memory than it may.
        OUT_OF_MEMORY = "OutOfMemory",
        /// False: it took too long.
        TIMEOUT = "Timeout",
        /// False: it returned an error of its own.
        POLICY_ERROR = "PolicyError",
        /// False: its answer makes no sense.
        INVALID_OUTPUT = "InvalidOutput",
        /// False: its answer breaks a rule of the guard.
        GUARD_REFUSED = "GuardRefused",
        /// False: the operator itself could not load or ask it.
        INTERNAL = "Internal",
        /// False: after three faults in a row it is set aside for a while.
        SET_ASIDE = "SetAside",
    }
    /// Are there backups, and the log, as the spec wants them? Only where it wants a log, schedules or a maxAge.
    backup_healthy "BackupHealthy" {
        /// True: the newest backup is as young as it is to be, and where a log is kept, it goes on from that one.
        HEALTHY = "Healthy",
        /// False: there is no backup yet, or none that the log goes on from.
        FIRST_BACKUP_PENDING = "FirstBackupPending",
        /// False: the log has a gap, and no backup was made since.
        LOG_GAP = "LogGap",
        /// False: the store does not answer, or has no such bucket.
        STORE_UNREACHABLE = "StoreUnreachable",
        /// False: the store does not accept the key.
        CREDENTIALS_REFUSED = "CredentialsRefused",
        /// False: another object has this path in the store, or a file there has another content.
        PATH_OWNED = "PathOwned",
        /// False: a file of the object in the store is not what was stored.
        CORRUPT = "Corrupt",
        /// False: what is written comes to the store later than it is to.
        LOG_BEHIND = "LogBehind",
        /// False: no copy can be read now.
        NO_COPY_FITS = "NoCopyFits",
        /// False: the server refuses to be read, or sends what is no log.
        SERVER_REFUSED = "ServerRefused",
        /// False: the store does not exist, or cannot be used as it is.
        NO_STORE = "NoStore",
        /// False: a Secret that the store names is missing, or a key of it.
        SECRET_MISSING = "SecretMissing",
        /// False: the version of the server is too old for it.
        VERSION_UNSUPPORTED = "VersionUnsupported",
        /// False: the newest backup is older than maxAge.
        TOO_OLD = "TooOld",
        /// False: the last backup that was made by itself failed.
        LAST_BACKUP_FAILED = "LastBackupFailed",
        /// False: what is not needed has not been deleted for a day, though it was tried; the message says why.
        SWEEP_FAILED = "SweepFailed",
    }
    /// Is a RedisBackup whole in the store?
    completed "Completed" {
        /// True: the store holds the whole of it.
        STORED = "Stored",
        /// False: it has not begun; the message says what is waited for.
        PENDING = "Pending",
        /// False: a copy is read and stored.
        RUNNING = "Running",
        /// False: there is no such object, or its spec names no store.
        NO_TARGET = "NoTarget",
        /// False: the store does not exist, or a Secret that it names, or a key of it.
        NO_STORE = "NoStore",
        /// False: the version of the server is too old for it.
        VERSION_UNSUPPORTED = "VersionUnsupported",
        /// False: the store does not answer, or has no such bucket.
        STORE_UNREACHABLE = "StoreUnreachable",
        /// False: the store does not accept the key.
        CREDENTIALS_REFUSED = "CredentialsRefused",
        /// False: another object has this path in the store, or there is another backup of this name.
        PATH_OWNED = "PathOwned",
        /// False: no copy can be read now.
        NO_COPY_FITS = "NoCopyFits",
        /// False: the container has too little memory left for a snapshot.
        NO_HEADROOM = "NoHeadroom",
        /// False: reading was let go, as it took too long or the server was needed otherwise.
        SNAPSHOT_TOO_SLOW = "SnapshotTooSlow",
        /// False: the pod that was read went away.
        LOST_ITS_POD = "LostItsPod",
        /// False: the server refuses to be read.
        SERVER_REFUSED = "ServerRefused",
        /// False: a file of the object in the store is not what was stored.
        CORRUPT = "Corrupt",
        /// False: somebody ended it.
        CANCELLED = "Cancelled",
        /// False: the policy lets it wait; the message says until when and why.
        POLICY_WAITS = "PolicyWaits",
        /// False: the policy left it out; the message says why.
        POLICY_SKIPPED = "PolicySkipped",
    }
    /// Was a RedisBackup deleted as somebody asked? It is there only where that was refused.
    dropped "Dropped" {
        /// False: something needs it; the message says what.
        NEEDED = "Needed",
        /// False: it is being made.
        RUNNING = "Running",
        /// False: its object is gone, or has no store: no agent can delete it.
        NO_TARGET = "NoTarget",
        /// False: it could not be deleted yet, and is tried again.
        PENDING = "Pending",
    }
    /// Could a backup use a RedisBackupStore when one last tried?
    available "Available" {
        /// True: it took what was stored.
        REACHED = "Reached",
        /// False: it does not answer, or has no such bucket.
        STORE_UNREACHABLE = "StoreUnreachable",
        /// False: it does not accept the key.
        CREDENTIALS_REFUSED = "CredentialsRefused",
        /// False: a Secret that the store names is missing, or a key of it.
        SECRET_MISSING = "SecretMissing",
    }
}

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nobody could tell.
    Unknown,
}

impl Truth {
    /// As it stands in the condition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// A condition whose transition is now; who writes it keeps the old time if the status is the same.
pub fn condition(
    type_: &str,
    status: impl Into<Truth>,
    reason: &str,
    message: impl Into<String>,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.into().as_str().to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: generation,
        last_transition_time: Time(now),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DOCS: &str = include_str!("../../../docs/conditions.md");

    fn documented() -> BTreeSet<(String, String)> {
        let mut section = String::new();
        let mut rows = BTreeSet::new();
        for line in DOCS.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                section = title.trim().to_owned();
            } else if let Some((reason, _)) = line
                .strip_prefix("| `")
                .and_then(|rest| rest.split_once('`'))
            {
                rows.insert((section.clone(), reason.to_owned()));
            }
        }
        rows
    }

    #[test]
    fn every_reason_has_a_row_in_the_docs_and_every_row_a_reason() {
        let known: BTreeSet<_> = ALL
            .iter()
            .flat_map(|(type_, reasons)| {
                reasons
                    .iter()
                    .map(move |r| ((*type_).to_owned(), (*r).to_owned()))
            })
            .collect();
        let documented = documented();
        assert_eq!(
            known.difference(&documented).collect::<Vec<_>>(),
            Vec::<&(String, String)>::new(),
            "not in the docs"
        );
        assert_eq!(
            documented.difference(&known).collect::<Vec<_>>(),
            Vec::<&(String, String)>::new(),
            "not in the code"
        );
    }

    #[test]
    fn reasons_are_what_kubernetes_takes_for_one() {
        for (type_, reasons) in ALL {
            for reason in reasons.iter().chain([type_]) {
                assert!(
                    reason.starts_with(|c: char| c.is_ascii_uppercase()),
                    "{reason}"
                );
                assert!(
                    reason.bytes().all(|b| b.is_ascii_alphanumeric()),
                    "{reason}"
                );
            }
        }
    }
}
