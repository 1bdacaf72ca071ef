//! Backups: what lies in a store, what agents are ordered, which copy is read, and what may be restored where.

mod format;
mod order;
mod path;
pub mod recovery;
mod store;

pub use format::{BackupManifest, BaseManifest, FORMAT, OwnerFile, ShardInBackup};
pub use order::{
    BackupOrder, BackupState, Failure, FailureReason, RecoverFrom, RecoveryNews, RecoveryState,
    Run, RunState,
};
pub use path::Paths;
pub use store::{S3Access, StoreAccess};
