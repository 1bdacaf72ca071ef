//! What the presets mean on each server: as much as the guard lets through, and no more.
//!
//! `HERA_BLESS=1 cargo test -p hera-policy presets` writes the golden files anew; never in CI.

#[path = "../../core/tests/acl/fixtures.rs"]
mod fixtures;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use hera_core::acl::{
    AclAnswer, AclInput, CLEAR, Categories, Ceiling, CommandRule, CommandTable, KeyAccess,
    KeyGrant, Limits, Preset, UserGrants, UserRequest, check_request, compile, guard,
};
use hera_policy_acl_presets::{Presets, Settings};
use hera_policy_sdk::acl as sdk;
use hera_policy_sdk::testing::{acl_input, context};

/// All but the one that copies all data, which no other resembles.
const PRESETS: [Preset; 4] = [
    Preset::ReadOnly,
    Preset::ReadWrite,
    Preset::Owner,
    Preset::Admin,
];

type Patterns = (&'static [&'static str], &'static [&'static str]);

/// Keys and channels, by which of them are all.
const PATTERNS: [Patterns; 4] = [
    (&["app:*", "*"], &["*"]),
    (&["app:*", "one"], &["*"]),
    (&["*"], &["news:*"]),
    (&["app:*"], &[]),
];

fn user(preset: Preset, (keys, channels): Patterns, rules: &[&str]) -> UserRequest {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    UserRequest {
        name: format!("{preset:?}").to_lowercase(),
        preset,
        keys: owned(keys),
        channels: owned(channels),
        rules: owned(rules),
    }
}

/// A user of each preset, with these keys and channels, and the same rules of the spec.
fn input(categories: &Categories, patterns: Patterns, rules: &[&str]) -> AclInput {
    let users = PRESETS.map(|preset| user(preset, patterns, rules));
    AclInput {
        users: users.to_vec(),
        categories: categories.clone(),
    }
}

/// What the built-in policy answers, as a function.
fn decide(input: &AclInput) -> AclAnswer {
    let table: Vec<(&str, String)> = input
        .categories
        .iter()
        .map(|(name, commands)| {
            let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
            (name.as_str(), commands.join(" "))
        })
        .collect();
    let table: Vec<(&str, &str)> = table
        .iter()
        .map(|(name, commands)| (*name, commands.as_str()))
        .collect();
    let users = input.users.iter().map(|user| sdk::UserRequest {
        name: user.name.clone(),
        preset: match user.preset {
            Preset::ReadOnly => sdk::Preset::ReadOnly,
            Preset::ReadWrite => sdk::Preset::ReadWrite,
            Preset::Owner => sdk::Preset::Owner,
            Preset::Admin => sdk::Preset::Admin,
            Preset::Replication => sdk::Preset::Replication,
        },
        keys: user.keys.clone(),
        channels: user.channels.clone(),
        rules: user.rules.clone(),
    });
    let input = acl_input(users.collect(), &table);
    let answer = <Presets as sdk::AclPolicy>::decide(&context(), &Settings {}, &input).unwrap();
    AclAnswer {
        users: answer.users.into_iter().map(grants).collect(),
    }
}

fn grants(user: sdk::UserGrants) -> UserGrants {
    let rule = |rule| match rule {
        sdk::CommandRule::AllowCommand(name) => CommandRule::AllowCommand(name),
        sdk::CommandRule::DenyCommand(name) => CommandRule::DenyCommand(name),
        sdk::CommandRule::AllowCategory(name) => CommandRule::AllowCategory(name),
        sdk::CommandRule::DenyCategory(name) => CommandRule::DenyCategory(name),
    };
    let key = |key: sdk::KeyGrant| KeyGrant {
        pattern: key.pattern,
        access: match key.access {
            sdk::KeyAccess::Read => KeyAccess::Read,
            sdk::KeyAccess::Write => KeyAccess::Write,
            sdk::KeyAccess::ReadWrite => KeyAccess::ReadWrite,
        },
    };
    UserGrants {
        name: user.name,
        commands: user.commands.into_iter().map(rule).collect(),
        keys: user.keys.into_iter().map(key).collect(),
        channels: user.channels,
    }
}

/// A user's ceiling, and the commands that it may run.
type Granted = (Ceiling, BTreeSet<String>);

/// What each user is granted, if all of the answer passes.
fn granted(categories: &Categories, input: &AclInput) -> Vec<Granted> {
    let table = CommandTable::new(categories);
    let answer = decide(input);
    assert_eq!(guard(input, &answer), Ok(()));
    let users = answer.users.iter().zip(&input.users);
    users
        .map(|(user, request)| {
            let commands = table.effective(&user.commands).unwrap();
            (Ceiling::asked(request), commands)
        })
        .collect()
}

/// Each server with each kind of keys and channels, and what it grants.
fn all(rules: &[&str]) -> Vec<(&'static str, CommandTable, Vec<Granted>)> {
    let servers = fixtures::tables().iter();
    let cases = servers.flat_map(|server| PATTERNS.map(|patterns| (server, patterns)));
    cases
        .map(|((server, categories), patterns)| {
            let input = input(categories, patterns, rules);
            assert_eq!(check_request(&input), vec![], "{server}");
            let granted = granted(categories, &input);
            (server.as_str(), CommandTable::new(categories), granted)
        })
        .collect()
}

#[test]
fn what_the_presets_grant_passes_the_guard_on_every_server() {
    for (server, _, users) in all(&["-get", "+keys", "-@scripting", "+client|id"]) {
        for (ceiling, commands) in users {
            assert!(!commands.contains("get"), "{server}: {ceiling:?}");
            assert!(commands.contains("keys"), "{server}: {ceiling:?}");
        }
    }
}

#[test]
fn no_preset_grants_what_is_the_operators_or_goes_around_limits_on_any_server() {
    for (server, table, users) in all(&[]) {
        let categories = &fixtures::tables()[server];
        for (Ceiling { preset, limits }, commands) in users {
            let Limits { keys, channels } = limits;
            let wrong = commands
                .iter()
                .filter(|name| !table.is_container(name))
                .find(|name| {
                    fixtures::is_reserved(name, categories)
                        || fixtures::goes_around(name, keys, channels, categories)
                });
            assert_eq!(wrong, None, "{server}: {preset:?} {limits:?}");
        }
    }
}

/// What a user gets only when the spec asks for it, help texts aside.
#[test]
fn on_every_server_the_presets_grant_nearly_all_that_is_permitted() {
    for (server, table, users) in all(&[]) {
        for (ceiling, commands) in users {
            let limited = ceiling.limits.keys || ceiling.limits.channels;
            let left = match ceiling.preset {
                Preset::ReadOnly => vec!["keys", "role", "sort_ro"],
                Preset::ReadWrite => vec!["keys", "role", "sort", "sort_ro"],
                Preset::Owner | Preset::Replication => vec![],
                // Where LATENCY has no subcommands, an admin with limits gets it by its first argument.
                Preset::Admin if limited => vec!["cluster|slaves", "latency"],
                Preset::Admin => vec!["cluster|slaves"],
            };
            let left: Vec<_> = left
                .into_iter()
                .filter(|name| table.has(name) && !table.is_container(name))
                .filter(|name| ceiling.permits(name, &table))
                .collect();
            let missing: Vec<_> = table
                .commands()
                .filter(|name| !table.is_container(name) && !name.ends_with("|help"))
                .filter(|name| ceiling.permits(name, &table) && !commands.contains(*name))
                .collect();
            assert_eq!(missing, left, "{server}: {ceiling:?}");
        }
    }
}

#[test]
fn who_copies_all_data_is_granted_that_on_every_server_and_nothing_else() {
    for (server, categories) in fixtures::tables() {
        let input = AclInput {
            users: vec![user(Preset::Replication, (&["*"], &[]), &[])],
            categories: categories.clone(),
        };
        assert_eq!(check_request(&input), vec![], "{server}");
        let (_, commands) = &granted(categories, &input)[0];
        let mut copying: BTreeSet<&str> = fixtures::COPYING.iter().copied().collect();
        copying.insert("ping");
        let commands: BTreeSet<&str> = commands.iter().map(String::as_str).collect();
        assert_eq!(commands, copying, "{server}");
    }
}

#[test]
fn what_the_presets_come_to_is_as_before() {
    for (server, categories) in fixtures::tables() {
        let mut text = String::new();
        for patterns in PATTERNS {
            let mut input = input(categories, patterns, &[]);
            input.users.push(user(Preset::Replication, patterns, &[]));
            for user in decide(&input).users {
                let rules = compile(&user, &[]).rules.split_off(CLEAR.len());
                writeln!(text, "{}\n  {}", user.name, rules.join(" ")).unwrap();
            }
        }
        compare(server, &text);
    }
}

/// With what is kept of a server, or keeps it.
fn compare(server: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = folder.join(format!("presets-{server}.txt"));
    if std::env::var_os("HERA_BLESS").is_some() {
        assert!(
            std::env::var_os("CI").is_none(),
            "golden files are not accepted in CI"
        );
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, text).unwrap();
        return;
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} differs:\n{text}", path.display());
}
