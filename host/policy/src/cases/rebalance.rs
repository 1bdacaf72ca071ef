use hera_core::cluster::SlotSet;
use hera_core::rebalance::{RebalanceInput, SlotMove};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Settings, context, until};
use crate::{CallError, Context, Policy, Rebalance};

/// A line for each step, and until when they hold; or the words with which the policy refuses.
type Found = Result<(Vec<String>, Option<Timestamp>), String>;

/// A case of the `rebalance` decision. Its input is written as a decision log has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RebalanceCase {
    engine: Option<String>,
    version: Option<String>,
    settings: Option<Settings>,
    now: Option<Timestamp>,
    input: RebalanceInput,
    moves: Option<Vec<String>>,
    again_at: Option<Timestamp>,
    error: Option<String>,
}

impl RebalanceCase {
    /// What the case asks, under circumstances that do not change unless it says so.
    pub fn question(&self) -> (Context, RebalanceInput) {
        let context = context(
            self.engine.as_deref(),
            self.version.as_deref(),
            self.settings.as_ref(),
            self.now,
        );
        (context, self.input.clone())
    }

    fn wanted(&self) -> Result<Found, String> {
        match (&self.moves, &self.error) {
            (Some(moves), None) => Ok(Ok((moves.clone(), self.again_at))),
            (None, Some(words)) if self.again_at.is_none() => Ok(Err(words.clone())),
            _ => Err("say either moves, perhaps with againAt, or error".to_owned()),
        }
    }
}

/// Runs the case in a text, and says what is wrong.
pub fn run_one(policy: &Policy<Rebalance>, text: &str) -> Result<(), String> {
    let case: RebalanceCase = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let wanted = case.wanted()?;
    let (context, input) = case.question();
    let found: Found = match policy.decide_blocking(&context, &input) {
        Ok(decided) => {
            let lines = decided.answer.moves.iter().map(line).collect();
            Ok((lines, decided.again_at_unix_ms.map(until).transpose()?))
        }
        Err(CallError::InvalidSettings(words) | CallError::Refused(words)) => Err(words),
        Err(error) => return Err(error.to_string()),
    };
    if found == wanted {
        return Ok(());
    }
    Err(format!("wanted {wanted:?}, found {found:?}"))
}

/// A step as cases say it: `0 to 2: 0-99 120`.
pub fn line(step: &SlotMove) -> String {
    let slots = SlotSet::of(step.slots.iter().copied());
    format!("{} to {}: {slots}", step.source, step.target)
}
