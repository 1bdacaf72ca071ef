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
use proptest::test_runner::TestRunner;

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
        "a", "b", ":", "*", "?", "[ab]", "[^a", r"\*", r"\", "]", "-",
    ]);
    let free = vec(part, 0..5).prop_map(|parts| parts.concat());
    let odd = select(vec!["a b", "a\n", ""]).prop_map(str::to_owned);
    let usual = select(vec!["*", "a:*", "a*", "ab", "a:b:*", r"a\*"]).prop_map(str::to_owned);
    prop_oneof![10 => usual, 10 => free, 1 => odd]
}

/// A pattern that has something to do with one of those asked for, or nothing at all.
fn pattern_for(asked: Vec<String>) -> BoxedStrategy<String> {
    if asked.is_empty() {
        return pattern().boxed();
    }
    let longer = (select(asked.clone()), pattern())
        .prop_map(|(asked, more)| format!("{}{more}", asked.trim_end_matches('*')));
    prop_oneof![4 => select(asked), 4 => longer, 1 => pattern()].boxed()
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
    prop_oneof![30 => select(known), 1 => select(odd.to_vec()).prop_map(str::to_owned)]
}

fn category_name() -> impl Strategy<Value = String> {
    let known: Vec<String> = fixtures::redis_7_0().into_keys().collect();
    prop_oneof![20 => select(known), 4 => Just("all".to_owned()), 1 => Just("nosuch".to_owned())]
}

fn rule() -> impl Strategy<Value = CommandRule> {
    prop_oneof![
        2 => command_name().prop_map(CommandRule::AllowCommand),
        2 => command_name().prop_map(CommandRule::DenyCommand),
        1 => category_name().prop_map(CommandRule::AllowCategory),
        3 => category_name().prop_map(CommandRule::DenyCategory),
        2 => select(vec!["read", "hash", "string"])
            .prop_map(|name| CommandRule::AllowCategory(name.to_owned())),
    ]
}

/// Rules that end, most of the time, in the denials with which policies stay below a ceiling.
fn rules() -> impl Strategy<Value = Vec<CommandRule>> {
    let deny = |name: &str| CommandRule::DenyCategory(name.to_owned());
    let endings = vec![
        vec![],
        vec![deny("dangerous"), deny("admin")],
        vec![
            deny("dangerous"),
            deny("admin"),
            deny("write"),
            deny("scripting"),
        ],
    ];
    (vec(rule(), 0..5), select(endings), vec(rule(), 0..2))
        .prop_map(|(start, ending, more)| [start, ending, more].concat())
}

fn preset() -> impl Strategy<Value = Preset> {
    select(vec![Preset::Readonly, Preset::Readwrite, Preset::Admin])
}

fn requests() -> impl Strategy<Value = Vec<UserRequest>> {
    let names = prop_oneof![
        8 => Just(vec!["app", "viewer"]),
        1 => select(vec!["default", "hera-operator", "app nopass", "app"]).prop_map(|odd| vec!["app", odd]),
    ];
    let patterns = || vec(pattern(), 0..3);
    let user = (preset(), patterns(), patterns());
    (names, vec(user, 1..3)).prop_map(|(names, users)| {
        let users = names.into_iter().zip(users);
        users
            .map(|(name, (preset, keys, channels))| UserRequest {
                name: name.to_owned(),
                preset,
                keys,
                channels,
                rules: vec![],
            })
            .collect()
    })
}

fn grants_for(user: UserRequest) -> impl Strategy<Value = UserGrants> {
    let names = select(vec!["default", "hera-operator", "App", "intruder"]);
    let name = prop_oneof![20 => Just(user.name.clone()), 1 => names.prop_map(str::to_owned)];
    let access = select(vec![
        KeyAccess::Read,
        KeyAccess::Write,
        KeyAccess::ReadWrite,
    ]);
    let key =
        (pattern_for(user.keys), access).prop_map(|(pattern, access)| KeyGrant { pattern, access });
    (
        name,
        rules(),
        vec(key, 0..2),
        vec(pattern_for(user.channels), 0..2),
    )
        .prop_map(|(name, commands, keys, channels)| UserGrants {
            name,
            commands,
            keys,
            channels,
        })
}

/// A request and an answer: near enough to each other that some pass, far enough that most don't.
fn case() -> impl Strategy<Value = (AclInput, AclAnswer)> {
    requests().prop_flat_map(|users| {
        let grants: Vec<_> = users.iter().cloned().map(grants_for).collect();
        let extra = prop_oneof![12 => Just(false), 1 => Just(true)];
        (Just(users), grants, extra).prop_map(|(users, mut answer, repeat)| {
            if repeat {
                answer.extend(answer.first().cloned());
            }
            let input = AclInput {
                users,
                categories: fixtures::redis_7_0(),
            };
            (input, AclAnswer { users: answer })
        })
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

/// Runs a property over many cases; `check` tells whether its case got past the guard. So many
/// must, or the property would hold for want of cases.
fn holds<T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    check: impl Fn(T) -> Result<bool, TestCaseError>,
) {
    let passed = std::cell::Cell::new(0_u32);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(cases));
    let result = runner.run(&strategy, |case| {
        passed.set(passed.get() + u32::from(check(case)?));
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    let passed = passed.get();
    assert!(
        passed >= cases / 20 && passed < cases,
        "{passed} of {cases} passed the guard"
    );
}

#[test]
fn what_passes_gives_nobody_more_than_the_spec_asks() {
    holds(2000, case(), |(input, answer)| {
        if guard(&input, &answer).is_err() {
            return Ok(false);
        }
        let names: BTreeSet<_> = input.users.iter().map(|user| &user.name).collect();
        prop_assert_eq!(answer.users.len(), names.len());
        for grants in &answer.users {
            prop_assert!(!is_system_user(&grants.name));
            let Some(request) = input.users.iter().find(|user| user.name == grants.name) else {
                return Err(TestCaseError::fail("an unknown user"));
            };
            let compiled = compile(grants, &[]);
            for rule in &compiled.rules {
                prop_assert!(!rule.contains(char::is_whitespace), "{rule:?}");
                let flag = !rule.starts_with(['+', '-', '~', '%', '&']);
                prop_assert!(
                    !flag || rule == "resetkeys" || rule == "resetchannels",
                    "{rule:?}"
                );
            }
            for command in server(&input.categories, &compiled.rules) {
                let allowed = never_beyond(request.preset, &command, &input.categories);
                prop_assert!(allowed, "{command}");
            }
        }
        Ok(true)
    });
}

#[test]
fn a_granted_pattern_matches_nothing_beyond_the_spec() {
    let patterns = pattern().prop_flat_map(|asked| (Just(asked.clone()), pattern_for(vec![asked])));
    let keys = vec("[ab:*?\\\\-]{0,5}", 40);
    holds(3000, (patterns, keys), |((asked, granted), keys)| {
        let key = KeyGrant {
            pattern: granted.clone(),
            access: KeyAccess::ReadWrite,
        };
        let (input, answer) = one_user(vec![asked.clone()], vec![], vec![], vec![key]);
        if guard(&input, &answer).is_err() {
            return Ok(false);
        }
        for key in keys {
            let (key, asked, granted) = (key.as_bytes(), asked.as_bytes(), granted.as_bytes());
            prop_assert!(!glob(granted, key) || glob(asked, key), "{key:?}");
        }
        Ok(true)
    });
}

#[test]
fn a_sound_request_answered_to_the_letter_passes() {
    let text = |rule: &CommandRule| match rule {
        CommandRule::AllowCommand(name) => format!("+{name}"),
        CommandRule::DenyCommand(name) => format!("-{name}"),
        CommandRule::AllowCategory(name) => format!("+@{name}"),
        CommandRule::DenyCategory(name) => format!("-@{name}"),
    };
    holds(1000, (vec(pattern(), 0..3), rules()), |(keys, rules)| {
        let spec = rules.iter().map(text).collect();
        let both = |pattern: &String| KeyGrant {
            pattern: pattern.clone(),
            access: KeyAccess::ReadWrite,
        };
        let granted = keys.iter().map(both).collect();
        let (input, answer) = one_user(keys, spec, rules, granted);
        if !check_request(&input).is_empty() {
            return Ok(false);
        }
        prop_assert_eq!(guard(&input, &answer), Ok(()));
        Ok(true)
    });
}

/// A readwrite user of the spec, and what it is granted.
fn one_user(
    keys: Vec<String>,
    rules: Vec<String>,
    commands: Vec<CommandRule>,
    granted: Vec<KeyGrant>,
) -> (AclInput, AclAnswer) {
    let (name, preset) = ("app".to_owned(), Preset::Readwrite);
    let user = UserRequest {
        name: name.clone(),
        preset,
        keys,
        channels: vec![],
        rules,
    };
    let grants = UserGrants {
        name,
        commands,
        keys: granted,
        channels: vec![],
    };
    let input = AclInput {
        users: vec![user],
        categories: fixtures::redis_7_0(),
    };
    (
        input,
        AclAnswer {
            users: vec![grants],
        },
    )
}
