//! What is wrong with a spec's users before any policy is asked.

use std::collections::BTreeSet;

use super::tokens::{is_command_name, is_pattern, is_user_name, printable};
use super::{
    AclInput, Beyond, Ceiling, CommandRule, CommandTable, Limits, Preset, UserRequest,
    is_system_user,
};

/// A user of the spec that cannot be made as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("user {}: {what}", printable(user, 64))]
pub struct RequestProblem {
    /// The user, exactly as in the request.
    pub user: String,
    /// What to change, in a sentence for people.
    pub what: String,
}

/// Everything that is wrong with the users asked for; empty if they can be decided.
///
/// A policy that grants what a sound request asks for never breaks the guard, so whoever wrote
/// the spec hears about a mistake in it, and not the author of the policy.
pub fn check_request(input: &AclInput) -> Vec<RequestProblem> {
    let table = CommandTable::new(&input.categories);
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for user in &input.users {
        let repeated = (!seen.insert(&user.name)).then(|| "it is listed twice".to_owned());
        let what = repeated.or_else(|| check_user(user, &table).err());
        if let Some(what) = what {
            problems.push(RequestProblem {
                user: user.name.clone(),
                what,
            });
        }
    }
    problems
}

fn check_user(user: &UserRequest, table: &CommandTable) -> Result<(), String> {
    if is_system_user(&user.name) {
        return Err("the name belongs to the operator or the server; choose another".to_owned());
    }
    if !is_user_name(&user.name) {
        return Err("the name may hold letters, digits and . _ @ : - and 64 of them".to_owned());
    }
    let mut patterns = user.keys.iter().chain(&user.channels);
    if let Some(pattern) = patterns.find(|pattern| !is_pattern(pattern)) {
        let pattern = printable(pattern, 64);
        return Err(format!(
            "the pattern '{pattern}' must be printable ASCII without spaces"
        ));
    }
    if user.preset == Preset::Replication && Limits::asked(user).keys {
        return Err(
            "a user of the preset Replication copies all data, whatever its keys are: set them to \
             \"*\", or choose another preset"
                .to_owned(),
        );
    }
    check_rules(user, table)
}

fn check_rules(user: &UserRequest, table: &CommandTable) -> Result<(), String> {
    let parse = |rule: &String| {
        CommandRule::parse(rule).ok_or_else(|| {
            let rule = printable(rule, 64);
            format!("the rule '{rule}' must be +command, -command, +@category or -@category")
        })
    };
    let rules = user
        .rules
        .iter()
        .map(parse)
        .collect::<Result<Vec<_>, _>>()?;
    // From nothing: what the preset gives is within its ceiling anyway.
    let allowed = table
        .effective(&rules)
        .map_err(|unknown| unknown.to_string())?;
    let ceiling = Ceiling::asked(user);
    let found = allowed
        .iter()
        .find_map(|command| Some((command, ceiling.beyond(command, table)?)));
    let Some((command, why)) = found else {
        return Ok(());
    };
    let copies = Ceiling {
        preset: Preset::Replication,
        ..ceiling
    };
    let (what, otherwise) = match (why, user.preset) {
        (Beyond::Preset, Preset::Replication) => {
            ("is beyond the preset", ", or choose another preset")
        }
        (Beyond::Preset, _) if copies.beyond(command, table) != Some(Beyond::Preset) => {
            ("is for users of the preset Replication alone", "")
        }
        (Beyond::Preset, Preset::Admin) => ("is for no user", ""),
        (Beyond::Preset, _) => ("is beyond the preset", ", or choose a wider preset"),
        (Beyond::Limits, _) => (
            "goes around the limits of its keys or channels",
            ", or give it all keys and channels",
        ),
    };
    Err(format!(
        "its rules allow {command}, which {what}; remove the rule, deny the command after it{otherwise}"
    ))
}

impl CommandRule {
    /// Reads a rule in the server's notation; none if it is anything but a command rule.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, name) = text.split_at_checked(1)?;
        let (category, name) = match name.strip_prefix('@') {
            Some(name) => (true, name),
            None => (false, name),
        };
        if !is_command_name(name) {
            return None;
        }
        let name = name.to_owned();
        match (sign, category) {
            ("+", true) => Some(Self::AllowCategory(name)),
            ("+", false) => Some(Self::AllowCommand(name)),
            ("-", true) => Some(Self::DenyCategory(name)),
            ("-", false) => Some(Self::DenyCommand(name)),
            _ => None,
        }
    }
}
