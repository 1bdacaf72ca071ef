//! For the native tests of a policy: builders, and cases in files.

mod backup;
#[cfg(not(target_arch = "wasm32"))]
mod backup_cases;
#[cfg(not(target_arch = "wasm32"))]
mod cases;
mod rebalance;
#[cfg(not(target_arch = "wasm32"))]
mod rebalance_cases;

pub use backup::{backup_input, copy, demand, past};
#[cfg(not(target_arch = "wasm32"))]
pub use backup_cases::check_backup_cases;
#[cfg(not(target_arch = "wasm32"))]
pub use cases::check_acl_cases;
pub use rebalance::{rebalance_input, shard};
#[cfg(not(target_arch = "wasm32"))]
pub use rebalance_cases::check_rebalance_cases;

use crate::Context;
use crate::acl::{AclInput, Category, Preset, UserRequest};

/// A context with fixed values: a Redis 7.2.4 called `cache` in `shop`, no settings.
pub fn context() -> Context {
    Context {
        now_unix_ms: 1_767_225_600_000,
        seed: 7,
        name: "cache".to_owned(),
        namespace: "shop".to_owned(),
        engine: "redis".to_owned(),
        version: "7.2.4".to_owned(),
        settings: String::new(),
    }
}

/// A user of a preset, without keys, channels and rules.
pub fn user(name: &str, preset: Preset) -> UserRequest {
    UserRequest {
        name: name.to_owned(),
        preset,
        keys: vec![],
        channels: vec![],
        rules: vec![],
    }
}

impl UserRequest {
    /// Adds key patterns.
    #[must_use]
    pub fn keys(mut self, patterns: &[&str]) -> Self {
        self.keys
            .extend(patterns.iter().map(|pattern| (*pattern).to_owned()));
        self
    }

    /// Adds channel patterns.
    #[must_use]
    pub fn channels(mut self, patterns: &[&str]) -> Self {
        self.channels
            .extend(patterns.iter().map(|pattern| (*pattern).to_owned()));
        self
    }

    /// Adds rules in the server's notation.
    #[must_use]
    pub fn rules(mut self, rules: &[&str]) -> Self {
        self.rules
            .extend(rules.iter().map(|rule| (*rule).to_owned()));
        self
    }
}

/// An input from users and a table of categories, given as `("read", "get mget")`.
pub fn acl_input(users: Vec<UserRequest>, table: &[(&str, &str)]) -> AclInput {
    let mut commands: Vec<String> = table
        .iter()
        .flat_map(|(_, names)| names.split(' '))
        .map(str::to_owned)
        .collect();
    commands.sort();
    commands.dedup();
    let position = |name: &str| commands.iter().position(|known| known == name);
    let mut categories: Vec<Category> = table
        .iter()
        .map(|(name, names)| {
            let mut positions: Vec<u16> = names
                .split(' ')
                .filter_map(position)
                .filter_map(|position| u16::try_from(position).ok())
                .collect();
            positions.sort_unstable();
            Category {
                name: (*name).to_owned(),
                commands: positions,
            }
        })
        .collect();
    categories.sort_by(|a, b| a.name.cmp(&b.name));
    AclInput {
        users,
        commands,
        categories,
    }
}
