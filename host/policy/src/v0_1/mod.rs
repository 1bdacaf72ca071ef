//! The contract `hera:policy@0.1`: its bindings, and the way to the host's own types and back.
//! A later contract gets a module beside this one.

mod acl;
mod backup;
mod rebalance;

pub use acl::Acl;
pub use backup::Backup;
pub use rebalance::Rebalance;

/// The version, as authors see it.
pub const API: &str = "0.1";

#[allow(missing_docs, clippy::all, clippy::restriction)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "acl-policy",
        imports: { default: trappable },
    });
}

#[allow(missing_docs, clippy::all, clippy::restriction)]
mod rebalance_bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "rebalance-policy",
        imports: { default: trappable },
        // What the worlds share is one type.
        with: {
            "hera:policy/types": super::bindings::hera::policy::types,
            "hera:policy/log": super::bindings::hera::policy::log,
        },
    });
}

#[allow(missing_docs, clippy::all, clippy::restriction)]
mod backup_bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/v0.1",
        world: "backup-policy",
        imports: { default: trappable },
        with: {
            "hera:policy/types": super::bindings::hera::policy::types,
            "hera:policy/log": super::bindings::hera::policy::log,
        },
    });
}

use bindings::hera::policy::{log, types};

use crate::sandbox::State;
use crate::{CallError, Context, Limits};

impl log::Host for State {
    fn write(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => "debug",
            log::Level::Info => "info",
            log::Level::Warn => "warn",
            log::Level::Error => "error",
        };
        self.log(level, &text)
    }
}

impl types::Host for State {}

impl From<&Context> for types::Context {
    fn from(context: &Context) -> Self {
        let Context {
            now_unix_ms,
            seed,
            name,
            namespace,
            engine,
            version,
            settings,
        } = context;
        Self {
            now_unix_ms: *now_unix_ms,
            seed: *seed,
            name: name.clone(),
            namespace: namespace.clone(),
            engine: engine.clone(),
            version: version.clone(),
            settings: settings.clone(),
        }
    }
}

fn refused(error: types::PolicyError, limits: &Limits) -> CallError {
    let printable = |text: String| hera_core::acl::printable(&text, limits.text_bytes);
    match error {
        types::PolicyError::InvalidSettings(text) => CallError::InvalidSettings(printable(text)),
        types::PolicyError::Undecided(text) => CallError::Refused(printable(text)),
    }
}
