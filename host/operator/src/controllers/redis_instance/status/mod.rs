//! What a pass found, as status.

mod degradation;
mod progress;
mod readiness;
mod refusal;
mod space;

use hera_api::conditions::{backup_healthy, condition, degraded, progressing, ready};
use hera_api::meta::ANNOTATION_APPROVE;
use hera_api::names::ObjectName;
use hera_api::validate::{Memory, Validated};
use hera_api::{
    Approval, CopyStatus, Endpoints, Kind, Phase, RecoveryStatus, RedisInstance,
    RedisInstanceStatus,
};
use hera_core::acl::AclAnswer;
use hera_core::agent::{AgentStatus, REDIS_PORT};
use hera_core::backup::decision::BackupAnswer;
use hera_core::instance::{Choice, Plan, Verdict};
use hera_kube::{Refusal, merge_conditions};
use hera_policy::{Acl, Backup};
use hera_render::pod_selector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::backups::Overview;
use super::log::Said;
use crate::controllers::pods::password_news::PasswordNews;
use crate::controllers::pods::policy_status::{self, Decided};
use crate::controllers::pods::rollback::Direction;
use crate::controllers::pods::status::{binding, engine, is_given, shorten};
use crate::policies::Made;

pub use degradation::handover_failed;

/// Everything that the status is made from.
pub struct Found<'a> {
    pub object: &'a RedisInstance,
    pub validated: Option<&'a Validated>,
    pub verdict: Option<&'a Verdict>,
    pub agent: Option<&'a AgentStatus>,
    /// The pod that is the primary.
    pub primary: Option<&'a str>,
    /// How many data pods there are.
    pub pods: usize,
    /// Somebody asked that there be no pods.
    pub hibernates: bool,
    /// What is done, if the spec can be carried out.
    pub plan: Option<&'a Plan>,
    pub image: Option<&'a str>,
    /// The spec, or part of it, cannot be carried out: a reason of `Ready` or `Degraded` of the
    /// same name, and words.
    pub refused: Option<(&'static str, String)>,
    /// Something else that needs attention: a reason of `Degraded`, and words.
    pub attention: Option<(&'static str, String)>,
    /// Something that somebody should know, though it needs nobody: a reason of `Degraded`, and words.
    pub notice: Option<(&'static str, String)>,
    /// The set of users has the application user.
    pub app_user: bool,
    /// Its name.
    pub app_name: &'a str,
    /// Why the pod cannot be made, in the words of who should.
    pub no_pod: Option<String>,
    /// To what the pods are taken, if the spec can be carried out.
    pub way: Option<&'a Direction>,
    /// Who decides about rights.
    pub policy: Option<&'a Made<AclAnswer>>,
    /// What is to be said of passwords, if the spec can be carried out.
    pub passwords: Option<&'a PasswordNews>,
    /// What the server may use and fill, by the spec and by its containers.
    pub memory: Option<Memory>,
    /// Objects that the API server refuses.
    pub refusals: Vec<Refusal>,
    /// What is said of the log and of backups.
    pub backup_healthy: Said,
    /// What there is of backups.
    pub backup: Overview,
    /// Who decides about them, where that is news.
    pub backup_policy: Option<&'a Made<BackupAnswer>>,
    /// Data of a store is to come: a reason of `Ready`, and words.
    pub recovering: Option<(&'static str, String)>,
    /// It has come.
    pub recovered: Option<RecoveryStatus>,
}

impl<'a> Found<'a> {
    /// Nothing but an object that cannot be carried out.
    pub fn of(object: &'a RedisInstance, reason: &'static str, words: String) -> Self {
        Self {
            object,
            validated: None,
            verdict: None,
            agent: None,
            primary: None,
            pods: 0,
            hibernates: false,
            plan: None,
            image: None,
            refused: Some((reason, words)),
            attention: None,
            notice: None,
            app_user: false,
            app_name: "",
            no_pod: None,
            way: None,
            policy: None,
            passwords: None,
            memory: None,
            refusals: Vec::new(),
            backup_healthy: Said::AsBefore,
            backup: Overview::AsBefore,
            backup_policy: None,
            recovering: None,
            recovered: None,
        }
    }

    /// The data of a store cannot come before somebody mends something.
    fn is_recovery_refused(&self) -> bool {
        let said = self.recovering.as_ref();
        said.is_some_and(|(reason, _)| *reason == ready::RECOVERY_REFUSED)
    }

    /// The server took the application user.
    fn lets_app_in(&self) -> bool {
        let refused = |agent: &AgentStatus| {
            self.validated.is_some() && agent.acl.rejected.contains_key(self.app_name)
        };
        self.app_user && !self.agent.is_some_and(refused)
    }
}

/// The status to write.
pub fn build(found: &Found<'_>, now: Timestamp) -> RedisInstanceStatus {
    let last = found.object.status.clone().unwrap_or_default();
    let generation = found.object.metadata.generation;
    let say = |type_: &str, truth: bool, reason: &str, message: String| {
        condition(type_, truth, reason, shorten(&message), generation, now)
    };
    let (is_ready, reason, message) = readiness::of(found, &last);
    let reason_of_ready = reason;
    let ready = say(ready::TYPE, is_ready, reason, message);
    let (is_progressing, reason, message) = progress::of(found, is_ready);
    let progressing = say(progressing::TYPE, is_progressing, reason, message);
    let (is_degraded, reason, message) = degradation::of(found, is_ready, &last);
    let degraded = say(degraded::TYPE, is_degraded, reason, message);
    let mut decided = vec![Decided::of::<Acl>(found.policy)];
    if found.object.spec.backup.is_some() {
        decided.push(Decided::of::<Backup>(found.backup_policy));
    }
    let policy = policy_status::condition(&decided, &last.policies, &last.conditions, &say);
    // One that refuses writes leads, and is read.
    let leads = is_ready || space::refuses_writes(reason_of_ready);
    let phase = phase(found, &ready, is_progressing, is_degraded, &last);
    let name = ObjectName::new(Kind::RedisInstance, &found.object.name_any()).ok();
    let backup_healthy = match &found.backup_healthy {
        Said::AsBefore => {
            let mut known = last.conditions.iter();
            known
                .find(|known| known.type_ == backup_healthy::TYPE)
                .cloned()
        }
        Said::Off => None,
        Said::Is(truth, reason, words) => {
            Some(say(backup_healthy::TYPE, *truth, reason, words.clone()))
        }
    };
    let conditions = [
        Some(ready),
        Some(progressing),
        Some(degraded),
        policy,
        backup_healthy,
    ];
    let conditions: Vec<Condition> = conditions.into_iter().flatten().collect();
    RedisInstanceStatus {
        observed_generation: generation,
        phase: Some(phase),
        conditions: merge_conditions(&last.conditions, conditions),
        primary: found.primary.filter(|_| leads).map(str::to_owned),
        ready_replicas: Some(match found.verdict {
            Some(verdict) if leads => i32::try_from(verdict.ready).unwrap_or(i32::MAX),
            _ => 0,
        }),
        replicas: i32::try_from(found.pods).ok(),
        approval: approval(found, &last, now),
        selector: name.as_ref().map(pod_selector),
        endpoints: name.as_ref().map(|name| endpoints(found, name)),
        binding: name
            .as_ref()
            .map(|name| binding(&found.object.spec.common.auth, name)),
        image: found
            .image
            .map(str::to_owned)
            .or_else(|| last.image.clone()),
        engine: found
            .agent
            .and_then(|a| engine(a.engine.as_deref()?))
            .or(last.engine),
        version: found
            .agent
            .and_then(|agent| agent.version.clone())
            .or_else(|| last.version.clone()),
        policies: policy_status::policies(&decided, &last.policies, now),
        recovery: found.recovered.clone().or_else(|| last.recovery.clone()),
        backup: match &found.backup {
            Overview::AsBefore => last.backup.clone(),
            Overview::Is(now) => now.as_deref().cloned(),
        },
    }
}

fn endpoints(found: &Found<'_>, name: &ObjectName) -> Endpoints {
    let namespace = found.object.namespace().unwrap_or_default();
    Endpoints {
        primary: format!("{}:{REDIS_PORT}", name.service_host(&namespace)),
        replicas: format!("{}:{REDIS_PORT}", name.replicas_host(&namespace)),
    }
}

/// What waits for an approval. While a roll is under way it is kept, also if its step cannot be told
/// for a moment: how long it waits counts.
fn approval(found: &Found<'_>, last: &RedisInstanceStatus, now: Timestamp) -> Option<Approval> {
    let known = last.approval.as_ref();
    let asked = found
        .plan
        .and_then(|plan| Some((plan, plan.to_approve.as_ref()?)));
    match asked {
        Some((plan, digest)) => {
            let before = known.filter(|known| known.digest == *digest);
            Some(Approval {
                digest: digest.clone(),
                since: before.map_or(Time(now), |known| known.since.clone()),
                copies: plan.choices.iter().map(copy).collect(),
            })
        }
        None => {
            let given = found.object.annotations().get(ANNOTATION_APPROVE);
            let over = found.verdict.is_some_and(|verdict| verdict.settled);
            known
                .filter(|known| !over && !is_given(known, given))
                .cloned()
        }
    }
}

fn copy(choice: &Choice) -> CopyStatus {
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let written = Timestamp::from_second(count(choice.written_unix_ms / 1000)).ok();
    CopyStatus {
        pod: choice.pod.clone(),
        digest: choice.digest.clone(),
        keys: count(choice.keys),
        bytes: count(choice.bytes),
        last_write: written.filter(|_| choice.written_unix_ms > 0).map(Time),
        epoch: count(choice.epoch),
        left: choice.left,
    }
}

/// Copies of the data, for people.
fn tell_copies(choices: &[Choice]) -> String {
    let told = choices.iter().map(copy).map(|copy| {
        let written = copy.last_write.map_or_else(
            || "at an unknown time".to_owned(),
            |Time(at)| at.to_string(),
        );
        let left = match copy.left {
            true => ", left behind by a scale-down",
            false => "",
        };
        let CopyStatus {
            pod,
            digest,
            keys,
            bytes,
            ..
        } = copy;
        format!("{pod}: {keys} keys, {bytes} bytes, last written {written}{left} (digest {digest})")
    });
    told.collect::<Vec<_>>().join("; ")
}

fn phase(
    found: &Found<'_>,
    ready: &Condition,
    is_progressing: bool,
    is_degraded: bool,
    last: &RedisInstanceStatus,
) -> Phase {
    let is_ready = ready.status == "True";
    if found.object.metadata.deletion_timestamp.is_some() {
        return Phase::Deleting;
    }
    match (is_ready, last.version.is_some()) {
        (false, _) if found.hibernates && found.pods == 0 => Phase::Hibernated,
        (true, _) if found.validated.is_some_and(|v| v.paused) => Phase::Paused,
        (true, _) if is_degraded => Phase::Degraded,
        (true, _) if is_progressing => Phase::Updating,
        (true, _) => Phase::Ready,
        (false, true) => Phase::Unavailable,
        (false, false) if found.refused.is_some() || found.is_recovery_refused() => Phase::Blocked,
        (false, false) => Phase::Creating,
    }
}
