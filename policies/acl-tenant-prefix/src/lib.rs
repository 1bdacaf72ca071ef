//! The built-in's commands, on keys and channels that begin with the user's own name:
//! `billing` sees `billing:*`, whatever wider pattern its spec gives it.
//!
//! Why one would write it: many teams share a server, and a pattern that is too wide in one of
//! their specs must not open the keys of another.

use hera_policy_sdk::acl::{AclAnswer, AclInput, AclPolicy, UserRequest};
use hera_policy_sdk::{Context, PolicyError, export_acl_policy, presets};
use serde::Deserialize;

/// Each to its own.
pub struct TenantPrefix;

/// What stands beside the policy under `settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What follows the name in keys and channels.
    #[serde(default = "colon")]
    pub separator: String,
    /// Users who keep the patterns of their spec.
    #[serde(default)]
    pub except: Vec<String>,
}

fn colon() -> String {
    ":".to_owned()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            separator: colon(),
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
            if settings.except.contains(&user.name) {
                return presets::grants(input, user);
            }
            let own = format!("{}{}", user.name, settings.separator);
            // Asked with its own keys and channels, the built-in grants nothing that goes around them.
            let confined = UserRequest {
                keys: confine(&user.keys, &own),
                channels: confine(&user.channels, &own),
                ..user.clone()
            };
            presets::grants(input, &confined)
        });
        Ok(AclAnswer::new(users))
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        let wrong = if settings.separator.is_empty() {
            "without a separator, user a would see the keys of user ab"
        } else if settings.separator.bytes().any(is_special) {
            "the separator holds a wildcard"
        } else {
            return Ok(());
        };
        Err(wrong.to_owned())
    }
}

/// What of the patterns lies under `own`. Where a pattern is wider, `own*` takes its place; what is
/// neither wider nor within goes.
fn confine(patterns: &[String], own: &str) -> Vec<String> {
    let mut confined = vec![];
    let mut wider = false;
    for pattern in patterns {
        let literal = pattern
            .bytes()
            .take_while(|byte| !is_special(*byte))
            .count();
        let (literal, rest) = pattern.split_at_checked(literal).unwrap_or_default();
        if literal.starts_with(own) {
            confined.push(pattern.clone());
        } else if rest == "*" && own.starts_with(literal) && !wider {
            confined.push(format!("{own}*"));
            wider = true;
        }
    }
    confined
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b'\\')
}

export_acl_policy!(TenantPrefix);
