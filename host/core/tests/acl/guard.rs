//! Each rule of the guard, broken alone.

use hera_core::acl::{
    AclAnswer, AclInput, Categories, CommandRule, GuardRule, KeyAccess, KeyGrant, MAX_GRANTS,
    MAX_PATTERN, Preset, UserGrants, UserRequest, compile, guard,
};

use crate::fixtures;

const DOCS: &str = include_str!("../../../../docs/guards.md");
const TESTS: &str = include_str!("guard.rs");

fn request(name: &str, preset: Preset) -> UserRequest {
    UserRequest {
        name: name.to_owned(),
        preset,
        keys: vec!["app:*".to_owned()],
        channels: vec!["news:*".to_owned()],
        rules: vec![],
    }
}

fn input() -> AclInput {
    AclInput {
        users: vec![
            request("app", Preset::ReadWrite),
            request("viewer", Preset::ReadOnly),
        ],
        categories: fixtures::tables()["redis-7.0"].clone(),
    }
}

fn grants(name: &str, commands: &[&str]) -> UserGrants {
    UserGrants {
        name: name.to_owned(),
        commands: commands
            .iter()
            .filter_map(|rule| CommandRule::parse(rule))
            .collect(),
        keys: vec![key("app:*")],
        channels: vec!["news:*".to_owned()],
    }
}

fn key(pattern: &str) -> KeyGrant {
    KeyGrant {
        pattern: pattern.to_owned(),
        access: KeyAccess::ReadWrite,
    }
}

fn answer() -> AclAnswer {
    AclAnswer {
        users: vec![
            grants("app", &["+@read", "+@write", "-@dangerous", "-@scripting"]),
            grants("viewer", &["+@read", "-@dangerous"]),
        ],
    }
}

/// Breaks a sound answer in one place and names the rule that notices.
fn broken(edit: impl FnOnce(&mut AclAnswer)) -> Option<GuardRule> {
    let mut answer = answer();
    edit(&mut answer);
    guard(&input(), &answer)
        .err()
        .map(|violation| violation.rule)
}

/// What every server's table makes of a user's commands; the same on all, or it panics.
fn with_commands(user: usize, commands: &[&str]) -> Option<GuardRule> {
    let mut answer = answer();
    answer.users[user].commands = grants("", commands).commands;
    let found = |(server, categories): (&String, &Categories)| {
        let input = AclInput {
            categories: categories.clone(),
            ..input()
        };
        let rule = guard(&input, &answer).err().map(|found| found.rule);
        (rule, server.clone())
    };
    let mut all = fixtures::tables().iter().map(found);
    let (rule, first) = all.next().unwrap();
    for (other, server) in all {
        assert_eq!(other, rule, "{commands:?} on {server} and {first}");
    }
    rule
}

#[test]
fn a_sound_answer_passes() {
    assert_eq!(guard(&input(), &answer()), Ok(()));
    assert_eq!(
        with_commands(0, &["+@read", "+@write", "-@dangerous", "-@scripting"]),
        None
    );
    assert_eq!(with_commands(1, &["+@read", "-@dangerous"]), None);
}

#[test]
fn system_user_is_never_granted_anything() {
    for name in ["default", "hera-operator", "hera-agent", "hera-anything"] {
        let rule = broken(|answer| answer.users.push(grants(name, &[])));
        assert_eq!(rule, Some(GuardRule::SystemUser), "{name}");
    }
}

#[test]
fn system_user_stays_out_even_if_it_was_asked_for() {
    let input = AclInput {
        users: vec![request("default", Preset::Admin)],
        ..input()
    };
    let answer = AclAnswer {
        users: vec![grants("default", &[])],
    };
    assert_eq!(
        guard(&input, &answer).map_err(|v| v.rule),
        Err(GuardRule::SystemUser)
    );
}

#[test]
fn unknown_user_is_refused() {
    let rule = broken(|answer| answer.users.push(grants("intruder", &[])));
    assert_eq!(rule, Some(GuardRule::UnknownUser));
}

#[test]
fn duplicate_user_is_refused() {
    let rule = broken(|answer| answer.users.push(grants("app", &[])));
    assert_eq!(rule, Some(GuardRule::DuplicateUser));
}

#[test]
fn missing_user_is_refused() {
    let rule = broken(|answer| answer.users.truncate(1));
    assert_eq!(rule, Some(GuardRule::MissingUser));
}

#[test]
fn malformed_token_cannot_smuggle_a_rule() {
    let tokens = [
        "get nopass",
        "get\n+@all",
        ">secret",
        "#00",
        "~*",
        "@all",
        "on ",
        "(+@all ~*)",
        "",
        "a b",
    ];
    for token in tokens {
        let rules = [
            CommandRule::AllowCommand(token.to_owned()),
            CommandRule::DenyCommand(token.to_owned()),
            CommandRule::AllowCategory(token.to_owned()),
            CommandRule::DenyCategory(token.to_owned()),
        ];
        for rule in rules {
            let found = broken(|answer| answer.users[0].commands.push(rule.clone()));
            assert_eq!(found, Some(GuardRule::MalformedToken), "{rule:?}");
        }
    }
    for pattern in [
        "app:* nopass",
        "app:\n",
        "",
        "app:\u{e9}",
        &"app:".repeat(MAX_PATTERN),
    ] {
        let found = broken(|answer| answer.users[0].keys.push(key(pattern)));
        assert_eq!(found, Some(GuardRule::MalformedToken), "{pattern:?}");
        let found = broken(|answer| answer.users[0].channels.push(pattern.to_owned()));
        assert_eq!(found, Some(GuardRule::MalformedToken), "{pattern:?}");
    }
}

#[test]
fn malformed_user_name_stays_out_even_if_it_was_asked_for() {
    for name in ["app on nopass", "app\nuser x", "", &"a".repeat(65)] {
        let input = AclInput {
            users: vec![request(name, Preset::ReadOnly)],
            ..input()
        };
        let answer = AclAnswer {
            users: vec![grants(name, &[])],
        };
        assert_eq!(
            guard(&input, &answer).map_err(|v| v.rule),
            Err(GuardRule::MalformedToken)
        );
    }
}

#[test]
fn words_that_servers_read_as_flags_are_only_names_here() {
    // `nopass` behind a `+` is an unknown command to every server, not the flag.
    for word in [
        "nopass",
        "resetpass",
        "on",
        "off",
        "skip-sanitize-payload",
        "allkeys",
    ] {
        let rule = CommandRule::AllowCommand(word.to_owned());
        let found = broken(|answer| answer.users[0].commands.push(rule));
        assert_eq!(found, Some(GuardRule::UnknownCommand), "{word}");
    }
}

#[test]
fn too_many_grants_are_refused() {
    let rule = broken(|answer| answer.users[0].keys = vec![key("app:*"); MAX_GRANTS + 1]);
    assert_eq!(rule, Some(GuardRule::TooManyGrants));
}

#[test]
fn unknown_command_is_refused_before_the_server_does() {
    for rules in [["+nosuch"], ["-nosuch"], ["+@nosuch"], ["-@nosuch"]] {
        assert_eq!(
            with_commands(0, &rules),
            Some(GuardRule::UnknownCommand),
            "{rules:?}"
        );
    }
    // On 6.2 a first argument, and beyond.
    let rule = broken(|answer| answer.users[0].commands = grants("", &["+config|nosuch"]).commands);
    assert_eq!(rule, Some(GuardRule::UnknownCommand));
}

#[test]
fn command_beyond_ceiling_is_refused_however_it_is_reached() {
    let beyond: [(usize, &[&str]); 12] = [
        (1, &["+set"]),
        (1, &["+@write"]),
        (1, &["+@all", "-@write"]),
        (1, &["+@scripting"]),
        (1, &["+SET"]),
        (0, &["+@all"]),
        (0, &["+flushall"]),
        (0, &["+config"]),
        (0, &["+config|get"]),
        (0, &["+@connection"]),
        (0, &["-@dangerous", "+@write"]),
        (0, &["+acl"]),
    ];
    for (user, rules) in beyond {
        assert_eq!(
            with_commands(user, rules),
            Some(GuardRule::CommandBeyondCeiling),
            "{rules:?}"
        );
    }
}

#[test]
fn a_later_denial_takes_back_what_was_beyond() {
    assert_eq!(with_commands(1, &["+@all", "-@all", "+get"]), None);
    assert_eq!(
        with_commands(0, &["+@write", "+flushall", "-@dangerous", "-@scripting"]),
        None
    );
}

#[test]
fn key_beyond_spec_is_refused() {
    for pattern in ["*", "app*", "other", "[a]pp:*", "?pp:*"] {
        let rule = broken(|answer| answer.users[0].keys.push(key(pattern)));
        assert_eq!(rule, Some(GuardRule::KeyBeyondSpec), "{pattern}");
    }
    assert_eq!(
        broken(|answer| answer.users[0].keys = vec![key("app:users:*")]),
        None
    );
    assert_eq!(broken(|answer| answer.users[0].keys.clear()), None);
}

#[test]
fn channel_beyond_spec_is_refused() {
    let rule = broken(|answer| answer.users[0].channels.push("*".to_owned()));
    assert_eq!(rule, Some(GuardRule::ChannelBeyondSpec));
    assert_eq!(
        broken(|answer| answer.users[0].channels = vec!["news:it".to_owned()]),
        None
    );
}

#[test]
fn a_violation_carries_only_printable_text() {
    let mut answer = answer();
    answer.users.push(grants("evil\n\u{1b}[2J name", &[]));
    let shown = guard(&input(), &answer).map_err(|violation| violation.to_string());
    assert_eq!(
        shown,
        Err("unknown-user: user evil??[2J name: nobody asked for it".to_owned())
    );
}

#[test]
fn every_rule_has_its_own_kebab_case_name() {
    let mut names: Vec<_> = GuardRule::ALL.iter().map(|rule| rule.name()).collect();
    assert!(
        names
            .iter()
            .all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
    );
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), GuardRule::ALL.len());
}

/// The first cell, and the last: a rule and its test.
fn documented() -> Vec<(&'static str, &'static str)> {
    let rows = DOCS
        .lines()
        .skip_while(|line| !line.starts_with("| rule |"))
        .skip(2);
    let cells = rows.map_while(|row| row.strip_prefix("| `")?.strip_suffix("` |"));
    cells
        .map(|row| {
            (
                row.split('`').next().unwrap(),
                row.rsplit('`').next().unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_rule_has_a_row_in_the_docs_and_every_row_a_rule() {
    let rows: Vec<_> = documented().into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rows, GuardRule::ALL.map(GuardRule::name));
}

#[test]
fn every_test_that_the_docs_name_is_here() {
    for (rule, test) in documented() {
        assert!(TESTS.contains(&format!("fn {test}()")), "{rule}: {test}");
    }
}

#[test]
fn compiled_rules_start_from_nothing_and_keep_their_order() {
    let mut grants = grants("app", &["+@read", "-keys", "+config|get", "-@dangerous"]);
    grants.keys.push(KeyGrant {
        pattern: "r:*".to_owned(),
        access: KeyAccess::Read,
    });
    grants.keys.push(KeyGrant {
        pattern: "w:*".to_owned(),
        access: KeyAccess::Write,
    });
    let user = compile(
        &grants,
        &["BB".to_owned(), "aa".to_owned(), "bb".to_owned()],
    );
    let rules = user.rules.join(" ");
    assert_eq!(
        rules,
        "resetkeys resetchannels -@all +@read -keys +config|get -@dangerous ~app:* %R~r:* %W~w:* &news:*"
    );
    assert_eq!(user.password_sha256, ["aa", "bb"]);
}
