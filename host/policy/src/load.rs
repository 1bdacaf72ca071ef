//! From bytes to something that can be called. Slow, and run off the reconcile path.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::check::{check_interfaces, check_size, is_core_module, malformed, text};
use crate::{CallError, Decision, Limits, LoadError, description, shape};

/// Checks, encodes, compiles and links a module.
pub fn compile<D: Decision>(
    engine: &Engine,
    limits: &Limits,
    bytes: &[u8],
) -> Result<D, LoadError> {
    check_size(bytes, limits)?;
    // Encoder and compiler get bytes that anybody may have written; a panic in them is one
    // module's failure, not the operator's.
    let compile = || {
        let encoded = if is_core_module(bytes)? {
            Some(encode(bytes, limits)?)
        } else {
            None
        };
        let component = encoded.as_deref().unwrap_or(bytes);
        shape::check(component, limits)?;
        check_interfaces(component, D::NAME, D::VERSIONS)?;
        let component = Component::from_binary(engine, component)
            .map_err(|error| LoadError::CompileFailed(text(&format!("{error:#}"))))?;
        D::link(engine, &component)
            .map_err(|error| LoadError::InstantiateFailed(text(&format!("{error:#}"))))
    };
    catch_unwind(AssertUnwindSafe(compile)).unwrap_or_else(|_| {
        Err(LoadError::CompileFailed(
            "the compiler gave up on it".to_owned(),
        ))
    })
}

/// [`compile`], and starts the module once.
pub fn load<D: Decision>(engine: &Engine, limits: &Limits, bytes: &[u8]) -> Result<D, LoadError> {
    let policy: D = compile(engine, limits, bytes)?;
    match policy.trial(limits) {
        Ok(()) => Ok(policy),
        // The machine was busy: says nothing about the module.
        Err(error @ (CallError::Timeout { .. } | CallError::Internal(_))) => {
            Err(LoadError::Internal(error.to_string()))
        }
        Err(error) => Err(LoadError::InstantiateFailed(error.to_string())),
    }
}

/// Turns the core module of a plain `cargo build` into a component. The SDK left the
/// description of the world in a custom section.
///
/// # Errors
///
/// [`LoadError::NoWorld`] without that section, [`LoadError::TooManyParts`] if there is too much in it,
/// [`LoadError::Malformed`] for what is no module.
pub fn encode(module: &[u8], limits: &Limits) -> Result<Vec<u8>, LoadError> {
    description::check(module, limits)?;
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.validate(true);
    encoder.module(module).map_err(malformed)?;
    encoder.encode().map_err(malformed)
}
