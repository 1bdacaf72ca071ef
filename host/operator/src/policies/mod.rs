//! Policies: where they come from, how they are asked, and what is remembered of it.

mod again;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod fixture;
mod instead;
mod journal;
mod kept;
mod lane;
mod memory;
mod source;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hera_api::PolicyOrigin;
use hera_core::digest::sha256_hex;
use hera_policy::{Acl, Backup, Call, Decision, Policy, Rebalance, Registry, Trial};
use kube::Client;

use hera_kube::Leadership;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tracing::debug;

use crate::metrics::Metrics;
use crate::object::ObjectKey;

pub use again::now_unix_ms;
pub use journal::Journal;
pub use lane::{Lane, Question};

/// What was kept and is of no use any more goes this long after a change, or once so many more were
/// kept.
const SWEEP: Duration = Duration::from_secs(600);
const SWEEP_AFTER: usize = 16;
/// Between two sweeps.
const SWEEP_PAUSE: Duration = Duration::from_secs(5);
/// Verdicts on settings that are remembered.
const VALIDATED: usize = 1024;

/// Everything about policies: a lane for each decision.
pub struct Policies {
    common: Arc<Common>,
    /// Which rights each user gets.
    pub acl: Lane<Acl>,
    /// Which shard of a cluster serves which slots.
    pub rebalance: Lane<Rebalance>,
    /// When backups begin, from which copies they are read, and which ones go.
    pub backup: Lane<Backup>,
}

/// What the lanes share.
pub struct Common {
    pub client: Client,
    /// Namespace of the operator.
    pub namespace: String,
    pub registry: Registry,
    pub metrics: Arc<Metrics>,
    pub journal: Arc<Journal>,
    /// Wakes an object whose module is there at last.
    pub wake: UnboundedSender<ObjectKey>,
    /// Namespaces that are looked after; all if empty.
    pub namespaces: Vec<String>,
    /// Names of the ConfigMaps in which modules are kept, as far as this process knows.
    kept: Mutex<BTreeSet<String>>,
    /// Something that was kept may be of no use any more.
    changed: Notify,
    /// An answer holds until a time that may be the next.
    due: Notify,
    /// What modules said to settings, by a digest of both.
    validated: Mutex<HashMap<String, Result<(), Problem>>>,
}

/// A policy with its settings.
pub struct Choice<D> {
    /// The policy.
    pub policy: Arc<Policy<D>>,
    /// Its settings as JSON; empty for none.
    pub settings: String,
    /// Where it came from.
    pub source: PolicyOrigin,
}

/// Why the policy that is asked for does not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A reason of the condition `PolicyHealthy`.
    pub reason: &'static str,
    /// What to do, for people.
    pub message: String,
    /// It may pass by itself: worth another look soon, though nothing changes.
    pub passes: bool,
}

impl Problem {
    /// A problem that lasts until somebody changes something.
    pub fn lasting(reason: &'static str, message: String) -> Self {
        Self {
            reason,
            message,
            passes: false,
        }
    }
}

/// The policy in use, for the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Where it came from.
    pub source: PolicyOrigin,
    /// Digest of its module.
    pub digest: String,
    /// Version of its contract.
    pub api: &'static str,
}

/// A policy that was only compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Where it came from.
    pub source: PolicyOrigin,
    /// Digest of its module, once loaded.
    pub digest: Option<String>,
    /// How it compares.
    pub verdict: hera_api::ShadowVerdict,
    /// More, for people.
    pub message: Option<String>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made<A> {
    /// The answer, if there is one that may be used.
    pub answer: Option<A>,
    /// The answer is of another module, because the one that is asked for cannot be asked or gave none.
    pub stands_in: bool,
    /// Who decides.
    pub active: Option<Active>,
    /// Why it is not the one that is asked for, or not as it wanted.
    pub problem: Option<Problem>,
    /// What the policy in the shadow came to.
    pub shadow: Option<Compared>,
    /// When to ask again, in milliseconds since 1970, though nothing changes.
    pub again_unix_ms: Option<u64>,
    /// Until when the answer holds, by the policy's own words, in milliseconds since 1970.
    pub holds_until_unix_ms: Option<u64>,
}

/// Stable for one object and decision.
pub fn seed(uid: &str, decision: &str) -> u64 {
    u64::from_str_radix(
        sha256_hex(format!("{uid} {decision}").as_bytes())
            .get(..16)
            .unwrap_or("0"),
        16,
    )
    .unwrap_or(0)
}

impl Policies {
    /// Starts the sandbox and loads the built-in policies.
    ///
    /// # Errors
    /// When the sandbox cannot be started.
    pub async fn new(
        client: Client,
        namespace: String,
        metrics: Arc<Metrics>,
        journal: Arc<Journal>,
        namespaces: Vec<String>,
        wake: UnboundedSender<ObjectKey>,
    ) -> anyhow::Result<Self> {
        let trial = Trial {
            program: std::env::current_exe()?,
            args: vec![hera_policy::trial::WORD.to_owned()],
        };
        let counted = metrics.clone();
        let registry = Registry::observed(
            hera_policy::Limits::default(),
            Some(trial),
            move |decision, error| counted.loaded(decision, error),
        )?;
        let common = Arc::new(Common {
            client,
            namespace,
            registry,
            metrics,
            journal,
            wake,
            namespaces,
            kept: Mutex::default(),
            changed: Notify::new(),
            due: Notify::new(),
            validated: Mutex::default(),
        });
        // What an operator before this one left behind.
        common.changed.notify_one();
        Ok(Self {
            acl: Lane::new(common.clone(), hera_policy::builtin::ACL_PRESETS).await?,
            rebalance: Lane::new(common.clone(), hera_policy::builtin::REBALANCE_EVEN).await?,
            backup: Lane::new(common.clone(), hera_policy::builtin::BACKUP_CRON).await?,
            common,
        })
    }

    /// Those of a test: modules are compiled in this process.
    #[cfg(test)]
    pub async fn for_test(client: Client, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let (wake, _) = tokio::sync::mpsc::unbounded_channel();
        let common = Arc::new(Common {
            client,
            namespace: "hera-system".to_owned(),
            registry: Registry::new(hera_policy::Limits::default(), None)?,
            metrics,
            journal: Arc::default(),
            wake,
            namespaces: Vec::new(),
            kept: Mutex::default(),
            changed: Notify::new(),
            due: Notify::new(),
            validated: Mutex::default(),
        });
        Ok(Self {
            acl: Lane::new(common.clone(), hera_policy::builtin::ACL_PRESETS).await?,
            rebalance: Lane::new(common.clone(), hera_policy::builtin::REBALANCE_EVEN).await?,
            backup: Lane::new(common.clone(), hera_policy::builtin::BACKUP_CRON).await?,
            common,
        })
    }

    /// Drops kept modules that nobody uses any more, a while after something changed; never
    /// completes.
    pub async fn sweep(&self, leadership: &Leadership) {
        loop {
            self.common.changed.notified().await;
            let due = tokio::time::sleep(SWEEP);
            tokio::pin!(due);
            while self.common.kept_since_sweep() < SWEEP_AFTER {
                tokio::select! {
                    () = &mut due => break,
                    () = self.common.changed.notified() => {}
                }
            }
            let mut used = self.acl.used();
            used.append(&mut self.rebalance.used());
            used.append(&mut self.backup.used());
            if leadership.term().is_some()
                && let Err(error) = self.common.sweep(&used).await
            {
                debug!(%error, "kept modules stay for now");
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }

    /// Drops what is remembered of an instance that is gone.
    pub fn forget(&self, instance: &ObjectKey) {
        self.acl.forget(instance);
        self.rebalance.forget(instance);
        self.backup.forget(instance);
        self.common.changed.notify_one();
    }
}

impl<A> Made<A> {
    /// Nothing, because the API server lets nobody read where the policy is.
    pub fn unread(refused: &kube::core::Status, now_unix_ms: u64) -> Self {
        Self {
            answer: None,
            stands_in: false,
            active: None,
            problem: Some(Problem {
                reason: hera_api::conditions::policy_healthy::INTERNAL,
                message: format!("the policy cannot be read: {}", refused.message),
                passes: true,
            }),
            shadow: None,
            again_unix_ms: Some(now_unix_ms.saturating_add(lane::RETRY_MS)),
            holds_until_unix_ms: None,
        }
    }
}

impl<D: Decision> Choice<D> {
    fn active(&self) -> Active {
        Active {
            source: self.source.clone(),
            digest: self.policy.digest().to_owned(),
            api: self.policy.api(),
        }
    }
}

impl<D> Clone for Choice<D> {
    fn clone(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            settings: self.settings.clone(),
            source: self.source.clone(),
        }
    }
}

/// Why a call gave nothing that may be used.
fn problem_of<A>(call: &Call<A>) -> Option<Problem> {
    use hera_api::conditions::policy_healthy as reason;
    use hera_policy::Outcome;
    let (reason, message) = match &call.outcome {
        Outcome::Ok { .. } => return None,
        Outcome::GuardRefused { refused, .. } => (reason::GUARD_REFUSED, refused.to_string()),
        Outcome::Fault {
            reason, message, ..
        } => (source::reason_of_fault(reason), message.clone()),
    };
    Some(Problem::lasting(reason, message))
}
