//! Whether a server can be read now, and when its snapshot is let go before it hurts: while a child of the server
//! writes, memory that changes is copied, no replica gets a whole dataset, and the append-only file is not rewritten.

use std::collections::VecDeque;
use std::future;
use std::time::{Duration, Instant};

use hera_core::agent::Role;
use hera_core::backup::{Failure, FailureReason};
use hera_redis::{Probe, Server, ServerInfo};
use tokio::time::MissedTickBehavior;

use super::failed;
use super::job::Job;
use super::memory::{AT_START, MEANWHILE, Memory};
use crate::agent::Agent;
use crate::role::settle::Seen;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// What is read in this time at least, if it is the store that is waited for during half of it.
const WINDOW: Duration = Duration::from_secs(30);
const SLOWEST: u64 = 5_000_000 * WINDOW.as_secs();
/// How long a snapshot takes at most: this, and more for each GiB of memory.
const LONGEST: Duration = Duration::from_secs(30 * 60);
const LONGER: Duration = Duration::from_secs(10);
const GIB: u64 = 1 << 30;
/// How long a rewrite of the append-only file may wait.
const REWRITE_WAITS: Duration = Duration::from_secs(60);

/// Why a server cannot be read now, if so.
///
/// # Errors
/// It cannot.
pub fn may_start(info: &ServerInfo, memory: Option<Memory>) -> Result<Role, Failure> {
    let seen = Seen::of(info);
    let lacks = match seen.role {
        _ if info.loading => Some("it reads its data"),
        Role::Primary => None,
        Role::Replica if seen.link_is_up() => None,
        Role::Replica => Some("it is a replica without a link to its primary"),
        Role::Held | Role::Unknown => Some("it does not serve yet"),
    };
    let busy = [
        (info.snapshot.saving, "it writes a snapshot"),
        (info.append.rewriting, "it rewrites its append-only file"),
        (
            info.replication.syncing_replicas > 0,
            "a replica takes in the whole dataset from it",
        ),
    ];
    let busy = busy.iter().find_map(|(is, words)| is.then_some(*words));
    if let Some(words) = lacks.or(busy) {
        let words = format!("the server cannot be read now: {words}");
        return Err(failed(FailureReason::NoCopyFits, words));
    }
    if let Some(memory) = memory {
        memory.check(AT_START, info.used_memory)?;
    }
    Ok(seen.role)
}

/// Completes when the snapshot is to be let go. Never once the server has sent all.
pub async fn until_it_hurts(
    agent: &Agent,
    job: &Job,
    server: &Server,
    role: Role,
    used_memory: u64,
) -> Failure {
    let mut watch = Watch::new(role, used_memory, Instant::now());
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if job.has_all() {
            return future::pending().await;
        }
        let look = Look::of(agent, job, server).await;
        if let Some(failure) = watch.judge(&look, Instant::now()) {
            return failure;
        }
    }
}

/// What is seen at one look.
#[derive(Clone, Copy, Debug)]
struct Look {
    role: Role,
    pod_ends: bool,
    progress: Progress,
    memory: Option<Memory>,
    replica_waits: bool,
    rewrite_waits: bool,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug)]
struct Progress {
    read_bytes: u64,
    /// How long the store was waited for.
    for_store: Duration,
}

impl Look {
    async fn of(agent: &Agent, job: &Job, server: &Server) -> Self {
        // A server that does not answer now is looked after elsewhere.
        let info = match server.probe().await {
            Ok(Probe::Info(info)) => Some(info),
            _ => None,
        };
        let of_server = |is: fn(&ServerInfo) -> bool| info.as_deref().is_some_and(is);
        Self {
            role: agent.board.status().role,
            pod_ends: agent.asked.get().is_some(),
            progress: Progress {
                read_bytes: job.read_bytes(),
                for_store: job.waited_for_store(Instant::now()),
            },
            memory: Memory::of(&agent.settings.cgroup),
            replica_waits: of_server(|info| info.replication.syncing_replicas > 0),
            rewrite_waits: of_server(|info| info.append.rewrite_waits),
        }
    }
}

/// What is known of a snapshot that runs.
struct Watch {
    role: Role,
    since: Instant,
    used_memory: u64,
    longest: Duration,
    /// How far it was when, of the last window; empty before the first byte.
    pace: VecDeque<(Instant, Progress)>,
    rewrite_waits: Option<Instant>,
}

impl Watch {
    fn new(role: Role, used_memory: u64, now: Instant) -> Self {
        let gib = u32::try_from(used_memory / GIB).unwrap_or(u32::MAX);
        Self {
            role,
            since: now,
            used_memory,
            longest: LONGEST.saturating_add(LONGER.saturating_mul(gib)),
            pace: VecDeque::new(),
            rewrite_waits: None,
        }
    }

    fn judge(&mut self, look: &Look, now: Instant) -> Option<Failure> {
        let is_slow = self.is_slow(look.progress, now);
        if look.pod_ends {
            return Some(failed(FailureReason::LostItsPod, "the pod ends"));
        }
        let checked = look
            .memory
            .map(|memory| memory.check(MEANWHILE, self.used_memory));
        if let Some(Err(failure)) = checked {
            return Some(failure);
        }
        self.rewrite_waits = match (look.rewrite_waits, self.rewrite_waits) {
            (true, since) => since.or(Some(now)),
            (false, _) => None,
        };
        let waits = |since: Instant| now.duration_since(since) >= REWRITE_WAITS;
        let why = if look.role != self.role {
            "the server's role changed".to_owned()
        } else if look.replica_waits {
            "a replica waits for the whole dataset".to_owned()
        } else if self.rewrite_waits.is_some_and(waits) {
            "a rewrite of the append-only file waited for a minute".to_owned()
        } else if is_slow {
            let seconds = WINDOW.as_secs();
            format!("the store took less than 5 MB a second for {seconds} seconds")
        } else if now.duration_since(self.since) >= self.longest {
            let minutes = self.longest.as_secs() / 60;
            format!("it took longer than {minutes} minutes")
        } else {
            return None;
        };
        let words = format!("the snapshot was let go: {why}");
        Some(failed(FailureReason::SnapshotTooSlow, words))
    }

    /// True if the store holds it up. A server that is slow is read until it takes too long.
    fn is_slow(&mut self, progress: Progress, now: Instant) -> bool {
        if progress.read_bytes == 0 {
            return false;
        }
        self.pace.push_back((now, progress));
        // The latest that is a window ago, or more, stays.
        let is_past = |at: Instant| now.duration_since(at) >= WINDOW;
        while self.pace.get(1).is_some_and(|(at, _)| is_past(*at)) {
            self.pace.pop_front();
        }
        let first = self.pace.front().filter(|(at, _)| is_past(*at));
        first.is_some_and(|(at, before)| {
            let read = progress.read_bytes.saturating_sub(before.read_bytes);
            let for_store = progress.for_store.saturating_sub(before.for_store);
            read < SLOWEST && for_store * 2 >= now.duration_since(*at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn look(read_bytes: u64) -> Look {
        Look {
            role: Role::Replica,
            pod_ends: false,
            progress: Progress {
                read_bytes,
                for_store: Duration::ZERO,
            },
            memory: None,
            replica_waits: false,
            rewrite_waits: false,
        }
    }

    fn memory(percent: u64) -> Option<Memory> {
        Some(Memory::of_a_large_container(percent))
    }

    /// After how many seconds a snapshot is let go that is seen so, second by second, and why.
    fn let_go(seconds: u64, seen: impl Fn(u64) -> Look) -> Option<(u64, Failure)> {
        let start = Instant::now();
        let mut watch = Watch::new(Role::Replica, 2 * GIB, start);
        (0..seconds).find_map(|second| {
            let now = start + Duration::from_secs(second);
            watch.judge(&seen(second), now).map(|why| (second, why))
        })
    }

    fn after(seconds: u64, seen: impl Fn(u64) -> Look) -> Option<(u64, FailureReason)> {
        let_go(seconds, seen).map(|(second, why)| (second, why.reason))
    }

    #[test]
    fn a_snapshot_that_does_not_get_through_is_let_go_half_a_minute_later() {
        let too_slow = FailureReason::SnapshotTooSlow;
        let store = |second: u64, read_bytes: u64| {
            let mut look = look(read_bytes);
            look.progress.for_store = Duration::from_secs(second);
            look
        };
        let of_store = |read: fn(u64) -> u64| after(600, move |second| store(second, read(second)));
        assert_eq!(of_store(|second| second * 5 * MB), None);
        let slow = of_store(|second| (second + 1) * 4 * MB);
        assert_eq!(slow, Some((30, too_slow)));
        // Nothing goes on from the hundredth second on.
        let stuck = of_store(|second| (second + 1).min(100) * 50 * MB);
        assert_eq!(stuck, Some((127, too_slow)));
        // A server that writes to its disk first has sent nothing yet.
        assert_eq!(of_store(|_| 0), None);
    }

    #[test]
    fn a_server_that_is_slow_is_read_on_and_a_store_that_is_waited_for_half_the_time_is_not() {
        let slow = |second: u64| look((second + 1) * MB);
        assert_eq!(after(1000, slow), None);
        let waits = |part: u32| {
            let from = move |second: u64| {
                let mut look = slow(second);
                look.progress.for_store = Duration::from_secs(second) * part / 10;
                look
            };
            after(1000, from)
        };
        assert_eq!(waits(4), None);
        assert_eq!(waits(5), Some((30, FailureReason::SnapshotTooSlow)));
    }

    #[test]
    fn a_snapshot_takes_half_an_hour_and_ten_seconds_for_each_gib_at_most() {
        let long = after(4000, |second| look((second + 1) * 10 * MB));
        assert_eq!(long, Some((1820, FailureReason::SnapshotTooSlow)));
    }

    #[test]
    fn a_snapshot_is_let_go_at_once_when_the_server_is_needed_otherwise() {
        let fast = |second: u64| look((second + 1) * 10 * MB);
        let at = |seen: fn(&mut Look)| {
            let from = move |second| {
                let mut look = fast(second);
                if second >= 5 {
                    seen(&mut look);
                }
                look
            };
            after(200, from)
        };
        let too_slow = FailureReason::SnapshotTooSlow;
        assert_eq!(at(|look| look.role = Role::Primary), Some((5, too_slow)));
        assert_eq!(at(|look| look.replica_waits = true), Some((5, too_slow)));
        assert_eq!(at(|look| look.rewrite_waits = true), Some((65, too_slow)));
        assert_eq!(at(|look| look.memory = memory(90)), None);
        let no_headroom = Some((5, FailureReason::NoHeadroom));
        assert_eq!(at(|look| look.memory = memory(91)), no_headroom);
        let pod_ends = Some((5, FailureReason::LostItsPod));
        assert_eq!(at(|look| look.pod_ends = true), pod_ends);
    }

    fn info(lines: &str) -> ServerInfo {
        let text = format!(
            "redis_version:7.0.15\nprocess_id:1\nrun_id:r\nused_memory:1\nmaxmemory:0\n\
             rdb_changes_since_last_save:0\nmaster_repl_offset:0\nmaster_replid:a\nconnected_slaves:0\n\
             slave_repl_offset:0\n{lines}"
        );
        ServerInfo::parse(&text).unwrap()
    }

    #[test]
    fn a_server_is_read_that_serves_and_has_nothing_else_to_write() {
        let replica = "role:slave\nmaster_host:h\nmaster_port:2\nmaster_link_status:";
        let reason = |lines: &str| may_start(&info(lines), memory(80)).map_err(|why| why.reason);
        assert_eq!(reason("role:master"), Ok(Role::Primary));
        assert_eq!(reason(&format!("{replica}up")), Ok(Role::Replica));
        let not_now = Err(FailureReason::NoCopyFits);
        assert_eq!(reason(&format!("{replica}down")), not_now);
        for busy in [
            "loading:1",
            "rdb_bgsave_in_progress:1",
            "aof_rewrite_in_progress:1",
            "aof_rewrite_scheduled:1",
            "slave0:ip=h,port=1,state=wait_bgsave,offset=0,lag=0",
        ] {
            assert_eq!(reason(&format!("role:master\n{busy}")), not_now, "{busy}");
        }
        assert_eq!(
            reason("role:slave\nmaster_host:127.0.0.1\nmaster_port:1"),
            not_now
        );
        let full = may_start(&info("role:master"), memory(81)).unwrap_err();
        assert_eq!(full.reason, FailureReason::NoHeadroom);
        assert!(full.message.contains("81 %"), "{}", full.message);
    }
}
