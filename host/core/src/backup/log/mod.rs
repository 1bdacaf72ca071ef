//! The log of a shard: the replication stream of its servers as it is, in pieces. A base and the log from its offset on
//! give the data of any instant since.
//!
//! A history is named by a replication id, and offsets count its bytes: a piece `from..to` has the bytes behind `from` up
//! to and with `to`. Times are of the clock of the agent that read, in milliseconds since 1970.

mod chain;
mod cut;
mod evidence;
mod piece;
mod place;
mod resume;
mod walk;

pub use chain::{Index, Plan, Refusal, Stretch, plan};
pub use cut::{Cut, Cutter, NotACommand};
pub use evidence::{Evidence, Mark, NotCovered, SLACK_MS, Until};
pub use piece::{
    ALIVE, Alive, PARENT, Parent, PieceHeader, PieceName, PieceError, decode, encode,
};
pub use place::place;
pub use resume::{ServerHistory, Start, resume};
pub use walk::{Kind, Unit, Walker};
