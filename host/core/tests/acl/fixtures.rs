//! Tables as servers really answer them.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::acl::Categories;

/// `ACL CAT` of Redis 7.0.15.
pub fn redis_7_0() -> Categories {
    serde_json::from_str(include_str!("../../testdata/categories-redis-7.0.json"))
        .unwrap_or_default()
}

/// A table in the way of 6.2: no subcommands, a container is in every category that any of its
/// subcommands is in, and no category is newer.
pub fn redis_6_2() -> Categories {
    let folded = |commands: BTreeSet<String>| -> BTreeSet<String> {
        commands
            .into_iter()
            .map(|command| command.split('|').next().unwrap_or_default().to_owned())
            .collect()
    };
    redis_7_0()
        .into_iter()
        .map(|(name, commands)| (name, folded(commands)))
        .collect::<BTreeMap<_, _>>()
}
