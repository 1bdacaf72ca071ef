//! The PodMonitor of an object. Its kind is the prometheus-operator's, which a cluster may not have: who asks for none
//! costs no request, and nothing waits for one.

use hera_api::conditions::degraded;
use hera_api::meta::ANNOTATION_POD_MONITOR;
use hera_kube::{Applied, ApplyError};
use hera_render::{PodMonitor, build_pod_monitor};
use kube::ResourceExt as _;

use super::children::{Inputs, take_aside};
use super::observe::CommonLive;
use super::refusals::Refusals;
use crate::shared::Shared;

/// No watch tells that the kind has come, as there may be none to watch: it is looked for again after so many
/// milliseconds.
pub const AGAIN_MS: u64 = 300_000;

const UNKNOWN: &str = "spec.monitoring.podMonitor asks for a PodMonitor, and the cluster has no such kind \
     (monitoring.coreos.com/v1): install the prometheus-operator, or take podMonitor out. It is looked for again every \
     five minutes";

/// What is said while the kind is unknown: a reason of `Degraded`, and words.
pub fn notice(is_unknown: bool) -> Option<(&'static str, String)> {
    is_unknown.then(|| (degraded::POD_MONITOR_CRD_MISSING, UNKNOWN.to_owned()))
}

/// The PodMonitor that is wanted, and whether there may be one.
pub struct Monitored<'a> {
    inputs: &'a Inputs<'a>,
    wanted: Option<PodMonitor>,
    /// What the ConfigMap says that is read in each pass.
    may_be_there: bool,
}

impl<'a> Monitored<'a> {
    /// That of an object.
    pub fn of(inputs: &'a Inputs<'a>, live: &CommonLive) -> Self {
        let config = live.config.as_ref();
        Self {
            inputs,
            wanted: build_pod_monitor(inputs.v, inputs.ctx),
            may_be_there: config.is_some_and(|map| {
                let annotations = map.annotations();
                annotations.contains_key(ANNOTATION_POD_MONITOR)
            }),
        }
    }

    /// Deletes the object's own where none is wanted. True while there may be one, which is to be written down.
    ///
    /// # Errors
    /// What is not about it alone.
    pub async fn drop_unwanted(
        &self,
        shared: &Shared,
        refusals: &Refusals,
    ) -> Result<bool, ApplyError> {
        if self.wanted.is_some() || !self.may_be_there {
            return Ok(self.wanted.is_some());
        }
        let Inputs { v, ctx, .. } = *self.inputs;
        let name = v.name.pod_monitor();
        let applier = &shared.applier;
        let deleted = applier.delete::<PodMonitor>(&ctx.namespace, &ctx.uid, &name);
        let is_gone = refusals.take(Box::pin(deleted).await)?;
        Ok(!is_gone)
    }

    /// Makes it as it is wanted. True if the cluster knows of no such kind.
    ///
    /// # Errors
    /// What is not about it alone.
    pub async fn apply(&self, shared: &Shared, refusals: &Refusals) -> Result<bool, ApplyError> {
        let Some(wanted) = &self.wanted else {
            return Ok(false);
        };
        let ctx = self.inputs.ctx;
        let applied = shared.applier.apply(&ctx.namespace, &ctx.uid, wanted).await;
        if is_unknown(&applied) {
            return Ok(true);
        }
        take_aside(refusals, applied)?;
        Ok(false)
    }
}

/// One that is not there is made, so that "not found" says it of the kind. (It says so as well while the namespace
/// goes, and with it the object.)
fn is_unknown(applied: &Result<Applied, ApplyError>) -> bool {
    match applied {
        Err(ApplyError::Kube(kube::Error::Api(status))) => status.is_not_found(),
        _ => false,
    }
}
