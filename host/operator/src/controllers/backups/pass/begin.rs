//! The beginning of an attempt: everything that it needs is there, or people are told what is not.

use std::time::Duration;

use hera_api::conditions::completed;
use hera_api::{BackupPhase, BackupShard};
use hera_core::backup::{BackupOrder, Failure, FailureReason, RunState, StoreAccess, Wish, choose};
use hera_core::shard::Member;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::super::memory::{Kept, Reading};
use super::super::status::{self, Said};
use super::super::target::{self, Target};
use super::ask::Turn;
use super::{Again, Pass, RUNS, SHARD};
use crate::agents::{AgentClient, AgentError};
use crate::controllers::outcome::PassError;

/// So long after this process first looked at a backup, agents that it has not heard yet are no news.
const FIRST_WORDS_MS: u64 = 5_000;
/// Between two looks meanwhile.
const SOON: Duration = Duration::from_millis(500);
/// An agent knows so many runs.
const RUNS_KNOWN: usize = 4;

impl Pass<'_> {
    /// Begins the next attempt, once it is due and all that it needs is there.
    pub(super) async fn begin(&mut self) -> Result<Again, PassError> {
        if self.kept.due_ms > self.now_ms {
            let left = self.kept.due_ms - self.now_ms;
            self.stands_aside(left);
            return Ok(Some(Duration::from_millis(left)));
        }
        let (client, namespace) = (&self.shared.client, self.target.namespace.clone());
        let read = Box::pin(Target::read(client, &namespace, &self.target.name));
        let target = match read.await? {
            Ok(target) => target,
            Err(words) => return self.held_up(completed::NO_TARGET, words).await,
        };
        let known = self.target_uid();
        if known.is_some_and(|known| known != target.uid()) {
            let words = format!(
                "{} was deleted and made anew since the backup began: create another RedisBackup",
                self.target
            );
            return self
                .over(BackupPhase::Failed, Said::new(completed::NO_TARGET, words))
                .await;
        }
        let Some(spec) = target.object.spec.backup.clone() else {
            let words = format!(
                "spec.backup of {} names no store: name a RedisBackupStore in spec.backup.storeRef",
                self.target
            );
            return self.held_up(completed::NO_TARGET, words).await;
        };
        let store = match self.access(&spec.store_ref.name).await {
            Ok(store) => store,
            Err(said) => return self.held_up(said.reason, said.words).await,
        };
        let members = Box::pin(target.members(self.shared)).await?;
        let foiled = status::is_foiled_by_store(&self.backup);
        let last = self.shard().map(|shard| shard.pod.clone());
        let wish = Wish {
            source: target::source(self.backup.spec.source.unwrap_or(spec.source)),
            needs_replicas: target.object.spec.durability.min_replicas_to_write > 0,
            after: last.as_deref().filter(|_| !foiled),
        };
        let member = match choose(&members, wish) {
            Ok(member) => member,
            Err(_) if self.now_ms < self.kept.since_ms + FIRST_WORDS_MS => {
                return Ok(Some(SOON));
            }
            Err(none) => {
                return self
                    .held_up(completed::NO_COPY_FITS, none.to_string())
                    .await;
            }
        };
        if let Some(version) = target::too_old(member.agent.status()) {
            let words = format!(
                "the server of pod {} has version {version}: backups need 7.0 or later",
                member.name()
            );
            return self
                .over(
                    BackupPhase::Failed,
                    Said::new(completed::VERSION_UNSUPPORTED, words),
                )
                .await;
        }
        let member = match Box::pin(self.ask(&target, &members, wish)).await? {
            Turn::Begins => member,
            Turn::Reads(ordinal) => {
                let mut members = members.iter();
                let named = members.find(|member| member.ordinal == ordinal);
                named.unwrap_or(member)
            }
            Turn::Later(again) => return Ok(again),
        };
        let Some(agent) = self.shared.agents.client(member.uid()) else {
            return Ok(Some(SOON));
        };
        let owner = self.owner(target.uid()).await?;
        self.kept.tries.begins();
        self.note_begun(&target, &store, member).await?;
        let order = BackupOrder::Snapshot {
            run: self.run(),
            shard: SHARD.to_owned(),
            owner,
            store,
        };
        match self.order_snapshot(&agent, order).await {
            Ok(()) => Ok(Some(RUNS)),
            Err(error) => {
                let failure = Failure::new(FailureReason::NoCopyFits, error.to_string());
                self.lost(failure).await
            }
        }
    }

    /// Writes down which pod is read next, before its agent is told.
    async fn note_begun(
        &mut self,
        target: &Target,
        store: &StoreAccess,
        member: &Member,
    ) -> Result<(), PassError> {
        let attempt = self.attempts().saturating_add(1);
        let pod = member.name();
        let words = format!("attempt {attempt}: the server of pod {pod} is read");
        let said = Said::new(completed::RUNNING, words);
        let mut wanted = status::with(&self.backup, BackupPhase::Running, &said);
        wanted.attempts = attempt;
        wanted.store = Some(store.name.clone());
        wanted.target_uid = Some(target.uid().to_owned());
        if wanted.started_at.is_none() {
            wanted.started_at = Some(Time(Timestamp::now()));
        }
        status::forget_base(&mut wanted);
        wanted.shards = vec![BackupShard {
            shard: SHARD.to_owned(),
            pod: pod.to_owned(),
            pod_uid: member.uid().to_owned(),
            ..BackupShard::default()
        }];
        self.kept = Kept {
            reading: Some(Reading {
                target: self.target.name.clone(),
                pod_uid: member.uid().to_owned(),
                run: format!("{}-{attempt}", self.kept.uid),
            }),
            silent_since_ms: None,
            told: None,
            manifest: None,
            ..self.kept.clone()
        };
        self.write(wanted).await
    }

    /// Of the object only this backup has its turn: what else its agent reads, nobody waits for.
    async fn order_snapshot(
        &self,
        agent: &AgentClient,
        order: BackupOrder,
    ) -> Result<(), AgentError> {
        let known = agent.backup().await?;
        let run = self.run();
        let others: Vec<String> = known
            .runs
            .into_iter()
            .filter(|other| other.run != run && is_under_way(&other.state))
            .map(|other| other.run)
            .take(RUNS_KNOWN)
            .collect();
        for run in others {
            let cancel = self.request(BackupOrder::Cancel { run });
            agent.order_backup(&cancel).await?;
        }
        match agent.order_backup(&self.request(order)).await {
            // Whether an order came through that was not answered, the agent says at the next look.
            Ok(_) | Err(AgentError::Http(_) | AgentError::Answer(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Something may still come of it.
fn is_under_way(state: &RunState) -> bool {
    matches!(state, RunState::Running { .. } | RunState::Stored { .. })
}
