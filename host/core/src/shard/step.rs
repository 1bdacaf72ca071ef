//! What steps of any plan are made of.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A data pod that a step is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its uid, as a precondition.
    pub uid: String,
}

/// A step that waits for longer than it should. It is taken once what it waits for comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stall {
    /// The step and what it waits for, for people.
    pub step: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Why a planned change does not go on yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// What for, for people.
    pub words: String,
    /// That it takes longer than it should.
    pub stalled: Option<Stall>,
    /// Digest of what somebody is to approve.
    pub to_approve: Option<String>,
}

/// A rule that a plan breaks, with the step; a fault of ours, and nothing of the plan is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the plan is not carried out, it breaks the rule {rule:?} with {step}: please report this")]
pub struct BrokenRule<R: fmt::Debug> {
    /// Which.
    pub rule: R,
    /// The step, for people.
    pub step: String,
}
