//! When a backup that is due begins, from which copies it is read, and which ones go: what wants one, what is asked,
//! what a policy answers, and what of that may be done.

mod demand;
mod diff;
mod due;
mod guard;
mod model;

pub use demand::{Made, Standing, latest, replay_seconds, wants};
pub use diff::diff;
pub use due::{Due, Tick, due};
pub use guard::{GuardRule, Violation, guard};
pub use model::{
    BackupAnswer, BackupInput, Cause, Choice, Copy, CopyRole, Decided, Demand, Limits,
    MOST_HISTORY, Past, ShardCopies,
};
