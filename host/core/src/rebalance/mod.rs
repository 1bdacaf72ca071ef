//! Which shard serves which slots: what is asked, what a policy answers, what becomes of the table.

mod diff;
mod guard;
mod model;
mod table;

pub use diff::diff;
pub use guard::{GuardRule, Violation, guard};
pub use model::{
    Limits, Moved, RebalanceAnswer, RebalanceInput, Shard, ShardState, SlotLoad, SlotMove,
};
pub use table::{Table, apply, table};
