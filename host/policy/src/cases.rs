//! Cases in files, run in the sandbox: what is asked, and what comes of it. The SDK runs the same
//! files natively.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hera_core::acl::{AclAnswer, AclInput, Categories, Preset, UserRequest, granted};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Acl, CallError, Context, Policy};

/// User to rules in the server's notation, and until when they hold; or the words with which the policy
/// refuses.
type Found = Result<(BTreeMap<String, String>, Option<Timestamp>), String>;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// The file.
    pub file: PathBuf,
    /// What is wrong; none if it came out as written.
    pub wrong: Option<String>,
}

/// A case of the `acl` decision.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclCase {
    engine: Option<String>,
    version: Option<String>,
    settings: Option<serde_json::Map<String, serde_json::Value>>,
    now: Option<Timestamp>,
    input: Input,
    grants: Option<BTreeMap<String, String>>,
    #[serde(rename = "againAt")]
    again_at: Option<Timestamp>,
    error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    users: Vec<User>,
    categories: Categories,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    preset: Preset,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    rules: Vec<String>,
}

impl AclCase {
    /// What the case asks, under circumstances that do not change unless it says so.
    pub fn question(&self) -> (Context, AclInput) {
        let text = |given: &Option<String>, otherwise: &str| {
            given.clone().unwrap_or_else(|| otherwise.to_owned())
        };
        let settings = self.settings.clone().map(serde_json::Value::Object);
        let context = Context {
            now_unix_ms: self.now.map_or(NOW_UNIX_MS, unix_ms),
            seed: 7,
            name: "cache".to_owned(),
            namespace: "shop".to_owned(),
            engine: text(&self.engine, "redis"),
            version: text(&self.version, "7.2.4"),
            settings: settings.map_or(String::new(), |settings| settings.to_string()),
        };
        let users = self.input.users.iter().cloned().map(|user| UserRequest {
            name: user.name,
            preset: user.preset,
            keys: user.keys,
            channels: user.channels,
            rules: user.rules,
        });
        let input = AclInput {
            users: users.collect(),
            categories: self.input.categories.clone(),
        };
        (context, input)
    }

    fn wanted(&self) -> Result<Found, String> {
        match (&self.grants, &self.error) {
            (Some(grants), None) => Ok(Ok((grants.clone(), self.again_at))),
            (None, Some(words)) if self.again_at.is_none() => Ok(Err(words.clone())),
            _ => Err("say either grants, perhaps with againAt, or error".to_owned()),
        }
    }
}

/// Runs every `*.json` of a folder, in the order of their names.
///
/// # Errors
///
/// When the folder cannot be read.
pub fn run(policy: &Policy<Acl>, folder: &Path) -> std::io::Result<Vec<CaseResult>> {
    let mut files: Vec<PathBuf> = folder
        .read_dir()?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    let result = |file: PathBuf| CaseResult {
        wrong: run_one(policy, &file).err(),
        file,
    };
    Ok(files.into_iter().map(result).collect())
}

fn run_one(policy: &Policy<Acl>, file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let case: AclCase = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let wanted = case.wanted()?;
    let (context, input) = case.question();
    let found: Found = match policy.decide_blocking(&context, &input) {
        Ok(decided) => Ok((rules(&decided.answer), until(decided.again_at_unix_ms)?)),
        Err(CallError::InvalidSettings(words) | CallError::Refused(words)) => Err(words),
        Err(error) => return Err(error.to_string()),
    };
    if found == wanted {
        return Ok(());
    }
    Err(format!("wanted {wanted:?}, found {found:?}"))
}

/// Midnight before the first of January 2026: when a case is asked that does not say.
const NOW_UNIX_MS: u64 = 1_767_225_600_000;

fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// A time as cases say it.
fn until(unix_ms: Option<u64>) -> Result<Option<Timestamp>, String> {
    let Some(unix_ms) = unix_ms else {
        return Ok(None);
    };
    let at = i64::try_from(unix_ms).ok();
    match at.and_then(|at| Timestamp::from_millisecond(at).ok()) {
        Some(at) => Ok(Some(at)),
        None => Err(format!(
            "it wants to be asked again at {unix_ms}, which is no date"
        )),
    }
}

/// Rules in the server's notation, by user.
pub fn rules(answer: &AclAnswer) -> BTreeMap<String, String> {
    let granted = granted(answer).into_iter();
    granted
        .map(|(name, rules)| (name, rules.join(" ")))
        .collect()
}
