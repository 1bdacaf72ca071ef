//! The custom resources of the operator: types, defaults and validation.
//!
//! What a schema can check, the API server refuses when an object is applied. Everything else is
//! checked by [`validate`], which turns a raw spec into a [`validate::Validated`] one; nothing
//! after that looks at the raw spec again.

mod backup;
mod backup_store;
mod cluster;
pub mod conditions;
mod cron;
pub mod duration;
mod engine;
mod instance;
mod kind;
pub mod meta;
pub mod names;
pub mod quantity;
mod rebalance_status;
mod received;
mod schema;
mod secret;
mod spec;
mod status;
pub mod validate;

pub use backup::{
    BackupPhase, BackupShard, BackupTarget, RedisBackup, RedisBackupSpec, RedisBackupStatus,
};
pub use backup_store::{
    Addressing, RedisBackupStore, RedisBackupStoreSpec, RedisBackupStoreStatus, S3Store,
    StoreSecretKey,
};
pub use cluster::{RedisCluster, RedisClusterSpec};
pub use cron::{Cron, CronError};
pub use engine::{Engine, ParseVersionError, ServerVersion};
pub use instance::{RedisInstance, RedisInstanceSpec};
pub use kind::Kind;
pub use rebalance_status::{MoveStatus, MovedStatus, RebalancePhase, RebalanceStatus};
pub use received::{HasCommonSpec, Received};
pub use secret::{secret_password, secret_text};
pub use spec::{
    Aof, Auth, BackupRef, BackupSchedule, BackupSource, BackupSpec, Bootstrap, CommonSpec,
    ConfigMapKeyRef, Durability, Excess, Failover, Fsync, KeepSpec, LogMode, LogSpec, MAX_SETTINGS,
    MAX_SETTINGS_DEPTH, Metrics, Monitoring, NetworkPolicy, OnFailure, Persistence, PodMetadata,
    PodMonitor, PodTemplate, PodTemplateSpec, Policies, PolicySource, Preset, Rdb, RebalanceMode,
    RebalanceSpec, ReclaimPolicy, Recovery, RecoverySource, Resources, Rights, SecretKeyRef,
    SecretRef, Settings, ShadowSource, StoreRef, Surge, TargetKind, UpdateMode, UpdateStrategy,
    UserSpec,
};
pub use status::{
    Approval, BackupOverview, Binding, CopyStatus, Endpoints, LastBackup, Phase, PolicyOrigin,
    PolicyOriginKind, PolicyStatus, RecoveryStatus, RedisClusterStatus, RedisInstanceStatus,
    ScheduleStatus, ShadowStatus, ShadowVerdict, ShardStatus,
};
