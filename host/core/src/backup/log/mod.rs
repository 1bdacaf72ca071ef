//! The log of a shard: the replication stream of its servers as it is, in pieces. A base and the log from its offset on
//! give the data of any instant since.
//!
//! A history is named by a replication id, and offsets count its bytes: a piece `from..to` has the bytes behind `from`
//! up to and with `to`. Times are of the clock of the agent that read, in milliseconds since 1970.

mod builder;
mod chain;
mod cut;
pub(super) mod eras;
mod evidence;
mod index;
mod piece;
mod place;
mod resume;
mod settle;
mod track;
mod walk;
mod window;

pub use builder::EvidenceBuilder;
pub use chain::{AROUND_MS, Cut, Load, Plan, Refusal, Stretch, Wanted, plan};
pub use cut::{Cutter, select};
pub use evidence::{Evidence, Mark, NotCovered, Quiet, SLACK_MS, Until};
pub use index::{History, Index, Listed};
pub use piece::{
    ALIVE, Alive, HEADER_AT, PARENT, Parent, PieceError, PieceHeader, PieceName, decode, encode,
    head, header_end,
};
pub use place::place;
pub use resume::{Reached, ServerHistory, Start, anew, resume};
pub use walk::{Kind, NotACommand, Unit, Walker};
pub use window::Window;
