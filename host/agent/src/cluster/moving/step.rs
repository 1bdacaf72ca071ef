//! What two agents say to each other of a slot that moves key by key: the one that gives asks, the other has its
//! server take the step.

use std::net::IpAddr;
use std::time::Duration;

use hera_core::agent::{CutOff, PATH_SLOT, Peer, SlotAnswer, SlotStep, TakeSlot};
use hera_core::cluster::{Direction, NodeId, Server as Seen};
use hera_core::digest::sha256_hex;
use hera_redis::{Server, SlotOf};

use super::open::{self, may_replace};
use crate::agent::Agent;
use crate::cluster::orders::{of, seen};
use crate::control::answer::Refused;
use crate::control::orders::running;
use crate::control::peers::{self, Known};

/// How long the other may take: its server may wait for its replicas.
const LIMIT: Duration = Duration::from_secs(5);

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
        slot: u16,
        step: TakeSlot,
    ) -> Result<SlotAnswer, String> {
        let asked = SlotStep {
            slot,
            source: own.id.clone(),
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
/// Why it does not.
pub async fn take(agent: &Agent, asked: &SlotStep) -> Result<SlotAnswer, Refused> {
    of(agent)?;
    // No order about the role comes in between.
    let work = agent.work.lock().await;
    let server = running(&work)?;
    // Asked right before: see `may_own`.
    let own = seen(&server).await?;
    if own.id != asked.target {
        return Err(Refused::wrong("another server is meant"));
    }
    let open = open::of(&own, asked.slot);
    let mut answer = SlotAnswer {
        owned: own.slots().contains(asked.slot),
        imports: open.is_some_and(|(moves, _)| moves == Direction::In),
    };
    if answer.owned {
        return Ok(answer);
    }
    match &asked.step {
        TakeSlot::Look => {}
        TakeSlot::Import => import(agent, &server, &own, asked).await?,
        TakeSlot::Drop(keys) => {
            may_own(&own, asked).map_err(Refused::wrong)?;
            drop_cut_off(&server, asked.slot, keys).await?;
        }
        TakeSlot::Own => {
            may_own(&own, asked).map_err(Refused::wrong)?;
            let node = SlotOf::Node(&own.id);
            server.set_slot(asked.slot, node).await?;
            answer.owned = true;
            agent.look.notify_one();
        }
    }
    Ok(answer)
}

/// Has the server take keys of the slot from the source.
///
/// # Errors
/// Why it does not.
async fn import(
    agent: &Agent,
    server: &Server,
    own: &Seen,
    asked: &SlotStep,
) -> Result<(), Refused> {
    let open = open::of(own, asked.slot);
    if open != Some((Direction::In, asked.source.as_str())) {
        may_import(own, asked).map_err(Refused::wrong)?;
        // One that has begun is finished.
        if agent.asked.get().is_some() {
            return Err(Refused::wrong("the pod of who gets the slot ends"));
        }
        let from = SlotOf::Importing(&asked.source);
        server.set_slot(asked.slot, from).await?;
    }
    // Its owner went, and was forgotten. As long as the slot is imported the server does not hear who has it since,
    // and it refuses keys of a slot that nobody has. That it imports does not end by this.
    if open.is_some() && !has_owner(own, asked.slot) {
        leads(own, asked).map_err(Refused::wrong)?;
        let node = SlotOf::Node(&asked.source);
        server.set_slot(asked.slot, node).await?;
    }
    Ok(())
}

/// Somebody has the slot, by what the server has heard.
fn has_owner(own: &Seen, slot: u16) -> bool {
    own.known.iter().any(|entry| entry.slots.contains(slot))
}

/// Removes those of these keys that are as they were sent, or of which nobody knows how.
///
/// # Errors
/// A key is of another slot, which may be the server's own; or the server could not be asked.
async fn drop_cut_off(server: &Server, slot: u16, keys: &[CutOff]) -> Result<(), Refused> {
    let names: Vec<Vec<u8>> = keys.iter().map(|cut_off| cut_off.key.clone()).collect();
    let slots = server.slots_of(&names).await?;
    if slots.iter().any(|other| *other != slot) {
        return Err(Refused::wrong(format!("a key is not of slot {slot}")));
    }
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

/// The server takes keys of the slot from this source. It has heard whose the slot is: once it imports it does not hear
/// that any more.
fn may_import(own: &Seen, asked: &SlotStep) -> Result<(), String> {
    leads(own, asked)?;
    let has_it = |id: &NodeId| {
        own.entry(id)
            .is_some_and(|entry| entry.slots.contains(asked.slot))
    };
    match open::of(own, asked.slot) {
        None if has_it(&asked.source) => Ok(()),
        None => Err(format!(
            "{} has not heard yet that slot {} is that of {}",
            own.id, asked.slot, asked.source
        )),
        Some((Direction::In, before)) if may_replace(own, before, &asked.source) => Ok(()),
        Some((_, other)) => Err(format!(
            "slot {} moves between this server and {other}",
            asked.slot
        )),
    }
}

/// The slot is this server's: the source, which has no key of it, said so a moment ago. Where a replica has taken over
/// from the source since, clients may have written there, and those writes would go. As long as the slot is imported
/// this server does not hear who owns it; who leads it does hear, before clients do.
fn may_own(own: &Seen, asked: &SlotStep) -> Result<(), String> {
    leads(own, asked)?;
    if open::of(own, asked.slot) != Some((Direction::In, asked.source.as_str())) {
        return Err(format!(
            "slot {} does not come from {}",
            asked.slot, asked.source
        ));
    }
    let leads = |id: &NodeId| {
        own.entry(id)
            .is_some_and(|entry| entry.replica_of.is_none())
    };
    match asked.replicas.iter().find(|id| leads(id)) {
        None => Ok(()),
        Some(id) => Err(format!("{id} leads in place of {}", asked.source)),
    }
}

/// The server is a primary that serves, and the source one that it hears. Both may be on the side of a partition where
/// nobody hears whom the others have voted for: there the cluster counts as failed before that. One that has just
/// started has not heard yet who took over from it: with a slot it would get a later epoch than that one, and all
/// slots back.
fn leads(own: &Seen, asked: &SlotStep) -> Result<(), String> {
    if own.replica_of().is_some() {
        return Err("the server that gets the slot is no primary".to_owned());
    }
    if !own.serves {
        return Err("the server that gets the slot does not serve".to_owned());
    }
    let source = own.entry(&asked.source);
    let source = source.ok_or_else(|| format!("{} is not known here", asked.source))?;
    match source.replica_of.is_none() && !source.failed && source.connected {
        true => Ok(()),
        false => Err(format!("{} is no primary that is heard here", asked.source)),
    }
}

#[cfg(test)]
mod tests {
    use hera_core::cluster::{Entry, SlotSet};

    use super::*;

    const SLOT: u16 = 93;

    /// The target, the source, and a replica of the source.
    fn view(open: &[&str]) -> Seen {
        let entry = |id: &str, of: Option<&str>| Entry {
            id: id.to_owned(),
            replica_of: of.map(str::to_owned),
            connected: true,
            ..Entry::default()
        };
        let mut target = entry("target", None);
        target.open_slots = open.iter().map(|text| (*text).to_owned()).collect();
        let mut source = entry("source", None);
        source.slots = SlotSet::of([(SLOT, SLOT)]);
        Seen {
            id: "target".to_owned(),
            serves: true,
            known: vec![target, source, entry("replica", Some("source"))],
            ..Seen::default()
        }
    }

    fn asked(step: TakeSlot) -> SlotStep {
        SlotStep {
            slot: SLOT,
            source: "source".to_owned(),
            target: "target".to_owned(),
            replicas: vec!["replica".to_owned()],
            step,
        }
    }

    #[test]
    fn a_slot_is_owned_only_by_who_imports_it_from_that_source() {
        let own = asked(TakeSlot::Own);
        assert_eq!(may_own(&view(&["[93-<-source]"]), &own), Ok(()));
        for open in ["[93-<-other]", "[94-<-source]", "[93->-source]"] {
            assert!(may_own(&view(&[open]), &own).is_err(), "{open}");
        }
        assert!(may_own(&view(&[]), &own).is_err());
    }

    #[test]
    fn a_slot_is_not_owned_once_another_leads_in_the_sources_place() {
        let own = asked(TakeSlot::Own);
        let mut led = view(&["[93-<-source]"]);
        led.known[2].replica_of = None;
        assert!(may_own(&led, &own).is_err());
        let mut failed = view(&["[93-<-source]"]);
        failed.known[1].failed = true;
        assert!(may_own(&failed, &own).is_err());
        let mut away = view(&["[93-<-source]"]);
        away.known[1].connected = false;
        assert!(may_own(&away, &own).is_err());
        let mut demoted = view(&["[93-<-source]"]);
        demoted.known[1].replica_of = Some("replica".to_owned());
        assert!(may_own(&demoted, &own).is_err());
    }

    #[test]
    fn who_does_not_hear_the_majority_takes_no_slot() {
        let mut cut_off = view(&["[93-<-source]"]);
        cut_off.serves = false;
        assert!(may_own(&cut_off, &asked(TakeSlot::Own)).is_err());
        let mut cut_off = view(&[]);
        cut_off.serves = false;
        assert!(may_import(&cut_off, &asked(TakeSlot::Import)).is_err());
    }

    #[test]
    fn a_replica_takes_no_slot() {
        let mut replica = view(&[]);
        replica.known[0].replica_of = Some("source".to_owned());
        assert!(may_import(&replica, &asked(TakeSlot::Import)).is_err());
    }

    #[test]
    fn a_slot_that_comes_from_one_who_leads_is_not_taken_from_another() {
        let import = asked(TakeSlot::Import);
        assert_eq!(may_import(&view(&[]), &import), Ok(()));
        assert_eq!(may_import(&view(&["[93-<-source]"]), &import), Ok(()));
        // Who led before, and was forgotten since.
        assert_eq!(may_import(&view(&["[93-<-before]"]), &import), Ok(()));
        let mut both = view(&["[93-<-other]"]);
        both.known.push(Entry {
            id: "other".to_owned(),
            ..Entry::default()
        });
        assert!(may_import(&both, &import).is_err());
        assert!(may_import(&view(&["[93->-source]"]), &import).is_err());
    }

    #[test]
    fn a_slot_whose_owner_was_not_heard_yet_is_not_imported() {
        let import = asked(TakeSlot::Import);
        let mut new = view(&[]);
        new.known[1].slots = SlotSet::default();
        assert!(!has_owner(&new, SLOT));
        assert!(may_import(&new, &import).is_err());
        let mut late = view(&[]);
        late.known.swap(1, 2);
        late.known[2].slots = SlotSet::default();
        late.known[1].slots = SlotSet::of([(SLOT, SLOT)]);
        assert!(has_owner(&late, SLOT));
        assert!(may_import(&late, &import).is_err());
    }

    #[test]
    fn the_source_names_its_own_replicas() {
        let mut own = view(&[]);
        own.id = "source".to_owned();
        assert_eq!(replicas(&own), ["replica"]);
    }
}
