use std::collections::BTreeSet;

use super::error::Problems;
use super::replication::millis;
use super::{Validated, messages};
use crate::meta::KEY_PASSWORD;
use crate::names::ObjectName;
use crate::spec::{CommonSpec, Preset, Rights, SecretKeyRef};

/// The application user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Its name on the server.
    pub username: String,
    /// What it is to have.
    pub rights: Rights,
    /// Where its password is; without one the operator generates its own.
    pub password: Option<SecretKeyRef>,
    /// Also let clients in that send no username.
    pub default_user: bool,
    /// When a generated password is replaced.
    pub rotation: PasswordRotation,
}

/// When a generated password is replaced, and how long the one before is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordRotation {
    /// The age at which another takes its place, in milliseconds; none for never.
    pub after_ms: Option<u64>,
    /// How long the one before is accepted, in milliseconds.
    pub overlap_ms: u64,
}

/// A further user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name on the server.
    pub name: String,
    /// What it is to have.
    pub rights: Rights,
    /// Where its password is.
    pub password: SecretKeyRef,
}

impl Validated {
    /// True if a further user logs in with the generated password, as its reference leads to where that is shown.
    pub fn shares_generated(&self, user: &User) -> bool {
        let own = self.name.app_secret();
        self.auth.password.is_none() && leads_to_generated(&user.password, &own)
    }
}

/// True if it leads to where the object's Secret `own` shows the application's password.
fn leads_to_generated(reference: &SecretKeyRef, own: &str) -> bool {
    reference.name == own && reference.key == KEY_PASSWORD
}

/// The application user of the object called `name`.
pub(super) fn app(name: Option<&ObjectName>, spec: &CommonSpec, problems: &mut Problems) -> Auth {
    let auth = &spec.auth;
    check_name(&auth.username, "spec.auth.username", problems);
    let rights = auth.rights();
    check_rights(&rights, "spec.auth", problems);
    let password = auth.password_secret_ref.clone();
    let own = name.map(ObjectName::app_secret);
    if let (Some(password), Some(own)) = (&password, own)
        && password.name == own
    {
        problems.add(
            "spec.auth.passwordSecretRef.name",
            format!(
                "{own} is the Secret that the operator makes for the application: name another, or leave \
                 passwordSecretRef out to have the password generated there"
            ),
        );
    }
    if let Some(reference) = &password {
        check_keys(reference, "spec.auth.passwordSecretRef", problems);
    }
    Auth {
        username: auth.username.clone(),
        rights,
        password,
        default_user: auth.default_user,
        rotation: rotation(spec, problems),
    }
}

const HOUR: u64 = 3_600_000;

fn rotation(spec: &CommonSpec, problems: &mut Problems) -> PasswordRotation {
    let auth = &spec.auth;
    let after_ms = auth.rotate_after.as_ref().map(|text| {
        let good = |millis| (HOUR..=8760 * HOUR).contains(&millis);
        let field = "spec.auth.rotateAfter";
        millis(problems, field, text, good, messages::ROTATE_AFTER)
    });
    if after_ms.is_some() && auth.password_secret_ref.is_some() {
        problems.add("spec.auth.rotateAfter", messages::ROTATES_ITS_OWN);
    }
    let good = |millis| millis <= 168 * HOUR;
    let (field, text) = ("spec.auth.overlap", &auth.overlap);
    let overlap_ms = millis(problems, field, text, good, messages::OVERLAP);
    // What is no duration is 0, and told already.
    if after_ms.is_some_and(|after_ms| 0 < after_ms && after_ms <= overlap_ms) {
        problems.add(field, messages::OVERLAP_IS_SHORTER);
    }
    PasswordRotation {
        after_ms,
        overlap_ms,
    }
}

/// A Secret's keys.
fn check_keys(reference: &SecretKeyRef, field: &str, problems: &mut Problems) {
    if reference.next_key.as_ref() == Some(&reference.key) {
        problems.add(format!("{field}.nextKey"), messages::TWO_KEYS);
    }
}

/// Further users of the object called `name`.
pub(super) fn resolve(
    name: Option<&ObjectName>,
    spec: &CommonSpec,
    problems: &mut Problems,
) -> Vec<User> {
    let app = &spec.auth.username;
    let is_generated = spec.auth.password_secret_ref.is_none();
    let own = name.map(ObjectName::app_secret).filter(|_| is_generated);
    let mut seen = BTreeSet::new();
    let mut users = Vec::new();
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
        let rights = user.rights();
        check_rights(&rights, &field, problems);
        let reference = format!("{field}.passwordSecretRef");
        check_keys(&user.password_secret_ref, &reference, problems);
        let own = own.as_deref();
        if own.is_some_and(|own| leads_to_generated(&user.password_secret_ref, own))
            && user.password_secret_ref.next_key.is_some()
        {
            let field = format!("{reference}.nextKey");
            problems.add(field, messages::NEXT_OF_GENERATED);
        }
        users.push(User {
            name: name.clone(),
            rights,
            password: user.password_secret_ref.clone(),
        });
    }
    users
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

fn check_rights(rights: &Rights, field: &str, problems: &mut Problems) {
    if rights.preset == Preset::Replication && !rights.keys.iter().any(|key| key == "*") {
        problems.add(format!("{field}.keys"), messages::COPIES_ALL_KEYS);
    }
    for (list, patterns) in [("keys", &rights.keys), ("channels", &rights.channels)] {
        for (index, pattern) in patterns.iter().enumerate() {
            if pattern.is_empty() || pattern.chars().any(|c| c == ' ' || c.is_control()) {
                problems.add(
                    format!("{field}.{list}[{index}]"),
                    "a pattern has no spaces: write one pattern per entry",
                );
            }
        }
    }
    for (index, rule) in rights.rules.iter().enumerate() {
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
