//! When a backup that is due begins, from which copies it is read, and which ones go: what is asked, and what a policy
//! answers.

mod model;

pub use model::{
    BackupAnswer, BackupInput, Cause, Choice, Copy, CopyRole, Decided, Demand, Limits,
    MOST_HISTORY, Past, ShardCopies,
};
