//! The built-in's rights; but the users in the settings write only from one time of the day to
//! another, in UTC: `{"users": ["batch"], "from": "20:00", "to": "04:30"}`.
//!
//! Why one would write it: nightly jobs that somebody starts by hand at noon. It shows how a policy
//! decides by time: each answer says until when it holds.

use hera_policy_sdk::acl::{AclAnswer, AclInput, AclPolicy, CommandRule, UserGrants};
use hera_policy_sdk::{Context, PolicyError, export_acl_policy, presets};
use serde::Deserialize;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u64 = 24 * 60;

/// Writing during hours.
pub struct WriteHours;

/// What stands beside the policy under `settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Who writes during these hours only; who is not named always may.
    pub users: Vec<String>,
    /// The first minute of the day, as `20:00`.
    pub from: String,
    /// The minute after the last one; the same minute means all day.
    pub to: String,
}

impl AclPolicy for WriteHours {
    type Settings = Settings;

    fn decide(
        context: &Context,
        settings: &Settings,
        input: &AclInput,
    ) -> Result<AclAnswer, PolicyError> {
        let mut answer = AclAnswer::new(presets::all(input));
        let named = |grants: &UserGrants| settings.users.contains(&grants.name);
        if !answer.users.iter().any(named) {
            return Ok(answer);
        }
        let (from, to) = hours(settings).map_err(PolicyError::InvalidSettings)?;
        let now = context.now_unix_ms / MINUTE_MS;
        let (until_from, until_to) = (minutes_until(from, now), minutes_until(to, now));
        // Outside of the hours their beginning comes first.
        if until_from < until_to && input.category("write").is_some() {
            for grants in answer.users.iter_mut().filter(|grants| named(grants)) {
                let no_writes = CommandRule::DenyCategory("write".to_owned());
                grants.commands.push(no_writes);
            }
        }
        let next = now.saturating_add(until_from.min(until_to));
        Ok(answer.until(next.saturating_mul(MINUTE_MS)))
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        match settings.users.is_empty() {
            true => Ok(()),
            false => hours(settings).map(drop),
        }
    }
}

/// Minutes from now, counted since 1970, until the next time that the day is so old: a day if it is now.
fn minutes_until(of_day: u64, now: u64) -> u64 {
    let today = now % DAY_MINUTES;
    match of_day.saturating_add(DAY_MINUTES).saturating_sub(today) % DAY_MINUTES {
        0 => DAY_MINUTES,
        minutes => minutes,
    }
}

fn hours(settings: &Settings) -> Result<(u64, u64), String> {
    Ok((minute(&settings.from)?, minute(&settings.to)?))
}

fn minute(text: &str) -> Result<u64, String> {
    let number = |tens: u8, ones: u8| {
        let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
        digits.then(|| u64::from(tens & 15) * 10 + u64::from(ones & 15))
    };
    let read = match *text.as_bytes() {
        [ten_hours, hours, b':', ten_minutes, minutes] => {
            number(ten_hours, hours).zip(number(ten_minutes, minutes))
        }
        _ => None,
    };
    match read {
        Some((hour, minute)) if hour < 24 && minute < 60 => Ok(hour * 60 + minute),
        _ => Err("from and to are times of the day, as 20:00 is one".to_owned()),
    }
}

export_acl_policy!(WriteHours);
