use std::collections::BTreeMap;

use hera_core::acl::{AclAnswer, AclInput, Categories, Preset, UserRequest, granted};
use jiff::Timestamp;
use serde::Deserialize;

use super::{Settings, context, until};
use crate::{Acl, CallError, Context, Policy};

/// User to rules in the server's notation, and until when they hold; or the words with which the policy
/// refuses.
type Found = Result<(BTreeMap<String, String>, Option<Timestamp>), String>;

/// A case of the `acl` decision.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclCase {
    engine: Option<String>,
    version: Option<String>,
    settings: Option<Settings>,
    now: Option<Timestamp>,
    input: Input,
    grants: Option<BTreeMap<String, String>>,
    #[serde(rename = "againAt")]
    again_at: Option<Timestamp>,
    error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    users: Vec<User>,
    categories: Categories,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    name: String,
    preset: Preset,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    rules: Vec<String>,
}

impl AclCase {
    /// What the case asks, under circumstances that do not change unless it says so.
    pub fn question(&self) -> (Context, AclInput) {
        let context = context(
            self.engine.as_deref(),
            self.version.as_deref(),
            self.settings.as_ref(),
            self.now,
        );
        let users = self.input.users.iter().cloned().map(|user| UserRequest {
            name: user.name,
            preset: user.preset,
            keys: user.keys,
            channels: user.channels,
            rules: user.rules,
        });
        let input = AclInput {
            users: users.collect(),
            categories: self.input.categories.clone(),
        };
        (context, input)
    }

    fn wanted(&self) -> Result<Found, String> {
        match (&self.grants, &self.error) {
            (Some(grants), None) => Ok(Ok((grants.clone(), self.again_at))),
            (None, Some(words)) if self.again_at.is_none() => Ok(Err(words.clone())),
            _ => Err("say either grants, perhaps with againAt, or error".to_owned()),
        }
    }
}

/// Runs the case in a text, and says what is wrong.
pub fn run_one(policy: &Policy<Acl>, text: &str) -> Result<(), String> {
    let case: AclCase = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let wanted = case.wanted()?;
    let (context, input) = case.question();
    let found: Found = match policy.decide_blocking(&context, &input) {
        Ok(decided) => Ok((
            rules(&decided.answer),
            decided.again_at_unix_ms.map(until).transpose()?,
        )),
        Err(CallError::InvalidSettings(words) | CallError::Refused(words)) => Err(words),
        Err(error) => return Err(error.to_string()),
    };
    if found == wanted {
        return Ok(());
    }
    Err(format!("wanted {wanted:?}, found {found:?}"))
}

/// Rules in the server's notation, by user.
pub fn rules(answer: &AclAnswer) -> BTreeMap<String, String> {
    let granted = granted(answer).into_iter();
    granted
        .map(|(name, rules)| (name, rules.join(" ")))
        .collect()
}
