//! One primary and its replicas, whatever they are part of: what one pass sees of them, and what is true of
//! any of them. Decisions stand above, in [`instance`](crate::instance).

mod approval;
mod busy;
mod cause;
mod claim;
mod member;
mod planned;
mod pod;
mod roll;
mod rollback;
mod step;
mod surge;
mod view;
mod wanted;

pub use approval::Asked;
pub(crate) use busy::keeps_from_handing_over;
pub use busy::{
    busy_heirs, is_asked_down, no_such_pod, why_busy_ends, why_not_all_fenced, why_not_fenced,
};
pub use cause::{Cause, Crowded, Lagging, ShortOfSpace, Stranded};
pub(crate) use cause::{
    crowded, dump_not_read, is_deposed, lagging, member_cause, short_of_space, stranded, stuck,
};
pub use claim::{ClaimView, Lineage, Record};
pub use member::{AgentView, Member, RevisionView, primary, shown_role};
pub use pod::{NodeState, PodView};
pub use roll::Move;
pub use step::{BrokenRule, Stall, Target, Wait};
pub use view::{FenceView, Fresh, LinkView, PodState, pod_states};
pub use wanted::{PodsWanted, Shard};
