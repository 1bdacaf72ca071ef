//! The corpus: policies that do what they must not, built or written down here, and what the
//! tests ask them. Shared by the tests, the bench and the `hostile` example.
#![allow(dead_code, reason = "each of its users needs another part")]

use std::path::{Path, PathBuf};

use hera_core::acl::{AclInput, Categories, Preset, UserRequest};
use hera_policy::Context;

pub mod corpus;
#[path = "../../guests.rs"]
mod guests;

/// Folder of the modules built from `args`.
pub fn build(args: &[&str]) -> Result<PathBuf, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    guests::build(
        &workspace,
        &guests::target_dir(Path::new(env!("OUT_DIR"))),
        args,
    )
}

/// `ACL CAT` of Redis 7.0.15.
pub fn categories() -> Categories {
    let table = include_str!("../../../core/testdata/categories-redis-7.0.json");
    serde_json::from_str(table).unwrap_or_default()
}

/// `count` users of all presets.
pub fn input(count: usize) -> AclInput {
    let presets = [Preset::Readwrite, Preset::Readonly, Preset::Admin];
    let users = presets
        .into_iter()
        .cycle()
        .take(count)
        .enumerate()
        .map(|(index, preset)| UserRequest {
            name: format!("user-{index}"),
            preset,
            keys: vec![format!("app-{index}:*"), "shared:*".to_owned()],
            channels: vec![format!("news-{index}:*")],
            rules: vec!["-@scripting".to_owned(), "+keys".to_owned()],
        });
    AclInput {
        users: users.collect(),
        categories: categories(),
    }
}

/// Fixed circumstances, with these settings.
pub fn context(settings: &str) -> Context {
    Context {
        now_unix_ms: 1_767_225_600_000,
        seed: 7,
        name: "cache".to_owned(),
        namespace: "shop".to_owned(),
        engine: "redis".to_owned(),
        version: "7.0.15".to_owned(),
        settings: settings.to_owned(),
    }
}
