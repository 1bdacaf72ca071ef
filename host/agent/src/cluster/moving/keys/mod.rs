//! Slots move key by key, driven by the agent of who gives them: every version (redis-facts §1.3).
//!
//! Some slots go together, in a lot: what is asked of the two servers is asked of all of them at once, and what holds
//! for one slot is looked at for each. Only keys are sent slot by slot. A slot that cannot go leaves the lot, and the
//! others are finished.
//!
//! The order loses nothing wherever it breaks off. What each break leaves, and how it goes on:
//! - The other imports: nobody is sent there. It begins again, or is closed.
//! - The slot is open on both sides: keys are on one side or the other, and clients find them, as who has a key no more
//!   sends them to the other. It goes on from there; until then no key can come to be on this side.
//! - Keys are sent, and the answer does not come: they are this server's still, and the other may have copies. They
//!   are sent again in place of those; the copy of one that a client deleted meanwhile goes, if it is what was sent.
//!   The agent knows of them as long as it lives.
//! - The last key is sent, or the answer to that is lost: keys are counted again, and the other asked again.
//! - The other owns the slot, and this server does not know: it hears of it from the others, or with the next order.
//!
//! Where this server dies in the middle, the keys that it sent but its replica still has come back with the replica as
//! they were. So a replica is waited for again and again, and before the other owns the slots: what was sent since is
//! all that this can touch.

mod lot;
mod send;

use std::time::{Duration, Instant};

use hera_core::agent::{SlotAnswer, TakeSlot};
use hera_core::cluster::{Direction, LargeKey, Server as Seen, SlotSet};
use hera_redis::{Error, Server, SlotOf};
use tracing::debug;

use self::lot::{Found, Lot, fitting};
use super::job::{Broke, Doubts, Job};
use super::pace::Pace;
use super::step::Other;
use super::{Give, large, listed, open, primary, tell};
use crate::agent::Agent;
use crate::cluster::hold;

/// Slots that move together, at most: so often the servers are looked at, and the other is asked. What the other says
/// of them fits into its answer.
const LOT: usize = 16;
/// Keys that move together, unless one slot alone has more, and how long sending them may take: commands about several
/// keys may have to wait for as long, and who asks a job to stop does.
const LOT_KEYS: u64 = 1_000;
const LOT_TIME: Duration = Duration::from_millis(500);
/// Keys of a slot that are looked at before it moves: the server tells them in one answer. What is behind them is
/// looked at when its turn comes.
const LOOKED_AT: usize = 10_000;
/// Attempts at what may fail for a moment: to send keys, and to ask the other.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_millis(200);

/// Gives the slots, some of them together.
///
/// # Errors
/// It was stopped after some of them, or failed.
pub async fn give(agent: &Agent, server: &Server, job: &Job, order: &Give) -> Result<(), Broke> {
    let timeout = hold::node_timeout(agent).await;
    let mut source = Source {
        agent,
        server,
        job,
        order,
        other: Other::new(agent, order.ip, &order.target).map_err(Broke::Failed)?,
        host: order.ip.to_string(),
        pace: Pace::new(order.max_stall),
        longest: timeout / 3,
        behind: None,
    };
    let mut left = order.slots.clone();
    while !left.is_empty() {
        if job.is_to_stop() {
            return Err(Broke::Stopped);
        }
        let done = source.give(&left.first(LOT)).await?;
        left = left.without(&done);
    }
    Ok(())
}

/// Who gives.
struct Source<'a> {
    agent: &'a Agent,
    server: &'a Server,
    job: &'a Job,
    order: &'a Give,
    other: Other,
    host: String,
    pace: Pace,
    /// For longer this server never stands still knowingly: the others would vote for another.
    longest: Duration,
    /// Since when keys are sent that maybe no replica knows of.
    behind: Option<Instant>,
}

impl Source<'_> {
    /// Gives the first of these slots. Tells with which of them it is done, which is at least one.
    async fn give(&mut self, next: &SlotSet) -> Result<SlotSet, Broke> {
        let own = primary(self.server).await?;
        let found = Found::of(&own, next, &self.order.target);
        // The other owned them before this server was told. Those that come here are no affair of this job.
        self.tell(&found.marked, SlotOf::Stable).await?;
        self.has_no_doubts(&found.gone);
        if let Some(words) = &found.elsewhere
            && found.gone.is_empty()
            && found.here().is_empty()
        {
            return Err(Broke::failed(words.as_str()));
        }
        let (slots, stay) = self.choose(&own, &found).await?;
        if !slots.is_empty() {
            self.give_together(&own, &found.whole, &slots).await?;
        }
        Ok(found.gone.with(&stay).with(&slots))
    }

    /// Those of the slots that move together, and those that stay as a key is too large.
    async fn choose(&self, own: &Seen, found: &Found) -> Result<(SlotSet, SlotSet), Broke> {
        let counts = self.server.count_keys_in_slots(&found.here()).await?;
        let slots = fitting(counts, LOT_KEYS);
        let listed = listed::list(self.server, &slots, LOOKED_AT, usize::MAX).await?;
        let limit = large::bytes_in(self.order.max_stall.min(self.longest));
        let whole = listed.iter().filter(|one| found.whole.contains(one.slot));
        let large: Vec<LargeKey> = whole.flat_map(|one| one.larger(limit)).collect();
        let stay = self.stay(own, large).await?;
        let moves = listed.iter().filter(|one| !stay.contains(one.slot));
        let sizes = moves.map(|one| (one.slot, one.bytes()));
        Ok((fitting(sizes, large::bytes_in(LOT_TIME)), stay))
    }

    /// Slots that stay as they have one of these keys, which is told. One that began to move under another server here
    /// is finished: clients do not find what moved.
    async fn stay(&self, own: &Seen, mut large: Vec<LargeKey>) -> Result<SlotSet, Broke> {
        let slots: SlotSet = large.iter().map(|key| key.slot).collect();
        if slots.is_empty() {
            return Ok(slots);
        }
        let there = self.ask(own, &slots, TakeSlot::Look).await?;
        let stay = slots.without(&there.imports);
        large.retain(|key| stay.contains(key.slot));
        self.job.leaves(large);
        Ok(stay)
    }

    /// Gives all of these slots, some of which were whole. One that cannot be given holds up none of the others.
    async fn give_together(
        &mut self,
        own: &Seen,
        whole: &SlotSet,
        slots: &SlotSet,
    ) -> Result<(), Broke> {
        let order = self.order;
        let mut lot = Lot::new(slots.clone());
        // The other first: whoever is sent there is served.
        let before = self.ask(own, slots, TakeSlot::Import).await?;
        for slot in slots.shared(&before.refused.slots).iter() {
            lot.leaves(slot, before.refused.why.clone());
        }
        let whole = whole.shared(lot.slots());
        for slot in whole.shared(&before.owned).iter() {
            let target = &order.target;
            lot.leaves(
                slot,
                format!("{target} has slot {slot} as well: one of the two is told in a moment"),
            );
        }
        // They were whole since: what was cut off then is over, and a key of that name is another's.
        let new = whole.without(&before.owned).without(&before.imports);
        self.has_no_doubts(&new);
        // The server refuses as long as it has keys of it.
        let node = SlotOf::Node(&order.target);
        self.tell(&lot.slots().shared(&before.owned), node).await?;
        let mut left = lot.slots().without(&before.owned);
        self.tell(&left, SlotOf::Migrating(&order.target)).await?;
        let mut tries = 0;
        while !left.is_empty() {
            self.send(&mut lot, &left).await?;
            let sent = left.shared(lot.slots());
            left = self.hand_over(&mut lot, &sent).await?;
            let given = sent.without(&left).shared(lot.slots());
            self.tell(&given, node).await?;
            if tries >= TRIES {
                for slot in left.iter() {
                    lot.leaves(slot, format!("slot {slot} has keys again"));
                }
                break;
            }
            tries += 1;
        }
        lot.ends()
    }

    /// The other owns these slots once this has completed, but for those that have left the lot, and those that have
    /// keys again, which are told. It is asked only for those that this server gives and of which it has no key: keys
    /// that are left here would be deleted.
    async fn hand_over(&self, lot: &mut Lot, slots: &SlotSet) -> Result<SlotSet, Broke> {
        let gives = Some((Direction::Out, self.order.target.as_str()));
        let mut left = slots.clone();
        let mut again = SlotSet::default();
        let mut tries = 0;
        while !left.is_empty() {
            // Where it does not serve, the others may have voted for a replica.
            let own = primary(self.server).await?;
            if let Some(other) = own.entry(&self.order.target) {
                left = left.without(&other.slots);
            }
            let has = own.slots();
            let is_changed = |slot: &u16| !has.contains(*slot) || open::of(&own, *slot) != gives;
            let changed: SlotSet = left.iter().filter(is_changed).collect();
            for slot in changed.iter() {
                lot.leaves(slot, format!("somebody else changed slot {slot}"));
            }
            left = left.without(&changed);
            let counts = self.server.count_keys_in_slots(&left).await?;
            let full = counts.into_iter().filter(|(_, count)| *count > 0);
            let full: SlotSet = full.map(|(slot, _)| slot).collect();
            left = left.without(&full);
            again = again.with(&full);
            if left.is_empty() {
                break;
            }
            let broke = match self.ask(&own, &left, TakeSlot::Own).await {
                Ok(there) if left.without(&there.owned).is_empty() => break,
                Ok(_) => Broke::failed("the other did not take all slots"),
                Err(broke) => broke,
            };
            if tries >= TRIES {
                return Err(broke);
            }
            debug!(slots = %left, %broke, "the other is asked again");
            tries += 1;
            tokio::time::sleep(AGAIN).await;
        }
        Ok(again)
    }

    /// Tells this server the same of each of these slots.
    async fn tell(&self, slots: &SlotSet, of: SlotOf<'_>) -> Result<(), Error> {
        for part in tell::parts(self.agent, slots) {
            self.server.set_slots(&part, of).await?;
        }
        Ok(())
    }

    /// Has the other take a step.
    async fn ask(&self, own: &Seen, slots: &SlotSet, step: TakeSlot) -> Result<SlotAnswer, Broke> {
        let asked = self.other.ask(self.agent, own, slots.clone(), step).await;
        asked.map_err(Broke::Failed)
    }

    /// Nothing that was sent of these slots before is of any matter.
    fn has_no_doubts(&self, slots: &SlotSet) {
        for slot in slots.iter() {
            self.job.doubts_are(slot, Doubts::new());
        }
    }
}
