//! Questions of the `backup` decision.

use super::context;
use crate::backup::{BackupInput, Cause, Copy, Demand, Limits, Past, Role, Shard, Source};

/// An hour, in milliseconds.
const HOUR_MS: u64 = 3_600_000;

/// A copy that may be read; nothing is known of its memory, load and zone.
pub fn copy(id: u32, role: Role) -> Copy {
    Copy {
        id,
        role,
        fits: true,
        used_bytes: None,
        free_bytes: None,
        ops_per_second: None,
        usual_ops_per_second: None,
        zone: String::new(),
        keeps_log: false,
        read_last: false,
    }
}

impl Copy {
    /// It may not be read now.
    #[must_use]
    pub fn unfit(mut self) -> Self {
        self.fits = false;
        self
    }

    /// With memory: what its server uses, and what its container has left.
    #[must_use]
    pub fn memory(mut self, used: u64, free: u64) -> Self {
        self.used_bytes = Some(used);
        self.free_bytes = Some(free);
        self
    }

    /// With so many commands a second in the last minute, and as a mean over the last quarter of an hour.
    #[must_use]
    pub fn ops(mut self, per_second: u64, usual: u64) -> Self {
        self.ops_per_second = Some(per_second);
        self.usual_ops_per_second = Some(usual);
        self
    }

    /// On a node of this zone.
    #[must_use]
    pub fn zone(mut self, zone: &str) -> Self {
        self.zone = zone.to_owned();
        self
    }

    /// The backup before was read from it.
    #[must_use]
    pub fn read_last(mut self) -> Self {
        self.read_last = true;
        self
    }
}

/// A backup that is wanted since just now, until in an hour at the latest: by the schedule `nightly`, or for another
/// cause.
pub fn demand(cause: Cause) -> Demand {
    let now = context().now_unix_ms;
    let schedule = match cause {
        Cause::Schedule => "nightly",
        Cause::Person | Cause::Age | Cause::Replay | Cause::Gap => "",
    };
    Demand {
        name: "cache-20260101-0000".to_owned(),
        cause,
        schedule: schedule.to_owned(),
        since_unix_ms: now,
        latest_unix_ms: now + HOUR_MS,
    }
}

/// A backup by schedule that is in the store, taken so many hours ago.
pub fn past(id: &str, hours: u64, needed: bool) -> Past {
    Past {
        id: id.to_owned(),
        instant_unix_ms: context().now_unix_ms.saturating_sub(hours * HOUR_MS),
        stored_bytes: 1 << 20,
        cause: Cause::Schedule,
        needed,
    }
}

/// A question about a backup that a schedule wants of an object with these copies, and without any limit but that the
/// last backup stays.
pub fn backup_input(copies: Vec<Copy>) -> BackupInput {
    BackupInput {
        demand: Some(demand(Cause::Schedule)),
        others: vec![],
        next_due_unix_ms: None,
        shards: vec![Shard {
            id: 0,
            copies,
            base_unix_ms: None,
            log_bytes: 0,
            replay_seconds: 0,
        }],
        history: vec![],
        log_kept: false,
        limits: Limits {
            source: Source::PreferReplica,
            max_age_seconds: None,
            keep_seconds: None,
            keep_last: 1,
        },
    }
}
