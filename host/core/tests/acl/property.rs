//! For any server, any request and any answer at all: what passes the guard gives nobody more than
//! the spec asks.

use std::collections::BTreeSet;

use hera_core::acl::{
    AclAnswer, AclInput, Categories, CommandRule, KeyAccess, KeyGrant, Preset, UserGrants,
    UserRequest, check_request, compile, guard, is_system_user,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::model::{glob, is_narrower, never_beyond, server};
use crate::strategies::{case, pattern, pattern_for, rules, table};

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
                let allowed = never_beyond(request.preset, grants, &command, &input.categories);
                prop_assert!(allowed, "{command}");
            }
        }
        Ok(true)
    });
}

#[test]
fn what_passes_has_only_patterns_of_the_spec_or_narrower_ones() {
    holds(2000, case(), |(input, answer)| {
        if guard(&input, &answer).is_err() {
            return Ok(false);
        }
        for grants in &answer.users {
            let mut requests = input.users.iter();
            let Some(request) = requests.find(|user| user.name == grants.name) else {
                return Err(TestCaseError::fail("an unknown user"));
            };
            let within = |pattern: &str, asked: &[String]| {
                asked.iter().any(|asked| is_narrower(pattern, asked))
            };
            for channel in &grants.channels {
                prop_assert!(within(channel, &request.channels), "&{channel}");
            }
            for key in &grants.keys {
                prop_assert!(within(&key.pattern, &request.keys), "~{}", key.pattern);
            }
        }
        Ok(true)
    });
}

#[test]
fn a_granted_key_pattern_matches_no_key_beyond_the_spec() {
    matches_nothing_beyond(|asked, granted| {
        let request = asked_for(vec![asked], vec![], vec![]);
        let grants = granted_to(vec![], vec![both(granted)], vec![]);
        (request, grants)
    });
}

#[test]
fn a_granted_channel_pattern_matches_no_channel_beyond_the_spec() {
    matches_nothing_beyond(|asked, granted| {
        let request = asked_for(vec![], vec![asked], vec![]);
        let grants = granted_to(vec![], vec![], vec![granted]);
        (request, grants)
    });
}

/// `user` puts a pattern of the spec and one of a policy into a request and its answer.
fn matches_nothing_beyond(user: impl Fn(String, String) -> (UserRequest, UserGrants)) {
    let patterns = pattern().prop_flat_map(|asked| (Just(asked.clone()), pattern_for(vec![asked])));
    let names = vec("[ab:*?\\\\-]{0,5}", 40);
    holds(3000, (patterns, names), |((asked, granted), names)| {
        let user = user(asked.clone(), granted.clone());
        let (input, answer) = one_user(user, Categories::new());
        if guard(&input, &answer).is_err() {
            return Ok(false);
        }
        for name in names {
            let (name, asked, granted) = (name.as_bytes(), asked.as_bytes(), granted.as_bytes());
            prop_assert!(!glob(granted, name) || glob(asked, name), "{name:?}");
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
    let rules = table().prop_flat_map(|table| (Just(table), rules(table)));
    let patterns = || vec(pattern(), 0..3);
    let case = (patterns(), patterns(), rules);
    holds(1000, case, |(keys, channels, (table, rules))| {
        let spec = rules.iter().map(text).collect();
        let granted = keys.iter().cloned().map(both).collect();
        let grants = granted_to(rules, granted, channels.clone());
        let user = (asked_for(keys, channels, spec), grants);
        let (input, answer) = one_user(user, table.clone());
        if !check_request(&input).is_empty() {
            return Ok(false);
        }
        prop_assert_eq!(guard(&input, &answer), Ok(()));
        Ok(true)
    });
}

fn both(pattern: String) -> KeyGrant {
    KeyGrant {
        pattern,
        access: KeyAccess::ReadWrite,
    }
}

/// A readwrite user of the spec.
fn asked_for(keys: Vec<String>, channels: Vec<String>, rules: Vec<String>) -> UserRequest {
    UserRequest {
        name: "app".to_owned(),
        preset: Preset::ReadWrite,
        keys,
        channels,
        rules,
    }
}

/// What it is granted.
fn granted_to(
    commands: Vec<CommandRule>,
    keys: Vec<KeyGrant>,
    channels: Vec<String>,
) -> UserGrants {
    UserGrants {
        name: "app".to_owned(),
        commands,
        keys,
        channels,
    }
}

fn one_user(user: (UserRequest, UserGrants), categories: Categories) -> (AclInput, AclAnswer) {
    let input = AclInput {
        users: vec![user.0],
        categories,
    };
    let answer = AclAnswer {
        users: vec![user.1],
    };
    (input, answer)
}
