//! The built-in's rights, without commands that the settings name: `{"deny": ["del"]}`.
//!
//! Why one would write it: a team wants nobody, whatever the preset, to delete data by hand,
//! and it wants that once for all its objects instead of in each user's rules.

use hera_policy_sdk::acl::{AclAnswer, AclInput, AclPolicy};
use hera_policy_sdk::{Context, PolicyError, export_acl_policy, presets};
use serde::Deserialize;

/// Nobody deletes.
pub struct NoDelete;

/// What stands beside the policy under `settings`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Commands to take from everybody.
    pub deny: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        let deny = ["del", "unlink", "flushdb", "flushall"];
        Self {
            deny: deny.map(str::to_owned).to_vec(),
        }
    }
}

impl AclPolicy for NoDelete {
    type Settings = Settings;

    fn decide(
        _context: &Context,
        settings: &Settings,
        input: &AclInput,
    ) -> Result<AclAnswer, PolicyError> {
        let users = input.users.iter().map(|user| {
            // Last, so that neither the preset nor the user's own rules bring a command back.
            let mut grants = presets::grants(input, user);
            for command in &settings.deny {
                let command = command.to_ascii_lowercase();
                if input.has_command(&command) {
                    grants = grants.deny_command(&command);
                }
            }
            grants
        });
        Ok(AclAnswer::new(users))
    }

    fn validate(settings: &Settings) -> Result<(), String> {
        match settings
            .deny
            .iter()
            .find(|command| command.starts_with(['+', '-', '@']))
        {
            Some(command) => Err(format!("deny takes plain command names, not '{command}'")),
            None => Ok(()),
        }
    }
}

export_acl_policy!(NoDelete);

#[cfg(test)]
mod tests {
    use hera_policy_sdk::acl::{CommandRule, Preset};
    use hera_policy_sdk::testing::{acl_input, context, user};

    use super::*;

    const TABLE: &[(&str, &str)] = &[("read", "get"), ("write", "del set")];

    fn decide(deny: &[&str]) -> Vec<CommandRule> {
        let settings = Settings {
            deny: deny.iter().map(|name| (*name).to_owned()).collect(),
        };
        let user = user("app", Preset::ReadWrite).rules(&["+del"]);
        let answer = NoDelete::decide(&context(), &settings, &acl_input(vec![user], TABLE));
        answer.unwrap().users.remove(0).commands
    }

    #[test]
    fn a_denied_command_is_denied_after_everything_else() {
        assert_eq!(
            decide(&["DEL"]).last(),
            Some(&CommandRule::DenyCommand("del".to_owned()))
        );
    }

    #[test]
    fn a_command_that_the_server_lacks_is_left_out() {
        assert_eq!(
            decide(&["unlink"]).last(),
            Some(&CommandRule::AllowCommand("del".to_owned()))
        );
    }

    #[test]
    fn settings_with_rules_instead_of_names_are_refused() {
        let settings = Settings {
            deny: vec!["-del".to_owned()],
        };
        assert!(
            NoDelete::validate(&settings)
                .unwrap_err()
                .contains("'-del'")
        );
    }
}
