use std::collections::BTreeSet;

use super::error::Problems;
use super::messages;
use crate::spec::{CommonSpec, Preset, SecretKeyRef, UserSpec};

/// The application user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Its name on the server.
    pub username: String,
    /// Where its password is; without one the operator generates its own.
    pub password: Option<SecretKeyRef>,
    /// Also let clients in that send no username.
    pub default_user: bool,
}

/// A further user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name on the server.
    pub name: String,
    /// Its preset.
    pub preset: Preset,
    /// Key patterns, without the leading `~`.
    pub keys: Vec<String>,
    /// Channel patterns, without the leading `&`.
    pub channels: Vec<String>,
    /// Further rules about commands.
    pub rules: Vec<String>,
    /// Where its password is.
    pub password: SecretKeyRef,
}

pub(super) fn resolve(spec: &CommonSpec, problems: &mut Problems) -> Vec<User> {
    let app = &spec.auth.username;
    check_name(app, "spec.auth.username", problems);
    let mut seen = BTreeSet::new();
    for (index, user) in spec.users.iter().enumerate() {
        let field = format!("spec.users[{index}]");
        let name = &user.name;
        check_name(name, &format!("{field}.name"), problems);
        if name == app {
            problems.add(
                format!("{field}.name"),
                format!(
                    "{name:?} is the application user, which there is already: choose another name, or name \
                     the application user otherwise in auth.username"
                ),
            );
        } else if !seen.insert(name) {
            problems.add(
                format!("{field}.name"),
                format!("{name:?} is there twice: remove one"),
            );
        }
        check_rules(user, &field, problems);
    }
    spec.users
        .iter()
        .map(|user| User {
            name: user.name.clone(),
            preset: user.preset,
            keys: user.keys.clone(),
            channels: user.channels.clone(),
            rules: user.rules.clone(),
            password: user.password_secret_ref.clone(),
        })
        .collect()
}

fn check_name(name: &str, field: &str, problems: &mut Problems) {
    if !is_user_name(name) {
        problems.add(
            field,
            "use at most 63 letters, digits, '.', '_' and '-', beginning with a letter or digit",
        );
    } else if is_system(name) {
        problems.add(field, messages::SYSTEM_USER);
    }
}

fn check_rules(user: &UserSpec, field: &str, problems: &mut Problems) {
    for (list, patterns) in [("keys", &user.keys), ("channels", &user.channels)] {
        for (index, pattern) in patterns.iter().enumerate() {
            if pattern.is_empty() || pattern.chars().any(|c| c == ' ' || c.is_control()) {
                problems.add(
                    format!("{field}.{list}[{index}]"),
                    "a pattern has no spaces: write one pattern per entry",
                );
            }
        }
    }
    for (index, rule) in user.rules.iter().enumerate() {
        if !is_command_rule(rule) {
            problems.add(
                format!("{field}.rules[{index}]"),
                format!("{rule:?} is no rule about commands: write \"+get\", \"-@dangerous\" or \"+client|list\"; keys and \
                         channels have fields of their own"),
            );
        }
    }
}

fn is_user_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// As `hera_core::acl::is_system_user`; a test in `hera-render` holds them together.
fn is_system(name: &str) -> bool {
    name == "default" || name.starts_with("hera-")
}

fn is_command_rule(rule: &str) -> bool {
    let Some(what) = rule.strip_prefix(['+', '-']) else {
        return false;
    };
    let word = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-')
            })
    };
    match what.strip_prefix('@') {
        Some(category) => !category.is_empty() && category.bytes().all(|b| b.is_ascii_lowercase()),
        None => match what.split_once('|') {
            Some((command, sub)) => word(command) && word(sub),
            None => word(what),
        },
    }
}
