//! For any request and any answer at all: what passes the guard gives nobody more than the spec
//! asks. The server is modelled here a second time, in the plainest way, so that a mistake in the
//! guard's own evaluation shows.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::acl::{
    AclAnswer, AclInput, Categories, CommandRule, KeyAccess, KeyGrant, Preset, UserGrants,
    UserRequest, check_request, compile, guard, is_system_user,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fixtures;

/// What a server of 7.0 makes of compiled rules: a bit for each command of its table.
fn server(categories: &Categories, rules: &[String]) -> BTreeSet<String> {
    let all: BTreeSet<&String> = categories.values().flatten().collect();
    let mut bits: BTreeMap<&str, bool> = all.iter().map(|name| (name.as_str(), false)).collect();
    for rule in rules {
        let Some((sign @ ("+" | "-"), name)) = rule.split_at_checked(1) else {
            continue;
        };
        let chosen = |command: &str| match name.strip_prefix('@') {
            Some("all") => true,
            Some(category) => {
                let of = |name: &str| categories.get(category).is_some_and(|c| c.contains(name));
                of(command) || command.split_once('|').is_some_and(|(base, _)| of(base))
            }
            None => {
                let name = name.to_lowercase();
                command == name
                    || command
                        .split_once('|')
                        .is_some_and(|(base, _)| base == name)
            }
        };
        for (command, bit) in &mut bits {
            if chosen(command) {
                *bit = sign == "+";
            }
        }
    }
    // A container's own bit runs nothing.
    let container = |name: &str| {
        all.iter()
            .any(|known| known.starts_with(&format!("{name}|")))
    };
    bits.into_iter()
        .filter(|(name, allowed)| *allowed && !container(name))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// `stringmatchlen` of the server, without its case folding.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
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

fn pattern() -> impl Strategy<Value = String> {
    let part = select(vec![
        "a", "b", ":", "*", "?", "[ab]", "[^a", r"\*", r"\", "]", "-", " ", "\n",
    ]);
    let free = vec(part, 0..5).prop_map(|parts| parts.concat());
    prop_oneof![2 => select(vec!["*", "a:*", "a*", "ab", "a:b:*", r"a\*"]).prop_map(str::to_owned), 3 => free]
}

fn name() -> impl Strategy<Value = String> {
    let names = select(vec![
        "app",
        "viewer",
        "ops",
        "default",
        "hera-operator",
        "App",
        "app nopass",
    ]);
    names.prop_map(str::to_owned)
}

fn command_name() -> impl Strategy<Value = String> {
    let known: Vec<String> = fixtures::redis_7_0().into_values().flatten().collect();
    let odd = [
        "nopass",
        "get nopass",
        "GET",
        "get|x",
        "CONFIG",
        "all",
        "",
        "config|nosuch",
    ];
    prop_oneof![6 => select(known), 1 => select(odd.to_vec()).prop_map(str::to_owned)]
}

fn category_name() -> impl Strategy<Value = String> {
    let known: Vec<String> = fixtures::redis_7_0().into_keys().collect();
    prop_oneof![6 => select(known), 2 => Just("all".to_owned()), 1 => Just("nosuch".to_owned())]
}

fn rule() -> impl Strategy<Value = CommandRule> {
    prop_oneof![
        command_name().prop_map(CommandRule::AllowCommand),
        command_name().prop_map(CommandRule::DenyCommand),
        category_name().prop_map(CommandRule::AllowCategory),
        category_name().prop_map(CommandRule::DenyCategory),
        select(vec!["read", "hash", "string"])
            .prop_map(|name| CommandRule::AllowCategory(name.to_owned())),
        select(vec!["dangerous", "admin", "write", "scripting"])
            .prop_map(|name| CommandRule::DenyCategory(name.to_owned())),
    ]
}

fn preset() -> impl Strategy<Value = Preset> {
    select(vec![Preset::Readonly, Preset::Readwrite, Preset::Admin])
}

fn request() -> impl Strategy<Value = UserRequest> {
    (name(), preset(), vec(pattern(), 0..3), vec(pattern(), 0..3)).prop_map(
        |(name, preset, keys, channels)| UserRequest {
            name,
            preset,
            keys,
            channels,
            rules: vec![],
        },
    )
}

fn key() -> impl Strategy<Value = KeyGrant> {
    let access = select(vec![
        KeyAccess::Read,
        KeyAccess::Write,
        KeyAccess::ReadWrite,
    ]);
    (pattern(), access).prop_map(|(pattern, access)| KeyGrant { pattern, access })
}

fn grants() -> impl Strategy<Value = UserGrants> {
    (
        name(),
        vec(rule(), 0..6),
        vec(key(), 0..2),
        vec(pattern(), 0..2),
    )
        .prop_map(|(name, commands, keys, channels)| UserGrants {
            name,
            commands,
            keys,
            channels,
        })
}

/// Any answer; half of them name the users asked for, or hardly any would pass.
fn case() -> impl Strategy<Value = (AclInput, AclAnswer)> {
    let users = vec(request(), 1..4);
    (users, vec(grants(), 0..4), any::<bool>()).prop_map(|(users, mut answer, named)| {
        if named {
            answer.truncate(users.len());
            for (grants, user) in answer.iter_mut().zip(&users) {
                grants.name.clone_from(&user.name);
            }
        }
        let input = AclInput {
            users,
            categories: fixtures::redis_7_0(),
        };
        (input, AclAnswer { users: answer })
    })
}

/// Commands of which the ceilings are made, said once more in the server's own words.
fn never_beyond(preset: Preset, command: &str, categories: &Categories) -> bool {
    let is_in = |category: &str| {
        categories
            .get(category)
            .is_some_and(|c| c.contains(command))
    };
    let tolerated = ["info", "keys", "role", "sort", "sort_ro"].contains(&command);
    match preset {
        Preset::Readonly => {
            !is_in("write") && (tolerated || !is_in("admin") && !is_in("dangerous"))
        }
        Preset::Readwrite => tolerated || !is_in("admin") && !is_in("dangerous"),
        Preset::Admin => {
            let reserved = [
                "acl|setuser",
                "config|set",
                "shutdown",
                "replicaof",
                "debug",
                "psync",
            ];
            !reserved.contains(&command)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_passes_gives_nobody_more_than_the_spec_asks((input, answer) in case()) {
        prop_assume!(guard(&input, &answer).is_ok());
        prop_assert_eq!(answer.users.len(), input.users.iter().map(|u| &u.name).collect::<BTreeSet<_>>().len());
        for grants in &answer.users {
            prop_assert!(!is_system_user(&grants.name));
            let request = input.users.iter().find(|user| user.name == grants.name);
            let Some(request) = request else { return Err(TestCaseError::fail("an unknown user")) };
            let compiled = compile(grants, &[]);
            for rule in &compiled.rules {
                prop_assert!(!rule.contains(char::is_whitespace), "{rule:?}");
                let flag = !rule.starts_with(['+', '-', '~', '%', '&']);
                prop_assert!(!flag || rule == "resetkeys" || rule == "resetchannels", "{rule:?}");
            }
            for command in server(&input.categories, &compiled.rules) {
                prop_assert!(never_beyond(request.preset, &command, &input.categories), "{command}");
            }
        }
    }

    #[test]
    fn a_granted_pattern_matches_nothing_beyond_the_spec(
        asked in pattern(), granted in pattern(), keys in vec("[ab:*?\\\\-]{0,5}", 40),
    ) {
        let user = UserRequest {
            name: "app".into(), preset: Preset::Admin, keys: vec![asked.clone()], channels: vec![], rules: vec![],
        };
        let grants = UserGrants {
            name: "app".into(), commands: vec![], channels: vec![],
            keys: vec![KeyGrant { pattern: granted.clone(), access: KeyAccess::ReadWrite }],
        };
        let input = AclInput { users: vec![user], categories: fixtures::redis_7_0() };
        prop_assume!(guard(&input, &AclAnswer { users: vec![grants] }).is_ok());
        for key in keys {
            let (key, asked, granted) = (key.as_bytes(), asked.as_bytes(), granted.as_bytes());
            prop_assert!(!glob(granted, key) || glob(asked, key), "{key:?}");
        }
    }

    #[test]
    fn a_sound_request_answered_to_the_letter_passes(
        preset in preset(), keys in vec(pattern(), 0..3), rules in vec(rule(), 0..4),
    ) {
        let text = |rule: &CommandRule| match rule {
            CommandRule::AllowCommand(name) => format!("+{name}"),
            CommandRule::DenyCommand(name) => format!("-{name}"),
            CommandRule::AllowCategory(name) => format!("+@{name}"),
            CommandRule::DenyCategory(name) => format!("-@{name}"),
        };
        let user = UserRequest {
            name: "app".into(), preset, keys, channels: vec![], rules: rules.iter().map(text).collect(),
        };
        let input = AclInput { users: vec![user.clone()], categories: fixtures::redis_7_0() };
        prop_assume!(check_request(&input).is_empty());
        let keys = user.keys.into_iter().map(|pattern| KeyGrant { pattern, access: KeyAccess::ReadWrite });
        let grants = UserGrants { name: user.name, commands: rules, keys: keys.collect(), channels: vec![] };
        prop_assert_eq!(guard(&input, &AclAnswer { users: vec![grants] }), Ok(()));
    }
}
