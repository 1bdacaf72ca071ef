//! Backups that the age of the newest one, the log behind it, or a gap in the log wants.

use std::time::Duration;

use hera_core::backup::decision::{Cause, latest, wants};
use kube::Api;
use kube::api::ListParams;

use super::super::act::Material;
use super::demand::{self, Wanted};
use super::view::View;
use crate::controllers::backups::known::{Guarded, is_of};
use crate::controllers::backups::{bases, target};
use crate::controllers::outcome::PassError;

/// A log begins within this once a primary is there: a backup that is read before is none that it goes on from.
const LOG_BEGINS: Duration = Duration::from_secs(120);
/// A log gets longer by no more in a second.
const LOG_BYTES_A_SECOND: u64 = 50_000_000;
/// And how long it is is asked for within these bounds; in milliseconds.
const ASKED_AT_LEAST: u64 = 60_000;
const ASKED_AT_MOST: u64 = 900_000;
/// What a server loads of a log in a second, as [`replay_seconds`](hera_core::backup::decision::replay_seconds) has it.
const LOADED_A_SECOND: u64 = 25_000_000;

/// Makes a backup that is wanted; when that is to be looked at again, in milliseconds since 1970.
///
/// # Errors
/// When the API server does not take it, or another replica leads.
pub async fn look(material: &Material<'_>, view: &View<'_>) -> Result<Option<u64>, PassError> {
    let site = material.site;
    // News tells of a primary. What cannot be read is not tried again and again.
    let Some(primary) = site.primary() else {
        return Ok(None);
    };
    if target::too_old(primary.agent.status()).is_some() {
        return Ok(None);
    }
    let looks = &site.shared.looks;
    let key = site.instance();
    let awaits_log = view.plan.log_kept && view.goes_on.is_none() && view.base().is_none();
    if let Some(left) = looks.until_log(&key, awaits_log, LOG_BEGINS) {
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        return Ok(Some(view.now_unix_ms.saturating_add(left)));
    }
    let log_bytes = log_bytes(material, view).await;
    let (cause, again) = wants(&view.standing(log_bytes));
    let again = again.into_iter().chain(asked_again(view, log_bytes)).min();
    if cause.is_none() {
        return Ok(again);
    }
    // Whoever led before may have made one that no watch has told of yet.
    let backups: Api<Guarded> = Api::namespaced(site.shared.client.clone(), &key.namespace);
    let listed = backups.list(&ListParams::default()).await?;
    let read = listed
        .items
        .iter()
        .filter_map(|backup| backup.0.as_ref().ok());
    let fresh = View {
        backups: read.filter(|backup| is_of(backup, &key)).collect(),
        ..view.clone()
    };
    let (Some(cause), _) = wants(&fresh.standing(log_bytes)) else {
        return Ok(again);
    };
    let wanted = wanted(&fresh, cause);
    Box::pin(demand::make(site, &wanted)).await?;
    Ok(again)
}

fn wanted(view: &View<'_>, cause: Cause) -> Wanted<'static> {
    let now = view.now_unix_ms;
    Wanted {
        cause,
        schedule: "",
        since_unix_ms: now,
        latest_unix_ms: latest(cause, now, 0, view.base_unix_ms(), view.plan.max_age_ms),
    }
}

/// How long the log behind the newest backup is, in bytes: where its length counts, and not in each pass.
async fn log_bytes(material: &Material<'_>, view: &View<'_>) -> u64 {
    let site = material.site;
    let (Some(goes_on), Some(base)) = (view.goes_on, view.base()) else {
        return 0;
    };
    let Some(offset) = bases::offset(base).filter(|_| view.plan.max_replay_ms.is_some()) else {
        return 0;
    };
    let (looks, key) = (&site.shared.looks, site.instance());
    let good_for = Duration::from_millis(ASKED_AT_LEAST / 2);
    if let Some(known) = looks.log_bytes(&key, offset, good_for) {
        return known;
    }
    let told = match site.shared.agents.client(&goes_on.pod_uid) {
        Some(agent) => agent.backup().await.ok(),
        None => None,
    };
    let read = told.and_then(|told| told.capture);
    let read = read.filter(|read| !read.id.is_empty());
    match read {
        Some(read) => {
            let bytes = read.read_offset.saturating_sub(offset);
            looks.note_log_bytes(&key, offset, bytes);
            bytes
        }
        // As long as it was.
        None => looks.log_bytes(&key, offset, Duration::MAX).unwrap_or(0),
    }
}

/// When the log is asked how long it is, in milliseconds since 1970: before it can be too long.
fn asked_again(view: &View<'_>, log_bytes: u64) -> Option<u64> {
    let max_ms = view.plan.max_replay_ms?;
    view.goes_on.and(view.base())?;
    let most = (max_ms / 1_000).saturating_mul(LOADED_A_SECOND);
    let left = most.saturating_sub(log_bytes) / LOG_BYTES_A_SECOND;
    let left_ms = left.saturating_mul(1_000);
    let left_ms = left_ms.clamp(ASKED_AT_LEAST, ASKED_AT_MOST);
    Some(view.now_unix_ms.saturating_add(left_ms))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::view::tests::{NOW, backup, plan, view};
    use super::*;
    use crate::controllers::backups::bases::GoesOn;

    #[test]
    fn the_length_of_a_log_is_asked_for_before_it_can_be_too_long_and_only_where_it_counts() {
        let log = GoesOn {
            pod_uid: "p".to_owned(),
            unix_ms: NOW - 60_000,
            unbroken: Vec::new(),
        };
        let backups = [backup("a", None, "Completed", NOW)];
        let asked = |spec, log_bytes| {
            let plan = plan(spec);
            let mut view = view(&plan, &backups);
            view.goes_on = Some(&log);
            asked_again(&view, log_bytes).map(|at| at - NOW)
        };
        assert_eq!(asked(json!({"log": {}}), 0), None);
        let ten_minutes = || json!({"log": {}, "maxReplay": "10m"});
        assert_eq!(asked(ten_minutes(), 0), Some(300_000));
        assert_eq!(asked(ten_minutes(), 14_000_000_000), Some(ASKED_AT_LEAST));
        let plan = plan(ten_minutes());
        let without_log = asked_again(&view(&plan, &backups), 0);
        assert_eq!(without_log, None);
    }
}
