//! What users have while nobody decides: what they had, cut to what the spec allows today.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::tokens::is_pattern;
use super::{
    AclSet, Ceiling, CommandRule, CommandTable, DEFAULT_USER, KeyAccess, KeyGrant, UserGrants,
    UserRequest, decompile, is_system_user, patterns,
};

/// What was answered for one user, by a policy whose answer passed the guard.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// By the policy that is asked for.
    Decided(&'a UserGrants),
    /// By another module, because the one that is asked for gives no answer.
    StandIn(&'a UserGrants),
    /// By nobody.
    Missing,
}

/// Where rights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A policy decided them.
    Decided,
    /// They are what they were.
    Kept,
    /// They are what they were, without what the spec does not allow any more.
    Cut,
    /// They are what they were, cut to the spec: what a stand-in would grant goes beyond it.
    Held,
}

/// What a user is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Its grants.
    pub grants: UserGrants,
    /// Where they come from.
    pub standing: Standing,
}

/// What the user of `request` is to have, who has `held`; none if it has nothing and nobody decided.
///
/// # Guarantees
///
/// Whatever is answered, the result gives nothing that today's spec does not allow; unless the policy
/// that is asked for decided, it gives nothing either that the user did not have before.
///
/// Without a `table` commands stay as they are: nobody can tell what they reach.
pub fn in_force(
    request: &UserRequest,
    held: Option<&UserGrants>,
    answer: Answer<'_>,
    table: Option<&CommandTable>,
) -> Option<Rights> {
    if let Answer::Decided(grants) = answer {
        return Some(Rights {
            grants: grants.clone(),
            standing: Standing::Decided,
        });
    }
    let held = held?;
    let left = cut(held, request, table);
    let standing = match (answer, table) {
        (Answer::StandIn(grants), Some(table)) if is_no_wider(grants, &left, table) => {
            return Some(Rights {
                grants: grants.clone(),
                standing: Standing::Decided,
            });
        }
        (Answer::StandIn(_), _) => Standing::Held,
        _ if left == *held => Standing::Kept,
        _ => Standing::Cut,
    };
    Some(Rights {
        grants: left,
        standing,
    })
}

/// What is left of `held` within the preset, the keys and the channels of today's spec, and without
/// the commands that its rules deny or that go around the keys and channels that are left. What cannot
/// be told to be within is taken away.
pub fn cut(held: &UserGrants, request: &UserRequest, table: Option<&CommandTable>) -> UserGrants {
    let mut keys: Vec<KeyGrant> = Vec::new();
    for key in &held.keys {
        for pattern in within(&key.pattern, &request.keys) {
            let access = key.access;
            let left = KeyGrant { pattern, access };
            if !keys.contains(&left) {
                keys.push(left);
            }
        }
    }
    let mut channels: Vec<String> = Vec::new();
    for channel in &held.channels {
        for pattern in within(channel, &request.channels) {
            if !channels.contains(&pattern) {
                channels.push(pattern);
            }
        }
    }
    let mut left = UserGrants {
        name: held.name.clone(),
        commands: held.commands.clone(),
        keys,
        channels,
    };
    if let Some(table) = table {
        let ceiling = Ceiling::granted(request.preset, &left);
        left.commands = cut_commands(&held.commands, ceiling, request, table);
    }
    left
}

/// A held pattern if the spec allows it, else those of the spec that are within it.
fn within(held: &str, asked: &[String]) -> Vec<String> {
    if asked.iter().any(|asked| patterns::is_within(held, asked)) {
        return vec![held.to_owned()];
    }
    asked
        .iter()
        .filter(|asked| is_pattern(asked) && patterns::is_within(asked, held))
        .cloned()
        .collect()
}

/// Only denials are added behind the rules, and whole permissions left out: on no server can that allow more.
fn cut_commands(
    held: &[CommandRule],
    ceiling: Ceiling,
    request: &UserRequest,
    table: &CommandTable,
) -> Vec<CommandRule> {
    let denied = Denied::by(request, table);
    let excess = |rules: &[CommandRule]| -> Option<(BTreeSet<String>, BTreeSet<String>)> {
        let allowed = table.effective(rules).ok()?;
        let beyond =
            |command: &&String| !ceiling.permits(command, table) || denied.has(command, table);
        let excess = allowed.iter().filter(beyond).cloned().collect();
        Some((allowed, excess))
    };
    // Where a server has no subcommands, a first argument goes only with the rule that allows it.
    let goes = |rule: &CommandRule| match rule {
        CommandRule::AllowCommand(name) => {
            let name = name.to_ascii_lowercase();
            !table.has(&name) && !ceiling.permits(&name, table)
        }
        _ => false,
    };
    // Names that the server lacks allow nothing there, and it would refuse the user for them.
    let known = held.iter().filter(|rule| table.knows(rule) && !goes(rule));
    let mut rules: Vec<CommandRule> = known.cloned().collect();
    let Some((allowed, beyond)) = excess(&rules) else {
        return Vec::new();
    };
    if beyond.is_empty() {
        return rules;
    }
    // Whole categories first, where nothing else goes with them: the server walks each rule.
    let mut categories: Vec<(usize, &String)> = table
        .categories()
        .iter()
        .filter_map(|(name, commands)| {
            let listed = |command: &&String| {
                let base = command.split('|').next().unwrap_or(command);
                commands.contains(*command) || commands.contains(base)
            };
            let mut gone = allowed.iter().filter(listed).peekable();
            gone.peek()?;
            gone.clone()
                .all(|command| beyond.contains(command))
                .then(|| (gone.count(), name))
        })
        .collect();
    categories.sort_by_key(|(count, name)| (Reverse(*count), *name));
    let mut left = beyond;
    for (_, name) in categories {
        let listed = |command: &String| table.is_in(command, name);
        if left.iter().any(listed) {
            left.retain(|command| !listed(command));
            rules.push(CommandRule::DenyCategory(name.clone()));
        }
    }
    // Where a server has no subcommands, only the command with all its first arguments can be denied.
    let single = left.iter().map(|command| match command.split_once('|') {
        Some((base, _)) if !table.has(command) => base,
        _ => command.as_str(),
    });
    let single: BTreeSet<&str> = single.collect();
    let single = single
        .into_iter()
        .map(|name| CommandRule::DenyCommand(name.to_owned()));
    rules.extend(single);
    match excess(&rules) {
        Some((allowed, beyond)) if beyond.is_empty() => {
            let runs = allowed.iter().any(|command| !table.is_container(command));
            if runs { rules } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

/// The commands that the rules of a spec take away, whoever grants them.
pub(super) struct Denied(Option<BTreeSet<String>>);

impl Denied {
    pub(super) fn by(request: &UserRequest, table: &CommandTable) -> Self {
        let all = CommandRule::AllowCategory("all".to_owned());
        // `-@all` begins a list, as a rule, and is no denial of each command.
        let begins = |rule: &CommandRule| matches!(rule, CommandRule::DenyCategory(name) if name.eq_ignore_ascii_case("all"));
        let rules = request
            .rules
            .iter()
            .filter_map(|rule| CommandRule::parse(rule))
            .filter(|rule| table.knows(rule) && !begins(rule));
        let rules: Vec<CommandRule> = std::iter::once(all).chain(rules).collect();
        let denies = |rule: &CommandRule| {
            matches!(
                rule,
                CommandRule::DenyCategory(_) | CommandRule::DenyCommand(_)
            )
        };
        Self(match rules.iter().any(denies) {
            true => table.effective(&rules).ok(),
            false => None,
        })
    }

    pub(super) fn has(&self, command: &str, table: &CommandTable) -> bool {
        let Some(left) = &self.0 else { return false };
        let name = match command.split_once('|') {
            Some((base, _)) if !table.has(command) && !left.contains(command) => base,
            _ => command,
        };
        !table.is_container(name) && !left.contains(name)
    }
}

/// True if `new` certainly gives nothing that `old` does not: commands, keys and channels.
pub fn is_no_wider(new: &UserGrants, old: &UserGrants, table: &CommandTable) -> bool {
    let key = |new: &KeyGrant| {
        old.keys.iter().any(|old| {
            (old.access == KeyAccess::ReadWrite || old.access == new.access)
                && patterns::is_within(&new.pattern, &old.pattern)
        })
    };
    let channel = |new: &String| {
        let mut held = old.channels.iter();
        held.any(|old| patterns::is_within(new, old))
    };
    commands_no_wider(&new.commands, &old.commands, table)
        && new.keys.iter().all(key)
        && new.channels.iter().all(channel)
}

fn commands_no_wider(new: &[CommandRule], old: &[CommandRule], table: &CommandTable) -> bool {
    let denies = |rule: &CommandRule| {
        matches!(
            rule,
            CommandRule::DenyCategory(_) | CommandRule::DenyCommand(_)
        )
    };
    let further = new.strip_prefix(old);
    if further.is_some_and(|further| further.iter().all(denies)) {
        return true;
    }
    let Ok(wanted) = table.effective(new) else {
        return false;
    };
    let held = table.certain(old);
    wanted.iter().all(|command| {
        // A container's own bit runs nothing; each of its subcommands is looked at.
        table.is_container(command)
            || held.contains(command)
            || command
                .split_once('|')
                .is_some_and(|(base, _)| !table.has(command) && held.contains(base))
    })
}

/// Users of `set` who have more than the spec allows, with why, for people.
pub fn revocations(
    set: &AclSet,
    requests: &[UserRequest],
    default_user: bool,
    table: Option<&CommandTable>,
) -> Vec<String> {
    let told = set.users.iter().filter_map(|user| {
        let name = user.name.as_str();
        let why = if name == DEFAULT_USER {
            (!default_user).then_some("not in the spec any more")
        } else if is_system_user(name) {
            None
        } else {
            match requests.iter().find(|request| request.name == name) {
                None => Some("not in the spec any more"),
                Some(request) => {
                    let held = decompile(name, &user.rules);
                    (cut(&held, request, table) != held).then_some("has more than the spec allows")
                }
            }
        };
        Some(format!("{name} ({})", why?))
    });
    told.collect()
}
