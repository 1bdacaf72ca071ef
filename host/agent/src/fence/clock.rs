//! The clock of the fence, and the time of day.

use std::time::SystemTime;

use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};

/// Milliseconds of a clock that goes on while the machine sleeps or the pod is frozen. One that
/// cannot be read has run out: nothing serves by it.
pub fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME)
        .ok()
        .and_then(|time| u64::try_from(time.num_milliseconds()).ok())
        .unwrap_or(u64::MAX)
}

/// Milliseconds since 1970, for people and other machines: it may jump, and nothing serves by it.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
