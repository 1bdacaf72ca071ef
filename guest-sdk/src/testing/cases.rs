//! Cases in files: what is asked, and what comes of it. The same files hold for the module in the
//! sandbox.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::{acl_input, context, user};
use crate::acl::{AclAnswer, AclPolicy, CommandRule, KeyAccess, Preset, UserGrants, UserRequest};
use crate::export::decide_acl;
use crate::{Context, PolicyError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    users: Vec<User>,
    categories: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    preset: String,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    rules: Vec<String>,
}

/// Runs a policy on every case of a folder: files `*.json` with `input` (users, and the server's
/// categories with their commands), optional `settings`, `engine`, `version` and `now`
/// (`2026-01-01T00:00:00Z`), and either `grants` (user to rules in the server's notation, as
/// `+@read -keys ~app:* &news`; with `againAt` if they hold until a time only) or `error`.
///
/// # Panics
///
/// When a case comes out otherwise, cannot be read, or when there is none.
pub fn check_acl_cases<P: AclPolicy>(folder: impl AsRef<Path>) {
    check_folder(folder.as_ref(), check::<P>);
}

/// Checks each `*.json` of a folder, in the order of their names.
pub(super) fn check_folder(folder: &Path, check: impl Fn(&Path) -> Result<(), String>) {
    let files = fs::read_dir(folder).map(|entries| {
        let paths = entries.flatten().map(|entry| entry.path());
        let mut files: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        files.sort();
        files
    });
    let files = files.unwrap_or_default();
    assert!(!files.is_empty(), "no case in {}", folder.display());
    let failed: Vec<String> = files
        .iter()
        .filter_map(|file| {
            let why = check(file).err()?;
            Some(format!("{}: {why}", file.display()))
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn check<P: AclPolicy>(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let case: Case = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let wanted = match (&case.grants, &case.error) {
        (Some(grants), None) => Ok((grants.clone(), case.again_at)),
        (None, Some(words)) if case.again_at.is_none() => Err(words.clone()),
        _ => return Err("say either grants, perhaps with againAt, or error".to_owned()),
    };
    let found = decide::<P>(case)?;
    if found == wanted {
        Ok(())
    } else {
        Err(format!("\n  wanted {wanted:?}\n  found  {found:?}"))
    }
}

/// Rules by user, and until when they hold.
type Grants = (BTreeMap<String, String>, Option<Timestamp>);

fn decide<P: AclPolicy>(case: Case) -> Result<Result<Grants, String>, String> {
    let context = circumstances(case.engine, case.version, case.settings, case.now);
    let users = case.input.users.into_iter().map(request);
    let table: Vec<(String, String)> = case
        .input
        .categories
        .into_iter()
        .map(|(name, commands)| (name, commands.join(" ")))
        .collect();
    let table: Vec<(&str, &str)> = table
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let input = acl_input(users.collect::<Result<_, _>>()?, &table);
    Ok(match decide_acl::<P>(context, input) {
        Ok(AclAnswer { users, again_at }) => {
            let users = users
                .into_iter()
                .map(|user| (user.name.clone(), rules(&user)));
            Ok((users.collect(), again_at.map(until).transpose()?))
        }
        Err(PolicyError::InvalidSettings(words) | PolicyError::Undecided(words)) => Err(words),
    })
}

/// The circumstances of a case: those of every case but for what it says.
pub(super) fn circumstances(
    engine: Option<String>,
    version: Option<String>,
    settings: Option<serde_json::Map<String, serde_json::Value>>,
    now: Option<Timestamp>,
) -> Context {
    let fixed = context();
    Context {
        now_unix_ms: now.map_or(fixed.now_unix_ms, unix_ms),
        engine: engine.unwrap_or(fixed.engine),
        version: version.unwrap_or(fixed.version),
        settings: match settings {
            Some(settings) => serde_json::Value::Object(settings).to_string(),
            None => String::new(),
        },
        ..fixed
    }
}

fn unix_ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

/// A time as cases say it.
pub(super) fn until(unix_ms: u64) -> Result<Timestamp, String> {
    let at = i64::try_from(unix_ms).ok();
    at.and_then(|at| Timestamp::from_millisecond(at).ok())
        .ok_or_else(|| format!("it wants to be asked again at {unix_ms}, which is no date"))
}

fn request(asked: User) -> Result<UserRequest, String> {
    let preset = match asked.preset.as_str() {
        "ReadOnly" => Preset::ReadOnly,
        "ReadWrite" => Preset::ReadWrite,
        "Owner" => Preset::Owner,
        "Admin" => Preset::Admin,
        "Replication" => Preset::Replication,
        other => return Err(format!("no preset {other}")),
    };
    Ok(UserRequest {
        keys: asked.keys,
        channels: asked.channels,
        rules: asked.rules,
        ..user(&asked.name, preset)
    })
}

/// What a user is granted, as the server would show it.
fn rules(user: &UserGrants) -> String {
    let commands = user.commands.iter().map(|rule| match rule {
        CommandRule::AllowCommand(name) => format!("+{name}"),
        CommandRule::DenyCommand(name) => format!("-{name}"),
        CommandRule::AllowCategory(name) => format!("+@{name}"),
        CommandRule::DenyCategory(name) => format!("-@{name}"),
    });
    let keys = user.keys.iter().map(|key| match key.access {
        KeyAccess::Read => format!("%R~{}", key.pattern),
        KeyAccess::Write => format!("%W~{}", key.pattern),
        KeyAccess::ReadWrite => format!("~{}", key.pattern),
    });
    let channels = user.channels.iter().map(|channel| format!("&{channel}"));
    commands
        .chain(keys)
        .chain(channels)
        .collect::<Vec<_>>()
        .join(" ")
}
