//! The decision about a RedisInstance: from what is wanted and what was observed to a plan.
//!
//! No stored phase is read: the plan is right after a crash at any line.

mod candidates;
mod change;
mod choice;
mod copies;
mod decide;
mod elect;
mod endpoints;
mod given_up;
mod guard;
pub mod handover;
mod intake;
mod lead;
mod leader;
mod lists;
mod observation;
mod plan;
mod presumed_dead;
mod pushes;
mod record;
mod verdict;
mod view;

pub use candidates::{Candidate, candidates, last_candidate, unproven};
pub use change::set_size;
pub use decide::decide;
pub use elect::POSITIONS_GOOD_FOR_MS;
pub use given_up::GivenUp;
pub use guard::{Rule, guard};
pub use intake::Intake;
pub use leader::Leader;
pub use lists::{MemberList, drop_any};
pub use observation::{Observation, Permit, Remembered, Wanted, WantedStorage};
pub use plan::{Choice, Plan, PlannedStep, Step};
pub use pushes::{members, told};
pub use record::needed;
pub use verdict::{Verdict, verdict};
pub use view::{Change, ChangeKind, InstanceView, Waits};
