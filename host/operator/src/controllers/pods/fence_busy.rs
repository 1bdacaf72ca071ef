//! Ends the server of a primary that a script keeps busy, where another has all that it acknowledged.

use hera_core::agent::Order;
use hera_core::shard::{Member, busy_heirs};

use crate::controllers::outcome::PassError;
use crate::shared::Shared;

/// The order for it, if a script keeps it busy: with how far the replica has got that has got furthest. The agent knows
/// how far its server was when it last answered, before the script began. That a link stands says little: one that is
/// cut stands for a minute. `epoch` is the last that is to go.
///
/// # Errors
/// No replica that may lead tells how far it has got.
pub async fn order(
    shared: &Shared,
    members: &[Member],
    fenced: &[String],
    primary: &Member,
    epoch: u64,
) -> Result<Option<Order>, PassError> {
    let Some(script) = primary.script() else {
        return Ok(None);
    };
    let heirs = busy_heirs(members, fenced, primary);
    let positions = futures::future::join_all(heirs.map(|heir| offset(shared, heir))).await;
    let Some(offset) = positions.into_iter().flatten().max() else {
        let words = "no replica tells how far it has got";
        return Err(PassError::HandOver(words.to_owned()));
    };
    Ok(Some(Order::FenceBusy {
        epoch,
        script_since_unix_ms: script.since_unix_ms,
        offset,
    }))
}

async fn offset(shared: &Shared, heir: &Member) -> Option<u64> {
    let client = shared.agents.client(heir.uid())?;
    Some(client.position().await.ok()?.offset)
}
