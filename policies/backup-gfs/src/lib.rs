//! Backups thin out as they age: of what nothing needs, the newest one of each day, week and month stays. When backups
//! begin, and from which copies they are read, is as the built-in has it.
//!
//! Why one would write it: an instant of last week is asked for to the second, one of last year hardly ever. Days,
//! weeks (from Monday on) and months are those of UTC, and those without a backup do not count.

mod calendar;

use hera_policy_sdk::backup::{BackupAnswer, BackupInput, BackupPolicy};
use hera_policy_sdk::{Context, PolicyError, calmest, export_backup_policy};
use serde::Deserialize;

/// Days, weeks, months.
pub struct Gfs;

/// What stands beside the policy under `settings`. The recovery window of the spec stays whatever they say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Of so many days the newest backup stays.
    pub daily: u32,
    /// Of so many weeks.
    pub weekly: u32,
    /// Of so many months.
    pub monthly: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            daily: 7,
            weekly: 4,
            monthly: 12,
        }
    }
}

impl BackupPolicy for Gfs {
    type Settings = Settings;

    fn decide(
        context: &Context,
        settings: &Settings,
        input: &BackupInput,
    ) -> Result<BackupAnswer, PolicyError> {
        let drop = rest(settings, input);
        Ok(calmest::now(context, input).dropping(drop))
    }
}

/// All but those that stay. What is needed counts for its day, week and month like any other.
fn rest(settings: &Settings, input: &BackupInput) -> Vec<String> {
    let mut rules = [
        Newest::of(settings.daily, calendar::day),
        Newest::of(settings.weekly, calendar::week),
        Newest::of(settings.monthly, calendar::month),
    ];
    let mut drop = vec![];
    // The latest comes first.
    for past in &input.history {
        let mut stays = past.needed;
        for rule in &mut rules {
            stays |= rule.takes(past.instant_unix_ms);
        }
        if !stays {
            drop.push(past.id.clone());
        }
    }
    drop
}

/// The newest one of each of the last periods that have any.
struct Newest {
    period: fn(u64) -> u64,
    /// So many more periods have one.
    left: u32,
    /// The period of which there is one already.
    last: Option<u64>,
}

impl Newest {
    fn of(left: u32, period: fn(u64) -> u64) -> Self {
        Self {
            period,
            left,
            last: None,
        }
    }

    /// True for the first of a period, as long as periods are left.
    fn takes(&mut self, unix_ms: u64) -> bool {
        let period = (self.period)(unix_ms);
        if self.left == 0 || self.last == Some(period) {
            return false;
        }
        self.last = Some(period);
        self.left -= 1;
        true
    }
}

export_backup_policy!(Gfs);
