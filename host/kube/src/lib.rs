//! Kubernetes plumbing: server-side apply that writes only what changed, whose an object is, leader
//! election with a term, Events, and status writing.

mod apply;
mod events;
pub mod lease;
mod ownership;
mod refusal;
mod status;

pub use apply::{Applied, Applier, ApplyError, Child};
pub use events::{Events, Severity};
pub use lease::Leadership;
pub use ownership::{ClaimPlace, Standing, is_owned_by, is_pod_of};
pub use refusal::Refusal;
pub use status::{StatusWriter, merge_conditions};

/// Owner of the fields of child objects that the operator applies.
pub const OBJECTS_MANAGER: &str = "hera-operator/objects";
/// Owner of the status.
pub const STATUS_MANAGER: &str = "hera-operator/status";
