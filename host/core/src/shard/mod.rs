//! One primary and its replicas, whatever they are part of: what one pass sees of them, and what is true of
//! any of them. Decisions stand above, in [`instance`](crate::instance).

mod cause;
mod claim;
mod member;
mod planned;
mod pod;
mod step;
mod view;

pub use cause::{Cause, Lagging, ShortOfSpace, Stranded};
pub(crate) use cause::{
    dump_not_read, is_deposed, lagging, member_cause, short_of_space, stranded, stuck,
    why_not_in_sync,
};
pub use claim::{ClaimView, Lineage, Record};
pub use member::{AgentView, Member, RevisionView, primary, shown_role};
pub use pod::{NodeState, PodView};
pub use step::{Stall, Target};
pub use view::{FenceView, Fresh, LinkView, PodState, pod_states};
