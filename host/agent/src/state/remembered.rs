//! What the agent remembers. Pure.

use hera_core::agent::{Members, Memory};
use hera_core::term;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::volume::dump::Dump;

/// Pods of a volume that are remembered.
const PODS: usize = 9;

/// Which file holds the data after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The append-only file.
    Aof,
    /// The snapshot.
    Rdb,
}

/// Whom the server is to follow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Following {
    /// Epoch of that primary.
    #[serde(alias = "reign")]
    pub epoch: u64,
    /// Uid of its pod.
    pub primary_uid: String,
    /// Its address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Lineage of its data; empty if nobody said.
    pub lineage: String,
}

/// An epoch, who was its primary, and what else says which history a copy is of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Epoch {
    /// Its number.
    #[serde(alias = "reign")]
    pub epoch: u64,
    /// Uid of the primary's pod.
    pub primary_uid: String,
    /// [`State::lineage`].
    pub lineage: String,
    /// [`State::inherited`].
    pub inherited: bool,
    /// [`State::left`].
    pub left: bool,
}

/// For how long it had vouched for nobody when it promised something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Quiet {
    /// The epoch that it promised then: an agent of an earlier release promises more without telling.
    #[serde(alias = "reign")]
    pub epoch: u64,
    /// Milliseconds.
    pub millis: u64,
}

/// What is remembered over restarts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// Highest term seen, as it was stored: see [`State::seen_term`].
    pub term: u64,
    /// Term at the last promotion.
    pub promoted_term: u64,
    /// Epoch of the data: that of the last promotion, or of the primary that it was in sync with.
    #[serde(alias = "reign")]
    pub epoch: u64,
    /// Uid of the pod that was the primary of that epoch.
    pub primary_uid: String,
    /// True if the server was promoted in that epoch and not demoted since.
    pub primary: bool,
    /// Uid of the object under which the history of this data began; empty before it did.
    pub lineage: String,
    /// The data is from before this object: it was promoted, and in sync with a primary, only before.
    pub inherited: bool,
    /// A scale-down left this copy behind.
    pub left: bool,
    /// What the volume has, while that is not what the server has.
    pub on_disk: Option<Epoch>,
    /// Whom it was last told to follow, unless it was promoted since.
    pub following: Option<Following>,
    /// No primary of this epoch or of an earlier one is vouched for.
    #[serde(alias = "forsworn")]
    pub promised_epoch: u64,
    /// How quiet it was when it promised that.
    pub quiet: Quiet,
    /// The server stays down until it is to follow or to be promoted.
    pub fenced: bool,
    /// It led when it was stopped, and is not in sync with who led next yet.
    pub deposed: bool,
    /// The data pods, as the operator last told.
    pub members: Option<Members>,
    /// Replication id at the last clean stop.
    pub replication_id: String,
    /// Replication offset at the last clean stop.
    pub offset: u64,
    /// True if the last stop was clean.
    pub clean: bool,
    /// Uid of the object for which the server last ran.
    pub owner: String,
    /// Uids of the pods that had this volume last; the last one has it now.
    pub pods: Vec<String>,
    /// Which file holds the data; unknown on a volume that no agent has seen.
    pub source: Option<Source>,
    /// The server started from a snapshot, and its append-only file is not whole yet.
    pub log_due: bool,
    /// The snapshot when the last server ended and stayed down; none if it ended otherwise.
    pub dump: Option<Dump>,
    /// The next server of a cluster knows nothing of it.
    pub rejoins: bool,
    /// The data came from a backup, and no server has read it yet.
    pub unread: bool,
    /// What a later version wrote.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl State {
    /// What of it is the operator's business.
    pub fn memory(&self) -> Memory {
        Memory {
            epoch: self.epoch,
            primary_uid: self.primary_uid.clone(),
            was_primary: self.primary,
            offset: self.offset,
            lineage: self.lineage.clone(),
            inherited: self.inherited,
            left: Some(self.left),
            promised_epoch: self.promised_epoch,
            deposed: self.deposed,
            quiet_ms: match self.quiet.epoch == self.promised_epoch {
                true => self.quiet.millis,
                false => 0,
            },
            former: match self.pods.as_slice() {
                [former @ .., _] => former.to_vec(),
                [] => Vec::new(),
            },
            unsaved: self.on_disk.is_some() || self.log_due,
        }
    }

    /// The highest term seen. Agents of earlier releases stored what no Lease can have given, where one
    /// agent in the cluster had told it: that counts for none.
    pub fn seen_term(&self) -> u64 {
        match term::is_term(self.term) {
            true => self.term,
            false => 0,
        }
    }

    /// A leader of that term speaks. None is lowered but what is no term.
    pub fn hears(&mut self, term: u64) {
        if !term::is_term(self.promoted_term) {
            self.promoted_term = 0;
        }
        self.term = self.seen_term().max(term);
    }

    /// Promises to vouch for nobody of this epoch or an earlier one, having been quiet for so many
    /// milliseconds, or 0 where that is not known. What was promised before stays.
    pub fn promises(&mut self, epoch: u64, millis: u64) {
        if epoch > self.promised_epoch {
            self.promised_epoch = epoch;
            self.quiet = Quiet { epoch, millis };
        }
    }

    /// The server stays down from now on.
    pub fn is_fenced(&mut self) {
        self.fenced = true;
        self.deposed |= self.primary;
    }

    /// The agent of this pod holds the lock on the volume now, and no other does.
    pub fn is_held_by(&mut self, pod: &str) {
        if self.pods.last().is_none_or(|last| last != pod) {
            self.pods.push(pod.to_owned());
            let old = self.pods.len().saturating_sub(PODS);
            self.pods.drain(..old);
        }
    }

    /// What the volume has, as long as the server has no more.
    fn on_volume(&self) -> Epoch {
        Epoch {
            epoch: self.epoch,
            primary_uid: self.primary_uid.clone(),
            lineage: self.lineage.clone(),
            inherited: self.inherited,
            left: self.left,
        }
    }

    /// The primary that it knows of: epoch and uid of the pod.
    pub fn known(&self) -> (u64, &str) {
        match &self.following {
            Some(following) => (following.epoch, &following.primary_uid),
            None => (self.epoch, &self.primary_uid),
        }
    }

    /// The server is in sync with the primary that it was told to follow. `saved` tells that the
    /// volume has that data too.
    pub fn in_sync(&mut self, saved: bool) {
        let Some(whom) = &self.following else { return };
        self.unread = false;
        if !saved {
            let before = self.on_volume();
            self.on_disk.get_or_insert(before);
        }
        self.epoch = whom.epoch;
        self.primary_uid.clone_from(&whom.primary_uid);
        // A primary that does not say began its history under this object.
        match whom.lineage.is_empty() {
            true => self.lineage.clone_from(&self.owner),
            false => self.lineage.clone_from(&whom.lineage),
        }
        self.inherited = false;
        self.left = false;
        self.deposed = false;
    }

    /// The volume takes no more of what the server, a replica, receives: what it has of the epoch is a
    /// part of it, and ranks after whole copies.
    pub fn falls_behind(&mut self) {
        let before = Epoch {
            epoch: self.epoch.saturating_sub(1),
            ..self.on_volume()
        };
        self.on_disk.get_or_insert(before);
    }

    /// The server is the primary of an epoch from now on. Before its append-only file is whole the volume
    /// has no more than the epoch before.
    pub fn begins(&mut self, epoch: u64, uid: &str) {
        self.unread = false;
        if self.log_due {
            let before = self.on_volume();
            self.on_disk.get_or_insert(before);
        }
        self.epoch = epoch;
        uid.clone_into(&mut self.primary_uid);
        self.primary = true;
        self.promoted_term = self.term;
        if self.lineage.is_empty() {
            self.lineage.clone_from(&self.owner);
        }
        self.inherited = false;
        self.left = false;
        self.following = None;
        self.fenced = false;
        self.deposed = false;
    }

    /// The next server reads what came from a backup, and finds it there.
    pub fn is_recovered(&mut self, source: Source) {
        self.source = Some(source);
        self.unread = true;
    }

    /// The next server reads an append-only file that no server has written to: one that ends in the middle of a
    /// command is none that was put there. A server that follows another may write to it.
    pub fn has_whole_log(&self) -> bool {
        self.unread && self.source == Some(Source::Aof) && self.following.is_none()
    }

    /// A server of `object` starts. An offset that no clean stop followed says nothing.
    ///
    /// Whose copy is the latest counts for an object that is made anew over old volumes, too; who the
    /// data pods were and whom to follow does not.
    pub fn starts(&mut self, object: &str) {
        if let Some(on_disk) = self.on_disk.take() {
            if self.primary {
                // Nobody else was of its epoch, and none is to be again.
                self.promises(self.epoch, 0);
            }
            self.primary = false;
            self.epoch = on_disk.epoch;
            self.primary_uid = on_disk.primary_uid;
            self.lineage = on_disk.lineage;
            (self.inherited, self.left) = (on_disk.inherited, on_disk.left);
        }
        if self.owner != object && !self.owner.is_empty() {
            // 1259106 named no lineage.
            if self.lineage.is_empty() && self.epoch > 0 {
                self.lineage.clone_from(&self.owner);
            }
            self.inherited = self.epoch > 0;
            self.following = None;
            self.members = None;
            self.fenced = false;
            self.deposed = false;
        }
        object.clone_into(&mut self.owner);
        self.dump = None;
        if !self.clean {
            self.replication_id.clear();
            self.offset = 0;
        }
        self.clean = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_counts_once_and_only_after_a_clean_stop() {
        let mut state = State {
            offset: 9,
            clean: true,
            ..State::default()
        };
        state.starts("o");
        assert_eq!((state.memory().offset, state.clean), (9, false));
        state.starts("o");
        assert_eq!(state.memory().offset, 0);
    }

    #[test]
    fn an_epoch_whose_data_did_not_reach_the_volume_is_lost_with_the_server() {
        let following = |epoch| Following {
            epoch,
            primary_uid: "b".to_owned(),
            ..Following::default()
        };
        let mut state = State {
            epoch: 7,
            primary_uid: "a".to_owned(),
            following: Some(following(8)),
            ..State::default()
        };
        state.in_sync(false);
        state.following = Some(following(9));
        state.in_sync(false);
        assert_eq!(state.memory().epoch, 9);
        let mut promoted = state.clone();
        state.starts("o");
        assert_eq!((state.epoch, state.primary_uid.as_str()), (7, "a"));
        assert_eq!(state.promised_epoch, 0);
        promoted.epoch = 10;
        promoted.primary = true;
        promoted.starts("o");
        assert_eq!(
            (promoted.epoch, promoted.promised_epoch, promoted.primary),
            (7, 10, false)
        );
    }

    #[test]
    fn a_log_from_a_backup_is_whole_until_a_server_may_have_written_to_it() {
        let mut state = State::default();
        state.is_recovered(Source::Rdb);
        assert!(!state.has_whole_log());
        state.is_recovered(Source::Aof);
        state.starts("o");
        assert!(state.has_whole_log());
        let mut follows = state.clone();
        follows.following = Some(Following::default());
        assert!(!follows.has_whole_log());
        state.begins(1, "a");
        assert!(!state.has_whole_log());
    }

    #[test]
    fn a_copy_that_fell_behind_in_its_epoch_ranks_after_whole_ones_once_its_server_ends() {
        let mut state = State {
            epoch: 7,
            ..State::default()
        };
        state.falls_behind();
        assert!(state.memory().unsaved);
        assert_eq!(state.memory().epoch, 7);
        state.starts("o");
        assert_eq!((state.epoch, state.memory().unsaved), (6, false));
    }

    #[test]
    fn how_quiet_it_was_counts_for_that_promise_alone() {
        let mut state = State::default();
        state.promises(7, 9_000);
        state.promises(6, 1);
        assert_eq!(state.memory().quiet_ms, 9_000);
        let by_an_earlier_release = State {
            promised_epoch: 8,
            ..state.clone()
        };
        assert_eq!(by_an_earlier_release.memory().quiet_ms, 0);
        state.promises(8, 0);
        assert_eq!(state.memory().quiet_ms, 0);
    }

    #[test]
    fn a_primary_that_was_stopped_is_deposed_until_it_is_in_sync_with_the_next() {
        let mut state = State::default();
        state.is_fenced();
        assert!(!state.memory().deposed, "a replica");
        state.begins(7, "a");
        state.is_fenced();
        state.primary = false;
        state.following = Some(Following {
            epoch: 8,
            ..Following::default()
        });
        assert!(state.memory().deposed);
        state.in_sync(true);
        assert!(!state.memory().deposed);
    }

    #[test]
    fn a_volume_knows_the_pods_that_had_it_before() {
        let mut state = State::default();
        assert_eq!(state.memory().former, Vec::<String>::new());
        for pod in ["a", "a", "b"] {
            state.is_held_by(pod);
        }
        assert_eq!(state.memory().former, ["a"]);
        (0..20).for_each(|pod| state.is_held_by(&format!("pod-{pod}")));
        let former = state.memory().former;
        assert_eq!((former.len(), former[7].as_str()), (8, "pod-18"));
    }

    #[test]
    fn a_term_that_no_lease_gave_is_forgotten_and_no_other_is_lowered() {
        for poisoned in [term::END, u64::MAX - 1, u64::MAX] {
            let mut state = State {
                term: poisoned,
                promoted_term: poisoned,
                ..State::default()
            };
            assert_eq!(state.seen_term(), 0);
            state.hears(7);
            assert_eq!((state.term, state.promoted_term), (7, 0));
        }
        let mut state = State {
            term: term::END - 1,
            ..State::default()
        };
        state.hears(7);
        assert_eq!(state.seen_term(), term::END - 1);
    }

    /// Otherwise the number of keys decided whose data an object got that was made anew.
    #[test]
    fn a_volume_of_another_object_keeps_its_lineage_and_forgets_whom_it_followed() {
        let mut state = State {
            epoch: 7,
            primary_uid: "a".to_owned(),
            primary: true,
            pods: vec!["a".to_owned()],
            owner: "o".to_owned(),
            following: Some(Following::default()),
            members: Some(Members::default()),
            left: true,
            ..State::default()
        };
        state.starts("o");
        assert!(!state.memory().inherited);
        state.starts("p");
        let memory = state.memory();
        assert_eq!((memory.epoch, memory.lineage.as_str()), (7, "o"));
        assert!(memory.was_primary && memory.inherited && memory.left == Some(true));
        assert_eq!((&state.following, &state.members), (&None, &None));
        state.begins(8, "b");
        let memory = state.memory();
        assert_eq!((memory.lineage.as_str(), memory.inherited), ("o", false));
        assert_eq!(memory.left, Some(false));
    }

    #[test]
    fn a_copy_is_of_the_lineage_of_the_primary_that_it_is_in_sync_with() {
        let mut state = State {
            owner: "p".to_owned(),
            left: true,
            following: Some(Following {
                epoch: 8,
                lineage: "o".to_owned(),
                ..Following::default()
            }),
            ..State::default()
        };
        state.in_sync(true);
        let memory = state.memory();
        assert_eq!((memory.lineage.as_str(), memory.left), ("o", Some(false)));
        let mut first = State::default();
        first.starts("p");
        first.begins(1, "a");
        assert_eq!(first.memory().lineage, "p", "a history begins");
    }

    #[test]
    fn whom_it_is_told_to_follow_counts_before_whom_it_was_in_sync_with() {
        let mut state = State {
            epoch: 7,
            primary_uid: "a".to_owned(),
            ..State::default()
        };
        assert_eq!(state.known(), (7, "a"));
        state.following = Some(Following {
            epoch: 8,
            primary_uid: "b".to_owned(),
            ..Following::default()
        });
        assert_eq!(state.known(), (8, "b"));
    }
}
