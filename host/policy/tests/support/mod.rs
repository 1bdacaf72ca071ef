//! The corpus: policies that do what they must not, built or written down here, and what the
//! tests ask them. Shared by the tests, the bench and the `hostile` example.
#![allow(dead_code, reason = "each of its users needs another part")]

use std::path::{Path, PathBuf};

use hera_core::acl::AclInput;
use hera_policy::{Acl, Context, Decision as _};

pub mod corpus;
#[path = "../../guests.rs"]
mod guests;
pub mod native;
pub mod shapes;

/// Folder of the modules built from `args`.
pub fn build(args: &[&str]) -> Result<PathBuf, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    guests::build(
        &workspace,
        &guests::target_dir(Path::new(env!("OUT_DIR"))),
        args,
    )
}

/// `count` users of all presets, on a Redis 7.0.15.
pub fn input(count: usize) -> AclInput {
    Acl::example_of(count)
}

/// Fixed circumstances, with these settings.
pub fn context(settings: &str) -> Context {
    Context {
        settings: settings.to_owned(),
        ..Context::example()
    }
}
