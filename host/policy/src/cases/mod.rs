//! Cases in files, run in the sandbox: what is asked, and what comes of it. The SDK runs the same
//! files natively.

mod acl;
mod backup;
mod rebalance;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

pub use acl::{AclCase, rules, run_one as run_acl};
pub use backup::{BackupCase, next_line, run_one as run_backup};
pub use rebalance::{RebalanceCase, line, run_one as run_rebalance};

use crate::{Context, Decision, Policy};

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// The file.
    pub file: PathBuf,
    /// What is wrong; none if it came out as written.
    pub wrong: Option<String>,
}

/// Settings as a case says them.
type Settings = serde_json::Map<String, serde_json::Value>;

/// Runs every `*.json` of a folder, in the order of their names; `run_one` says what is wrong with the text
/// of one.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn run<D: Decision>(
    policy: &Policy<D>,
    folder: &Path,
    run_one: impl Fn(&Policy<D>, &str) -> Result<(), String>,
) -> std::io::Result<Vec<CaseResult>> {
    let mut files: Vec<PathBuf> = folder
        .read_dir()?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    let result = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
        CaseResult {
            wrong: text.and_then(|text| run_one(policy, &text)).err(),
            file,
        }
    };
    Ok(files.into_iter().map(result).collect())
}

/// Circumstances that do not change unless a case says so.
fn context(
    engine: Option<&str>,
    version: Option<&str>,
    settings: Option<&Settings>,
    now: Option<Timestamp>,
) -> Context {
    let settings = settings.cloned().map(serde_json::Value::Object);
    Context {
        now_unix_ms: now.map_or(NOW_UNIX_MS, unix_ms),
        seed: 7,
        name: "cache".to_owned(),
        namespace: "shop".to_owned(),
        engine: engine.unwrap_or("redis").to_owned(),
        version: version.unwrap_or("7.2.4").to_owned(),
        settings: settings.map_or(String::new(), |settings| settings.to_string()),
    }
}

/// Midnight before the first of January 2026: when a case is asked that does not say.
pub const NOW_UNIX_MS: u64 = 1_767_225_600_000;

fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// A time as cases say it.
fn until(unix_ms: u64) -> Result<Timestamp, String> {
    let at = i64::try_from(unix_ms).ok();
    at.and_then(|at| Timestamp::from_millisecond(at).ok())
        .ok_or_else(|| format!("it wants to be asked again at {unix_ms}, which is no date"))
}
