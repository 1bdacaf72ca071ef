//! The decision about a RedisInstance: from what is wanted and what was observed to a plan.
//!
//! No stored phase is read: the plan is right after a crash at any line.

mod decide;
mod observation;
mod plan;
mod verdict;

pub use decide::decide;
pub use observation::{
    AgentView, ClaimView, Observation, PodView, RevisionView, Wanted, WantedStorage,
};
pub use plan::{Plan, PlannedStep, Step};
pub use verdict::{Cause, Verdict, verdict};
