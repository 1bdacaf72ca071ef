//! What the export macros expand to; no part of the promise to authors.

pub use std::string::String;

use std::mem::ManuallyDrop;

use serde::de::DeserializeOwned;

use crate::acl::{AclAnswer, AclInput, AclPolicy};
use crate::backup::{BackupAnswer, BackupInput, BackupPolicy};
pub use crate::bindings::backup::exports::hera::policy::backup;
pub use crate::bindings::exports::hera::policy::acl;
pub use crate::bindings::rebalance::exports::hera::policy::rebalance;
use crate::log::{Level, write};
use crate::rebalance::{RebalanceAnswer, RebalanceInput, RebalancePolicy};
use crate::{Context, PolicyError, SDK_VERSION};

/// The bytes of the version, for a static.
pub const fn sdk_bytes() -> [u8; SDK_VERSION.len()] {
    let mut bytes = [0; SDK_VERSION.len()];
    bytes.copy_from_slice(SDK_VERSION.as_bytes());
    bytes
}

/// What lives as long as the instance does, so that no code is made to free it.
fn kept<T>(value: T) -> ManuallyDrop<T> {
    ManuallyDrop::new(value)
}

/// Reads settings, asks the policy.
pub fn decide_acl<P: AclPolicy>(
    context: Context,
    input: AclInput,
) -> Result<AclAnswer, PolicyError> {
    log_panics();
    let (context, input) = (kept(context), kept(input));
    let settings = settings(&context.settings).map_err(PolicyError::InvalidSettings)?;
    P::decide(&context, &kept::<P::Settings>(settings), &input)
}

/// Reads settings, asks the policy whether they make sense.
pub fn validate_acl<P: AclPolicy>(text: String) -> Result<(), String> {
    log_panics();
    P::validate(&kept::<P::Settings>(settings(&kept(text))?))
}

/// As [`decide_acl`].
pub fn decide_rebalance<P: RebalancePolicy>(
    context: Context,
    input: RebalanceInput,
) -> Result<RebalanceAnswer, PolicyError> {
    log_panics();
    let (context, input) = (kept(context), kept(input));
    let settings = settings(&context.settings).map_err(PolicyError::InvalidSettings)?;
    P::decide(&context, &kept::<P::Settings>(settings), &input)
}

/// As [`validate_acl`].
pub fn validate_rebalance<P: RebalancePolicy>(text: String) -> Result<(), String> {
    log_panics();
    P::validate(&kept::<P::Settings>(settings(&kept(text))?))
}

/// As [`decide_acl`].
pub fn decide_backup<P: BackupPolicy>(
    context: Context,
    input: BackupInput,
) -> Result<BackupAnswer, PolicyError> {
    log_panics();
    let (context, input) = (kept(context), kept(input));
    let settings = settings(&context.settings).map_err(PolicyError::InvalidSettings)?;
    P::decide(&context, &kept::<P::Settings>(settings), &input)
}

/// As [`validate_acl`].
pub fn validate_backup<P: BackupPolicy>(text: String) -> Result<(), String> {
    log_panics();
    P::validate(&kept::<P::Settings>(settings(&kept(text))?))
}

/// No settings at all are the default ones.
pub fn settings<T: DeserializeOwned + Default>(text: &str) -> Result<T, String> {
    if text.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    read(text).map_err(|error| format!("the settings {text} do not fit: {error}"))
}

/// The parser of the two that has no code for fractions, which would be half of a module.
#[cfg(not(feature = "float-settings"))]
fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json_wasm::from_str(text).map_err(|error| error.to_string())
}

#[cfg(feature = "float-settings")]
fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// A panic is a trap without words; the hook gives it some. Each call is a fresh instance, so it
/// is set each time.
fn log_panics() {
    if cfg!(target_arch = "wasm32") {
        std::panic::set_hook(Box::new(|panic| write(Level::Error, &panic.to_string())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default, rename_all = "camelCase")]
    struct Everything {
        flag: bool,
        count: i64,
        names: Vec<String>,
        by_team: BTreeMap<String, Vec<u8>>,
        maybe: Option<String>,
    }

    #[test]
    fn what_settings_are_made_of_is_read() {
        let text = r#"{"flag": true, "count": -3, "names": ["a\"\u00e9\n"],
                       "byTeam": {"x": [1, 2], "y": []}, "maybe": null}"#;
        let by_team = [("x".to_owned(), vec![1, 2]), ("y".to_owned(), vec![])];
        let read: Everything = settings(text).unwrap();
        assert_eq!(read.names, ["a\"\u{e9}\n"]);
        assert_eq!((read.flag, read.count, read.maybe), (true, -3, None));
        assert_eq!(read.by_team, BTreeMap::from(by_team));
        assert_eq!(settings::<Everything>(" "), Ok(Everything::default()));
    }

    #[test]
    fn settings_that_do_not_fit_are_shown_with_what_is_wrong() {
        let refused = |text: &str| settings::<Everything>(text).unwrap_err();
        assert!(refused(r#"{"flga": true}"#).contains("unknown field `flga`"));
        assert!(refused(r#"{"count": "3"}"#).contains(r#"{"count": "3"} do not fit"#));
        assert!(refused("[]").contains("[] do not fit"));
    }
}
