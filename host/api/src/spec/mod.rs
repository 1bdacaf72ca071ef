//! Blocks of a spec that both kinds share.

mod access;
mod backup;
mod common;
mod monitoring;
mod network;
mod persistence;
mod pod;
mod policies;
mod rebalance;
mod replication;
mod resources;
mod settings;

pub use access::{Auth, Preset, Rights, SecretKeyRef, SecretRef, UserSpec};
pub use backup::{
    BackupRef, BackupSchedule, BackupSource, BackupSpec, Bootstrap, KeepSpec, LogMode, LogSpec,
    Recovery, RecoverySource, StoreRef, TargetKind,
};
pub use common::CommonSpec;
pub use monitoring::{Metrics, Monitoring, PodMonitor};
pub use network::NetworkPolicy;
pub use persistence::{Aof, Fsync, Persistence, Rdb, ReclaimPolicy};
pub use pod::{PodMetadata, PodTemplate, PodTemplateSpec};
pub use policies::{ConfigMapKeyRef, Policies, PolicySource, ShadowSource};
pub use rebalance::{RebalanceMode, RebalanceSpec};
pub use replication::{Durability, Failover, OnFailure, Surge, UpdateMode, UpdateStrategy};
pub use resources::Resources;
pub use settings::{Excess, MAX_SETTINGS, MAX_SETTINGS_DEPTH, Settings};

pub(crate) fn yes() -> bool {
    true
}

pub(crate) fn no() -> bool {
    false
}
