use serde::{Deserialize, Serialize};

/// One thing to do. Steps are idempotent; carrying one out twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum Step {
    /// Point the client Service at this address, or at nothing.
    SetEndpoint {
        /// The primary's address.
        ip: Option<String>,
    },
    /// Give the agent the configuration.
    PushConfig,
    /// Give the agent the users, or confirm those it has.
    PushAcl,
    /// Delete the pod; its StatefulSet makes it anew. The only disruptive step.
    DeletePod {
        /// Its name.
        name: String,
        /// Its uid, as a precondition.
        uid: String,
    },
}

/// A step and why it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// Why, for logs and Events.
    pub reason: String,
}

/// What to do now, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps; at most one is disruptive, and it is the last.
    pub steps: Vec<PlannedStep>,
}

impl Plan {
    pub(super) fn push(&mut self, step: Step, reason: impl Into<String>) {
        self.steps.push(PlannedStep {
            step,
            reason: reason.into(),
        });
    }

    /// True if a pod is to be deleted.
    pub fn is_disruptive(&self) -> bool {
        self.steps
            .iter()
            .any(|planned| matches!(planned.step, Step::DeletePod { .. }))
    }
}
