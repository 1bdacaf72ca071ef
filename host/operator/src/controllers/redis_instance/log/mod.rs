//! The log of an instance: which agent keeps it, what agents are ordered, and what is told of it.
//!
//! An agent that keeps one goes on by itself: through changes of roles, while the operator is away, and until its pod
//! ends. The operator says which one does, and where to.

mod memory;
mod said;

use std::time::Duration;

use hera_api::conditions::{backup_healthy, completed};
use hera_api::validate::{Log, log};
use hera_core::backup::log::place;
use hera_core::backup::{BackupOrder, CaptureNews, CaptureOrder, NoCopy, Source, StoreAccess};
use hera_core::digest::sha256_hex;
use hera_core::shard::{Member, primary};

use super::act::Material;
use super::backup_orders::order;
use crate::agents::AgentError;
use crate::controllers::backups::access::{self, NoAccess};
use crate::controllers::backups::bases::{self, GoesOn, news as news_of};
use crate::controllers::backups::{SHARD, known, target};
use crate::controllers::outcome::PassError;
use crate::controllers::pods::observe::millis;
use crate::controllers::pods::requests::hibernates;
use memory::{HEARD, Told};

pub use memory::Logs;
pub use said::Said;

/// What no news tells of is looked at again after this.
const AGAIN: Duration = Duration::from_secs(15);

/// What a pass came to.
#[derive(Default)]
pub struct Looked {
    /// What is to be told.
    pub said: Said,
    /// What could not be done; the next pass goes on from there.
    pub failed: Option<PassError>,
    /// Until the next look, if it is to come without news.
    pub again: Option<Duration>,
    /// The log, while it is kept and has no gap.
    pub goes_on: Option<GoesOn>,
}

impl Looked {
    fn say(said: Said) -> Self {
        Self {
            said,
            ..Self::default()
        }
    }

    fn no(reason: &'static str, words: String) -> Self {
        Self::say(Said::Is(false, reason, words))
    }

    /// Nothing new is said.
    fn after(again: Duration) -> Self {
        Self {
            again: Some(again),
            ..Self::default()
        }
    }
}

/// Sees to it that one agent keeps the log, if the spec asks for one, and that no other does: whatever else is wrong
/// with the spec, and while it is paused. Of an instance that hibernates nobody is ordered anything: agents store the
/// log up to the end of their servers by themselves.
pub async fn look(material: &Material<'_>, members: &[Member]) -> Looked {
    let site = material.site;
    if site.recovery_due || hibernates(site.object) {
        return match log(&site.object.spec) {
            Ok(None) => Looked::say(Said::Off),
            Ok(Some(_)) | Err(_) => Looked::default(),
        };
    }
    let key = site.instance();
    let uids: Vec<&str> = members.iter().map(Member::uid).collect();
    site.shared.logs.keep_only(&key, &uids);
    match log(&site.object.spec) {
        Ok(Some(log)) => {
            // An agent at the primary counts as one of the replicas without which no write is to be taken.
            let counts = primary(members).filter(|_| log.needs_replicas);
            let counts: Vec<&Member> = counts.into_iter().collect();
            let stopped = stop(material, &counts).await;
            let looked = Box::pin(keep(material, members, &log)).await;
            Looked {
                failed: stopped.err().or(looked.failed),
                ..looked
            }
        }
        Ok(None) => {
            site.shared.references.note(&key, Vec::new());
            let all: Vec<&Member> = members.iter().collect();
            Looked {
                failed: stop(material, &all).await.err(),
                ..Looked::say(Said::Off)
            }
        }
        // What was ordered goes on until the spec says what is wanted.
        Err(_) => Looked::default(),
    }
}

async fn keep(material: &Material<'_>, members: &[Member], log: &Log) -> Looked {
    let site = material.site;
    let (shared, key) = (site.shared, site.instance());
    let known = shared.logs.keeper(&key);
    let keeper = keeper(members, site.owner.uid, known.as_deref());
    let source = match target::source(log.source) {
        Source::Primary if log.needs_replicas => Source::Replica,
        source => source,
    };
    let keeper = keeper.map(Member::uid);
    let chosen = match place(members, source, log.needs_replicas, keeper) {
        Ok(chosen) => chosen,
        // Nothing is written, and Ready says so.
        Err(NoCopy::NoPrimary) => return Looked::default(),
        Err(none) => {
            return match shared.logs.until_told(&key) {
                Some(left) => Looked::after(left),
                None => Looked::no(backup_healthy::NO_COPY_FITS, none.to_string()),
            };
        }
    };
    shared.logs.found_copy(&key);
    if let Some(version) = target::too_old(chosen.agent.status()) {
        let words = format!(
            "the server of pod {} has version {version}: a log needs 7.0 or later",
            chosen.name()
        );
        return Looked::no(backup_healthy::VERSION_UNSUPPORTED, words);
    }
    let store = match access(material, &log.store).await {
        Ok(store) => store,
        // The API server does not say.
        Err(no) if no.reason == completed::PENDING => return Looked::after(AGAIN),
        Err(no) => return Looked::no(no.reason, no.words),
    };
    match capture(material, chosen, log, store).await {
        Ok(()) => {}
        Err(PassError::Agent(AgentError::Refused(words))) => {
            let words = format!(
                "the agent of pod {} does not take the order to keep the log: {words}",
                chosen.name()
            );
            return Looked {
                again: Some(AGAIN),
                ..Looked::no(backup_healthy::NO_COPY_FITS, words)
            };
        }
        Err(error) => {
            return Looked {
                failed: Some(error),
                ..Looked::default()
            };
        }
    }
    let news = news_of(chosen, site.owner.uid);
    // Until it has caught up with the store the one before goes on, with what it has read and not stored yet.
    let is_on = news.is_some_and(|news| news.unbroken_since_unix_ms.is_some());
    let others = members
        .iter()
        .filter(|member| is_on && member.uid() != chosen.uid());
    let others: Vec<&Member> = others.collect();
    let stopped = stop(material, &others).await;
    let goes_on = news.and_then(|news| GoesOn::of(chosen, news));
    let said = news.and_then(|news| tell(material, chosen, log, news, goes_on.as_ref()));
    Looked {
        again: match (news, &said) {
            (None, _) => Some(HEARD),
            // Backups are not known yet.
            (Some(_), None) => Some(AGAIN),
            (Some(_), Some(_)) => None,
        },
        said: said.unwrap_or_default(),
        failed: stopped.err(),
        goes_on,
    }
}

/// The member whose agent keeps the log: of several the one that was ordered last.
fn keeper<'a>(members: &'a [Member], uid: &str, last: Option<&str>) -> Option<&'a Member> {
    let keepers = members
        .iter()
        .filter(|member| news_of(member, uid).is_some());
    keepers.min_by_key(|member| Some(member.uid()) != last)
}

/// How the store is reached. What changes in its Secrets wakes the instance.
async fn access(material: &Material<'_>, store: &str) -> Result<StoreAccess, NoAccess> {
    let site = material.site;
    let (shared, namespace) = (site.shared, site.owner.namespace);
    shared.references.ensure_backup_stores(namespace);
    let found = access::read(&shared.client, namespace, store).await?;
    let secrets = access::secrets(&found.spec.s3);
    // Before they are read: what changes meanwhile is news.
    shared.references.note(&site.instance(), secrets);
    access::with_secrets(&shared.client, namespace, &found).await
}

/// Orders the agent of a pod to keep the log, unless it was ordered just that.
async fn capture(
    material: &Material<'_>,
    member: &Member,
    log: &Log,
    store: StoreAccess,
) -> Result<(), PassError> {
    let site = material.site;
    let (shared, key) = (site.shared, site.instance());
    let owner = shared.owners.file(&shared.client, &key, site.owner.uid);
    let wanted = CaptureOrder {
        shard: SHARD.to_owned(),
        owner: owner.await?,
        store,
        max_delay_ms: log.max_delay_ms,
    };
    // With what is secret in it: the digest stays in this process.
    let digest = sha256_hex(&serde_json::to_vec(&wanted).unwrap_or_default());
    let told = Told::Capture(digest);
    let is_done = news_of(member, site.owner.uid).is_some();
    if !shared.logs.is_due(&key, member, site.term, &told, is_done) {
        return Ok(());
    }
    let wanted = BackupOrder::Capture(Box::new(wanted));
    order(material, member, wanted).await?;
    shared.logs.ordered(&key, member, site.term, told);
    Ok(())
}

/// Orders those of the agents that keep a log to keep it no further.
///
/// # Errors
/// The first that could not be told; the others are.
async fn stop(material: &Material<'_>, members: &[&Member]) -> Result<(), PassError> {
    let site = material.site;
    let (logs, key) = (&site.shared.logs, site.instance());
    let mut done = Ok(());
    for member in members {
        let is_due = || logs.is_due(&key, member, site.term, &Told::Stop, false);
        if capture_of(member).is_none() || !is_due() {
            continue;
        }
        match order(material, member, BackupOrder::StopCapture).await {
            Ok(()) => logs.ordered(&key, member, site.term, Told::Stop),
            Err(error) => done = done.and(Err(error)),
        }
    }
    done
}

/// What is said of a log that is kept; none before it is known which backups there are.
fn tell(
    material: &Material<'_>,
    member: &Member,
    log: &Log,
    news: &CaptureNews,
    goes_on: Option<&GoesOn>,
) -> Option<Said> {
    let site = material.site;
    if let Some(failure) = &news.trouble {
        return Some(said::of_trouble(member.name(), failure));
    }
    let Some(goes_on) = goes_on else {
        return Some(Said::AsBefore);
    };
    let key = site.instance();
    let known = site.shared.backups.known.of(&key)?;
    let since = goes_on.since(site.owner.uid, &log.store);
    let first = bases::first(&known::read(&known), &since);
    // One that somebody keeps may be older than what sweeps left of the log.
    let first = first.map(|first| first.max(first_recoverable(material)));
    let unix_ms = goes_on.unix_ms;
    Some(said::of_log(&key.name, &log.store, news, unix_ms, first))
}

/// Before this nothing can be recovered, as far as sweeps of the store found; in milliseconds since 1970.
fn first_recoverable(material: &Material<'_>) -> u64 {
    let site = material.site;
    let status = site.object.status.as_ref();
    let backup = status.and_then(|status| status.backup.as_ref());
    let told = backup.and_then(|backup| backup.first_recoverable.as_ref());
    let told = told.map(|at| millis(at.0));
    let sweeps = &site.shared.backups.sweeps;
    let known = sweeps.known(&site.instance(), site.owner.uid).swept;
    let known = known.and_then(|swept| swept.first_unix_ms);
    told.max(known).unwrap_or(0)
}

/// What an agent tells of a log that it keeps of whatever object.
fn capture_of(member: &Member) -> Option<&CaptureNews> {
    member.agent.status()?.capture.as_ref()
}
