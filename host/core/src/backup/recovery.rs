//! An object that begins with a backup: while that is due, what its agents are ordered, and whether the data has room.

use serde::{Deserialize, Serialize};

use super::{BaseManifest, Failure, FailureReason, RecoveryNews};

/// What a server may use beyond what the one used that was backed up: one part in so many.
const MEMORY_BEYOND: u64 = 5;
/// What a volume has beyond the data: one part in so many.
const VOLUME_BEYOND: u64 = 10;
/// What ends before data is read is tried again after this; in milliseconds.
const SOON: u64 = 15_000;
/// What takes hundreds of requests to find out is found out again after this.
const EACH_MINUTE: u64 = 60_000;
/// What ends after data was read is tried again after this: stores ask money for each time.
const LATER: u64 = 900_000;

/// What is known of an object that may have to begin with a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Its spec names a backup.
    pub asked: bool,
    /// Its status tells with which backup it began.
    pub over: bool,
    /// Whether its ConfigMap has agents wait for the data; none while there is no ConfigMap.
    pub told: Option<bool>,
    /// It has a StatefulSet.
    pub made: bool,
    /// A server of it has run, by its status.
    pub lived: bool,
    /// An agent of it holds its server down for the data.
    pub held: bool,
}

impl Beginning {
    /// True while the object is to begin with a backup. A spec that names one once servers have run says nothing.
    pub fn is_due(self) -> bool {
        let is_new = !self.lived && (!self.made || self.told.is_none());
        self.asked && !self.over && (is_new || self.told == Some(true) || self.held)
    }
}

impl RecoveryNews {
    /// True while the agent holds its server down.
    pub fn holds(&self) -> bool {
        match self {
            Self::Waiting | Self::Running | Self::Failed { .. } => true,
            Self::Done { .. } => false,
        }
    }

    /// True if the agent does nothing before it is ordered something.
    fn waits(&self) -> bool {
        match self {
            Self::Waiting | Self::Failed { .. } => true,
            Self::Running | Self::Done { .. } => false,
        }
    }
}

/// What an agent is ordered about the beginning of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// To fetch the data.
    Recover,
    /// To start its server without.
    StartWithout,
}

/// What the agent of the pod of this ordinal is ordered next. Data comes to the first pod alone, and to none once it is
/// not `due` any more.
pub fn next(due: bool, ordinal: u32, news: Option<&RecoveryNews>) -> Next {
    match news.is_some_and(RecoveryNews::waits) {
        true if !due => Next::StartWithout,
        true if ordinal == 0 => Next::Recover,
        _ => Next::Nothing,
    }
}

/// Milliseconds after which what failed so is tried again. Data that an agent found may be taken away: it looks before
/// each attempt.
pub fn again_after_ms(reason: FailureReason) -> u64 {
    match reason {
        FailureReason::Corrupt => LATER,
        FailureReason::TimeNotCovered | FailureReason::SeveralSources => EACH_MINUTE,
        FailureReason::StoreUnreachable
        | FailureReason::CredentialsRefused
        | FailureReason::PathOwned
        | FailureReason::NoCopyFits
        | FailureReason::NoHeadroom
        | FailureReason::SnapshotTooSlow
        | FailureReason::LostItsPod
        | FailureReason::ServerRefused
        | FailureReason::Cancelled
        | FailureReason::NoSuchBackup
        | FailureReason::TooSmall
        | FailureReason::DataPresent
        | FailureReason::VersionIncompatible
        | FailureReason::LogBehind => SOON,
    }
}

/// How large what is stored is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Bytes of the data before it was packed.
    pub raw_bytes: u64,
    /// What the server used of its memory, in bytes.
    pub used_memory: u64,
}

/// How much may be put there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// What the server may fill, in bytes; none if it has no limit.
    pub maxmemory: Option<u64>,
    /// Size of the volume, in bytes; none if that is not known, or if there is none.
    pub volume: Option<u64>,
}

/// Whether what is stored has room.
///
/// # Errors
/// [`FailureReason::TooSmall`], with what is to be made larger.
pub fn check_room(stored: Stored, room: Room) -> Result<(), Failure> {
    let Stored {
        raw_bytes,
        used_memory,
    } = stored;
    let memory = with_part(used_memory, MEMORY_BEYOND);
    if let Some(has) = room.maxmemory.filter(|has| *has < memory) {
        return Err(too_small(format!(
            "the server that was backed up used {} MiB, and a new one is to have a fifth more: {} MiB; maxmemory is {} \
             MiB: raise resources.limits.memory, or config.maxmemory",
            mib(used_memory),
            mib(memory),
            has >> 20
        )));
    }
    let volume = with_part(raw_bytes, VOLUME_BEYOND);
    if let Some(has) = room.volume.filter(|has| *has < volume) {
        return Err(too_small(format!(
            "the data takes {} MiB, and the volume is to have a tenth more: {} MiB; it has {} MiB: raise \
             persistence.size",
            mib(raw_bytes),
            mib(volume),
            has >> 20
        )));
    }
    Ok(())
}

/// How large a base is with so many bytes of the log behind it.
pub fn with_log(base: &BaseManifest, log_bytes: u64) -> Stored {
    Stored {
        raw_bytes: base.raw_bytes.saturating_add(log_bytes),
        used_memory: base.used_memory,
    }
}

/// The whole, and one part in so many of it.
fn with_part(bytes: u64, part: u64) -> u64 {
    bytes.saturating_add(bytes.div_ceil(part))
}

/// Rounded up.
fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn too_small(message: String) -> Failure {
    Failure::new(FailureReason::TooSmall, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new object whose spec names a backup.
    fn new() -> Beginning {
        Beginning {
            asked: true,
            ..Beginning::default()
        }
    }

    fn failed() -> RecoveryNews {
        RecoveryNews::Failed {
            failure: too_small(String::new()),
        }
    }

    fn done() -> RecoveryNews {
        RecoveryNews::Done {
            taken_unix_ms: 1,
            base: "b".to_owned(),
        }
    }

    #[test]
    fn it_is_due_from_before_anything_is_made_until_the_status_tells_of_it() {
        let told = Beginning {
            told: Some(true),
            ..new()
        };
        let made = Beginning { made: true, ..told };
        let lived = Beginning {
            lived: true,
            ..made
        };
        for beginning in [new(), told, made, lived] {
            assert!(beginning.is_due(), "{beginning:?}");
            let over = Beginning {
                over: true,
                ..beginning
            };
            assert!(!over.is_due());
            let asked = Beginning {
                asked: false,
                ..beginning
            };
            assert!(!asked.is_due());
        }
    }

    #[test]
    fn a_backup_that_the_spec_of_a_live_object_names_later_is_never_due() {
        let live = Beginning {
            told: Some(false),
            made: true,
            lived: true,
            ..new()
        };
        let young = Beginning {
            lived: false,
            ..live
        };
        let without_set = Beginning {
            made: false,
            ..live
        };
        let without_map = Beginning { told: None, ..live };
        for beginning in [live, young, without_set, without_map] {
            assert!(!beginning.is_due(), "{beginning:?}");
        }
    }

    #[test]
    fn it_stays_due_though_somebody_deletes_the_config_map_or_what_it_tells_agents() {
        let made = Beginning {
            made: true,
            ..new()
        };
        assert!(made.is_due(), "no ConfigMap");
        let changed = Beginning {
            told: Some(false),
            held: true,
            ..made
        };
        assert!(changed.is_due(), "an agent waits still");
    }

    #[test]
    fn data_comes_to_the_first_pod_alone_and_to_none_that_works() {
        for news in [RecoveryNews::Waiting, failed()] {
            assert_eq!(next(true, 0, Some(&news)), Next::Recover);
            assert_eq!(next(true, 1, Some(&news)), Next::Nothing);
            assert_eq!(next(false, 0, Some(&news)), Next::StartWithout);
            assert_eq!(next(false, 1, Some(&news)), Next::StartWithout);
            assert!(news.holds());
        }
        for news in [Some(RecoveryNews::Running), Some(done()), None] {
            for due in [true, false] {
                assert_eq!(next(due, 0, news.as_ref()), Next::Nothing, "{news:?}");
            }
        }
        assert!(RecoveryNews::Running.holds() && !done().holds());
    }

    #[test]
    fn what_costs_more_is_tried_again_later() {
        let again = again_after_ms;
        assert_eq!(again(FailureReason::StoreUnreachable), 15_000);
        assert_eq!(again(FailureReason::DataPresent), 15_000);
        assert_eq!(again(FailureReason::TimeNotCovered), 60_000);
        assert_eq!(again(FailureReason::SeveralSources), 60_000);
        assert_eq!(again(FailureReason::Corrupt), 900_000);
    }

    fn base() -> BaseManifest {
        serde_json::from_value(serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.2.4",
            "magic": "REDIS0010", "replicationId": "a", "offset": 7, "streamDb": 0,
            "takenUnixMs": 9, "pod": "p-0", "role": "primary", "rawBytes": 500,
            "storedBytes": 5, "sha256": "", "crc64": "0", "usedMemory": 900, "path": "x/base",
        }))
        .unwrap()
    }

    #[test]
    fn the_log_takes_room_beside_its_base() {
        let stored = with_log(&base(), 70);
        assert_eq!((stored.raw_bytes, stored.used_memory), (570, 900));
        let endless = with_log(&base(), u64::MAX);
        assert_eq!(endless.raw_bytes, u64::MAX);
    }

    #[test]
    fn a_fifth_of_the_memory_and_a_tenth_of_the_volume_are_to_be_left() {
        let stored = Stored {
            raw_bytes: 100 << 20,
            used_memory: 100 << 20,
        };
        let room = |memory: u64, volume: u64| Room {
            maxmemory: Some(memory << 20),
            volume: Some(volume << 20),
        };
        assert_eq!(check_room(stored, room(120, 110)), Ok(()));
        assert_eq!(check_room(stored, Room::default()), Ok(()));
        let why = |room| check_room(stored, room).unwrap_err();
        let memory = why(room(119, 110));
        assert_eq!(memory.reason, FailureReason::TooSmall);
        assert!(memory.message.contains("120 MiB"), "{}", memory.message);
        let volume = why(room(120, 109)).message;
        assert!(volume.contains("persistence.size"), "{volume}");
        let all = Stored {
            raw_bytes: u64::MAX,
            used_memory: u64::MAX,
        };
        assert!(check_room(all, room(1, 1)).is_err(), "no figure overflows");
    }
}
