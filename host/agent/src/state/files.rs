//! The configuration and the users that are known: pushed, cached or mounted.

use std::collections::BTreeMap;

use hera_core::acl::AclSet;
use hera_core::agent::ServerConfig;

use crate::apply::config_state::Held;
use crate::settings::Settings;
use crate::state::durable::{self, FileError};

/// The configuration with the highest revision for this object: the cached push, or the mounted.
pub fn best_config(settings: &Settings) -> Held {
    let cached: Option<Held> = durable::read_json(&settings.own().join("config.json"));
    let mounted: Option<ServerConfig> = durable::read_json(&settings.config);
    let ours = |config: &ServerConfig| config.owner == settings.object_uid;
    let cached = cached.filter(|held| ours(&held.config));
    match (cached, mounted.filter(ours)) {
        (Some(cached), Some(mounted)) if mounted.revision > cached.config.revision => Held {
            proven: cached.proven,
            ..Held::untried(mounted)
        },
        (Some(cached), _) => cached,
        (None, Some(mounted)) => Held::untried(mounted),
        (None, None) => Held::untried(ServerConfig {
            owner: settings.object_uid.clone(),
            revision: 0,
            directives: BTreeMap::new(),
            from_spec: Default::default(),
        }),
    }
}

/// Keeps the configuration for the next start.
///
/// # Errors
/// The one kept before stays.
pub fn keep_config(settings: &Settings, held: &Held) -> Result<(), FileError> {
    durable::keep_json(&settings.own().join("config.json"), held)
}

/// The users with the highest revision for this object: the cached push, or the mounted.
pub fn best_acl(settings: &Settings) -> Option<AclSet> {
    let mounted: Option<AclSet> = durable::read_json(&settings.acl);
    let cached: Option<AclSet> = durable::read_json(&settings.run.join("acl.json"));
    // The last of equals wins: the push.
    [mounted, cached]
        .into_iter()
        .flatten()
        .filter(|set| set.owner == settings.object_uid)
        .max_by_key(|set| set.revision)
}

/// Keeps the users, in memory, for the next start of the server.
///
/// # Errors
/// Those kept before stay.
pub fn keep_acl(settings: &Settings, set: &AclSet) -> Result<(), FileError> {
    durable::write_json(&settings.run.join("acl.json"), set)
}
