//! What the export macros expand to; no part of the promise to authors.

pub use std::string::String;

use serde::de::DeserializeOwned;

use crate::acl::{AclAnswer, AclInput, AclPolicy};
pub use crate::bindings::exports::hera::policy::acl;
use crate::log::{Level, write};
use crate::{Context, PolicyError, SDK_VERSION};

/// The bytes of the version, for a static.
pub const fn sdk_bytes() -> [u8; SDK_VERSION.len()] {
    let mut bytes = [0; SDK_VERSION.len()];
    bytes.copy_from_slice(SDK_VERSION.as_bytes());
    bytes
}

/// Reads settings, asks the policy.
pub fn decide_acl<P: AclPolicy>(
    context: &Context,
    input: &AclInput,
) -> Result<AclAnswer, PolicyError> {
    log_panics();
    let settings =
        settings::<P::Settings>(&context.settings).map_err(PolicyError::InvalidSettings)?;
    P::decide(context, &settings, input)
}

/// Reads settings, asks the policy whether they make sense.
pub fn validate_acl<P: AclPolicy>(text: &str) -> Result<(), String> {
    log_panics();
    P::validate(&settings::<P::Settings>(text)?)
}

/// No settings at all are the default ones.
pub fn settings<T: DeserializeOwned + Default>(text: &str) -> Result<T, String> {
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// A panic is a trap without words; the hook gives it some. Each call is a fresh instance, so it
/// is set each time.
fn log_panics() {
    if cfg!(target_arch = "wasm32") {
        std::panic::set_hook(Box::new(|panic| write(Level::Error, &panic.to_string())));
    }
}
