//! Slots move key by key, driven by the agent of who gives them: every version (redis-facts §1.3).
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
//! they were. So after each batch of keys a replica is waited for: what was sent meanwhile is all that this can touch.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hera_core::acl::MIGRATION_USER;
use hera_core::agent::{CutOff, SlotAnswer, TakeSlot};
use hera_core::cluster::{Direction, Server as Seen};
use hera_core::digest::sha256_hex;
use hera_redis::{Credentials, Error, Migrated, Migration, Sent, Server, SlotOf};
use tracing::debug;

use super::job::{Broke, Doubts, Job};
use super::open::{self, may_replace};
use super::pace::Pace;
use super::step::Other;
use super::{Give, large, password, primary};
use crate::agent::Agent;
use crate::cluster::hold;

/// A replica that is further behind is waited for no longer: it lacks more than this.
const REPLICA: Duration = Duration::from_secs(1);
/// Attempts at what may fail for a moment: to send keys, and to ask the other.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_millis(200);
/// Keys that the other is told of at once.
const TOGETHER: usize = 200;
/// Keys that are there and cannot be sent are about to expire.
const EXPIRES: Duration = Duration::from_millis(50);
const LONGEST_EXPIRY: Duration = Duration::from_secs(10);

/// Gives the slots, one after the other.
///
/// # Errors
/// It was stopped after a slot, or failed.
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
    };
    let ranges = order.slots.ranges().iter();
    for slot in ranges.flat_map(|(first, last)| *first..=*last) {
        if job.is_to_stop() {
            return Err(Broke::Stopped);
        }
        source.give(slot).await?;
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
}

impl Source<'_> {
    async fn give(&mut self, slot: u16) -> Result<(), Broke> {
        let own = primary(self.server).await?;
        let open = open::of(&own, slot);
        if !own.slots().contains(slot) {
            // The other owned it before this server was told. One that comes here is no affair of this job.
            if open.is_some_and(|(moves, _)| moves == Direction::Out) {
                self.server.set_slot(slot, SlotOf::Stable).await?;
            }
            self.job.doubts_are(slot, Doubts::new());
            return Ok(());
        }
        match open {
            None => {
                let limit = large::bytes_in(self.order.max_stall.min(self.longest));
                let large = large::of_slot(self.server, slot, limit).await?;
                // One that began under another server here is finished: clients do not find what moved.
                if !large.is_empty() && !self.ask(&own, slot, TakeSlot::Look).await?.imports {
                    self.job.leaves(large);
                    return Ok(());
                }
            }
            Some((Direction::Out, before)) if may_replace(&own, before, &self.order.target) => {}
            Some((_, other)) => {
                let words = format!("slot {slot} is half moved between this server and {other}");
                return Err(Broke::Failed(words));
            }
        }
        // The other first: whoever is sent there is served.
        let before = self.ask(&own, slot, TakeSlot::Import).await?;
        if before.owned && open.is_none() {
            let target = &self.order.target;
            let words =
                format!("{target} has slot {slot} as well: one of the two is told in a moment");
            return Err(Broke::Failed(words));
        }
        if open.is_none() && !before.imports {
            // It was whole since: what was cut off then is over, and a key of that name is another's.
            self.job.doubts_are(slot, Doubts::new());
        }
        if !before.owned {
            let to = SlotOf::Migrating(&self.order.target);
            self.server.set_slot(slot, to).await?;
            self.send(slot).await?;
            self.hand_over(slot).await?;
        }
        // The server refuses as long as it has keys of it.
        let node = SlotOf::Node(&self.order.target);
        Ok(self.server.set_slot(slot, node).await?)
    }

    /// Sends keys until there is none.
    async fn send(&mut self, slot: u16) -> Result<(), Broke> {
        let copies = self.has_replica().await?;
        let mut failures = 0;
        let mut stuck: Option<Instant> = None;
        loop {
            self.settle_doubts(slot).await?;
            let mut keys = self.server.keys_in_slot(slot, self.pace.keys()).await?;
            if keys.is_empty() {
                return Ok(());
            }
            let sizes = self.server.memory_of(&keys).await?;
            let count = self.pace.fitting(&sizes).min(keys.len());
            keys.truncate(count);
            let sizes = sizes.get(..count).unwrap_or_default();
            let grown = large::larger(slot, &keys, sizes, large::bytes_in(self.longest));
            if !grown.is_empty() {
                self.job.leaves(grown);
                let words = format!("slot {slot} has a key that is too large by now");
                return Err(Broke::Failed(words));
            }
            let begun = Instant::now();
            let sent = self.send_once(&keys, sizes).await?;
            self.pace.took(count, begun.elapsed());
            match &sent.outcome {
                Migrated::All | Migrated::Exists => {
                    (failures, stuck) = (0, None);
                    self.job.moved(u64::try_from(count).unwrap_or(0));
                    if copies && !self.server.wait_for_replica(REPLICA).await? {
                        debug!(slot, "no replica has yet what moved");
                    }
                }
                Migrated::Nothing => {
                    // They have expired, or are gone: the server notices in a moment.
                    if stuck.get_or_insert(begun).elapsed() > LONGEST_EXPIRY {
                        return Err(Broke::Failed(format!("keys of slot {slot} cannot be sent")));
                    }
                    tokio::time::sleep(EXPIRES).await;
                }
                Migrated::Unsure(words) => {
                    let doubts = self.doubts(&keys, &sent).await?;
                    self.job.doubts_are(slot, doubts);
                    if failures >= TRIES {
                        return Err(Broke::failed(words.as_str()));
                    }
                    failures += 1;
                    debug!(slot, why = words, "it is not known whether keys came");
                }
            }
        }
    }

    /// Sends these keys. Where the other has one of the same name, that is of an attempt that was cut off, maybe
    /// another agent's: as long as this server has a key nobody is sent to the other for it, so what is here counts.
    async fn send_once(&self, keys: &[Vec<u8>], sizes: &[Option<u64>]) -> Result<Sent, Error> {
        let bytes = sizes
            .iter()
            .flatten()
            .fold(0, |sum: u64, size| sum.saturating_add(*size));
        let step = self.order.max_stall * 5 + large::time_of(bytes);
        let sent = self.migrate(keys, step, false).await?;
        match sent.outcome {
            Migrated::Exists => self.migrate(keys, step, true).await,
            _ => Ok(sent),
        }
    }

    /// Has the server send keys. It logs in with the password of now: one may be replaced while slots move.
    async fn migrate(
        &self,
        keys: &[Vec<u8>],
        step: Duration,
        replace: bool,
    ) -> Result<Sent, Error> {
        let login = Credentials::new(MIGRATION_USER, password(self.agent));
        let how = Migration {
            host: &self.host,
            port: self.order.port,
            login: &login,
            step: step.min(self.longest),
            replace,
        };
        self.server.migrate(keys, &how).await
    }

    /// Those of the keys that are here still, and what was sent of them.
    async fn doubts(&self, keys: &[Vec<u8>], sent: &Sent) -> Result<Doubts, Error> {
        let kept = keys.iter().zip(&sent.after).filter(|(_, here)| **here);
        let kept: Vec<Vec<u8>> = kept.map(|(key, _)| key.clone()).collect();
        let payloads = self.server.dumps(&kept, false).await?;
        let digests = payloads
            .into_iter()
            .map(|payload| payload.map(|payload| sha256_hex(&payload)));
        Ok(kept.into_iter().zip(digests).collect())
    }

    /// Completes once it is known where each key of the slot is.
    async fn settle_doubts(&self, slot: u16) -> Result<(), Broke> {
        let mut failures = 0;
        while let Some(doubts) = self.job.doubts(slot) {
            let Err(broke) = self.settle(slot, doubts).await else {
                continue;
            };
            if failures >= TRIES {
                return Err(broke);
            }
            failures += 1;
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }

    async fn settle(&self, slot: u16, mut doubts: Doubts) -> Result<(), Broke> {
        // Whoever does not answer would hold up this server.
        let own = primary(self.server).await?;
        self.ask(&own, slot, TakeSlot::Import).await?;
        let keys: Vec<Vec<u8>> = doubts.keys().cloned().collect();
        let sent = self.migrate(&keys, self.longest, true).await?;
        let is_gone = |(key, before): (&Vec<u8>, &bool)| (!before).then(|| key.clone());
        let gone = keys.iter().zip(&sent.before).filter_map(is_gone);
        let gone: BTreeSet<Vec<u8>> = gone.collect();
        if let Migrated::Unsure(words) = &sent.outcome {
            // What is not here any more and was, has moved: there is no doubt about it.
            let mut left = self.doubts(&keys, &sent).await?;
            left.extend(gone.iter().filter_map(|key| doubts.remove_entry(key)));
            self.job.doubts_are(slot, left);
            return Err(Broke::failed(words.as_str()));
        }
        doubts.retain(|key, _| gone.contains(key));
        self.job.doubts_are(slot, doubts.clone());
        // A client deleted it here: nobody can have made it here anew, as the slot goes.
        let cut_off = doubts
            .into_iter()
            .map(|(key, digest)| CutOff { key, digest });
        let cut_off: Vec<CutOff> = cut_off.collect();
        for keys in cut_off.chunks(TOGETHER) {
            self.ask(&own, slot, TakeSlot::Drop(keys.to_vec())).await?;
        }
        self.job.doubts_are(slot, Doubts::new());
        Ok(())
    }

    /// Has the other take a step.
    async fn ask(&self, own: &Seen, slot: u16, step: TakeSlot) -> Result<SlotAnswer, Broke> {
        let asked = self.other.ask(self.agent, own, slot, step).await;
        asked.map_err(Broke::Failed)
    }

    /// A replica of this server is connected.
    async fn has_replica(&self) -> Result<bool, Broke> {
        let text = self.server.info(&["replication"]).await?;
        let mut lines = text.lines().filter_map(|line| line.trim().split_once(':'));
        let replicas = lines.find(|(name, _)| *name == "connected_slaves");
        Ok(replicas.is_some_and(|(_, count)| count != "0"))
    }

    /// The other owns the slot once this has completed. It is asked only while this server gives the slot and has no key
    /// of it: keys that are left here would be deleted.
    async fn hand_over(&self, slot: u16) -> Result<(), Broke> {
        let mut tries = 0;
        loop {
            let own = primary(self.server).await?;
            if self.is_others(&own, slot) {
                return Ok(());
            }
            if !own.serves {
                // The others may have voted for a replica.
                return Err(Broke::failed("the server takes the cluster for failed"));
            }
            let gives = Some((Direction::Out, self.order.target.as_str()));
            if !own.slots().contains(slot) || open::of(&own, slot) != gives {
                let words = format!("somebody else changed slot {slot}");
                return Err(Broke::Failed(words));
            }
            if self.server.count_keys_in_slot(slot).await? > 0 {
                let words = format!("slot {slot} has keys again");
                return Err(Broke::Failed(words));
            }
            match self.ask(&own, slot, TakeSlot::Own).await {
                Ok(_) => return Ok(()),
                Err(broke) if tries >= TRIES => return Err(broke),
                Err(broke) => debug!(slot, %broke, "the other is asked again"),
            }
            tries += 1;
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn is_others(&self, own: &Seen, slot: u16) -> bool {
        let other = own.entry(&self.order.target);
        other.is_some_and(|entry| entry.slots.contains(slot))
    }
}
