//! What both the API server and [`super::validate`] say.

pub(crate) const VERSION_OR_IMAGE: &str = "say what to run: set version (such as \"7.2\"), or image with a tag that is a version, or both";
pub(crate) const APP_USER_IS_ONE: &str = "users: the name of the application user is taken: choose another, or name the application user otherwise \
     in auth.username";
pub(crate) const MASTERS: &str =
    "use 3 to 128: fewer than three primaries cannot agree that one of them is dead";
pub(crate) const MAX_STALL: &str =
    "write a duration from 10ms to 5s, such as \"100ms\": for so long a step may hold up clients";
pub(crate) const COOLDOWN: &str = "write a duration from 0s to 168h, such as \"10m\" or \"1h30m\"";
pub(crate) const REBALANCE_OF_INSTANCE: &str =
    "policies.rebalance decides which shard serves what, and a RedisInstance has none: take it out";
pub(crate) const REPLICAS_PER_MASTER: &str =
    "use 0 to 5: with 0, the keys of a shard are away while its only server is";
pub(crate) const CLUSTER_ENGINE: &str = "engine cannot change on a RedisCluster: create a new object with the other engine and copy the data";
pub(crate) const CLUSTER_VERSION: &str =
    "use 6.2 or newer: older servers cannot be run as a cluster here";
pub(crate) const REPLICAS: &str =
    "use 1 to 7: 1 is a server alone, each further one holds a copy of its data";
pub(crate) const SYSTEM_USER: &str = "\"default\" and names that begin with \"hera-\" belong to the operator: choose \
     another name (for clients that can only send a password, set auth.defaultUser)";
pub(crate) const COPIES_ALL_KEYS: &str = "a user of the preset Replication copies all data, whatever its keys are: set keys to [\"*\"], or choose another \
     preset";
pub(crate) const FENCE_AFTER: &str =
    "write 0s, or a duration from 5s to 5m, such as \"15s\" or \"1m30s\"";
pub(crate) const HANG_AFTER: &str = "write a duration from 2s to 5m, such as \"10s\" or \"1m30s\"";
pub(crate) const SCRIPT_AFTER: &str =
    "write 0s, or a duration from 10s to 5m, such as \"60s\" or \"1m30s\"";
pub(crate) const MAX_WAIT: &str =
    "write a duration from 1m to 8760h, such as \"1h30m\" or \"168h\"";
pub(crate) const PROGRESS_DEADLINE: &str =
    "write a duration from 1m to 24h, such as \"10m\" or \"2h\"";
pub(crate) const SCRAPE_INTERVAL: &str =
    "write a duration from 1s to 1h, such as \"30s\" or \"1m30s\"";
pub(crate) const MONITORED_HAS_METRICS: &str = "a PodMonitor needs pods that serve metrics: set monitoring.metrics to \
     Enabled, or take monitoring.podMonitor out";
pub(crate) const MIN_REPLICAS_TO_WRITE: &str = "durability.minReplicasToWrite must be less than replicas, which count the primary \
     as well: raise replicas, or lower it";
pub(crate) const BUCKET: &str = "use 3 to 63 lower-case letters, digits, dashes and dots, beginning and ending with a letter or digit, and \
     no two dots in a row, as S3 asks for";
pub(crate) const PREFIX: &str = "write a folder such as \"redis/shop\", without a slash at its ends: letters, digits, '-', '_' and '.', and no \
     part that begins with '.' or '-'";
pub(crate) const REGION: &str =
    "use letters, digits, '-' and '_', such as \"eu-central-1\"; any if the store has none";
pub(crate) const ENDPOINT: &str = "write https://host or https://host:port, with a path if the store has one, and without a slash at its end; no \
     user and password: name them in accessKeyIdRef and secretAccessKeyRef";
pub(crate) const BUCKET_IS_A_HOST: &str = "a bucket with a dot in its name fits no certificate for its host: leave addressing at Path, or use a bucket \
     without dots";
pub(crate) const REFERENCE: &str = "write the name of an object of this namespace: lower-case letters, digits, '-' and '.', beginning and ending \
     with a letter or digit";
pub(crate) const SECRET_KEY: &str =
    "write a key of the Secret: letters, digits, '-', '_' and '.', at most 253 of them";
pub(crate) const BEGINS_WITH_SOMETHING: &str =
    "say what the object begins with: set bootstrap.recovery, or take bootstrap out";
pub(crate) const MAX_DELAY: &str = "write a duration from 1s to 10m, such as \"5s\" or \"1m30s\"";
pub(crate) const MAX_AGE: &str = "write a duration from 10m to 8760h, such as \"26h\"";
pub(crate) const MAX_REPLAY: &str = "write a duration from 10s to 24h, such as \"10m\"";
pub(crate) const KEEP_FOR: &str = "write a duration from 1h to 87600h, such as \"168h\"";
pub(crate) const START_WITHIN: &str = "write a duration from 0s to 24h, such as \"2h\"";
pub(crate) const CRON: &str = "write five fields, as in \"0 3 * * *\": minute, hour, day of month, month, day of week; or @hourly, @daily, \
     @weekly, @monthly or @yearly";
pub(crate) const CRON_NEVER: &str = "it is never so: name a day that its month has, and at least one minute and one hour, as in \"0 3 28 2 *\"";
pub(crate) const TIME_ZONE: &str =
    "write a zone of the IANA database, such as \"Europe/Berlin\" or \"UTC\"";
pub(crate) const SCHEDULE_NAME: &str = "use 1 to 40 lower-case letters, digits and dashes, beginning and ending with a letter or digit";
pub(crate) const SCHEDULE_IS_ONE: &str =
    "another schedule has this name, and backups are named after it: choose another";
pub(crate) const SCHEDULES: &str = "use at most 8 schedules: one can have several times a day";
pub(crate) const KEEP_LAST: &str =
    "use 1 to 1000: so many of the last backups stay, whatever their age";
pub(crate) const BACKUP_OF_CLUSTER: &str =
    "policies.backup decides about backups, and there are none of a RedisCluster yet: take it out";
pub(crate) const ONE_ORIGIN: &str =
    "name one thing to begin with: either a backup in backupRef, or an object in source";
pub(crate) const TIME: &str = "write a time as in RFC 3339, such as \"2026-11-28T14:03:04Z\" or \"2026-11-28T14:03:04.5+01:00\"";
pub(crate) const BRANCH_OF_A_LOG: &str = "branch names one of several histories in a log, and a backup is of one instant: set time as well, or name \
     the object in source";
pub(crate) const BRANCH: &str =
    "write a replication id as INFO has it: 40 digits and letters from a to f";
pub(crate) const LABEL: &str = "write at most 63 lower-case letters, digits and dashes, beginning and ending with a letter or digit";
pub(crate) const SOURCE_NAME: &str = "write the name of the object: at most 40 lower-case letters, digits and dashes, beginning and ending with a \
     letter or digit";
pub(crate) const UID: &str =
    "write the uid of the object: letters, digits and dashes, at most 64 of them";
pub(crate) const BOOTSTRAP_STAYS: &str = "bootstrap cannot be set, changed or taken out once the object is there: to begin with the data of a backup, \
     create another object";
pub(crate) const ROTATE_AFTER: &str =
    "write a duration from 1h to 8760h, such as \"720h\"; without it the password stays";
pub(crate) const OVERLAP: &str = "write a duration from 0s to 168h, such as \"1h\" or \"24h\"";
pub(crate) const OVERLAP_IS_SHORTER: &str = "a password is replaced again only once the one before is gone: set overlap to less than \
     rotateAfter";
pub(crate) const ROTATES_ITS_OWN: &str = "only the password that the operator generates is replaced by age: leave rotateAfter out, and rotate \
     that of passwordSecretRef with its nextKey";
pub(crate) const NEXT_OF_GENERATED: &str =
    "the operator generates this password, and replaces it by itself: leave nextKey out";
pub(crate) const TWO_KEYS: &str =
    "nextKey is for the next password, and key has the current one: name another key";
