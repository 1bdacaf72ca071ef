//! What two agents say to each other of slots that move key by key: the one that gives asks, the other has its
//! server take the step.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hera_core::agent::{CutOff, PATH_SLOT, Peer, RefusedSlots, SlotAnswer, SlotStep, TakeSlot};
use hera_core::cluster::{Direction, MovingState, NodeId, Server as Seen, SlotSet};
use hera_core::digest::sha256_hex;
use hera_redis::{Server, SlotOf};

use super::importing::Importing;
use super::{open, tell};
use crate::agent::Agent;
use crate::cluster::orders::{of, seen};
use crate::control::answer::Refused;
use crate::control::orders::running;
use crate::control::peers::{self, Known};

/// How long the other may take: its server may wait for its replicas.
const LIMIT: Duration = Duration::from_secs(5);
/// How long it counts what the server said of itself and of who leads.
const FRESH: Duration = Duration::from_millis(100);
/// For longer no further slot of a step is begun with: meanwhile the operator does not hear of this pod.
const HOLDS: Duration = Duration::from_secs(2);

/// The agent of the server that gets slots.
pub struct Other {
    known: Known,
    target: NodeId,
}

impl Other {
    /// The agent there. Those of one object share a certificate, so it is good for this one's own name; that it is
    /// the one of `target` is for it to say.
    ///
    /// # Errors
    /// In words: there is no way to reach it.
    pub fn new(agent: &Agent, ip: IpAddr, target: &str) -> Result<Self, String> {
        let cluster = agent.cluster.as_ref();
        let tls = cluster.and_then(|cluster| cluster.tls.get());
        let tls = tls.ok_or("this agent asks nobody yet")?.borrow().clone();
        let peer = Peer {
            pod_uid: String::new(),
            server_name: agent.settings.server_name.clone(),
            ip: Some(ip.to_string()),
        };
        let known = peers::reach(agent, &tls, peer).ok_or("the other agent cannot be asked")?;
        Ok(Self {
            known,
            target: target.to_owned(),
        })
    }

    /// Has the other take a step.
    ///
    /// # Errors
    /// In words: it is not reached, or will not. The step may be taken all the same.
    pub async fn ask(
        &self,
        agent: &Agent,
        own: &Seen,
        slots: SlotSet,
        step: TakeSlot,
    ) -> Result<SlotAnswer, String> {
        let asked = SlotStep {
            slots,
            source: own.id.clone(),
            epoch: own.own().map_or(0, |own| own.config_epoch),
            target: self.target.clone(),
            replicas: replicas(own),
            step,
        };
        let answer = self.known.ask(agent, PATH_SLOT, &asked, LIMIT).await;
        answer.map_err(|error| error.to_string())
    }
}

/// Who replicates this server.
fn replicas(own: &Seen) -> Vec<NodeId> {
    let of_own = own
        .known
        .iter()
        .filter(|entry| entry.replica_of.as_deref() == Some(own.id.as_str()));
    of_own.map(|entry| entry.id.clone()).collect()
}

/// Has this pod's server take the step that another agent asks for.
///
/// # Errors
/// Why it does not. It may have taken it for some of the slots.
pub async fn take(agent: &Agent, asked: &SlotStep) -> Result<SlotAnswer, Refused> {
    let cluster = of(agent)?;
    // No order about the role comes in between.
    let work = agent.work.lock().await;
    let server = running(&work)?;
    let begun = Instant::now();
    // Asked right before: see `may_own`.
    let mut looked = begun;
    let mut own = seen(&server).await?;
    if own.id != asked.target {
        return Err(Refused::wrong("another server is meant"));
    }
    let coming = own.opened().filter(|open| open.moves == Direction::In);
    let coming: SlotSet = coming.map(|open| open.slot).collect();
    let mut answer = SlotAnswer {
        owned: asked.slots.shared(&own.slots()),
        imports: asked.slots.shared(&coming),
        ..SlotAnswer::default()
    };
    let left = asked.slots.without(&answer.owned);
    if left.is_empty() {
        return Ok(answer);
    }
    let own_job = cluster.moves.told();
    let gives = own_job.is_some_and(|job| {
        let is_giving = job.state == MovingState::Running && !job.takes;
        is_giving && job.peer != asked.source
    });
    if gives && matches!(asked.step, TakeSlot::Import | TakeSlot::Own) {
        return Err(Refused::later(
            "the server that gets the slot gives others to a third",
        ));
    }
    match &asked.step {
        TakeSlot::Look => {}
        TakeSlot::Import => {
            answer.refused = import(agent, &server, &own, asked, &left, begun).await?;
        }
        TakeSlot::Drop(keys) => {
            may_own(&own, asked, &left).map_err(Refused::wrong)?;
            drop_cut_off(&server, asked, &left, keys).await?;
        }
        TakeSlot::Own => {
            for part in tell::parts(agent, &left) {
                is_in_time(begun)?;
                if looked.elapsed() > FRESH {
                    looked = Instant::now();
                    own = seen(&server).await?;
                }
                may_own(&own, asked, &part).map_err(Refused::wrong)?;
                server.set_slots(&part, SlotOf::Node(&asked.target)).await?;
                answer.owned = answer.owned.with(&part);
            }
            agent.look.notify_one();
        }
    }
    Ok(answer)
}

/// Has the server take keys of the slots from the source. One of which it may not holds up none of the others.
///
/// # Errors
/// Why it takes none.
async fn import(
    agent: &Agent,
    server: &Server,
    own: &Seen,
    asked: &SlotStep,
    left: &SlotSet,
    begun: Instant,
) -> Result<RefusedSlots, Refused> {
    let Importing {
        new,
        of_nobody,
        refused,
    } = Importing::of(own, asked, left).map_err(Refused::wrong)?;
    // One that has begun is finished.
    if !new.is_empty() && agent.asked.get().is_some() {
        return Err(Refused::wrong("the pod of who gets the slots ends"));
    }
    for part in tell::parts(agent, &new) {
        is_in_time(begun)?;
        let from = SlotOf::Importing(&asked.source);
        server.set_slots(&part, from).await?;
    }
    for part in tell::parts(agent, &of_nobody) {
        is_in_time(begun)?;
        let node = SlotOf::Node(&asked.source);
        server.set_slots(&part, node).await?;
    }
    Ok(refused)
}

/// A step that lasts is broken off: what is left of it is asked for again.
///
/// # Errors
/// It has lasted for too long.
fn is_in_time(begun: Instant) -> Result<(), Refused> {
    match begun.elapsed() < HOLDS {
        true => Ok(()),
        false => Err(Refused::later(
            "the server that gets the slots takes them too slowly",
        )),
    }
}

/// Removes those of these keys that are as they were sent, or of which nobody knows how, of slots that are left to
/// move.
///
/// # Errors
/// A key is of a slot that was not asked about, which may be the server's own; or the server could not be asked.
async fn drop_cut_off(
    server: &Server,
    asked: &SlotStep,
    left: &SlotSet,
    keys: &[CutOff],
) -> Result<(), Refused> {
    let names: Vec<Vec<u8>> = keys.iter().map(|cut_off| cut_off.key.clone()).collect();
    let slots = server.slots_of(&names).await?;
    let known = keys.iter().zip(&slots);
    let keys = of_slots_left(known, &asked.slots, left).map_err(Refused::wrong)?;
    let names: Vec<Vec<u8>> = keys.iter().map(|cut_off| cut_off.key.clone()).collect();
    let payloads = server.dumps(&names, true).await?;
    let known = keys.iter().zip(payloads);
    let stale = known.filter_map(|(cut_off, payload)| {
        let digest = sha256_hex(&payload?);
        let is_that = cut_off.digest.as_ref().is_none_or(|sent| *sent == digest);
        is_that.then(|| cut_off.key.clone())
    });
    let stale: Vec<Vec<u8>> = stale.collect();
    Ok(server.remove_imported(&stale).await?)
}

/// Those of the keys, with their slots, that are of slots left to move. What is in a slot that the server owns by now
/// is what counts.
fn of_slots_left<'a>(
    keys: impl Iterator<Item = (&'a CutOff, &'a u16)>,
    asked: &SlotSet,
    left: &SlotSet,
) -> Result<Vec<&'a CutOff>, String> {
    let mut those = Vec::new();
    for (key, slot) in keys {
        if !asked.contains(*slot) {
            return Err(format!("a key is of slot {slot}, which is not asked about"));
        }
        if left.contains(*slot) {
            those.push(key);
        }
    }
    Ok(those)
}

/// The slots are this server's: the source, which has no key of them, said so a moment ago. Where a replica has taken
/// over from the source since, clients may have written there, and those writes would go. As long as a slot is imported
/// this server does not hear who owns it; who leads it does hear, before clients do.
fn may_own(own: &Seen, asked: &SlotStep, slots: &SlotSet) -> Result<(), String> {
    leads(own, asked)?;
    let source = &asked.source;
    let from_source = Some((Direction::In, source.as_str()));
    if let Some(slot) = slots
        .iter()
        .find(|slot| open::of(own, *slot) != from_source)
    {
        return Err(format!("slot {slot} does not come from {source}"));
    }
    let leads = |id: &NodeId| {
        own.entry(id)
            .is_some_and(|entry| entry.replica_of.is_none())
    };
    match asked.replicas.iter().find(|id| leads(id)) {
        None => Ok(()),
        Some(id) => Err(format!("{id} leads in place of {source}")),
    }
}

/// The server is a primary that serves, and the source one that it hears. Both may be on the side of a partition where
/// nobody hears whom the others have voted for: there the cluster counts as failed before that. One that has just
/// started has not heard yet who took over from it: with a slot it would get a later epoch than that one, and all
/// slots back. Nor does it give slots to a third.
///
/// # Errors
/// Which of that is not so.
pub fn leads(own: &Seen, asked: &SlotStep) -> Result<(), String> {
    if own.replica_of().is_some() {
        return Err("the server that gets the slot is no primary".to_owned());
    }
    if !own.serves {
        return Err("the server that gets the slot does not serve".to_owned());
    }
    // With a slot it gets a later epoch. What it gives to a third may have arrived there, and it has not heard of it
    // yet: it would take that back, and its keys would be deleted there.
    let has = own.slots();
    let mut given = own.opened().filter(|open| open.moves == Direction::Out);
    if let Some(open) = given.find(|open| open.peer != asked.source && has.contains(open.slot)) {
        let (slot, peer) = (open.slot, open.peer);
        return Err(format!(
            "the server that gets the slot gives slot {slot} to {peer}"
        ));
    }
    let source = own.entry(&asked.source);
    let source = source.ok_or_else(|| format!("{} is not known here", asked.source))?;
    if source.replica_of.is_some() || source.failed || !source.connected {
        return Err(format!("{} is no primary that is heard here", asked.source));
    }
    // It takes a slot under a later epoch than all that it has heard of. Were that of the source later still, the
    // source's next word would take the slot back, and its keys would be deleted here.
    match source.config_epoch >= asked.epoch {
        true => Ok(()),
        false => Err(format!(
            "the epoch of {} is not heard here yet",
            asked.source
        )),
    }
}

#[cfg(test)]
pub mod tests {
    use hera_core::cluster::{Entry, SlotSet};

    use super::*;

    pub fn slot() -> SlotSet {
        SlotSet::of([(93, 93)])
    }

    /// The target, the source, and a replica of the source.
    pub fn view(open: &[&str]) -> Seen {
        let entry = |id: &str, of: Option<&str>| Entry {
            id: id.to_owned(),
            replica_of: of.map(str::to_owned),
            connected: true,
            ..Entry::default()
        };
        let mut target = entry("target", None);
        target.open_slots = open.iter().map(|text| (*text).to_owned()).collect();
        let mut source = entry("source", None);
        source.slots = slot();
        source.config_epoch = 7;
        Seen {
            id: "target".to_owned(),
            serves: true,
            known: vec![target, source, entry("replica", Some("source"))],
            ..Seen::default()
        }
    }

    pub fn asked(step: TakeSlot) -> SlotStep {
        SlotStep {
            slots: slot(),
            source: "source".to_owned(),
            epoch: 7,
            target: "target".to_owned(),
            replicas: vec!["replica".to_owned()],
            step,
        }
    }

    #[test]
    fn a_slot_is_owned_only_by_who_imports_it_from_that_source() {
        let own = asked(TakeSlot::Own);
        assert_eq!(may_own(&view(&["[93-<-source]"]), &own, &slot()), Ok(()));
        for open in ["[93-<-other]", "[94-<-source]", "[93->-source]"] {
            assert!(may_own(&view(&[open]), &own, &slot()).is_err(), "{open}");
        }
        assert!(may_own(&view(&[]), &own, &slot()).is_err());
    }

    #[test]
    fn a_slot_is_not_owned_once_another_leads_in_the_sources_place() {
        let own = asked(TakeSlot::Own);
        let mut led = view(&["[93-<-source]"]);
        led.known[2].replica_of = None;
        assert!(may_own(&led, &own, &slot()).is_err());
        let mut failed = view(&["[93-<-source]"]);
        failed.known[1].failed = true;
        assert!(may_own(&failed, &own, &slot()).is_err());
        let mut away = view(&["[93-<-source]"]);
        away.known[1].connected = false;
        assert!(may_own(&away, &own, &slot()).is_err());
        let mut demoted = view(&["[93-<-source]"]);
        demoted.known[1].replica_of = Some("replica".to_owned());
        assert!(may_own(&demoted, &own, &slot()).is_err());
    }

    /// The source's next word, of a later epoch than that of who took the slot, would have that one delete its keys.
    #[test]
    fn a_slot_is_not_owned_before_the_sources_epoch_was_heard() {
        let own = asked(TakeSlot::Own);
        let mut late = view(&["[93-<-source]"]);
        late.known[1].config_epoch = 6;
        assert!(may_own(&late, &own, &slot()).is_err());
        assert!(Importing::of(&view(&[]), &asked(TakeSlot::Import), &slot()).is_ok());
        late.known[0].open_slots.clear();
        assert!(Importing::of(&late, &asked(TakeSlot::Import), &slot()).is_err());
    }

    /// It may have arrived, and with a later epoch this one would take it back.
    #[test]
    fn who_gives_a_slot_to_a_third_takes_none() {
        let gives = |open: &str, has: SlotSet| {
            let mut view = view(&["[93-<-source]", open]);
            view.known[0].slots = has;
            may_own(&view, &asked(TakeSlot::Own), &slot()).is_err()
        };
        let other = || SlotSet::of([(95, 95)]);
        assert!(gives("[95->-third]", other()));
        assert!(!gives("[95->-source]", other()));
        assert!(!gives("[95->-third]", SlotSet::default()), "it has left");
        let mut view = view(&["[95->-third]"]);
        view.known[0].slots = other();
        assert!(Importing::of(&view, &asked(TakeSlot::Import), &slot()).is_err());
    }

    #[test]
    fn who_does_not_hear_the_majority_takes_no_slot() {
        let mut cut_off = view(&["[93-<-source]"]);
        cut_off.serves = false;
        assert!(may_own(&cut_off, &asked(TakeSlot::Own), &slot()).is_err());
        let mut cut_off = view(&[]);
        cut_off.serves = false;
        assert!(Importing::of(&cut_off, &asked(TakeSlot::Import), &slot()).is_err());
    }

    #[test]
    fn a_replica_takes_no_slot() {
        let mut replica = view(&[]);
        replica.known[0].replica_of = Some("source".to_owned());
        assert!(Importing::of(&replica, &asked(TakeSlot::Import), &slot()).is_err());
    }

    #[test]
    fn of_slots_that_move_together_each_is_held_against_the_rules() {
        let both = SlotSet::of([(93, 94)]);
        let own = asked(TakeSlot::Own);
        let marked = view(&["[93-<-source]", "[94-<-source]"]);
        assert_eq!(may_own(&marked, &own, &both), Ok(()));
        for open in ["[94-<-other]", "[94->-source]", "[95-<-source]"] {
            assert!(may_own(&view(&["[93-<-source]", open]), &own, &both).is_err());
        }
    }

    #[test]
    fn keys_are_dropped_of_slots_that_were_asked_about_and_are_not_owned_yet() {
        let keys = ["a", "b"].map(|name| CutOff {
            key: name.as_bytes().to_vec(),
            digest: None,
        });
        let (asked, left) = (SlotSet::of([(5, 6)]), SlotSet::of([(5, 5)]));
        let dropped = |slots: [u16; 2]| {
            let known = keys.iter().zip(&slots);
            of_slots_left(known, &asked, &left).map(|keys| keys.len())
        };
        assert_eq!(dropped([5, 5]), Ok(2));
        assert_eq!(dropped([5, 6]), Ok(1));
        assert!(dropped([5, 7]).is_err());
    }

    #[test]
    fn the_source_names_its_own_replicas() {
        let mut own = view(&[]);
        own.id = "source".to_owned();
        assert_eq!(replicas(&own), ["replica"]);
    }
}
