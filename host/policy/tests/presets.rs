//! What the presets mean on each server: as much as the guard lets through, and no more.

#[path = "../../core/tests/acl/fixtures.rs"]
mod fixtures;

use std::collections::BTreeSet;

use hera_core::acl::{
    AclAnswer, AclInput, Categories, CommandRule, CommandTable, KeyAccess, KeyGrant, Preset,
    UserGrants, UserRequest, check_request, guard, permits,
};
use hera_policy_acl_presets::{Presets, Settings};
use hera_policy_sdk::acl as sdk;
use hera_policy_sdk::testing::{acl_input, context};

const PRESETS: [Preset; 3] = [Preset::ReadOnly, Preset::ReadWrite, Preset::Admin];

/// A user of each preset, with the same rules of the spec.
fn input(categories: &Categories, rules: &[&str]) -> AclInput {
    let user = |preset| UserRequest {
        name: format!("{preset:?}").to_lowercase(),
        preset,
        keys: vec!["app:*".to_owned(), "one".to_owned()],
        channels: vec!["news:*".to_owned()],
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    AclInput {
        users: PRESETS.map(user).to_vec(),
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
            Preset::Admin => sdk::Preset::Admin,
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

/// The commands that each user may run, if all of its answer passes.
fn granted(categories: &Categories, input: &AclInput) -> Vec<(Preset, BTreeSet<String>)> {
    let table = CommandTable::new(categories);
    let answer = decide(input);
    assert_eq!(guard(input, &answer), Ok(()));
    let users = answer.users.iter().zip(PRESETS);
    users
        .map(|(user, preset)| (preset, table.effective(&user.commands).unwrap()))
        .collect()
}

#[test]
fn what_the_presets_grant_passes_the_guard_on_every_server() {
    let rules = ["-get", "+keys", "-@scripting", "+client|id"];
    for (server, categories) in fixtures::tables() {
        let input = input(categories, &rules);
        assert_eq!(check_request(&input), vec![], "{server}");
        for (preset, commands) in granted(categories, &input) {
            assert!(!commands.contains("get"), "{server}: {preset:?}");
            assert!(commands.contains("keys"), "{server}: {preset:?}");
        }
    }
}

#[test]
fn no_preset_grants_what_is_the_operators_on_any_server() {
    for (server, categories) in fixtures::tables() {
        for (preset, commands) in granted(categories, &input(categories, &[])) {
            let container = |name: &str| CommandTable::new(categories).is_container(name);
            let reserved = commands
                .iter()
                .filter(|name| !container(name))
                .find(|name| fixtures::is_reserved(name, categories));
            assert_eq!(reserved, None, "{server}: {preset:?}");
        }
    }
}

/// What a user gets only when the spec asks for it, help texts aside.
#[test]
fn on_every_server_the_presets_grant_nearly_all_that_is_permitted() {
    for (server, categories) in fixtures::tables() {
        let table = CommandTable::new(categories);
        for (preset, commands) in granted(categories, &input(categories, &[])) {
            let left = match preset {
                Preset::ReadOnly => vec!["keys", "role", "sort_ro"],
                Preset::ReadWrite => vec!["keys", "role", "sort", "sort_ro"],
                Preset::Admin => vec!["cluster|slaves"],
            };
            let left: Vec<_> = left.into_iter().filter(|name| table.has(name)).collect();
            let missing: Vec<_> = table
                .commands()
                .filter(|name| !table.is_container(name) && !name.ends_with("|help"))
                .filter(|name| permits(preset, name, &table) && !commands.contains(*name))
                .collect();
            assert_eq!(missing, left, "{server}: {preset:?}");
        }
    }
}
