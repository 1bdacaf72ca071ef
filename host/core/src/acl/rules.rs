//! From grants to the server's notation, and back.

use super::{AclUser, CommandRule, KeyAccess, KeyGrant, UserGrants};

/// What every user's rules begin with: what a new user may do by default differs between versions.
pub const CLEAR: [&str; 3] = ["resetkeys", "resetchannels", "-@all"];

/// The rules that make a server's user from grants that passed the guard. The same grants and
/// hashes always give the same rules.
///
/// The list starts by taking everything away (6.2 opens all channels by default).
pub fn compile(grants: &UserGrants, password_sha256: &[String]) -> AclUser {
    let clear = CLEAR.map(str::to_owned);
    let commands = grants.commands.iter().map(|rule| match rule {
        CommandRule::AllowCommand(name) => format!("+{name}"),
        CommandRule::DenyCommand(name) => format!("-{name}"),
        CommandRule::AllowCategory(name) => format!("+@{name}"),
        CommandRule::DenyCategory(name) => format!("-@{name}"),
    });
    let keys = grants.keys.iter().map(|key| match key.access {
        KeyAccess::Read => format!("%R~{}", key.pattern),
        KeyAccess::Write => format!("%W~{}", key.pattern),
        KeyAccess::ReadWrite => format!("~{}", key.pattern),
    });
    let channels = grants.channels.iter().map(|pattern| format!("&{pattern}"));
    let mut password_sha256: Vec<String> = password_sha256
        .iter()
        .map(|hash| hash.to_ascii_lowercase())
        .collect();
    password_sha256.sort();
    password_sha256.dedup();
    AclUser {
        name: grants.name.clone(),
        password_sha256,
        rules: clear
            .into_iter()
            .chain(commands)
            .chain(keys)
            .chain(channels)
            .collect(),
    }
}

/// The grants from which [`compile`] made these rules. Rules that it does not make may take rights
/// away as well as give them: whoever has one is read as having nothing.
pub fn decompile(name: &str, rules: &[String]) -> UserGrants {
    let nothing = || UserGrants {
        name: name.to_owned(),
        commands: Vec::new(),
        keys: Vec::new(),
        channels: Vec::new(),
    };
    let mut grants = nothing();
    let rest = match rules.split_at_checked(CLEAR.len()) {
        Some((clear, rest)) if *clear == CLEAR => rest,
        _ => rules,
    };
    for rule in rest {
        let key = |pattern: &str, access| KeyGrant {
            pattern: pattern.to_owned(),
            access,
        };
        if let Some(command) = CommandRule::parse(rule) {
            grants.commands.push(command);
        } else if let Some(pattern) = rule.strip_prefix("%R~") {
            grants.keys.push(key(pattern, KeyAccess::Read));
        } else if let Some(pattern) = rule.strip_prefix("%W~") {
            grants.keys.push(key(pattern, KeyAccess::Write));
        } else if let Some(pattern) = rule.strip_prefix('~') {
            grants.keys.push(key(pattern, KeyAccess::ReadWrite));
        } else if let Some(pattern) = rule.strip_prefix('&') {
            grants.channels.push(pattern.to_owned());
        } else {
            return nothing();
        }
    }
    grants
}
