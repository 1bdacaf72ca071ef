//! The built-in ACL policy: rights by preset, then the rules of the spec.
//!
//! What a preset means is in [`hera_policy_sdk::presets`], so that other policies can start
//! from it; `docs/guards.md` has the ceilings that hold for all of them.

use hera_policy_sdk::acl::{AclAnswer, AclInput, AclPolicy};
use hera_policy_sdk::{Context, PolicyError, export_acl_policy, presets};
use serde::Deserialize;

/// Rights by preset.
pub struct Presets;

/// It has none; a misspelt one is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {}

impl AclPolicy for Presets {
    type Settings = Settings;

    fn decide(
        _context: &Context,
        _settings: &Settings,
        input: &AclInput,
    ) -> Result<AclAnswer, PolicyError> {
        Ok(AclAnswer::new(presets::all(input)))
    }
}

export_acl_policy!(Presets);
