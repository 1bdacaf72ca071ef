//! Backups: what lies in a store, what agents are ordered, which copy is read, and what may be restored where.

mod choose;
pub mod decision;
mod format;
pub mod log;
mod order;
mod path;
pub mod recovery;
pub mod retention;
mod steps;
mod store;
mod unbroken;
mod versions;

pub use choose::{NoCopy, Source, Wish, choose};
pub use format::{BackupManifest, BaseManifest, FORMAT, OwnerFile, ShardInBackup};
pub use order::{
    BackupOrder, BackupState, CaptureNews, CaptureOrder, CaptureState, Failure, FailureReason,
    Held, Keep, Loads, MOST_HELD, RecoverFrom, RecoverInstant, RecoveryNews, Run, RunState,
    ServerLoad, SweepOrder, SweepState,
};
pub use path::Paths;
pub use steps::{Heard, Look, Next, Tries, look};
pub use store::{S3Access, StoreAccess};
pub use unbroken::{UNBROKEN, Unbroken};
pub use versions::{check_base, check_piece};
