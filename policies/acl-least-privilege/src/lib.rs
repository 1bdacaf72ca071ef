//! Each user gets the commands that the settings list for it, and no others:
//! `{"users": {"cart": ["get", "set", "expire"]}}`.
//!
//! Why one would write it: what a service sends is known, and a stolen password should open
//! nothing else. Presets still bound it: the operator refuses a list that goes beyond.

use hera_policy_sdk::acl::{AclAnswer, AclInput, AclPolicy, UserGrants};
use hera_policy_sdk::{Context, Map, PolicyError, export_acl_policy, log};
use serde::Deserialize;

/// What is listed, nothing else.
pub struct LeastPrivilege;

/// What stands beside the policy under `settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// User to commands (`get`, `config|get`).
    pub users: Map<Vec<String>>,
    /// Commands of every user, beside those that a client needs to connect at all.
    pub everybody: Vec<String>,
}

/// Without these no client library gets as far as its first command.
const CONNECT: &[&str] = &[
    "auth",
    "client|setinfo",
    "client|setname",
    "hello",
    "ping",
    "quit",
    "select",
];

impl AclPolicy for LeastPrivilege {
    type Settings = Settings;

    fn decide(
        _context: &Context,
        settings: &Settings,
        input: &AclInput,
    ) -> Result<AclAnswer, PolicyError> {
        let users = input.users.iter().map(|user| {
            let own = settings.users.get(&user.name);
            if own.is_none() {
                log::warn(&format!("no commands are listed for {}", user.name));
            }
            let connect = CONNECT.iter().copied();
            let listed = settings.everybody.iter().chain(own.into_iter().flatten());
            let commands = connect
                .chain(listed.map(String::as_str))
                .filter(|command| input.has_command(command));
            let grants = UserGrants::new(&user.name).with_patterns_of(user);
            commands.fold(grants, |grants, command| grants.allow_command(command))
        });
        Ok(AclAnswer::new(users))
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        let of_users = settings.users.iter().flat_map(|(_, commands)| commands);
        let mut all = settings.everybody.iter().chain(of_users);
        let is_plain = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '|' | '-' | '_' | '.');
        match all.find(|command| command.is_empty() || !command.chars().all(is_plain)) {
            Some(command) => Err(format!(
                "'{command}' is no command: write plain lower-case names as get or config|get"
            )),
            None => Ok(()),
        }
    }
}

export_acl_policy!(LeastPrivilege);
