//! What no policy gets past. The rules are explained in `docs/guards.md`.

use std::collections::BTreeSet;
use std::fmt;

use super::tokens::{is_command_name, is_pattern, is_user_name, printable};
use super::{
    AclAnswer, AclInput, Ceiling, CommandRule, CommandTable, UserGrants, UserRequest,
    is_system_user, patterns,
};

/// Most command rules, key patterns and channel patterns that one user may have, each.
pub const MAX_GRANTS: usize = 256;

/// A rule of the guard. Its name is part of the API: conditions, metrics and docs use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuardRule {
    /// The answer names a user that belongs to the operator or the server.
    SystemUser,
    /// The answer names a user that nobody asked for.
    UnknownUser,
    /// The answer names a user twice.
    DuplicateUser,
    /// The answer leaves out a user.
    MissingUser,
    /// A name or pattern holds characters that have no place in it, or is too long.
    MalformedToken,
    /// One user has more rules or patterns than a server should be made to check.
    TooManyGrants,
    /// A rule names a command or category that the server lacks.
    UnknownCommand,
    /// The rules allow a command beyond the preset's ceiling, or around the user's own limits.
    CommandBeyondCeiling,
    /// A key pattern is not within those of the spec.
    KeyBeyondSpec,
    /// A channel pattern is not within those of the spec.
    ChannelBeyondSpec,
}

impl GuardRule {
    /// Every rule.
    pub const ALL: [Self; 10] = [
        Self::SystemUser,
        Self::UnknownUser,
        Self::DuplicateUser,
        Self::MissingUser,
        Self::MalformedToken,
        Self::TooManyGrants,
        Self::UnknownCommand,
        Self::CommandBeyondCeiling,
        Self::KeyBeyondSpec,
        Self::ChannelBeyondSpec,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SystemUser => "system-user",
            Self::UnknownUser => "unknown-user",
            Self::DuplicateUser => "duplicate-user",
            Self::MissingUser => "missing-user",
            Self::MalformedToken => "malformed-token",
            Self::TooManyGrants => "too-many-grants",
            Self::UnknownCommand => "unknown-command",
            Self::CommandBeyondCeiling => "command-beyond-ceiling",
            Self::KeyBeyondSpec => "key-beyond-spec",
            Self::ChannelBeyondSpec => "channel-beyond-spec",
        }
    }
}

impl fmt::Display for GuardRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An answer that breaks a rule; nothing of it is used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: user {user}: {what}")]
pub struct Violation {
    /// The rule.
    pub rule: GuardRule,
    /// The user, printable.
    pub user: String,
    /// What is wrong, in a sentence for people, printable and short.
    pub what: String,
}

impl Violation {
    fn new(rule: GuardRule, user: &str, what: impl AsRef<str>) -> Self {
        Self {
            rule,
            user: printable(user, 64),
            what: printable(what.as_ref(), 160),
        }
    }
}

/// Holds an answer against what was asked.
///
/// # Guarantees
///
/// What passes names exactly the users asked for, none of them the operator's, and gives nobody
/// a command beyond the preset's ceiling, a key or channel beyond the spec, or a command that
/// goes around the keys and channels it grants, whatever the policy answered.
///
/// # Errors
///
/// The first [`Violation`].
pub fn guard(input: &AclInput, answer: &AclAnswer) -> Result<(), Violation> {
    let table = CommandTable::new(&input.categories);
    let mut seen = BTreeSet::new();
    for grants in &answer.users {
        let name = grants.name.as_str();
        if is_system_user(name) {
            return Err(Violation::new(
                GuardRule::SystemUser,
                name,
                "it belongs to the operator or the server",
            ));
        }
        let Some(request) = input.users.iter().find(|request| request.name == name) else {
            return Err(Violation::new(
                GuardRule::UnknownUser,
                name,
                "nobody asked for it",
            ));
        };
        if !seen.insert(name) {
            return Err(Violation::new(
                GuardRule::DuplicateUser,
                name,
                "it is named twice",
            ));
        }
        check_shape(grants)?;
        check_commands(request, grants, &table)?;
        check_patterns(request, grants)?;
    }
    match input
        .users
        .iter()
        .find(|request| !seen.contains(request.name.as_str()))
    {
        Some(request) => Err(Violation::new(
            GuardRule::MissingUser,
            &request.name,
            "it is not in the answer",
        )),
        None => Ok(()),
    }
}

fn check_shape(grants: &UserGrants) -> Result<(), Violation> {
    let counts = [
        grants.commands.len(),
        grants.keys.len(),
        grants.channels.len(),
    ];
    if counts.iter().any(|count| *count > MAX_GRANTS) {
        let what = format!("more than {MAX_GRANTS} rules or patterns");
        return Err(Violation::new(GuardRule::TooManyGrants, &grants.name, what));
    }
    let malformed = |token: &str| {
        let what = format!("'{}' is no name or pattern", printable(token, 64));
        Err(Violation::new(
            GuardRule::MalformedToken,
            &grants.name,
            what,
        ))
    };
    if !is_user_name(&grants.name) {
        return malformed(&grants.name);
    }
    for rule in &grants.commands {
        let (CommandRule::AllowCommand(name)
        | CommandRule::DenyCommand(name)
        | CommandRule::AllowCategory(name)
        | CommandRule::DenyCategory(name)) = rule;
        if !is_command_name(name) {
            return malformed(name);
        }
    }
    let keys = grants.keys.iter().map(|key| &key.pattern);
    match keys
        .chain(&grants.channels)
        .find(|pattern| !is_pattern(pattern))
    {
        Some(pattern) => malformed(pattern),
        None => Ok(()),
    }
}

fn check_commands(
    request: &UserRequest,
    grants: &UserGrants,
    table: &CommandTable,
) -> Result<(), Violation> {
    let allowed = table.effective(&grants.commands).map_err(|unknown| {
        Violation::new(GuardRule::UnknownCommand, &grants.name, unknown.to_string())
    })?;
    // By what is granted: a policy that narrows keys gives nothing that goes around the narrower ones.
    let ceiling = Ceiling::granted(request.preset, grants);
    let found = allowed
        .iter()
        .find_map(|command| Some((command, ceiling.beyond(command, table)?)));
    match found {
        Some((command, why)) => Err(Violation::new(
            GuardRule::CommandBeyondCeiling,
            &grants.name,
            format!("{command} {why}"),
        )),
        None => Ok(()),
    }
}

fn check_patterns(request: &UserRequest, grants: &UserGrants) -> Result<(), Violation> {
    let within = |pattern: &str, asked: &[String]| {
        asked
            .iter()
            .any(|asked| patterns::is_within(pattern, asked))
    };
    if let Some(key) = grants
        .keys
        .iter()
        .find(|key| !within(&key.pattern, &request.keys))
    {
        let what = format!("keys {} are not within those of the spec", key.pattern);
        return Err(Violation::new(GuardRule::KeyBeyondSpec, &grants.name, what));
    }
    if let Some(channel) = grants
        .channels
        .iter()
        .find(|channel| !within(channel, &request.channels))
    {
        let what = format!("channels {channel} are not within those of the spec");
        return Err(Violation::new(
            GuardRule::ChannelBeyondSpec,
            &grants.name,
            what,
        ));
    }
    Ok(())
}
