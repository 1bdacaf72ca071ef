//! Which copy's stream is read.

use crate::backup::{NoCopy, Source};
use crate::shard::Member;

/// The copy whose agent keeps the log: the one that does (`capturing`, the uid of its pod) while it is fit, else the one
/// that a snapshot would be read from.
///
/// # Errors
/// See [`NoCopy`].
pub fn place<'a>(
    members: &'a [Member],
    source: Source,
    needs_replicas: bool,
    capturing: Option<&str>,
) -> Result<&'a Member, NoCopy> {}
