//! A module from a file, loaded as the operator loads it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use hera_policy::{Decision, Inspection, Limits, LoadError, Policy, Registry, Trial, trial};

/// The error for a decision that only a later version knows.
pub fn unknown(decision: &str) -> anyhow::Error {
    anyhow::anyhow!("this version knows no decision {decision}, only acl, backup and rebalance")
}

/// A file, read.
///
/// # Errors
/// When it cannot be.
pub fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("the module {}", file.display()))
}

/// Which decision a module makes.
///
/// # Errors
/// Inner: what is wrong with it.
pub fn decision(bytes: &[u8]) -> Result<(String, Inspection), LoadError> {
    let inspection = hera_policy::inspect(bytes, &Limits::default())?;
    match inspection.decision.clone() {
        Some((decision, _)) => Ok((decision, inspection)),
        // Says why there is none.
        None => match hera_policy::check::<hera_policy::Acl>(bytes, &Limits::default()) {
            Err(error) => Err(error),
            Ok(()) => Err(LoadError::NoWorld),
        },
    }
}

/// A registry like the operator's: each module is compiled in a child process first.
///
/// # Errors
/// When the sandbox does not start.
pub fn registry() -> anyhow::Result<Registry> {
    let trial = Trial {
        program: std::env::current_exe()?,
        args: vec![trial::WORD.to_owned()],
    };
    Ok(Registry::new(Limits::default(), Some(trial))?)
}

/// Loads a module.
///
/// # Errors
/// Inner: what is wrong with it.
pub async fn load<D: Decision>(
    bytes: Vec<u8>,
) -> anyhow::Result<Result<Arc<Policy<D>>, LoadError>> {
    Ok(registry()?.load::<D>(bytes, "cli").await)
}

/// Settings from a file, as the operator would pass them: a JSON object, or nothing.
///
/// # Errors
/// When the file holds something else.
pub fn settings(file: Option<&Path>) -> anyhow::Result<String> {
    let Some(file) = file else {
        return Ok(String::new());
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("the settings {}", file.display()))?;
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
        .with_context(|| format!("the settings {} are no JSON object", file.display()))?;
    if object.is_empty() {
        return Ok(String::new());
    }
    Ok(serde_json::to_string(&object)?)
}
