use hera_core::backup::decision::{BackupInput, Choice, Decided};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Settings, context, until};
use crate::{Backup, CallError, Context, Policy};

/// What becomes of the demand, and ids of what goes; or the words with which the policy refuses.
type Found = Result<(String, Vec<String>), String>;

/// A case of the `backup` decision. Its input is written as a decision log has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BackupCase {
    engine: Option<String>,
    version: Option<String>,
    settings: Option<Settings>,
    now: Option<Timestamp>,
    input: BackupInput,
    next: Option<String>,
    #[serde(default)]
    drop: Vec<String>,
    error: Option<String>,
}

impl BackupCase {
    /// What the case asks, under circumstances that do not change unless it says so.
    pub fn question(&self) -> (Context, BackupInput) {
        let context = context(
            self.engine.as_deref(),
            self.version.as_deref(),
            self.settings.as_ref(),
            self.now,
        );
        (context, self.input.clone())
    }

    fn wanted(&self) -> Result<Found, String> {
        match (&self.next, &self.error) {
            (Some(next), None) => Ok(Ok((next.clone(), self.drop.clone()))),
            (None, Some(words)) if self.drop.is_empty() => Ok(Err(words.clone())),
            _ => Err("say either next, perhaps with drop, or error".to_owned()),
        }
    }
}

/// Runs the case in a text, and says what is wrong.
pub fn run_one(policy: &Policy<Backup>, text: &str) -> Result<(), String> {
    let case: BackupCase = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let wanted = case.wanted()?;
    let (context, input) = case.question();
    let found: Found = match policy.decide_blocking(&context, &input) {
        Ok(decided) => Ok((next_line(&decided.answer.next)?, decided.answer.drop)),
        Err(CallError::InvalidSettings(words) | CallError::Refused(words)) => Err(words),
        Err(error) => return Err(error.to_string()),
    };
    if found == wanted {
        return Ok(());
    }
    Err(format!("wanted {wanted:?}, found {found:?}"))
}

/// What becomes of a demand, as cases say it: `start 0/1`, `wait until 2026-01-01T01:00:00Z` or `skip`.
pub fn next_line(next: &Decided) -> Result<String, String> {
    Ok(match next {
        Decided::Start(choices) => {
            let copies = choices.iter();
            let copies = copies.map(|Choice { shard, copy }| format!(" {shard}/{copy}"));
            format!("start{}", copies.collect::<String>())
        }
        Decided::WaitUntil(unix_ms) => format!("wait until {}", until(*unix_ms)?),
        Decided::Skip => "skip".to_owned(),
    })
}
