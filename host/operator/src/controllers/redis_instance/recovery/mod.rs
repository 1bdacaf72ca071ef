//! An instance that begins with data of a store: its first pod waits, alone, until that is on its volume.

mod attempts;
mod stored;

use hera_api::conditions::{completed, ready};
use hera_api::validate::{Origin, Recovery, parse_memory_size};
use hera_api::{RecoveryStatus, RedisBackup, RedisInstance};
use hera_core::agent::ServerConfig;
use hera_core::backup::recovery::{Beginning, Next, Room, next};
use hera_core::backup::{BackupOrder, Failure, FailureReason, RecoveryNews};
use hera_core::instance::Observation;
use hera_core::shard::{Member, Record};
use hera_render::RECOVERY_KEY;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::act::Material;
use super::backup_orders::order;
use super::converge::Pass;
use super::observe::Live;
use super::site::Site;
use crate::controllers::backups::access;
use crate::controllers::outcome::PassError;
use crate::controllers::pods::observe::claim_view;
use crate::shared::Shared;

pub use attempts::Attempts;
use stored::Reader;

/// Why an instance is not ready: a reason of `Ready`, and words.
type Said = (&'static str, String);

/// What a pass came to.
#[derive(Default)]
pub struct Looked {
    /// What is to be told, while the data is not there.
    pub said: Option<Said>,
    /// What the status is to tell from now on: the data is there, and is led.
    pub over: Option<RecoveryStatus>,
    /// What could not be done; the next pass goes on from there.
    pub failed: Option<PassError>,
}

/// True if the spec names data to begin with.
fn is_asked(object: &RedisInstance) -> bool {
    let bootstrap = object.spec.bootstrap.as_ref();
    bootstrap.is_some_and(|bootstrap| bootstrap.recovery.is_some())
}

/// True once the status tells with which data it began.
fn is_over(object: &RedisInstance) -> bool {
    let status = object.status.as_ref();
    status.is_some_and(|status| status.recovery.is_some())
}

/// True while the instance is to begin with data of a store. Agents that are listened to count.
pub fn is_due(object: &RedisInstance, shared: &Shared, live: &Live) -> bool {
    let map = live.common.config.as_ref();
    let held = |uid: &String| {
        let view = shared.agents.view(uid);
        let news = view.status().and_then(|status| status.recovery.as_ref());
        news.is_some_and(RecoveryNews::holds)
    };
    let mut pods = live.set.pods.values();
    let beginning = Beginning {
        asked: is_asked(object),
        over: is_over(object),
        told: map.map(|map| {
            let data = map.data.as_ref();
            data.is_some_and(|data| data.contains_key(RECOVERY_KEY))
        }),
        made: live.set.stateful_set.is_some(),
        lived: object
            .status
            .as_ref()
            .is_some_and(|status| status.version.is_some()),
        held: pods.any(|pod| pod.metadata.uid.as_ref().is_some_and(held)),
    };
    beginning.is_due()
}

impl Pass<'_> {
    /// Sees to it that the data comes, that nobody waits for it who need not, and that it is written down once it is
    /// there. `config` is what agents are to hold.
    pub async fn look_at_recovery(
        &self,
        seen: &Observation,
        material: &Material<'_>,
        config: &ServerConfig,
    ) -> Looked {
        let site = self.site;
        let mut looked = Looked::default();
        for member in &seen.members {
            if next(site.recovery_due, member.ordinal, member.recovery()) != Next::StartWithout {
                continue;
            }
            if let Err(error) = order(material, member, BackupOrder::StartWithout).await {
                looked.failed = Some(error);
            }
        }
        let recovery = self.v.recovery.as_ref();
        let Some(recovery) = recovery.filter(|_| !is_over(site.object)) else {
            return looked;
        };
        match Box::pin(over(site, seen, recovery)).await {
            Ok(Some(status)) => {
                site.shared.recoveries.forget(&site.instance());
                looked.over = Some(status);
                return looked;
            }
            Ok(None) => {}
            Err(error) => looked.failed = Some(error),
        }
        let first = seen.members.iter().find(|member| member.ordinal == 0);
        if let Some(first) = first.filter(|_| site.recovery_due) {
            let fetched = self.fetch(recovery, first, material, config);
            match Box::pin(fetched).await {
                Ok(said) => looked.said = said,
                Err(error) => {
                    // What was said stays.
                    looked.said = last(site, ready::RECOVERY_REFUSED)
                        .or_else(|| last(site, ready::RECOVERING_DATA));
                    looked.failed = Some(error);
                }
            }
        }
        looked
    }

    /// Has the agent of the first pod fetch the data, once it may; what is to be told.
    async fn fetch(
        &self,
        recovery: &Recovery,
        first: &Member,
        material: &Material<'_>,
        config: &ServerConfig,
    ) -> Result<Option<Said>, PassError> {
        let site = self.site;
        let (shared, key) = (site.shared, site.instance());
        let what = stored::label(recovery, site.owner.namespace);
        if first.is_leaving() {
            return Ok(None);
        }
        let failed = match first.recovery() {
            None if first.is_running() => {
                let words = format!(
                    "the server of {} runs and has not waited for the data of {what}: delete this object and create \
                     it anew",
                    first.label()
                );
                return Ok(Some((ready::RECOVERING_DATA, words)));
            }
            // Conditions tell of its pod, or of its server.
            None | Some(RecoveryNews::Done { .. }) => return Ok(None),
            Some(RecoveryNews::Running) => return self.say_running(recovery).await.map(Some),
            Some(RecoveryNews::Waiting) => None,
            Some(RecoveryNews::Failed { failure }) => Some(failure),
        };
        if self.v.paused {
            let words = format!(
                "spec.paused is set: the data of {what} is not fetched before changes go on"
            );
            return Ok(Some((ready::RECOVERING_DATA, words)));
        }
        if let Some(claims) = others_with_data(site) {
            return Ok(Some(refused(&claims)));
        }
        let reason = failed.map(|failure| failure.reason);
        if !shared.recoveries.may_begin(&key, first.uid(), reason) {
            return Ok(match failed {
                Some(failure) => Some(refused(failure)),
                None => Some(self.say_running(recovery).await?),
            });
        }
        let backup = stored::read(&shared.client, site.owner.namespace, recovery).await?;
        let reader = self.reader(first, config);
        let namespace = site.owner.namespace;
        let source = match stored::source(recovery, namespace, backup.as_ref(), &reader) {
            Ok(source) => source,
            Err(failure) => return Ok(Some(refused(&failure))),
        };
        let said = match failed {
            // It is told on until it is known to be over.
            Some(failure) => refused(failure),
            None => fetching(&what, &source.store, source.size.as_deref()),
        };
        let store = access::of(&shared.client, site.owner.namespace, &source.store).await;
        let store = match store {
            Ok(store) => store,
            // The API server does not say.
            Err(no) if no.reason == completed::PENDING => {
                return Ok(Some((ready::RECOVERING_DATA, no.words)));
            }
            // Of a Secret that is missing as well, as docs/backup.md has it.
            Err(no) => {
                let words = format!("{}: {}", completed::NO_STORE, no.words);
                return Ok(Some((ready::RECOVERY_REFUSED, words)));
            }
        };
        let status = first.agent.status();
        // The server reads the data with what it may use by then.
        if status.is_some_and(|status| status.config.revision != config.revision) {
            return Ok(Some(said));
        }
        shared
            .recoveries
            .begins(&key, first.uid(), failed.is_some());
        let from = source.from;
        order(material, first, BackupOrder::Recover { from, store }).await?;
        Ok(Some(said))
    }

    /// What is said while the data comes.
    async fn say_running(&self, recovery: &Recovery) -> Result<Said, PassError> {
        let site = self.site;
        let refused = last(site, ready::RECOVERY_REFUSED);
        if let Some(said) = refused
            && site
                .shared
                .recoveries
                .has_just_begun_again(&site.instance())
        {
            return Ok(said);
        }
        if let Some(said) = last(site, ready::RECOVERING_DATA) {
            return Ok(said);
        }
        let namespace = site.owner.namespace;
        let backup = stored::read(&site.shared.client, namespace, recovery).await?;
        let what = stored::label(recovery, namespace);
        let store = store_of(recovery, backup.as_ref());
        let size = backup.and_then(|backup| backup.status?.stored_size);
        // Of a backup that is not the whole of it nobody knows how much there is.
        let size = size.filter(|_| recovery.at.is_none());
        Ok(fetching(&what, &store, size.as_deref()))
    }

    /// The server that is to read the data, with what it may fill.
    fn reader(&self, first: &Member, config: &ServerConfig) -> Reader {
        let maxmemory = config.directives.get("maxmemory");
        let maxmemory = maxmemory.and_then(|text| parse_memory_size(text).ok());
        let claim = first.claim.as_ref();
        Reader {
            engine: self.v.engine,
            version: self.v.version,
            room: Room {
                maxmemory: maxmemory.filter(|bytes| *bytes > 0),
                volume: claim.map(|claim| claim.capacity.unwrap_or(claim.requested)),
            },
        }
    }
}

/// What the status tells once the data is there: the server that was filled leads.
async fn over(
    site: &Site<'_>,
    seen: &Observation,
    recovery: &Recovery,
) -> Result<Option<RecoveryStatus>, PassError> {
    let news = seen.primary().and_then(Member::recovery);
    let Some(RecoveryNews::Done {
        taken_unix_ms,
        base,
    }) = news
    else {
        return Ok(None);
    };
    let backup = stored::read(&site.shared.client, site.owner.namespace, recovery).await?;
    let taken = i64::try_from(*taken_unix_ms).unwrap_or(i64::MAX);
    Ok(Some(RecoveryStatus {
        store: store_of(recovery, backup.as_ref()),
        // The field has room for no more, whatever an agent tells.
        base: base.chars().take(1024).collect(),
        requested: recovery.at.as_ref().map(|at| at.text.clone()),
        reached: Time(Timestamp::from_millisecond(taken).unwrap_or_default()),
        completed_at: Time(Timestamp::now()),
    }))
}

/// The store that has the data; none of a RedisBackup that somebody deleted meanwhile.
fn store_of(recovery: &Recovery, backup: Option<&RedisBackup>) -> String {
    let store = match &recovery.origin {
        Origin::Object(source) => Some(source.store_ref.name.clone()),
        Origin::Backup(_) => backup.and_then(|backup| backup.status.as_ref()?.store.clone()),
    };
    store.unwrap_or_default()
}

/// Claims of further pods that may have data: those pods would give it up for that of the store.
fn others_with_data(site: &Site<'_>) -> Option<Failure> {
    let set = &site.live.set;
    let others = set.claims.iter().filter(|(ordinal, _)| **ordinal > 0);
    let may_have_data = others.filter_map(|(_, claim)| {
        let view = claim_view(claim, set)?;
        let has = match view.record {
            Record::Unknown => view.capacity.is_some(),
            record => !record.is_empty(),
        };
        has.then_some(view.name)
    });
    let names: Vec<String> = may_have_data.collect();
    (!names.is_empty()).then(|| {
        let words = format!(
            "the claims {} may have data of an object that had this name, and would lose it: delete them, or recover \
             under another name",
            names.join(", ")
        );
        Failure::new(FailureReason::DataPresent, words)
    })
}

fn refused(Failure { reason, message }: &Failure) -> Said {
    let words = format!("{}: {message}", reason.as_str());
    (ready::RECOVERY_REFUSED, words)
}

fn fetching(what: &str, store: &str, size: Option<&str>) -> Said {
    let size = size.map_or_else(String::new, |size| format!(" ({size})"));
    let words = format!("the data of {what}{size} is fetched from the store {store}");
    (ready::RECOVERING_DATA, words)
}

/// What `Ready` says, if it says it for this reason.
fn last(site: &Site<'_>, reason: &'static str) -> Option<Said> {
    let status = site.object.status.as_ref()?;
    let mut conditions = status.conditions.iter();
    let is_it =
        |condition: &&Condition| condition.type_ == ready::TYPE && condition.reason == reason;
    let found = conditions.find(is_it)?;
    Some((reason, found.message.clone()))
}
