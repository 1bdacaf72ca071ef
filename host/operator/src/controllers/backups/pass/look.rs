//! A look at a run: its agent is asked how far it is.

use hera_api::BackupPhase;
use hera_api::conditions::{available, completed};
use hera_core::backup::{
    BackupManifest, BackupOrder, BackupState, BaseManifest, FORMAT, Failure, FailureReason, Heard,
    Look, ShardInBackup, look,
};
use kube::ResourceExt as _;
use tracing::debug;

use super::super::memory::Reading;
use super::super::status::{self, Said};
use super::super::target::{self, Target};
use super::{Again, Pass, RUNS, SHARD};
use crate::agents::{AgentClient, AgentError};
use crate::controllers::outcome::PassError;

impl Pass<'_> {
    /// Asks the agent of the run how far it is.
    pub(super) async fn look(&mut self) -> Result<Again, PassError> {
        self.kept.tries.looked_at(self.now_ms);
        let (Some(shard), Some(uid)) =
            (self.shard().cloned(), self.target_uid().map(str::to_owned))
        else {
            let words = "the status does not say which pod is read";
            return self
                .lost(Failure::new(FailureReason::LostItsPod, words))
                .await;
        };
        let run = self.run();
        self.kept.reading = Some(Reading {
            target: self.target.name.clone(),
            pod_uid: shard.pod_uid.clone(),
            run: run.clone(),
        });
        let agent = self.shared.agents.client(&shard.pod_uid);
        let told = match &agent {
            Some(agent) => agent.backup().await,
            None => Err(AgentError::StillLate),
        };
        let heard = match &told {
            Ok(state) => self.heard(state, &run),
            Err(error) => {
                debug!(run, %error, "the agent of a run does not answer");
                let (client, namespace) = (&self.shared.client, &self.target.namespace);
                match target::has_pod(client, namespace, &shard.pod, &shard.pod_uid).await? {
                    true => {
                        let since = *self.kept.silent_since_ms.get_or_insert(self.now_ms);
                        Heard::Silent(self.now_ms.saturating_sub(since))
                    }
                    false => Heard::Gone,
                }
            }
        };
        match (look(heard, &uid, &self.paths(&uid), SHARD), &agent) {
            (Look::Commit(base), Some(agent)) => {
                let base = base.clone();
                self.commit(agent, &uid, &base).await
            }
            (Look::Done(Some(earlier)), _) => {
                let earlier = earlier.clone();
                let mut noted = self.backup.status.clone().unwrap_or_default();
                status::note_base(&mut noted, &earlier);
                if let Some(shard) = noted.shards.first_mut() {
                    shard.pod.clone_from(&earlier.pod);
                }
                self.backup.status = Some(noted);
                self.complete(&uid).await
            }
            (Look::Done(None), _) if self.is_stored() => self.complete(&uid).await,
            (Look::Done(None), _) => {
                let words = "its agent says that the backup is written, of no snapshot";
                self.lost(Failure::new(FailureReason::ServerRefused, words))
                    .await
            }
            (Look::Lost(failure), _) => self.lost(failure).await,
            (Look::GoesOn | Look::Commit(_), _) => Ok(Some(RUNS)),
        }
    }

    /// A base was told of, and is written down.
    fn is_stored(&self) -> bool {
        let status = self.backup.status.as_ref();
        status.is_some_and(|status| status.instant.is_some())
    }

    fn heard<'s>(&mut self, state: &'s BackupState, run: &str) -> Heard<'s> {
        self.kept.silent_since_ms = None;
        let Some(found) = state.runs.iter().rfind(|found| found.run == run) else {
            return Heard::Unknown;
        };
        let known = self.kept.told.take();
        let known = known.filter(|(said, _)| *said == found.state);
        let (said, since) = known.unwrap_or_else(|| (found.state.clone(), self.now_ms));
        self.kept.told = Some((said, since));
        Heard::Told {
            state: &found.state,
            same_for_ms: self.now_ms.saturating_sub(since),
        }
    }

    /// Has the backup written, of which the base is stored.
    async fn commit(
        &mut self,
        agent: &AgentClient,
        uid: &str,
        base: &BaseManifest,
    ) -> Result<Again, PassError> {
        if self.is_stored() && !status::is_noted(&self.backup, base) {
            let words = "its agent tells of another snapshot than before";
            return self
                .lost(Failure::new(FailureReason::ServerRefused, words))
                .await;
        }
        let store = self.store().unwrap_or_default().to_owned();
        let access = self.access(&store).await;
        let pod = self.shard().map_or("", |shard| shard.pod.as_str());
        let waits_for = match &access {
            Ok(_) => "the backup is being written",
            Err(missing) => missing.words.as_str(),
        };
        let words = format!(
            "attempt {}: the snapshot of pod {pod} is stored, and {waits_for}",
            self.attempts()
        );
        let said = Said::new(completed::RUNNING, words);
        let mut wanted = status::with(&self.backup, BackupPhase::Running, &said);
        status::note_base(&mut wanted, base);
        // Before the backup is there: whoever leads by then knows what is in it.
        self.write(wanted).await?;
        let Ok(store) = access else {
            return Ok(Some(RUNS));
        };
        let manifest = match self.kept.manifest.clone() {
            Some(manifest) => manifest,
            None => Box::new(self.manifest(uid, base).await?),
        };
        self.kept.manifest = Some(manifest.clone());
        let order = BackupOrder::Commit {
            run: self.run(),
            manifest,
            store,
        };
        // What came of it is seen at the next look.
        if let Err(error) = agent.order_backup(&self.request(order)).await {
            debug!(run = self.run(), %error, "the agent was not told to write the backup");
        }
        Ok(Some(RUNS))
    }

    /// What is written of a backup. Of an object that is gone meanwhile the data counts, and its spec is not known.
    async fn manifest(&self, uid: &str, base: &BaseManifest) -> Result<BackupManifest, PassError> {
        let client = &self.shared.client;
        let (namespace, name) = (&self.target.namespace, &self.target.name);
        let target = Box::pin(Target::read(client, namespace, name)).await?;
        let target = target.ok().filter(|target| target.uid() == uid);
        let spec = target.and_then(|target| serde_json::to_value(&target.object.spec).ok());
        Ok(BackupManifest {
            v: FORMAT,
            id: self.backup.name_any(),
            owner: self.owner(uid).await?,
            spec: spec.unwrap_or_default(),
            instant_unix_ms: base.taken_unix_ms,
            shards: vec![ShardInBackup {
                shard: base.shard.clone(),
                base: base.path.clone(),
            }],
        })
    }

    /// The store holds the whole of it.
    async fn complete(&mut self, uid: &str) -> Result<Again, PassError> {
        let store = self.store().unwrap_or_default().to_owned();
        let (client, namespace) = (&self.shared.client, &self.target.namespace);
        status::tell_store(client, namespace, &store, available::REACHED, "").await;
        let path = self.paths(uid).backup(&self.backup.name_any());
        let words = format!("RedisBackupStore {store} holds it at {path}");
        if let Some(status) = &mut self.backup.status {
            status.path = Some(path);
        }
        self.over(BackupPhase::Completed, Said::new(completed::STORED, words))
            .await
    }
}
