//! Backups of an instance that are made by themselves, and which ones go: what is due, and what is told of it.
//!
//! What is due is a RedisBackup, which its own controller carries out. Whatever must outlive this process stands in
//! the names, labels and annotations of those, and in `status.backup`.

mod demand;
mod health;
mod looks;
mod overview;
mod schedules;
mod sweeps;
mod tidy;
mod view;
mod wants;

use std::time::Duration;

use hera_api::conditions::backup_healthy;
use hera_api::validate::{BackupPlan, backup_plan};
use hera_core::backup::decision::BackupAnswer;
use hera_core::shard::Member;

use super::act::Material;
use super::log::{self, Said};
use super::site::Site;
use crate::controllers::backups::{known, question};
use crate::controllers::outcome::PassError;
use crate::controllers::pods::requests::hibernates;
use crate::policies::{Made, now_unix_ms};
use view::View;

pub use looks::Looks;
pub use overview::Overview;

/// Until it is known which backups there are, it is looked again after this.
const AGAIN: Duration = Duration::from_secs(15);

/// What a pass came to, of the log as well.
#[derive(Default)]
pub struct Looked {
    /// What `BackupHealthy` says.
    pub said: Said,
    /// What `status.backup` says.
    pub overview: Overview,
    /// How it stands with the policy, where that is news.
    pub policy: Option<Made<BackupAnswer>>,
    /// What could not be done; the next pass goes on from there.
    pub failed: Option<PassError>,
    /// Until the next look, if it is to come without news.
    pub again: Option<Duration>,
    /// When something is due without news, in milliseconds since 1970.
    pub due_unix_ms: Option<u64>,
}

impl Looked {
    fn fails(&mut self, error: Option<PassError>) {
        self.failed = self.failed.take().or(error);
    }

    fn is_due(&mut self, at: impl IntoIterator<Item = u64>) {
        self.due_unix_ms = self.due_unix_ms.into_iter().chain(at).min();
    }

    /// Nothing that is said of backups changes.
    fn unchanged(mut self) -> Self {
        if self.said == Said::Off {
            self.said = Said::AsBefore;
        }
        self
    }
}

/// Sees to the log, and to backups: whatever else is wrong with the spec, and while it is paused. An instance that
/// hibernates, or has not its first data yet, has none to make.
pub async fn look(material: &Material<'_>, members: &[Member]) -> Looked {
    let log::Looked {
        said,
        failed,
        again,
        goes_on,
    } = Box::pin(log::look(material, members)).await;
    let looked = Looked {
        said,
        failed,
        again,
        ..Looked::default()
    };
    let site = material.site;
    let plan = match backup_plan(&site.object.spec) {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            return Looked {
                overview: Overview::Is(None),
                ..looked
            };
        }
        Err(_) => return looked.unchanged(),
    };
    if site.recovery_due || hibernates(site.object) {
        return match health::is_told(&plan) {
            true => looked.unchanged(),
            false => looked,
        };
    }
    let Some(known) = site.shared.backups.known.of(&site.instance()) else {
        let again = looked.again.unwrap_or(AGAIN).min(AGAIN);
        return Looked {
            again: Some(again),
            ..looked.unchanged()
        };
    };
    let status = site.object.status.as_ref();
    let view = View {
        uid: site.owner.uid,
        plan: &plan,
        backups: known::read(&known),
        goes_on: goes_on.as_ref(),
        last: status.and_then(|status| status.backup.clone()),
        now_unix_ms: now_unix_ms(),
    };
    Box::pin(carry_on(material, &view, looked)).await
}

async fn carry_on(material: &Material<'_>, view: &View<'_>, mut looked: Looked) -> Looked {
    let site = material.site;
    let ticks = schedules::look(view);
    let next_schedule = ticks.next_unix_ms;
    looked.is_due(next_schedule);
    let (seen_to, failed) = Box::pin(fire(site, view, ticks)).await;
    let mut refused = failed.as_ref().and_then(refused_words);
    looked.fails(failed);
    match Box::pin(wants::look(material, view)).await {
        Ok(again) => looked.is_due(again),
        Err(error) => {
            refused = refused.or_else(|| refused_words(&error));
            looked.fails(Some(error));
        }
    }
    looked.fails(tidy::look(site, view).await.err());
    let (queue, key) = (&site.shared.backups.sweeps, site.instance());
    let swept = queue.known(&key, view.uid);
    if let Some(at) = sweeps::due(view, &swept) {
        match at <= view.now_unix_ms {
            // It wakes the instance when it is over.
            true => queue.is_due(&key, view.uid),
            false => looked.is_due(Some(at)),
        }
    }
    let told = health::of(view, &swept, health::last(site.object), &looked.said);
    looked.said = match (told.said, refused) {
        (wrong @ Said::Is(false, ..), _) => wrong,
        (_, Some(words)) => Said::Is(false, backup_healthy::LAST_BACKUP_FAILED, words),
        (said, None) => said,
    };
    looked.is_due(told.until_unix_ms);
    looked.overview = Overview::of(site, view, seen_to, next_schedule, &swept);
    match Box::pin(policy(site, view.plan)).await {
        Ok(made) => looked.policy = made,
        Err(error) => looked.fails(Some(error)),
    }
    looked
}

/// That the API server does not take what is due, for people: it is tried again and again, and no RedisBackup tells. Its
/// own words are in the log: with the name that is tried they would be others each minute.
fn refused_words(error: &PassError) -> Option<String> {
    let PassError::Kube(kube::Error::Api(status)) = error else {
        return None;
    };
    let code = status.code;
    matches!(code, 400 | 403 | 422).then(|| {
        format!(
            "a backup is due, and the API server refuses its RedisBackup (code {code}), as for a quota, a webhook or \
             missing rights: the log of the operator has its words"
        )
    })
}

/// Makes the backups of schedules that are due; up to when schedules are seen to from now on.
async fn fire(
    site: &Site<'_>,
    view: &View<'_>,
    ticks: schedules::Ticks,
) -> (Vec<hera_api::ScheduleStatus>, Option<PassError>) {
    let mut failed = None;
    let mut seen_to = Vec::new();
    for tick in ticks.ticks {
        let made = match tick.wanted(view) {
            Some(wanted) => Box::pin(demand::make(site, &wanted)).await,
            None => Ok(()),
        };
        match made {
            Ok(()) => seen_to.push(tick.status),
            // It is tried again.
            Err(error) => {
                seen_to.extend(tick.before);
                failed = failed.or(Some(error));
            }
        }
    }
    (seen_to, failed)
}

/// How it stands with the policy, before it is asked: a typing error shows now, and not when a backup is due.
async fn policy(
    site: &Site<'_>,
    plan: &BackupPlan,
) -> Result<Option<Made<BackupAnswer>>, PassError> {
    let about = question::About {
        shared: site.shared,
        object: site.object,
        key: &site.instance(),
        uid: site.owner.uid,
        plan,
        members: &site.members,
    };
    Ok(about.standing().await?)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_api_server_refuses_is_told_and_what_passes_is_not() {
        let told = |code: u16| {
            let status = Status::failure("exceeded quota", "Forbidden").with_code(code);
            refused_words(&PassError::Kube(kube::Error::Api(status.boxed())))
        };
        assert!(told(403).is_some_and(|words| words.contains("code 403")));
        assert!(told(422).is_some());
        assert_eq!([told(409), told(429), told(500)], [None, None, None]);
        assert_eq!(refused_words(&PassError::LeadershipLost), None);
    }
}
