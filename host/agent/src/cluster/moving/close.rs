//! Closes slots that are half moved, and of which no key is elsewhere.

use hera_core::cluster::{Direction, Open, SlotSet};
use hera_redis::{Server, SlotOf};

use crate::cluster::orders::seen;
use crate::control::answer::Refused;

/// Closes those of `slots` that are open at this server.
///
/// # Errors
/// The server has keys of one that it was to get: closed, nobody would find them.
pub async fn close(server: &Server, slots: &SlotSet) -> Result<(), Refused> {
    let own = seen(server).await?;
    let has = own.slots();
    for Open { slot, moves, .. } in own.opened().filter(|open| slots.contains(open.slot)) {
        if moves == Direction::In && !has.contains(slot) {
            if server.count_keys_in_slot(slot).await? > 0 {
                let words = format!("keys of slot {slot} are here, and their owner has others");
                return Err(Refused::wrong(words));
            }
            // Later Redis counts none of a slot that is another's (redis-facts §1.3).
            if server.visible_keys().await? < own.keys {
                let words = format!("the server hides keys, which may be of slot {slot}");
                return Err(Refused::later(words));
            }
        }
        server.set_slot(slot, SlotOf::Stable).await?;
    }
    Ok(())
}
