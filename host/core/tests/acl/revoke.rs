//! While nobody decides, users have what they had, cut to the spec of today.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::acl::{
    AclAnswer, AclInput, AclSet, AclUser, Answer, CLEAR, Categories, CommandTable, KeyAccess,
    KeyGrant, Preset, Standing, UserGrants, UserRequest, compile, decompile, guard, in_force,
    is_no_wider, is_pattern, revocations,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::fixtures;
use crate::model::{glob, is_narrower, never_beyond, server};
use crate::strategies::{grants_for, pattern, preset, table};

fn request(preset: Preset, keys: &[&str], channels: &[&str]) -> UserRequest {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    UserRequest {
        name: "batch".to_owned(),
        preset,
        keys: owned(keys),
        channels: owned(channels),
        rules: vec![],
    }
}

fn grants(rules: &[&str]) -> UserGrants {
    let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    decompile("batch", &rules)
}

fn text(grants: &UserGrants) -> Vec<String> {
    compile(grants, &[]).rules.split_off(CLEAR.len())
}

fn categories(server: &str) -> &'static Categories {
    &fixtures::tables()[server]
}

fn missing(request: &UserRequest, held: &UserGrants, server: &str) -> (Vec<String>, Standing) {
    let table = CommandTable::new(categories(server));
    let rights = in_force(request, Some(held), Answer::Missing, Some(&table)).unwrap();
    let again = in_force(request, Some(&rights.grants), Answer::Missing, Some(&table));
    assert_eq!(again.unwrap().grants, rights.grants, "cut twice");
    (text(&rights.grants), rights.standing)
}

#[test]
fn a_narrower_preset_takes_writes_away_while_the_policy_faults() {
    let held = grants(&["+@read", "+@write", "-@dangerous", "-@admin", "+set", "~*"]);
    for (name, table) in fixtures::tables() {
        let request = request(Preset::ReadOnly, &["*"], &[]);
        let (rules, standing) = missing(&request, &held, name);
        assert_eq!(standing, Standing::Cut, "{name}");
        let left = server(table, &rules);
        assert!(left.contains("get") && !left.contains("set") && !left.contains("del"));
        assert!(rules.len() < 20, "{name}: {rules:?}");
    }
}

#[test]
fn a_preset_beside_the_one_before_takes_away_what_is_not_in_both() {
    let owner = grants(&[
        "+@read",
        "+@write",
        "+flushall",
        "+client|list",
        "+ping",
        "~*",
    ]);
    let copies = grants(&["+psync|?", "+replconf", "+sync", "+ping", "~*"]);
    for (name, table) in fixtures::tables() {
        let left = |preset, held| {
            let (rules, standing) = missing(&request(preset, &["*"], &[]), held, name);
            assert_eq!(standing, Standing::Cut, "{name}");
            server(table, &rules)
        };
        let writes = left(Preset::ReadWrite, &owner);
        assert!(
            writes.contains("set") && !writes.contains("flushall"),
            "{name}"
        );
        assert!(!writes.contains("client|list"), "{name}");
        let ping = BTreeSet::from(["ping".to_owned()]);
        assert_eq!(left(Preset::Replication, &owner), ping, "{name}");
        assert_eq!(left(Preset::Admin, &copies), ping, "{name}");
    }
}

#[test]
fn what_the_spec_still_allows_stays_to_the_letter() {
    let held = grants(&["+@read", "+set", "%R~app:*", "~app:a:*", "&news:*"]);
    let request = request(Preset::ReadWrite, &["app:*"], &["*"]);
    let (rules, standing) = missing(&request, &held, "valkey-9.0");
    assert_eq!(standing, Standing::Kept);
    assert_eq!(rules, text(&held));
}

#[test]
fn keys_and_channels_are_cut_to_those_of_the_spec() {
    let held = grants(&["+get", "%R~app:*", "~other:*", "~a?b", "&*"]);
    let request = request(Preset::ReadOnly, &["app:x:*", "a1b"], &["news:*"]);
    let (rules, _) = missing(&request, &held, "redis-7.2");
    // Whether `a1b` is within `a?b` is not guessed.
    assert_eq!(rules, ["+get", "%R~app:x:*", "&news:*"]);
    let rights = in_force(&request, Some(&held), Answer::Missing, None).unwrap();
    assert_eq!(text(&rights.grants), rules, "without a table");
}

#[test]
fn who_has_nothing_left_stays_a_user() {
    let held = grants(&["+set", "+del", "~app:*"]);
    let request = request(Preset::ReadOnly, &["other:*"], &[]);
    assert_eq!(
        missing(&request, &held, "redis-8.0"),
        (vec![], Standing::Cut)
    );
}

#[test]
fn a_command_that_the_spec_denies_by_now_goes() {
    let held = grants(&["+@read", "+@write", "-@dangerous", "+keys", "~*"]);
    let mut request = request(Preset::ReadWrite, &["*"], &[]);
    request.rules = ["-@all", "+@read", "+@write", "-keys", "-set"]
        .map(str::to_owned)
        .into();
    let (rules, _) = missing(&request, &held, "redis-7.2");
    let left = server(categories("redis-7.2"), &rules);
    assert!(left.contains("get") && !left.contains("keys") && !left.contains("set"));
    assert!(left.contains("append"), "{rules:?}");
}

#[test]
fn a_stand_in_counts_only_where_it_is_no_wider() {
    let table = CommandTable::new(categories("redis-7.2"));
    let request = request(Preset::ReadWrite, &["app:*"], &["*"]);
    let held = grants(&["+@read", "-@dangerous", "+set", "~app:a:*"]);
    let ask = |rules: &[&str], held: Option<&UserGrants>| {
        let answer = grants(rules);
        in_force(&request, held, Answer::StandIn(&answer), Some(&table))
    };
    for narrower in [
        &["+get", "~app:a:*"][..],
        &["+get", "+set", "%W~app:a:b"],
        &["+@read", "-@dangerous", "+set", "-get", "~app:a:*"],
        &["+get|x"],
        &[],
    ] {
        let rights = ask(narrower, Some(&held)).unwrap();
        assert_eq!(rights.standing, Standing::Decided, "{narrower:?}");
        assert_eq!(text(&rights.grants), narrower);
    }
    for wider in [
        &["+get", "+del", "~app:a:*"][..],
        &["+get", "~app:*"],
        &["+get", "~app:a:*", "&x"],
        &["+@read", "~app:a:*"],
    ] {
        let rights = ask(wider, Some(&held)).unwrap();
        assert_eq!(rights.standing, Standing::Held, "{wider:?}");
        assert_eq!(rights.grants, held);
    }
    assert_eq!(ask(&["+get"], None), None, "who had nothing gets nothing");
}

#[test]
fn read_and_write_apart_are_less_than_both_at_once() {
    let table = CommandTable::new(categories("redis-7.2"));
    let apart = grants(&["+get", "%R~a", "%W~a"]);
    let both = grants(&["+get", "~a"]);
    assert!(is_no_wider(&apart, &both, &table));
    assert!(!is_no_wider(&both, &apart, &table));
}

#[test]
fn rules_that_this_operator_never_writes_give_nothing() {
    for rule in ["allcommands", "resetkeys", "nopass", "(+@all ~*)", "%RW~a"] {
        assert_eq!(text(&grants(&["+get", "~*", rule])), Vec::<String>::new());
    }
}

#[test]
fn what_waits_to_be_taken_away_is_told() {
    let user = |name: &str, rules: &[&str]| AclUser {
        name: name.to_owned(),
        password_sha256: vec![],
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    let set = AclSet {
        owner: "uid".to_owned(),
        revision: 1,
        app: "app".to_owned(),
        users: vec![
            user("hera-operator", &["+@all", "~*"]),
            user("batch", &["+set", "~*"]),
            user("gone", &[]),
            user("default", &["+get"]),
        ],
        undecided: Default::default(),
    };
    let table = CommandTable::new(categories("redis-7.2"));
    let tell =
        |preset, default| revocations(&set, &[request(preset, &["*"], &[])], default, Some(&table));
    assert_eq!(
        tell(Preset::ReadOnly, false),
        [
            "batch (has more than the spec allows)",
            "gone (not in the spec any more)",
            "default (not in the spec any more)"
        ]
    );
    assert_eq!(
        tell(Preset::ReadWrite, true),
        ["gone (not in the spec any more)"]
    );
}

/// What becomes of a question.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Decided,
    StandIn,
    Fault,
}

/// A spec with who answers for it, and what.
type Step = (Vec<UserRequest>, Asked, Vec<UserGrants>);

fn step(table: &'static Categories) -> impl Strategy<Value = Step> {
    let patterns = || {
        let usual = select(vec!["*", "a:*", "a:b:*", "ab"]).prop_map(str::to_owned);
        let odd = pattern().prop_filter("no pattern", |pattern| is_pattern(pattern));
        vec(prop_oneof![4 => usual, 1 => odd], 0..3)
    };
    let denials = vec(
        select(vec!["-set", "-@scripting", "-keys", "-@all", "+get"]),
        0..2,
    );
    let user = (preset(), patterns(), patterns(), denials);
    let asked = select(vec![
        Asked::Decided,
        Asked::Decided,
        Asked::StandIn,
        Asked::Fault,
        Asked::Fault,
    ]);
    (vec(user, 1..3), asked).prop_flat_map(move |(users, asked)| {
        let named = ["app", "viewer"].into_iter().zip(users);
        let requests: Vec<_> = named
            .map(|(name, (preset, keys, channels, rules))| UserRequest {
                name: name.to_owned(),
                preset,
                keys,
                channels,
                rules: rules.into_iter().map(str::to_owned).collect(),
            })
            .collect();
        let answers: Vec<_> = requests
            .iter()
            .map(|request| grants_for(request.clone(), table))
            .collect();
        (Just(requests), Just(asked), answers)
    })
}

/// Whether a key may be read, and written, and a channel spoken to.
fn reach(grants: &UserGrants, name: &str) -> [bool; 3] {
    let matches = |pattern: &str| glob(pattern.as_bytes(), name.as_bytes());
    let mut access = [false; 3];
    for key in grants.keys.iter().filter(|key| matches(&key.pattern)) {
        access[0] |= key.access != KeyAccess::Write;
        access[1] |= key.access != KeyAccess::Read;
    }
    access[2] = grants.channels.iter().any(|channel| matches(channel));
    access
}

fn is_within(new: &UserGrants, old: &UserGrants, table: &Categories, names: &[String]) -> bool {
    let allowed = |grants| server(table, &text(grants));
    let (new_set, old_set) = (allowed(new), allowed(old));
    let commands = new_set.iter().all(|command| {
        let known = table.values().any(|names| names.contains(command));
        let base = command.split('|').next().unwrap_or(command);
        old_set.contains(command) || !known && old_set.contains(base)
    });
    let below = |name: &String| {
        let (new, old) = (reach(new, name), reach(old, name));
        new.iter().zip(old).all(|(new, old)| !new || old)
    };
    commands && names.iter().all(below)
}

#[test]
fn in_any_history_nobody_has_more_than_the_latest_spec_allows_nor_more_by_a_fault() {
    let history = table().prop_flat_map(|table| (Just(table), vec(step(table), 1..7)));
    let names = vec("[ab:*?]{0,5}", 30);
    let cuts = std::cell::Cell::new(0_u32);
    let stood_in = std::cell::Cell::new(0_u32);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(1000));
    let result = runner.run(&(history, names), |((categories, steps), names)| {
        let table = CommandTable::new(categories);
        let mut users: BTreeMap<String, UserGrants> = BTreeMap::new();
        for (requests, asked, answers) in steps {
            let mut next = BTreeMap::new();
            for request in &requests {
                // Each for itself: more gets past the guard that way.
                let mut granted = answers.iter().filter(|grants| {
                    let input = AclInput {
                        users: vec![request.clone()],
                        categories: categories.clone(),
                    };
                    let users = vec![(*grants).clone()];
                    guard(&input, &AclAnswer { users }).is_ok()
                });
                let granted = granted.find(|grants| grants.name == request.name);
                let answer = match (asked, granted) {
                    (Asked::Decided, Some(grants)) => Answer::Decided(grants),
                    (Asked::StandIn, Some(grants)) => Answer::StandIn(grants),
                    _ => Answer::Missing,
                };
                let held = users.get(&request.name);
                let Some(rights) = in_force(request, held, answer, Some(&table)) else {
                    continue;
                };
                let decided = matches!(answer, Answer::Decided(_));
                if let Some(held) = held.filter(|_| !decided) {
                    prop_assert!(
                        is_within(&rights.grants, held, categories, &names),
                        "{held:?} became {rights:?}"
                    );
                    cuts.set(cuts.get() + u32::from(rights.standing == Standing::Cut));
                    let stands = rights.standing == Standing::Decided;
                    stood_in.set(stood_in.get() + u32::from(stands));
                }
                prop_assert!(decided || held.is_some(), "from nothing: {rights:?}");
                for command in server(categories, &text(&rights.grants)) {
                    let grants = &rights.grants;
                    let allowed = never_beyond(request.preset, grants, &command, categories);
                    prop_assert!(allowed, "{command} of {rights:?} for {request:?}");
                }
                let asked = |pattern: &str, asked: &[String]| {
                    asked.iter().any(|asked| is_narrower(pattern, asked))
                };
                for KeyGrant { pattern, .. } in &rights.grants.keys {
                    prop_assert!(asked(pattern, &request.keys), "~{pattern}");
                }
                for channel in &rights.grants.channels {
                    prop_assert!(asked(channel, &request.channels), "&{channel}");
                }
                next.insert(request.name.clone(), rights.grants);
            }
            users = next;
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    assert!(cuts.get() > 100, "only {} cuts", cuts.get());
    assert!(stood_in.get() > 0, "no stand-in");
}
