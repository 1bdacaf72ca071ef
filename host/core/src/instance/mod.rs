//! The decision about a RedisInstance: from what is wanted and what was observed to a plan.
//!
//! No stored phase is read: the plan is right after a crash at any line.

mod change;
mod claims;
mod decide;
mod elect;
mod endpoints;
pub mod handover;
mod lead;
mod leader;
mod lists;
mod observation;
mod plan;
mod pushes;
mod verdict;

pub use change::set_size;
pub use claims::{Claim, claims, last_claim, unproven};
pub use decide::decide;
pub use elect::POSITIONS_GOOD_FOR_MS;
pub use leader::Leader;
pub use lists::MemberList;
pub use observation::{
    AgentView, ClaimView, Member, Observation, Permit, PodView, Remembered, RevisionView, Wanted,
    WantedStorage,
};
pub use plan::{Plan, PlannedStep, Step, Target};
pub use pushes::{members, told};
pub use verdict::{Cause, Lagging, Verdict, verdict};
