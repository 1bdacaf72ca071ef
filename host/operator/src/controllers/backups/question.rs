//! What a policy of backups is asked about an object, and how.

mod copies;

use std::collections::BTreeSet;

use hera_api::meta::ANNOTATION_ASK_POLICIES;
use hera_api::validate::BackupPlan;
use hera_api::{BackupPhase, RedisBackup, RedisInstance};
use hera_core::backup::decision::{
    BackupAnswer, BackupInput, Demand, Limits, MOST_HISTORY, Past, ShardCopies,
};
use hera_core::backup::retention::needed_simple;
use hera_core::backup::{Keep, Source, Wish};
use hera_core::shard::Member;
use hera_policy::{Backup, Context, Decision as _};
use kube::ResourceExt as _;

use super::record;
use super::retention::keep_of;
use super::target::source;
use crate::object::ObjectKey;
use crate::policies::{Made, Question, now_unix_ms, seed};
use crate::shared::Shared;

/// An object about whose backups a policy is asked.
pub struct About<'a> {
    pub shared: &'a Shared,
    pub object: &'a RedisInstance,
    pub key: &'a ObjectKey,
    pub uid: &'a str,
    pub plan: &'a BackupPlan,
    pub members: &'a [Member],
}

/// What came of a question.
pub enum Asked {
    /// The policy is being loaded.
    Loading,
    /// This.
    Made(Box<Made<BackupAnswer>>),
}

impl About<'_> {
    /// How it stands with the policy, though it is not asked; none where the status says it.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn standing(&self) -> kube::Result<Option<Made<BackupAnswer>>> {
        let input = self.input(Vec::new(), Vec::new(), source(self.plan.source));
        let question = self.question(&input);
        let lane = &self.shared.policies.backup;
        match Box::pin(lane.standing(&question)).await {
            Err(kube::Error::Api(refused)) if refused.is_forbidden() => {
                Ok(Some(Made::unread(&refused, question.context.now_unix_ms)))
            }
            standing => standing,
        }
    }

    /// Asks it.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn ask(&self, input: &BackupInput) -> kube::Result<Asked> {
        let question = self.question(input);
        let lane = &self.shared.policies.backup;
        let prepared = match Box::pin(lane.prepare(&question)).await {
            Err(kube::Error::Api(refused)) if refused.is_forbidden() => {
                let unread = Made::unread(&refused, question.context.now_unix_ms);
                return Ok(Asked::Made(Box::new(unread)));
            }
            prepared => prepared?,
        };
        if prepared.is_loading() {
            return Ok(Asked::Loading);
        }
        let made = Box::pin(lane.decide_by(&question, prepared)).await;
        // What it came to stands in the status of the object.
        self.shared.references.wake_known(self.key);
        Ok(Asked::Made(Box::new(made)))
    }

    /// A question in which nothing is wanted.
    pub fn input(&self, shards: Vec<ShardCopies>, history: Vec<Past>, from: Source) -> BackupInput {
        let now = now_unix_ms();
        let schedules = self.plan.schedules.iter();
        let next = schedules.filter_map(|schedule| schedule.cron.next_after(now));
        BackupInput {
            demand: None,
            others: Vec::new(),
            next_due_unix_ms: next.min(),
            shards,
            history: cut(history),
            log_kept: self.plan.log_kept,
            limits: limits(self.plan, from),
        }
    }

    /// The copies of the object as they are now, and what there is of backups and the log.
    pub async fn shards(&self, wish: Wish<'_>, backups: &[&RedisBackup]) -> Vec<ShardCopies> {
        vec![Box::pin(copies::of(self, wish, backups)).await]
    }

    fn question<'q>(&'q self, input: &'q BackupInput) -> Question<'q, Backup> {
        let policies = &self.object.spec.common.policies;
        let mut known = self
            .object
            .status
            .iter()
            .flat_map(|status| &status.policies);
        let request = self.object.annotations().get(ANNOTATION_ASK_POLICIES);
        Question {
            instance: self.key,
            source: policies.backup.as_ref(),
            status: known.find(|policy| policy.decision == Backup::NAME),
            context: self.context(),
            input,
            request: request.map(String::as_str),
        }
    }

    fn context(&self) -> Context {
        let mut told = self
            .members
            .iter()
            .filter_map(|member| member.agent.status());
        let told = told.find_map(|told| Some((told.engine.clone()?, told.version.clone()?)));
        let status = self.object.status.as_ref();
        let known = || {
            let engine = status.and_then(|status| status.engine);
            let version = status.and_then(|status| status.version.clone());
            let engine = engine.map(|engine| engine.to_string());
            (engine.unwrap_or_default(), version.unwrap_or_default())
        };
        let (engine, version) = told.unwrap_or_else(known);
        Context {
            now_unix_ms: now_unix_ms(),
            seed: seed(self.uid, Backup::NAME),
            name: self.key.name.clone(),
            namespace: self.key.namespace.clone(),
            engine,
            version,
            settings: String::new(),
        }
    }
}

/// What the store of a spec has of an object, as RedisBackups tell: it stays, as far as they say.
pub fn history(plan: &BackupPlan, uid: &str, backups: &[&RedisBackup]) -> Vec<Past> {
    let stored = backups.iter().copied();
    let stored = stored.filter(|backup| record::is_stored(backup, uid, &plan.store));
    let mut all: Vec<Past> = stored
        .filter_map(|backup| {
            Some(Past {
                id: backup.name_any(),
                instant_unix_ms: record::taken_unix_ms(backup)?,
                stored_bytes: record::stored_bytes(backup),
                cause: record::cause(backup),
                needed: record::is_kept(backup),
            })
        })
        .collect();
    let kept = all.iter().filter(|past| past.needed);
    let kept: BTreeSet<String> = kept.map(|past| past.id.clone()).collect();
    mark_needed(&mut all, keep_of(plan), &kept);
    all
}

/// Marks what stays by the times of backups alone; all, where that cannot be told or nothing is to go.
pub fn mark_needed(all: &mut [Past], keep: Option<Keep>, kept: &BTreeSet<String>) {
    let held: Vec<(String, u64)> = all
        .iter()
        .map(|past| (past.id.clone(), past.instant_unix_ms))
        .collect();
    let needed = keep.map(|keep| needed_simple(&held, &keep, kept, now_unix_ms()));
    for past in all {
        past.needed |= match &needed {
            Some(Ok(needed)) => needed.contains(&past.id),
            Some(Err(_)) | None => true,
        };
    }
}

/// The others that wait to begin.
pub fn others(backups: &[&RedisBackup], but: Option<&str>) -> Vec<Demand> {
    let waiting = backups.iter().copied().filter(|backup| {
        backup.phase() == BackupPhase::Pending
            && backup.metadata.deletion_timestamp.is_none()
            && Some(backup.name_any().as_str()) != but
    });
    waiting.map(record::demand).collect()
}

fn limits(plan: &BackupPlan, source: Source) -> Limits {
    let keep = keep_of(plan);
    Limits {
        source,
        max_age_seconds: plan.max_age_ms.map(|ms| ms / 1_000),
        keep_seconds: keep.and_then(|keep| keep.for_ms).map(|ms| ms / 1_000),
        keep_last: keep.map_or(1, |keep| keep.last),
    }
}

/// The latest first, and no more than a policy is told of: what may go comes before what stays, or it would stay for
/// ever behind that.
fn cut(mut all: Vec<Past>) -> Vec<Past> {
    let latest_first = |all: &mut Vec<Past>| {
        all.sort_by(|a, b| (b.instant_unix_ms, &b.id).cmp(&(a.instant_unix_ms, &a.id)));
    };
    latest_first(&mut all);
    if all.len() <= MOST_HISTORY {
        return all;
    }
    let (mut stay, mut may_go): (Vec<Past>, Vec<Past>) =
        all.into_iter().partition(|past| past.needed);
    may_go.truncate(MOST_HISTORY);
    stay.truncate(MOST_HISTORY - may_go.len());
    may_go.append(&mut stay);
    latest_first(&mut may_go);
    may_go
}

#[cfg(test)]
mod tests {
    use hera_core::backup::decision::Cause;

    use super::*;

    fn past(number: u64, needed: bool) -> Past {
        Past {
            id: format!("b-{number}"),
            instant_unix_ms: number,
            stored_bytes: 1,
            cause: Cause::Schedule,
            needed,
        }
    }

    #[test]
    fn of_many_backups_a_policy_is_told_of_those_that_may_go() {
        let all = (0..400).map(|number| past(number, number >= 10));
        let told = cut(all.collect());
        assert_eq!(told.len(), MOST_HISTORY);
        assert_eq!(told.iter().filter(|past| !past.needed).count(), 10);
        assert_eq!(told[0].id, "b-399");
        assert!(
            told.windows(2)
                .all(|two| two[0].instant_unix_ms > two[1].instant_unix_ms)
        );
        let few = cut((0..3).map(|number| past(number, true)).collect());
        let ids: Vec<&str> = few.iter().map(|past| past.id.as_str()).collect();
        assert_eq!(ids, ["b-2", "b-1", "b-0"]);
    }

    #[test]
    fn without_retention_nothing_may_go() {
        let mut all = vec![past(1, false), past(2, false)];
        mark_needed(&mut all, None, &BTreeSet::new());
        assert!(all.iter().all(|past| past.needed));
    }
}
