//! Whether the data volume takes what is written. What is told changes when a threshold is passed, and
//! no sooner: traffic drives how much is free.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hera_core::agent::{RefusedWrites, Space, Volume};
use hera_redis::{Answer, Server, ServerInfo};
use tracing::info;

use crate::agent::Agent;

const MIB: u64 = 1 << 20;
/// A volume with less is full; it is so until it has twice as much.
const FULL_BELOW: u64 = MIB;
/// Another verdict about the space counts once it has held for so long: files that are removed go a
/// moment after those that replace them have come.
const HOLDS: Duration = Duration::from_secs(2);
/// Between two attempts to write the agent's state where it could not be written.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// A message of a condition is short.
const WORDS: usize = 200;

/// What a server says that ends because it cannot write.
const NO_WRITE: [&str; 3] = [
    "AOF write error",
    "No space left",
    "unable to write command",
];
/// What says that a volume is full, and that something else is wrong with it.
const NO_SPACE: [&str; 2] = ["No space left", "quota exceeded"];
const DEFECT: [&str; 2] = ["Read-only file system", "Input/output error"];

/// What is seen at one look.
#[derive(Clone, Debug, Default)]
struct Look {
    /// Bytes that are free.
    free: u64,
    /// Bytes that the file with the data takes; written anew it needs them once more.
    needed: u64,
    /// Bytes of memory that the data takes.
    data: u64,
    /// It is written anew now, and what that takes is no surprise.
    is_rewriting: bool,
    /// The server refuses writes, with its words.
    refused: Option<String>,
}

/// What is known of the volume. It outlives servers.
#[derive(Debug, Default)]
pub struct Room {
    space: Space,
    /// Another verdict, and since when.
    other: Option<(Space, Instant)>,
    refused: Option<RefusedWrites>,
    /// A server that could not write has ended, with so many bytes free. The next one does not know
    /// before it tries.
    ended: Option<u64>,
    free: Option<u64>,
    written_again: Option<Instant>,
}

impl Room {
    fn sees(&mut self, look: &Look, now: Instant) {
        self.free = Some(look.free);
        self.note_refusal(look);
        let space = self.judge(look);
        self.other = match self.other {
            _ if space == self.space => None,
            Some((other, since)) if other == space => Some((other, since)),
            _ => Some((space, now)),
        };
        if let Some((space, since)) = self.other
            && now.duration_since(since) >= HOLDS
        {
            info!(?space, "the volume's room is another");
            self.space = space;
            self.other = None;
        }
    }

    fn judge(&self, look: &Look) -> Space {
        let more = |bytes: u64, by: u64, beyond: bool| bytes + if beyond { bytes / by } else { 0 };
        let full = more(FULL_BELOW, 1, self.space == Space::Full);
        let low = more(look.needed, 4, self.space != Space::Enough);
        match self.space {
            _ if look.free < full => Space::Full,
            // Full is over; how much there is will be seen.
            Space::Full if look.is_rewriting => Space::Low,
            space if look.is_rewriting => space,
            _ if look.free < low => Space::Low,
            _ => Space::Enough,
        }
    }

    fn note_refusal(&mut self, look: &Look) {
        let is_over = |ended: u64| look.free >= ended.saturating_add(MIB);
        match (&look.refused, &mut self.refused) {
            (Some(words), known) => {
                self.ended = None;
                let same = known.as_ref().filter(|known| known.words == *words);
                let before = same.and_then(|known| known.free_below_mib);
                let next = RefusedWrites {
                    full: same.map_or_else(|| is_full(words, look), |known| known.full),
                    free_below_mib: Some(below(look.free, before)),
                    words: words.clone(),
                };
                *known = Some(next);
            }
            (None, None) => {}
            (None, Some(_)) if self.ended.is_some_and(|ended| !is_over(ended)) => {}
            (None, known) => {
                info!("the server takes writes again");
                (*known, self.ended) = (None, None);
            }
        }
    }

    /// A server ended by itself, with these last words.
    fn server_ended(&mut self, words: &[String]) {
        let tells = |line: &&String| NO_WRITE.iter().any(|sign| line.contains(sign));
        let last = words.iter().rev().find(tells).map(|line| said(line));
        if last.is_none() && self.refused.is_none() {
            return;
        }
        let free = self.free.unwrap_or(0);
        self.ended = Some(free);
        if self.refused.is_none() {
            self.refused = last.map(|line| RefusedWrites {
                words: format!("the server ended: {}", short(line)),
                full: !DEFECT.iter().any(|sign| line.contains(sign)),
                free_below_mib: self.free.map(|free| below(free, None)),
            });
        }
    }

    fn tell(&self, volume: &mut Volume) {
        volume.space = self.space;
        volume.refused_writes.clone_from(&self.refused);
    }
}

/// A snapshot's failure has no words of its own: it is too large for what is free, or something else is
/// wrong.
fn is_full(words: &str, look: &Look) -> bool {
    let says = |signs: &[&str]| signs.iter().any(|sign| words.contains(sign));
    says(&NO_SPACE) || (!says(&DEFECT) && look.free < look.needed.max(look.data))
}

/// A power of two of MiB above what is free. The one before stays while it is not far from right.
fn below(free: u64, before: Option<u64>) -> u64 {
    let next = (free / MIB + 1).next_power_of_two();
    match before {
        Some(before) if free < before * MIB * 2 && next * 4 > before => before,
        _ => next,
    }
}

/// What stands in a line of a server's log: `pid:role day month year time level text`.
fn said(line: &str) -> &str {
    line.split_once(" # ").map_or(line, |(_, text)| text)
}

fn short(words: &str) -> String {
    words.chars().take(WORDS).collect()
}

/// What is seen of the volume at a look at the server.
pub async fn attend(agent: &Agent, server: &Server, info: &ServerInfo) {
    agent.gauge.measure(&agent.settings.data);
    let refused = refusal(server, info).await;
    let Some(measured) = agent.gauge.last() else {
        return;
    };
    let volatile = agent.settings.volatile;
    let syncing = info.replication.master_link.as_ref();
    let look = Look {
        free: measured.free,
        needed: match info.append.enabled {
            true => info.append.size,
            false if volatile => 0,
            false => measured.snapshot,
        },
        data: info.used_memory,
        is_rewriting: info.append.rewriting
            || info.snapshot.saving
            || syncing.is_some_and(|link| link.syncing),
        refused,
    };
    let now = Instant::now();
    let again = {
        let mut room = lock(agent);
        room.sees(&look, now);
        agent.board.change(|status| {
            status.volume.dump_not_read = measured.not_read;
            room.tell(&mut status.volume);
        });
        let due = room
            .written_again
            .is_none_or(|at| now.duration_since(at) >= WRITE_AGAIN);
        let again = due && agent.board.status().volume.state_error.is_some();
        if again {
            room.written_again = Some(now);
        }
        again
    };
    if again && agent.state_file.write_again().is_ok() {
        agent.board.writes_state(None);
    }
}

/// The server's words, if it refuses writes or would as the primary. Up to 7.0 a replica does not say so
/// itself.
async fn refusal(server: &Server, info: &ServerInfo) -> Option<String> {
    let log = info.append.enabled && !info.append.last_write_ok;
    if !log && info.snapshot.last_ok {
        return None;
    }
    match server.ping().await {
        Ok(Answer::Misconf(words)) => Some(format!("MISCONF {}", short(&words))),
        _ => log.then(|| "aof_last_write_status:err".to_owned()),
    }
}

/// A server ended by itself, with these last words.
pub fn server_ended(agent: &Agent, words: &[String]) {
    let mut room = lock(agent);
    room.server_ended(words);
    agent.board.change(|status| room.tell(&mut status.volume));
}

fn lock(agent: &Agent) -> MutexGuard<'_, Room> {
    agent.room.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "MISCONF Errors writing to the AOF file: No space left on device";

    struct Story {
        room: Room,
        now: Instant,
    }

    impl Story {
        fn new() -> Self {
            Self {
                room: Room::default(),
                now: Instant::now(),
            }
        }

        /// Looks for so many seconds.
        fn looks(&mut self, seconds: u64, look: &Look) -> Volume {
            for _ in 0..=seconds * 10 {
                self.room.sees(look, self.now);
                self.now += Duration::from_millis(100);
            }
            let mut volume = Volume::default();
            self.room.tell(&mut volume);
            volume
        }
    }

    fn look(free_mib: u64, needed_mib: u64) -> Look {
        Look {
            free: free_mib * MIB,
            needed: needed_mib * MIB,
            ..Look::default()
        }
    }

    fn refused(look: Look, words: &str) -> Look {
        Look {
            refused: Some(words.to_owned()),
            ..look
        }
    }

    #[test]
    fn a_volume_is_low_while_it_has_no_room_for_the_file_once_more_and_does_not_flap() {
        let mut story = Story::new();
        assert_eq!(story.looks(3, &look(40, 24)).space, Space::Enough);
        assert_eq!(story.looks(1, &look(30, 34)).space, Space::Enough, "yet");
        assert_eq!(story.looks(3, &look(30, 34)).space, Space::Low);
        assert_eq!(story.looks(9, &look(36, 34)).space, Space::Low);
        assert_eq!(story.looks(3, &look(43, 34)).space, Space::Enough);
        for _ in 0..20 {
            story.looks(1, &look(30, 34));
            assert_eq!(story.looks(1, &look(36, 34)).space, Space::Enough);
        }
    }

    #[test]
    fn what_a_rewrite_takes_is_no_surprise() {
        let mut story = Story::new();
        let rewriting = Look {
            is_rewriting: true,
            ..look(5, 24)
        };
        assert_eq!(story.looks(9, &rewriting).space, Space::Enough);
        assert_eq!(story.looks(9, &look(5, 24)).space, Space::Low);
        assert_eq!(
            story
                .looks(
                    9,
                    &Look {
                        free: 9,
                        ..rewriting
                    }
                )
                .space,
            Space::Full
        );
    }

    #[test]
    fn a_refusal_is_told_at_once_and_what_is_told_does_not_follow_traffic() {
        let mut story = Story::new();
        let first = story.looks(0, &refused(look(3, 60), LOG)).refused_writes;
        let told = first.clone().unwrap();
        assert_eq!((told.full, told.free_below_mib), (true, Some(4)));
        for free in [2, 3, 1, 5, 3] {
            let again = story.looks(1, &refused(look(free, 60), LOG));
            assert_eq!(again.refused_writes, first, "{free} MiB");
        }
        assert_eq!(story.looks(0, &look(100, 60)).refused_writes, None);
    }

    #[test]
    fn a_snapshot_that_fails_tells_of_a_full_volume_only_where_it_is_too_large() {
        let words = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist";
        let of = |free: u64, words: &str| {
            let look = Look {
                data: 24 * MIB,
                ..look(free, 0)
            };
            let volume = Story::new().looks(0, &refused(look, words));
            volume.refused_writes.unwrap().full
        };
        assert!(of(16, words) && !of(500, words));
        assert!(!of(
            1,
            "MISCONF Errors writing to the AOF file: Input/output error"
        ));
        assert!(of(
            500,
            "MISCONF Errors writing to the AOF file: Disk quota exceeded"
        ));
    }

    /// With `appendfsync always` a server does not refuse: it ends, and the next ends at its first write.
    #[test]
    fn a_server_that_ended_at_a_full_volume_is_as_good_as_one_that_refuses_until_there_is_room() {
        let mut story = Story::new();
        story.looks(1, &look(2, 60));
        story.room.server_ended(&[
            "8:M 28 Nov 2026 22:49:29.703 # Can't recover from AOF write error when the AOF fsync policy is \
             'always'. Exiting..."
                .to_owned(),
            String::new(),
        ]);
        let told = story.looks(9, &look(2, 60)).refused_writes.unwrap();
        assert!(
            told.full && told.words.contains("ended: Can't recover"),
            "{told:?}"
        );
        assert_eq!(story.looks(0, &look(3, 60)).refused_writes, None);
    }

    #[test]
    fn a_refusal_outlives_the_server_until_there_is_room() {
        let mut story = Story::new();
        let told = story.looks(1, &refused(look(0, 60), LOG)).refused_writes;
        story.room.server_ended(&[]);
        assert_eq!(story.looks(9, &look(0, 60)).refused_writes, told);
        assert_eq!(story.looks(0, &look(60, 60)).refused_writes, None);
        story
            .room
            .server_ended(&["8:M 1 Jan # Guru Meditation".to_owned()]);
        assert_eq!(story.looks(0, &look(60, 60)).refused_writes, None);
    }
}
