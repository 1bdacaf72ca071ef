//! The built-in's commands, on keys and channels that begin with the user's own name:
//! `billing` sees `billing:*`, whatever wider pattern its spec gives it.
//!
//! Why one would write it: many teams share a server, and a pattern that is too wide in one of
//! their specs must not open the keys of another.

use hera_policy_sdk::acl::{AclAnswer, AclInput, AclPolicy, KeyAccess, KeyGrant, UserRequest};
use hera_policy_sdk::{Context, PolicyError, export_acl_policy, presets};
use serde::Deserialize;

/// Each to its own.
pub struct TenantPrefix;

/// What stands beside the policy under `settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What follows the name in keys and channels.
    pub separator: String,
    /// Users who keep the patterns of their spec.
    pub except: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            separator: ":".to_owned(),
            except: vec![],
        }
    }
}

impl AclPolicy for TenantPrefix {
    type Settings = Settings;

    fn decide(
        _context: &Context,
        settings: &Settings,
        input: &AclInput,
    ) -> Result<AclAnswer, PolicyError> {
        let users = input.users.iter().map(|user| {
            let mut grants = presets::grants(input, user);
            if !settings.except.contains(&user.name) {
                let own = format!("{}{}", user.name, settings.separator);
                grants.keys = keys(user, &own);
                grants.channels = confine(&user.channels, &own);
            }
            grants
        });
        Ok(AclAnswer {
            users: users.collect(),
        })
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        if settings.separator.is_empty() {
            return Err("without a separator, user a would see the keys of user ab".to_owned());
        }
        match settings.separator.find(is_special) {
            Some(_) => Err(format!(
                "the separator '{}' holds a wildcard",
                settings.separator
            )),
            None => Ok(()),
        }
    }
}

fn keys(user: &UserRequest, own: &str) -> Vec<KeyGrant> {
    let patterns = confine(&user.keys, own).into_iter();
    patterns
        .map(|pattern| KeyGrant {
            pattern,
            access: KeyAccess::ReadWrite,
        })
        .collect()
}

/// What of the patterns lies under `own`. Where a pattern is wider, `own*` takes its place; what is
/// neither wider nor within goes.
fn confine(patterns: &[String], own: &str) -> Vec<String> {
    let mut confined: Vec<String> = patterns
        .iter()
        .filter_map(|pattern| {
            let literal = pattern.split(is_special).next().unwrap_or_default();
            if literal.starts_with(own) {
                return Some(pattern.clone());
            }
            let is_prefix = pattern.strip_suffix('*') == Some(literal);
            (is_prefix && own.starts_with(literal)).then(|| format!("{own}*"))
        })
        .collect();
    confined.dedup();
    confined
}

fn is_special(c: char) -> bool {
    matches!(c, '*' | '?' | '[' | '\\')
}

export_acl_policy!(TenantPrefix);
