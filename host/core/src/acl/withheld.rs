//! What an owner of some keys does not get.

use std::collections::BTreeSet;

use super::ceiling::OWNER;
use super::revoke::Denied;
use super::{Ceiling, CommandTable, Limits, Preset, UserRequest};

/// Commands of this server that an `Owner` of all keys and channels has and the user of `request` has not,
/// because its own are limited; what its rules deny is not among them. Empty for every other preset.
pub fn withheld(request: &UserRequest, table: &CommandTable) -> Vec<String> {
    if request.preset != Preset::Owner {
        return Vec::new();
    }
    let asked = Ceiling::asked(request);
    let free = Ceiling {
        limits: Limits {
            keys: false,
            channels: false,
        },
        ..asked
    };
    let denied = Denied::by(request, table);
    // Where a server has no subcommands, its table does not name them.
    let first_arguments = OWNER.iter().copied().filter(|name| {
        let base = name.split_once('|').map(|(base, _)| base);
        base.is_some_and(|base| table.has(base) && !table.is_container(base))
    });
    let known: BTreeSet<&str> = table.commands().chain(first_arguments).collect();
    let withheld = known.into_iter().filter(|name| {
        !table.is_container(name)
            && free.permits(name, table)
            && !asked.permits(name, table)
            && !denied.has(name, table)
    });
    withheld.map(str::to_owned).collect()
}
