//! Figures about each object, read from its status when they are asked for: nothing to keep up to date, and
//! what is gone is told no more. What a status does not have, passes note.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use hera_api::conditions::degraded;
use hera_api::{BackupOverview, Engine, Phase, PolicyStatus, Received};
use hera_metrics::Families;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::reflector::Store;

use super::moves::{Last, Moves};
use crate::controllers::driver::Controlled;
use crate::object::ObjectKey;

/// What there is to tell of an object.
#[derive(Default)]
pub struct Figures<'a> {
    /// Of its status.
    pub conditions: &'a [Condition],
    /// Data pods that its spec wants.
    pub pods: i32,
    /// Those that serve.
    pub pods_ready: i32,
    /// Primaries that its spec wants: one for each shard.
    pub primaries: i32,
    /// Those that there are.
    pub primaries_there: usize,
    /// What its servers are.
    pub engine: Option<Engine>,
    /// Their version.
    pub version: Option<&'a str>,
    /// In one word.
    pub phase: Option<Phase>,
    /// Somebody asked that there be no pods for now, though some may be there still.
    pub hibernates: bool,
    /// Who decides.
    pub policies: &'a [PolicyStatus],
    /// What there is of it in its store, if it has one.
    pub backup: Option<&'a BackupOverview>,
}

/// The objects that there are figures of.
#[derive(Default)]
pub struct Objects {
    stores: RwLock<Vec<Box<dyn Measured>>>,
    /// How their primaries moved.
    pub moves: Moves,
    /// Until when the agents' certificates are good, since 1970.
    certificates: Mutex<HashMap<ObjectKey, Duration>>,
    /// Whose rolls do not go on, and why.
    stopped_rolls: Mutex<HashMap<ObjectKey, &'static str>>,
    /// Slots of clusters that move, and how many moved since this process leads.
    slots: Mutex<HashMap<ObjectKey, (SlotFigures, usize)>>,
    /// Backups of which nothing came since this process leads.
    failed_backups: Mutex<HashMap<ObjectKey, usize>>,
}

/// How far slots are that move between shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotFigures {
    /// Stands for the plan by which they move, if there is one.
    pub plan: Option<String>,
    /// Those that have not moved yet; of a plan that has just ended, those that never will.
    pub left: usize,
    /// Keys that are too large to be moved.
    pub too_large: usize,
}

impl Objects {
    /// Tells of these from now on.
    pub fn watch<K: Controlled>(&self, store: Store<Received<K>>) {
        let mut stores = self.stores.write().unwrap_or_else(PoisonError::into_inner);
        stores.push(Box::new(store));
    }

    /// Adds what there is to tell.
    pub fn add(&self, families: &mut Families) {
        let stores = self.stores.read().unwrap_or_else(PoisonError::into_inner);
        stores.iter().for_each(|store| store.add(self, families));
    }

    /// The certificate of an object's agents is good until then, since 1970; none if there is none.
    pub fn note_certificate(&self, object: &ObjectKey, until: Option<Duration>) {
        let mut certificates = self.certificates();
        match until {
            Some(until) => certificates.insert(object.clone(), until),
            None => certificates.remove(object),
        };
    }

    /// A roll of an object waits for longer than it should, or failed and went back; or neither. `Degraded` has one
    /// reason, which may be a graver one.
    pub fn note_roll(&self, object: &ObjectKey, is_stalled: bool, went_back: bool) {
        let mut stopped = self.stopped_rolls();
        match (is_stalled, went_back) {
            (true, _) => stopped.insert(object.clone(), degraded::ROLL_STOPPED),
            (false, true) => stopped.insert(object.clone(), degraded::ROLLED_BACK),
            (false, false) => stopped.remove(object),
        };
    }

    /// A backup of an object was given up.
    pub fn note_failed_backup(&self, object: &ObjectKey) {
        *self.failed_backups().entry(object.clone()).or_default() += 1;
    }

    /// So far are the slots of a cluster that move.
    pub fn note_slots(&self, object: &ObjectKey, now: SlotFigures) {
        let mut slots = self.slots();
        let (before, moved) = slots.entry(object.clone()).or_default();
        // When a plan has ended, what is left of it is told once more.
        let same = before.plan == now.plan || now.plan.is_none();
        *moved += match before.plan.is_some() && same {
            true => before.left.saturating_sub(now.left),
            false => 0,
        };
        *before = now;
    }

    /// Drops what is noted of an object that is gone.
    pub fn forget(&self, object: &ObjectKey) {
        self.moves.forget(object);
        self.slots().remove(object);
        self.certificates().remove(object);
        self.stopped_rolls().remove(object);
        self.failed_backups().remove(object);
    }

    fn noted(&self, object: &ObjectKey) -> Noted {
        Noted {
            last: self.moves.last(object),
            certificate: self.certificates().get(object).copied(),
            stopped_roll: self.stopped_rolls().get(object).copied(),
            slots: self.slots().get(object).cloned(),
            failed_backups: self.failed_backups().get(object).copied().unwrap_or(0),
        }
    }

    fn failed_backups(&self) -> MutexGuard<'_, HashMap<ObjectKey, usize>> {
        let failed = self.failed_backups.lock();
        failed.unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<ObjectKey, (SlotFigures, usize)>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped_rolls(&self) -> MutexGuard<'_, HashMap<ObjectKey, &'static str>> {
        let stopped = self.stopped_rolls.lock();
        stopped.unwrap_or_else(PoisonError::into_inner)
    }

    fn certificates(&self) -> MutexGuard<'_, HashMap<ObjectKey, Duration>> {
        let certificates = self.certificates.lock();
        certificates.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What passes noted of an object.
struct Noted {
    last: Last,
    certificate: Option<Duration>,
    stopped_roll: Option<&'static str>,
    slots: Option<(SlotFigures, usize)>,
    failed_backups: usize,
}

trait Measured: Send + Sync {
    fn add(&self, objects: &Objects, families: &mut Families);
}

impl<K: Controlled> Measured for Store<Received<K>> {
    fn add(&self, known: &Objects, families: &mut Families) {
        let objects = self.state();
        // In one order, so that two scrapes can be compared.
        let read = objects.iter().filter_map(|object| {
            let read = object.0.as_ref().ok()?;
            Some((ObjectKey::of(&**object), read))
        });
        let sorted: BTreeMap<ObjectKey, &K> = read.collect();
        for (key, object) in sorted {
            let (figures, noted) = (object.figures(), known.noted(&key));
            add(&key, K::LABEL, &figures, families);
            add_noted(&key, K::LABEL, &noted, families);
            if let Some(backup) = figures.backup {
                add_backup(&key, K::LABEL, backup, noted.failed_backups, families);
            }
        }
    }
}

fn as_figure(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn labels<'a>(key: &'a ObjectKey, kind: &'a str) -> [(&'static str, &'a str); 3] {
    [
        ("kind", kind),
        ("namespace", key.namespace.as_str()),
        ("name", key.name.as_str()),
    ]
}

fn add_backup(
    key: &ObjectKey,
    kind: &str,
    backup: &BackupOverview,
    failed: usize,
    families: &mut Families,
) {
    let own = labels(key, kind);
    let name = "hera_backup_failures_total";
    let help = "Backups of which nothing came since this replica leads.";
    families.counter(name, help, &own, as_figure(failed));
    let last = backup.last_backup.as_ref().map(|last| &last.instant);
    for (name, help, at) in [
        (
            "hera_backup_last_success_timestamp_seconds",
            "The instant that the last good backup holds.",
            last,
        ),
        (
            "hera_backup_first_recoverable_timestamp_seconds",
            "The earliest instant that can be recovered, as of the last sweep.",
            backup.first_recoverable.as_ref(),
        ),
    ] {
        let seconds = at.and_then(|at| u32::try_from(at.0.as_second()).ok());
        if let Some(seconds) = seconds {
            families.gauge(name, help, &own, f64::from(seconds));
        }
    }
}

fn add_noted(key: &ObjectKey, kind: &str, noted: &Noted, families: &mut Families) {
    let Noted {
        last,
        certificate,
        stopped_roll,
        slots,
        failed_backups: _,
    } = noted;
    if let Some((slots, moved)) = slots {
        let own = labels(key, kind);
        for (name, help, value) in [
            (
                "hera_object_slots_to_move",
                "Slots that are to move between shards and have not yet.",
                slots.left,
            ),
            (
                "hera_object_keys_too_large",
                "Keys that are too large to be moved, so that their slots stay.",
                slots.too_large,
            ),
        ] {
            families.gauge(name, help, &own, as_figure(value));
        }
        let help = "Slots that moved between shards since this replica leads.";
        let moved = as_figure(*moved);
        families.counter("hera_object_slots_moved_total", help, &own, moved);
    }
    if let Some(reason) = stopped_roll {
        let own = labels(key, kind).into_iter();
        let more: Vec<_> = own.chain([("reason", *reason)]).collect();
        let (name, help) = (
            "hera_object_roll_stopped",
            "1 while a roll waits for longer than it should, or went back.",
        );
        families.gauge(name, help, &more, 1.0);
    }
    for (name, help, value) in [
        (
            "hera_object_last_handover_seconds",
            "How long nobody served writes when a primary last handed over.",
            last.handover.map(|moved| moved.took),
        ),
        (
            "hera_object_last_handover_timestamp_seconds",
            "When a primary last handed over.",
            last.handover.map(|moved| moved.at),
        ),
        (
            "hera_object_last_failover_seconds",
            "How long nobody led when a lost primary was last replaced by another.",
            last.failover.map(|moved| moved.took),
        ),
        (
            "hera_object_last_failover_timestamp_seconds",
            "When a lost primary was last replaced by another.",
            last.failover.map(|moved| moved.at),
        ),
        (
            "hera_object_agent_certificate_expires_timestamp_seconds",
            "Until when the certificate of its agents is good.",
            *certificate,
        ),
    ] {
        if let Some(value) = value {
            let own = labels(key, kind);
            families.gauge(name, help, &own, value.as_secs_f64());
        }
    }
}

fn add(key: &ObjectKey, kind: &str, figures: &Figures<'_>, families: &mut Families) {
    let own = labels(key, kind);
    let with = |more: &[(&'static str, &str)], name: &str, help: &str, value, to: &mut Families| {
        let labels: Vec<(&str, &str)> = own.iter().chain(more).copied().collect();
        to.gauge(name, help, &labels, value);
    };
    let is = |condition: &Condition| f64::from(u8::from(condition.status == "True"));
    let ready = figures.conditions.iter().find(|c| c.type_ == "Ready");
    let help = "1 while the object is Ready.";
    with(
        &[],
        "hera_object_ready",
        help,
        ready.map_or(0.0, is),
        families,
    );
    for condition in figures.conditions {
        let more = [
            ("condition", condition.type_.as_str()),
            ("reason", condition.reason.as_str()),
        ];
        let help = "1 while the condition is True; its reason, whatever it is.";
        with(
            &more,
            "hera_object_condition",
            help,
            is(condition),
            families,
        );
    }
    // Who hibernates, or is on its way to that, wants no pods, whatever its spec has for later.
    let rests = figures.hibernates || figures.phase == Some(Phase::Hibernated);
    let wanted = |count: i32| match rests {
        true => 0.0,
        false => f64::from(count),
    };
    let there = u32::try_from(figures.primaries_there).unwrap_or(u32::MAX);
    for (name, help, value) in [
        (
            "hera_object_pods_wanted",
            "Data pods that the spec asks for.",
            wanted(figures.pods),
        ),
        (
            "hera_object_pods_ready",
            "Data pods that serve.",
            f64::from(figures.pods_ready),
        ),
        (
            "hera_object_primaries_wanted",
            "Shards, each of which has a primary when all is well.",
            wanted(figures.primaries),
        ),
        (
            "hera_object_primaries_there",
            "Shards that have a primary.",
            f64::from(there),
        ),
    ] {
        with(&[], name, help, value, families);
    }
    let engine = figures.engine.map(|engine| engine.to_string());
    let phase = figures.phase.map(|phase| format!("{phase:?}"));
    let more = [
        ("engine", engine.as_deref().unwrap_or_default()),
        ("version", figures.version.unwrap_or_default()),
        ("phase", phase.as_deref().unwrap_or_default()),
    ];
    with(
        &more,
        "hera_object_info",
        "What the object is.",
        1.0,
        families,
    );
    for policy in figures.policies {
        let Some(source) = &policy.source else {
            continue;
        };
        let source = format!("{:?}", source.kind);
        let more = [
            ("decision", policy.decision.as_str()),
            ("source", source.as_str()),
        ];
        let help = "Where the policy comes from that decides.";
        with(&more, "hera_object_policy_info", help, 1.0, families);
    }
}

#[cfg(test)]
mod tests;
