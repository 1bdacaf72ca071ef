//! The server a second time, in the plainest way, so that a mistake in the guard's own evaluation
//! shows.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::acl::{Categories, KeyAccess, Preset, UserGrants};

use crate::fixtures;

/// What a server makes of compiled rules: a bit for each command of its table, and for each first
/// argument that a rule allows.
pub fn server(categories: &Categories, rules: &[String]) -> BTreeSet<String> {
    let all: BTreeSet<&str> = categories.values().flatten().map(String::as_str).collect();
    let containers: BTreeSet<&str> = all.iter().filter_map(|name| base(name)).collect();
    let words: Vec<(bool, String)> = rules
        .iter()
        .filter_map(|rule| match rule.split_at_checked(1)? {
            ("+", name) => Some((true, name.to_lowercase())),
            ("-", name) => Some((false, name.to_lowercase())),
            _ => None,
        })
        .collect();
    let first_arguments = words.iter().map(|(_, name)| name.as_str()).filter(|name| {
        base(name).is_some_and(|base| all.contains(base) && !containers.contains(base))
    });
    let mut bits: BTreeMap<&str, bool> = all
        .iter()
        .copied()
        .chain(first_arguments)
        .map(|name| (name, false))
        .collect();
    for (allow, name) in &words {
        let chosen = |command: &str| match name.strip_prefix('@') {
            Some("all") => true,
            Some(category) => {
                let of = |name: &str| categories.get(category).is_some_and(|c| c.contains(name));
                of(command) || base(command).is_some_and(of)
            }
            None => command == name || base(command) == Some(name),
        };
        for (command, bit) in &mut bits {
            if chosen(command) {
                *bit = *allow;
            }
        }
    }
    // A container's own bit runs nothing.
    bits.into_iter()
        .filter(|(name, allowed)| *allowed && !containers.contains(name))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn base(command: &str) -> Option<&str> {
    Some(command.split_once('|')?.0)
}

/// The ceilings, said once more in the servers' own words: true if `command` is beyond neither that of
/// the preset nor the keys and channels that are granted.
pub fn never_beyond(
    preset: Preset,
    grants: &UserGrants,
    command: &str,
    table: &Categories,
) -> bool {
    let is_all = |pattern: &str| pattern == "*";
    let mut keys = grants.keys.iter();
    let keys = keys.any(|key| is_all(&key.pattern) && key.access == KeyAccess::ReadWrite);
    let channels = grants.channels.iter().any(|channel| is_all(channel));
    within_preset(preset, command, table)
        && !fixtures::goes_around(command, !keys, !channels, table)
}

/// What an owner has of `@admin` and `@dangerous`, beyond who reads and writes.
const OWNER: &str = "client|list cluster|count-failure-reports cluster|replicas commandlog|get commandlog|len \
    commandlog|reset flushall flushdb hotkeys|get hotkeys|reset hotkeys|start hotkeys|stop lastsave \
    latency|doctor latency|graph latency|histogram latency|history latency|latest latency|reset \
    module|list restore slowlog|get slowlog|len slowlog|reset swapdb";

fn within_preset(preset: Preset, command: &str, table: &Categories) -> bool {
    let is_in = |category: &str| is_in(command, category, table);
    let endangers = is_in("admin") || is_in("dangerous");
    let reads = ["info", "keys", "role", "sort_ro"].contains(&command);
    match preset {
        Preset::ReadOnly => reads || !is_in("write") && !endangers,
        Preset::ReadWrite => reads || command == "sort" || !endangers,
        Preset::Owner => {
            reads || command == "sort" || !endangers || OWNER.split(' ').any(|name| name == command)
        }
        Preset::Admin => !fixtures::is_reserved(command, table),
        Preset::Replication => command == "ping" || fixtures::COPYING.contains(&command),
    }
}

/// A first argument is in the categories that it has on servers that know it as a subcommand, else
/// in those of its command.
fn is_in(command: &str, category: &str, table: &Categories) -> bool {
    let within = |table: &Categories| table.get(category).is_some_and(|c| c.contains(command));
    let knows = |table: &&Categories| table.values().any(|names| names.contains(command));
    if knows(&table) {
        return within(table);
    }
    let mut others = fixtures::tables().values().filter(knows).peekable();
    match base(command) {
        Some(base) if others.peek().is_none() => is_in(base, category, table),
        _ => others.any(within),
    }
}

/// `stringmatchlen` of the server, without its case folding.
pub fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        [b'?', rest @ ..] => !text.is_empty() && glob(rest, &text[1..]),
        [b'[', rest @ ..] => {
            let Some((first, text)) = text.split_first() else {
                return false;
            };
            let (negated, mut class) = match rest {
                [b'^', class @ ..] => (true, class),
                class => (false, class),
            };
            let mut matched = false;
            loop {
                class = match class {
                    [b'\\', escaped, rest @ ..] => {
                        matched |= escaped == first;
                        rest
                    }
                    [b']', rest @ ..] => break matched != negated && glob(rest, text),
                    [] => break matched != negated && text.is_empty(),
                    [low, b'-', high, rest @ ..] => {
                        matched |= (low.min(high)..=low.max(high)).contains(&first);
                        rest
                    }
                    [only, rest @ ..] => {
                        matched |= only == first;
                        rest
                    }
                }
            }
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => text
            .split_first()
            .is_some_and(|(first, text)| first == literal && glob(rest, text)),
    }
}

/// True if `granted` is `asked` itself, or `asked` is literal text with one star behind it and
/// `granted` begins with the same text.
pub fn is_narrower(granted: &str, asked: &str) -> bool {
    granted == asked
        || asked.strip_suffix('*').is_some_and(|text| {
            !text.contains(['*', '?', '[', ']', '\\', '^']) && granted.starts_with(text)
        })
}
