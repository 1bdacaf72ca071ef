//! Whether a server that answers nothing hangs.

use std::fs;
use std::time::{Duration, Instant};

/// The longest silence that one look tells of: an agent that was frozen itself heard nothing either.
const ONE_LOOK: Duration = Duration::from_secs(3);
/// A process at work may be silent this many times longer: a script or a large delete ends.
const AT_WORK: u32 = 3;

/// How long a server has been silent.
#[derive(Debug)]
pub struct Silence {
    length: Duration,
    looked: Instant,
}

impl Silence {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Self {
            length: Duration::ZERO,
            looked: now,
        }
    }

    /// It answered.
    pub fn heard(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// It did not.
    pub fn missed(&mut self, now: Instant) {
        self.length += (now - self.looked).min(ONE_LOOK);
        self.looked = now;
    }

    /// For how long it has been silent.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// True if it hangs: `stopped` tells that the process is not at work.
    pub fn hangs(&self, limit: Duration, stopped: impl Fn() -> bool) -> bool {
        self.length >= limit && (self.length >= limit * AT_WORK || stopped())
    }
}

/// True if a signal or a debugger has stopped the process.
pub fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_stopped_process_hangs_sooner_than_one_at_work() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        for second in 1..=30u32 {
            silence.missed(start + Duration::from_secs(1) * second);
            assert_eq!(silence.hangs(LIMIT, || true), second >= 10);
            assert_eq!(silence.hangs(LIMIT, || false), second >= 30);
        }
        silence.heard(start);
        assert!(!silence.hangs(LIMIT, || true));
    }

    #[test]
    fn the_agents_own_freeze_is_no_silence_of_the_server() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.missed(start + Duration::from_secs(600));
        assert!(!silence.hangs(LIMIT, || true));
    }

    #[test]
    fn a_process_at_work_is_not_stopped() {
        assert!(!is_stopped(std::process::id()));
    }
}
