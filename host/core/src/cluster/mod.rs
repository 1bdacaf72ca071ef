//! The decision about a Redis Cluster: from what was observed to a plan that forms it, and heals it.
//!
//! Servers know each other by ids of their own; what one of them says of itself counts, never a name or an
//! ordinal (P23, P24). What could not be asked is unknown, never zero: nothing is formed, dropped or
//! forgotten by what is unknown.

mod decide;
mod epochs;
mod failover;
mod fences;
mod form;
mod guard;
mod hold;
mod join;
mod moves;
mod observation;
mod open;
mod plan;
mod pods;
mod serving;
mod slots;
mod spread;
mod survey;
mod view;
mod whole;
mod without_slots;

pub use decide::decide;
pub(crate) use epochs::has_the_same;
pub use fences::{Fences, Fencing, fences};
pub use guard::{Rule, guard};
pub use observation::{
    Entry, HeavySlot, Held, LargeKey, MOST_HEAVY, Moving, MovingState, Node, NodeId, Observation,
    SLOT_STATS, Server, Wanted,
};
pub use open::{Direction, Open, slots_move};
pub use plan::{Command, Failover, Plan, Step, Way};
pub use pods::{PodStep, next_pod_step, set_size};
pub use serving::{is_empty_shard, leader, why_not_served};
pub use slots::{SLOTS, SlotSet};
pub use spread::{Drift, drift, together};
pub(crate) use survey::{Heard, Survey};
pub use view::{ClusterView, OpenSlot, RebalanceView, ServerView, ShardView};
pub use whole::why_not_whole;
