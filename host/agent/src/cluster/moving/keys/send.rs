//! Keys of slots that move are sent to the other server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hera_core::acl::MIGRATION_USER;
use hera_core::agent::{CutOff, TakeSlot};
use hera_core::cluster::SlotSet;
use hera_core::digest::sha256_hex;
use hera_redis::{Credentials, Error, Migrated, Migration, Sent};
use tracing::debug;

use super::lot::Lot;
use super::{AGAIN, Source, TRIES};
use crate::cluster::moving::job::{Broke, Doubts};
use crate::cluster::moving::listed::{self, Listed};
use crate::cluster::moving::{large, password, primary};

/// A replica that is further behind is waited for no longer: it lacks more than this.
const REPLICA: Duration = Duration::from_secs(1);
/// So much of what was sent may be unknown to every replica.
const BEHIND: Duration = Duration::from_millis(100);
/// What keys took so long ago still counts.
const FRESH: Duration = Duration::from_millis(100);
/// Keys that are looked at together, of several slots; and those that the other is told of at once.
const TOGETHER: usize = 200;
/// Keys that are there and cannot be sent are about to expire.
const EXPIRES: Duration = Duration::from_millis(50);
const LONGEST_EXPIRY: Duration = Duration::from_secs(10);

/// What became of the keys of a slot.
enum Part {
    /// All that there were are sent: as the slot goes, there come no others.
    All,
    /// Some are sent, and there may be others.
    More,
    /// There was none any more of those that were listed.
    Nothing,
    /// One cannot be sent, for this reason.
    Stays(String),
    /// It is not known which came, for this reason.
    Unsure(String),
}

impl Source<'_> {
    /// Sends keys of these slots until there is none. A slot with a key that cannot be sent leaves the lot.
    pub(super) async fn send(&mut self, lot: &mut Lot, slots: &SlotSet) -> Result<(), Broke> {
        let copies = self.has_replica().await?;
        let sent = self.send_all(lot, slots, copies).await;
        // Also where it broke off: what is sent is sent.
        let waited = match self.behind.take() {
            Some(_) if copies => self.wait().await,
            _ => Ok(()),
        };
        sent.and(waited)
    }

    async fn send_all(
        &mut self,
        lot: &mut Lot,
        slots: &SlotSet,
        copies: bool,
    ) -> Result<(), Broke> {
        let mut left = slots.clone();
        let mut failures = 0;
        let mut stuck: Option<Instant> = None;
        while !left.is_empty() {
            for slot in left.iter() {
                self.settle_doubts(slot).await?;
            }
            let most = self.pace.keys();
            let listed = listed::list(self.server, &left, most, most.max(TOGETHER)).await?;
            let begun = Instant::now();
            let mut has_sent = false;
            for one in listed {
                if begun.elapsed() > FRESH {
                    break;
                }
                let slot = one.slot;
                let is_all = one.keys.len() < most;
                let part = self.send_some(one, is_all).await?;
                has_sent |= !matches!(part, Part::Nothing);
                match part {
                    Part::All => {
                        failures = 0;
                        left = left.without(&SlotSet::of([(slot, slot)]));
                    }
                    Part::More => failures = 0,
                    Part::Nothing => {}
                    Part::Stays(words) => {
                        lot.leaves(slot, words);
                        left = left.without(&SlotSet::of([(slot, slot)]));
                    }
                    Part::Unsure(words) if failures >= TRIES => return Err(Broke::Failed(words)),
                    Part::Unsure(words) => {
                        failures += 1;
                        debug!(slot, why = words, "it is not known whether keys came");
                        break;
                    }
                }
                let is_behind = self.behind.is_some_and(|since| since.elapsed() > BEHIND);
                if copies && is_behind {
                    self.behind = None;
                    self.wait().await?;
                }
            }
            if has_sent {
                stuck = None;
                continue;
            }
            // They have expired, or are gone: the server notices in a moment.
            if stuck.get_or_insert(begun).elapsed() > LONGEST_EXPIRY {
                for slot in left.iter() {
                    lot.leaves(slot, format!("keys of slot {slot} cannot be sent"));
                }
                return Ok(());
            }
            tokio::time::sleep(EXPIRES).await;
        }
        Ok(())
    }

    /// Sends as many of these keys as go at once. They are all of the slot, or some of them.
    async fn send_some(&mut self, mut listed: Listed, is_all: bool) -> Result<Part, Broke> {
        let there = listed.keys.len();
        if there == 0 {
            return Ok(Part::All);
        }
        let count = self.pace.fitting(&listed.sizes).min(there);
        listed.truncate(count);
        let grown = listed.larger(large::bytes_in(self.longest));
        let Listed { slot, keys, sizes } = listed;
        if !grown.is_empty() {
            self.job.leaves(grown);
            let words = format!("slot {slot} has a key that is too large by now");
            return Ok(Part::Stays(words));
        }
        let begun = Instant::now();
        // Also where it breaks off some may be sent.
        self.behind.get_or_insert(begun);
        let sent = match self.send_once(&keys, &sizes).await {
            Err(error @ Error::Refused { .. }) => {
                return Ok(Part::Stays(format!("keys of slot {slot}: {error}")));
            }
            sent => sent?,
        };
        self.pace.took(count, begun.elapsed());
        match &sent.outcome {
            Migrated::All | Migrated::Exists => {
                self.job.moved(u64::try_from(count).unwrap_or(0));
                let is_done = sent.outcome == Migrated::All && is_all && count == there;
                Ok(if is_done { Part::All } else { Part::More })
            }
            Migrated::Nothing => Ok(Part::Nothing),
            Migrated::Unsure(words) => {
                let doubts = self.doubts(&keys, &sent).await?;
                self.job.doubts_are(slot, doubts);
                Ok(Part::Unsure(words.clone()))
            }
        }
    }

    /// Waits until a replica has what was sent.
    async fn wait(&self) -> Result<(), Broke> {
        if !self.server.wait_for_replica(REPLICA).await? {
            debug!("no replica has yet what moved");
        }
        Ok(())
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
        let asked = SlotSet::of([(slot, slot)]);
        self.ask(&own, &asked, TakeSlot::Import).await?;
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
            self.ask(&own, &asked, TakeSlot::Drop(keys.to_vec()))
                .await?;
        }
        self.job.doubts_are(slot, Doubts::new());
        Ok(())
    }

    /// A replica of this server is connected.
    async fn has_replica(&self) -> Result<bool, Broke> {
        let text = self.server.info(&["replication"]).await?;
        let mut lines = text.lines().filter_map(|line| line.trim().split_once(':'));
        let replicas = lines.find(|(name, _)| *name == "connected_slaves");
        Ok(replicas.is_some_and(|(_, count)| count != "0"))
    }
}
