//! The rights of the built-in policy, without scripts where the settings say so.

use hera_policy_sdk::acl::{AclAnswer, AclInput, AclPolicy};
use hera_policy_sdk::{Context, PolicyError, export_acl_policy, presets};
use serde::Deserialize;

/// The policy.
pub struct PolicyName;

/// What stands beside the policy under `settings`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Settings {
    /// Nobody runs scripts, whatever the preset.
    pub no_scripts: bool,
}

impl AclPolicy for PolicyName {
    type Settings = Settings;

    fn decide(_: &Context, settings: &Settings, input: &AclInput) -> Result<AclAnswer, PolicyError> {
        let users = input.users.iter().map(|user| {
            let grants = presets::grants(input, user);
            if settings.no_scripts && input.category("scripting").is_some() {
                grants.deny_category("scripting")
            } else {
                grants
            }
        });
        Ok(AclAnswer::new(users))
    }
}

export_acl_policy!(PolicyName);
