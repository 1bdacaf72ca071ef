//! How busy the server is: what it tells at looks that are made in any case, of which one a minute is kept.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hera_core::backup::ServerLoad;

use super::memory::Memory;

/// Between two looks that are kept.
const EACH: Duration = Duration::from_secs(60);
/// So many are: they are a quarter of an hour apart, the first and the last.
const KEPT: usize = 16;
/// What was seen before that says nothing of now.
const OLD: Duration = Duration::from_secs(60);

/// How busy the server is.
#[derive(Default)]
pub struct Load(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    last: Option<(Instant, u64)>,
    /// What the server had counted when it was last looked at.
    counted: Option<u64>,
    /// Commands since the first look.
    done: u64,
    /// Commands until then, the latest last.
    kept: VecDeque<(Instant, u64)>,
}

impl Load {
    /// The server uses so many bytes, and has carried out so many commands.
    pub fn sees(&self, used_bytes: u64, commands: Option<u64>, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last = Some((now, used_bytes));
        let Some(commands) = commands else { return };
        // Fewer than before: another server, or one that was told to forget.
        let more = seen
            .counted
            .map(|before| commands.checked_sub(before).unwrap_or(commands));
        seen.counted = Some(commands);
        seen.done = seen.done.saturating_add(more.unwrap_or(0));
        let is_due = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) >= EACH;
        if seen.kept.back().is_none_or(is_due) {
            let done = seen.done;
            seen.kept.push_back((now, done));
            if seen.kept.len() > KEPT {
                seen.kept.pop_front();
            }
        }
    }

    /// What is told of it; none while the server was not looked at lately.
    pub fn told(&self, memory: Option<Memory>, now: Instant) -> Option<ServerLoad> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, used_bytes) = seen.last?;
        if now.saturating_duration_since(at) > OLD {
            return None;
        }
        let last = seen.kept.back();
        let before = seen.kept.iter().rev().nth(1);
        let first = seen.kept.front().filter(|_| seen.kept.len() >= KEPT);
        Some(ServerLoad {
            used_bytes: Some(used_bytes),
            free_bytes: memory.map(Memory::left),
            ops_per_second: rate(before, last),
            usual_ops_per_second: rate(first, last),
        })
    }
}

fn rate(from: Option<&(Instant, u64)>, to: Option<&(Instant, u64)>) -> Option<u64> {
    let ((from, before), (to, after)) = (from?, to?);
    let millis = u64::try_from(to.saturating_duration_since(*from).as_millis()).ok()?;
    let commands = after.saturating_sub(*before);
    commands.saturating_mul(1_000).checked_div(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks each second of so many minutes, at so many commands a second.
    fn looks(load: &Load, from: Instant, minutes: u64, commands: &mut u64, each: u64) -> Instant {
        let mut now = from;
        for _ in 0..minutes * 60 {
            now += Duration::from_secs(1);
            *commands += each;
            load.sees(1 << 20, Some(*commands), now);
        }
        now
    }

    fn rates(load: &Load, now: Instant) -> (Option<u64>, Option<u64>) {
        let told = load.told(None, now).unwrap();
        (told.ops_per_second, told.usual_ops_per_second)
    }

    #[test]
    fn the_last_minute_is_told_and_the_quarter_of_an_hour_before_it_once_there_was_one() {
        let (load, mut commands) = (Load::default(), 5_000);
        let start = Instant::now();
        assert_eq!(load.told(None, start), None);
        let now = looks(&load, start, 1, &mut commands, 10);
        assert_eq!(rates(&load, now), (None, None));
        let now = looks(&load, now, 1, &mut commands, 10);
        assert_eq!(rates(&load, now), (Some(10), None));
        let now = looks(&load, now, 14, &mut commands, 10);
        assert_eq!(rates(&load, now), (Some(10), Some(10)));
        let now = looks(&load, now, 3, &mut commands, 110);
        let (last, usual) = rates(&load, now);
        assert_eq!(last, Some(110));
        assert!(
            usual.is_some_and(|usual| (20..=30).contains(&usual)),
            "{usual:?}"
        );
        let later = now + OLD + Duration::from_secs(1);
        assert_eq!(load.told(None, later), None, "it does not answer");
    }

    #[test]
    fn a_server_that_starts_anew_is_no_load() {
        let (load, mut commands) = (Load::default(), 1_000_000);
        let now = looks(&load, Instant::now(), 3, &mut commands, 10);
        commands = 0;
        let now = looks(&load, now, 2, &mut commands, 10);
        assert_eq!(rates(&load, now).0, Some(10));
    }
}
