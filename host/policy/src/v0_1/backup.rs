use hera_core::backup::Source;
use hera_core::backup::decision::{
    BackupAnswer, BackupInput, Cause, Choice, Copy as DataCopy, CopyRole, Decided, Demand,
    Limits as Spec, Past, ShardCopies,
};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use super::backup_bindings::exports::hera::policy::backup as wit;
use super::backup_bindings::{BackupPolicy, BackupPolicyPre};
use super::bindings::hera::policy::log;
use super::refused;
use crate::sandbox::{self, Ran, State};
use crate::{Answered, CallError, Context, Limits};

/// A compiled policy of the world `backup-policy`.
pub struct Backup(BackupPolicyPre<State>);

impl Backup {
    /// Links a component: only the log is there to import.
    pub fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        let mut linker = Linker::<State>::new(engine);
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        let linked = linker.instantiate_pre(component)?;
        Ok(Self(BackupPolicyPre::new(linked)?))
    }

    /// Starts an instance and drops it: types that differ show only here.
    pub fn trial(&self, limits: &Limits) -> Result<(), CallError> {
        let engine = self.0.engine();
        sandbox::run(engine, limits, |store| self.0.instantiate(store).map(drop)).result
    }

    /// Asks for a decision.
    pub fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &BackupInput,
    ) -> Ran<Answered<BackupAnswer>> {
        let (context, input) = (context.into(), wit::BackupInput::from(input));
        let ran = sandbox::run(self.0.engine(), limits, |store| {
            let policy: BackupPolicy = self.0.instantiate(&mut *store)?;
            policy
                .hera_policy_backup()
                .call_decide(store, &context, &input)
        });
        ran.and_then(|answer| match answer {
            Ok(answer) => Ok(decode(answer, limits)),
            Err(error) => Err(refused(error, limits)),
        })
    }

    /// Asks whether settings make sense.
    pub fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError> {
        let ran = sandbox::run(self.0.engine(), limits, |store| {
            let policy: BackupPolicy = self.0.instantiate(&mut *store)?;
            policy
                .hera_policy_backup()
                .call_validate_settings(store, settings)
        });
        ran.result?.map_err(|text| {
            CallError::InvalidSettings(hera_core::acl::printable(&text, limits.text_bytes))
        })
    }
}

/// An answer that waits holds until then; any other until something changes. No id in a history is as long as what is
/// cut, or has what stands for a character that is none.
fn decode(answer: wit::BackupAnswer, limits: &Limits) -> Answered<BackupAnswer> {
    let wit::BackupAnswer { next, drop, reason } = answer;
    let printable = |text: &str| hera_core::acl::printable(text, limits.text_bytes);
    let again_at_unix_ms = match next {
        wit::Next::WaitUntil(unix_ms) => Some(unix_ms),
        wit::Next::Start(_) | wit::Next::Skip => None,
    };
    Answered {
        answer: BackupAnswer {
            next: next.into(),
            drop: drop.iter().map(|id| printable(id)).collect(),
            reason: printable(&reason),
        },
        again_at_unix_ms,
    }
}

impl From<&BackupInput> for wit::BackupInput {
    fn from(input: &BackupInput) -> Self {
        let BackupInput {
            demand,
            others,
            next_due_unix_ms,
            shards,
            history,
            log_kept,
            limits,
        } = input;
        let Spec {
            source,
            max_age_seconds,
            keep_seconds,
            keep_last,
        } = *limits;
        Self {
            demand: demand.as_ref().map(wit::Demand::from),
            others: others.iter().map(wit::Demand::from).collect(),
            next_due_unix_ms: *next_due_unix_ms,
            shards: shards.iter().map(wit::Shard::from).collect(),
            history: history.iter().map(wit::Past::from).collect(),
            log_kept: *log_kept,
            limits: wit::Limits {
                source: match source {
                    Source::PreferReplica => wit::Source::PreferReplica,
                    Source::Replica => wit::Source::Replica,
                    Source::Primary => wit::Source::Primary,
                },
                max_age_seconds,
                keep_seconds,
                keep_last,
            },
        }
    }
}

impl From<&Demand> for wit::Demand {
    fn from(demand: &Demand) -> Self {
        let Demand {
            name,
            cause,
            schedule,
            since_unix_ms,
            latest_unix_ms,
        } = demand;
        Self {
            name: name.clone(),
            cause: (*cause).into(),
            schedule: schedule.clone(),
            since_unix_ms: *since_unix_ms,
            latest_unix_ms: *latest_unix_ms,
        }
    }
}

impl From<Cause> for wit::Cause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Schedule => Self::Schedule,
            Cause::Person => Self::Person,
            Cause::Age => Self::Age,
            Cause::Replay => Self::Replay,
            Cause::Gap => Self::Gap,
        }
    }
}

impl From<&ShardCopies> for wit::Shard {
    fn from(shard: &ShardCopies) -> Self {
        let ShardCopies {
            id,
            copies,
            base_unix_ms,
            log_bytes,
            replay_seconds,
        } = shard;
        Self {
            id: *id,
            copies: copies.iter().map(wit::DataCopy::from).collect(),
            base_unix_ms: *base_unix_ms,
            log_bytes: *log_bytes,
            replay_seconds: *replay_seconds,
        }
    }
}

impl From<&DataCopy> for wit::DataCopy {
    fn from(copy: &DataCopy) -> Self {
        let DataCopy {
            id,
            role,
            fits,
            used_bytes,
            free_bytes,
            ops_per_second,
            usual_ops_per_second,
            zone,
            keeps_log,
            read_last,
        } = copy;
        Self {
            id: *id,
            role: match role {
                CopyRole::Primary => wit::Role::Primary,
                CopyRole::Replica => wit::Role::Replica,
            },
            fits: *fits,
            used_bytes: *used_bytes,
            free_bytes: *free_bytes,
            ops_per_second: *ops_per_second,
            usual_ops_per_second: *usual_ops_per_second,
            zone: zone.clone(),
            keeps_log: *keeps_log,
            read_last: *read_last,
        }
    }
}

impl From<&Past> for wit::Past {
    fn from(past: &Past) -> Self {
        let Past {
            id,
            instant_unix_ms,
            stored_bytes,
            cause,
            needed,
        } = past;
        Self {
            id: id.clone(),
            instant_unix_ms: *instant_unix_ms,
            stored_bytes: *stored_bytes,
            cause: (*cause).into(),
            needed: *needed,
        }
    }
}

impl From<wit::Next> for Decided {
    fn from(next: wit::Next) -> Self {
        match next {
            wit::Next::Start(choices) => Self::Start(choices.into_iter().map(choice).collect()),
            wit::Next::WaitUntil(unix_ms) => Self::WaitUntil(unix_ms),
            wit::Next::Skip => Self::Skip,
        }
    }
}

fn choice(choice: wit::Choice) -> Choice {
    let wit::Choice { shard, copy } = choice;
    Choice { shard, copy }
}
