//! Who has not all keys and channels gets nothing that goes around that, whoever answers.

use std::collections::BTreeSet;

use hera_core::acl::{
    AclAnswer, AclInput, Answer, Beyond, Categories, CommandTable, GuardRule, KeyAccess, KeyGrant,
    Limits, Preset, UserGrants, UserRequest, compile, decompile, guard, in_force,
};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::ceiling::{
    FREE, OWNER, PRESETS, SOME_CHANNELS, SOME_KEYS, named, permits, problems_of, reached, tables,
    under,
};
use crate::fixtures::{self, goes_around};
use crate::model::server;
use crate::strategies::{rules, table};

/// What an admin who has not all keys may reach of what is dangerous. A server whose table adds to this has
/// something new to think about.
const ADMIN_OF_SOME_KEYS: &str = "\
    acl|dryrun acl|log acl|users bgrewriteaof bgsave client|kill client|list client|no-evict \
    client|unblock cluster|count-failure-reports cluster|replicas cluster|slaves commandlog|len \
    commandlog|reset config|resetstat hotkeys|get hotkeys|reset hotkeys|start hotkeys|stop info \
    keys lastsave latency latency|doctor latency|graph latency|histogram latency|history \
    latency|latest latency|reset migrate module|list pfdebug pfselftest restore restore-asking \
    role slowlog|len slowlog|reset sort sort_ro";

#[test]
fn what_a_limited_user_may_reach_of_the_dangerous_is_known_by_name() {
    let dangerous = |limits, preset| reached(under(limits, preset), &["admin", "dangerous"]);
    for limits in [SOME_KEYS, SOME_CHANNELS] {
        for preset in [Preset::ReadOnly, Preset::ReadWrite] {
            assert_eq!(dangerous(limits, preset), dangerous(FREE, preset));
        }
    }
    let mut admin = named(ADMIN_OF_SOME_KEYS);
    assert_eq!(dangerous(SOME_KEYS, Preset::Admin), admin);
    admin.extend(named("flushall flushdb swapdb"));
    assert_eq!(dangerous(SOME_CHANNELS, Preset::Admin), admin);
    let shown = named("commandlog|get slowlog|get");
    let owner = &named(OWNER) - &shown;
    assert_eq!(dangerous(SOME_CHANNELS, Preset::Owner), owner);
    let owner = &owner - &named("flushall flushdb swapdb");
    assert_eq!(dangerous(SOME_KEYS, Preset::Owner), owner);
}

/// What a limit takes from a preset, on all servers together.
fn taken(limits: Limits, preset: Preset) -> BTreeSet<String> {
    let of = |(server, table): (&str, CommandTable)| -> Vec<String> {
        let taken = table
            .commands()
            .filter(|command| permits(preset, command, &table))
            .filter(|command| !under(limits, preset).permits(command, &table));
        taken
            .map(|command| match command {
                "sort" => format!("{command} of {server}"),
                _ => command.to_owned(),
            })
            .collect()
    };
    tables().flat_map(of).collect()
}

#[test]
fn what_a_limit_takes_from_a_preset_is_known_by_name() {
    let functions = "function|delete function|flush function|load function|restore function|stats";
    let sort = BTreeSet::from(["sort of redis-6.2".to_owned()]);
    let shown = named("commandlog|get monitor slowlog slowlog|get");
    for limits in [SOME_KEYS, SOME_CHANNELS] {
        assert_eq!(taken(limits, Preset::ReadOnly), named(""));
        let mut readwrite = named(functions);
        let mut admin = &named(functions) | &shown;
        let mut owner = &named(functions) | &named("commandlog|get slowlog|get");
        if limits.keys {
            owner.extend(sort.clone());
            owner.extend(named("flushall flushdb swapdb"));
            readwrite.extend(sort.clone());
            admin.extend(sort.clone());
            admin.extend(named("flushall flushdb swapdb"));
        }
        assert_eq!(taken(limits, Preset::ReadWrite), readwrite);
        assert_eq!(taken(limits, Preset::Owner), owner);
        assert_eq!(taken(limits, Preset::Admin), admin);
    }
}

#[test]
fn a_first_argument_that_goes_around_a_limit_is_beyond_where_there_are_no_subcommands() {
    let table = CommandTable::new(&fixtures::tables()["redis-6.2"]);
    let admin = under(SOME_KEYS, Preset::Admin);
    for around in [
        "slowlog",
        "slowlog|get",
        "sort",
        "sort|app:l",
        "flushall|async",
    ] {
        assert_eq!(
            admin.beyond(around, &table),
            Some(Beyond::Limits),
            "{around}"
        );
    }
    for within in [
        "slowlog|len",
        "latency|doctor",
        "client|kill",
        "client|id",
        "cluster|slots",
    ] {
        assert_eq!(admin.beyond(within, &table), None, "{within}");
    }
}

#[test]
fn what_a_later_server_adds_to_the_dangerous_is_beyond_any_limit() {
    for category in ["admin", "dangerous"] {
        let mut categories = fixtures::tables()["valkey-9.1"].clone();
        for (name, added) in [(category, "dumpall"), ("scripting", "function|replace")] {
            let commands = categories.entry(name.to_owned()).or_default();
            commands.insert(added.to_owned());
        }
        let table = CommandTable::new(&categories);
        for added in ["dumpall", "function|replace"] {
            assert!(permits(Preset::Admin, added, &table), "{added}");
            for limits in [SOME_KEYS, SOME_CHANNELS] {
                let beyond = under(limits, Preset::Admin).beyond(added, &table);
                assert_eq!(beyond, Some(Beyond::Limits), "{added}");
            }
        }
    }
}

#[test]
fn a_spec_rule_that_goes_around_the_users_own_limits_is_the_specs_mistake() {
    assert_eq!(
        problems_of("ops", Preset::Admin, "app:*", &["+flushall"]),
        [
            "user ops: its rules allow flushall, which goes around the limits of its keys or channels; \
          remove the rule, deny the command after it, or give it all keys and channels"
        ]
    );
}

#[test]
fn a_spec_rule_that_stays_within_them_is_no_problem() {
    let within = ["+slowlog|len", "+@write", "-function", "-@dangerous"];
    assert!(problems_of("ops", Preset::Admin, "app:*", &within).is_empty());
}

fn request(preset: Preset, keys: &[&str], channels: &[&str]) -> UserRequest {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    UserRequest {
        name: "ops".to_owned(),
        preset,
        keys: owned(keys),
        channels: owned(channels),
        rules: vec![],
    }
}

/// What the guard says about rules, keys and channels in the servers' notation.
fn verdict(request: &UserRequest, granted: &[&str], categories: &Categories) -> Option<String> {
    let granted: Vec<String> = granted.iter().map(|rule| (*rule).to_owned()).collect();
    let input = AclInput {
        users: vec![request.clone()],
        categories: categories.clone(),
    };
    let answer = AclAnswer {
        users: vec![decompile("ops", &granted)],
    };
    let violation = guard(&input, &answer).err()?;
    assert_eq!(violation.rule, GuardRule::CommandBeyondCeiling);
    Some(violation.what)
}

#[test]
fn limits_are_those_of_what_is_granted_also_where_the_spec_has_none() {
    let free = request(Preset::Admin, &["*"], &["*"]);
    let table = &fixtures::tables()["redis-7.2"];
    let all: &[&str] = &["+flushall", "+monitor", "~*", "&*"];
    assert_eq!(verdict(&free, all, table), None);
    for narrower in [
        &["+flushall", "&*"][..],
        &["+flushall", "~app:*", "&*"],
        &["+flushall", "%R~*", "%W~app:*", "&*"],
        &["+flushall", "~**", "&*"],
    ] {
        let what = "flushall goes around the limits of the user's keys or channels";
        assert_eq!(verdict(&free, narrower, table).as_deref(), Some(what));
    }
    for narrower in [&["+monitor", "~*"][..], &["+monitor", "~*", "&news:*"]] {
        let what = "monitor goes around the limits of the user's keys or channels";
        assert_eq!(verdict(&free, narrower, table).as_deref(), Some(what));
    }
    assert_eq!(verdict(&free, &["+flushall", "~*"], table), None);
}

#[test]
fn nobody_sees_a_password_or_its_hash_whatever_keys_it_has() {
    for (server, categories) in fixtures::tables() {
        for preset in PRESETS {
            let free = request(preset, &["*"], &["*"]);
            for shows in [
                "+acl|getuser",
                "+acl|list",
                "+config|get",
                "+acl",
                "+config",
            ] {
                let what = verdict(&free, &[shows, "~*", "&*"], categories);
                let what = what.unwrap_or_default();
                assert!(
                    what.ends_with("is beyond what the preset may reach"),
                    "{server}: {shows}"
                );
            }
        }
    }
}

/// What the built-in granted before there was a limit to it.
const READWRITE_BEFORE: &str = "\
    +@read +@write +@transaction +@scripting +@pubsub +@blocking -@admin -@dangerous +client|id \
    +cluster|slots +info +ping";
const ADMIN_BEFORE: &str = "\
    +@all -acl -client -cluster -config -debug -failover -module -psync -replconf -replicaof -save \
    -shutdown -slaveof -sync -trimslots +acl|cat +acl|dryrun +acl|genpass +acl|getuser +acl|list \
    +acl|log +acl|users +client|kill +client|list +client|no-evict +client|unblock \
    +cluster|count-failure-reports +cluster|replicas +cluster|slot-stats +config|get \
    +config|resetstat +module|list +client|id +cluster|slots +info +ping";

#[test]
fn who_had_what_goes_around_its_limits_or_shows_passwords_loses_that_and_nothing_else() {
    let secret = ["acl|getuser", "acl|list", "config|get"];
    let patterns = [
        ("*", "*"),
        ("app:*", "*"),
        ("*", "news:*"),
        ("app:*", "news:*"),
    ];
    let presets = [
        (Preset::ReadWrite, READWRITE_BEFORE),
        (Preset::Admin, ADMIN_BEFORE),
    ];
    for (name, categories) in fixtures::tables() {
        let users = patterns
            .into_iter()
            .flat_map(|of| presets.map(|preset| (of, preset)));
        for ((key, channel), (preset, rules)) in users {
            let request = request(preset, &[key], &[channel]);
            let text = format!("{rules} ~{key} &{channel}");
            let held: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            let held = decompile("ops", &held);
            let table = CommandTable::new(categories);
            let rights = in_force(&request, Some(&held), Answer::Missing, Some(&table)).unwrap();
            let allowed = |grants| server(categories, &compile(grants, &[]).rules);
            let (before, after) = (allowed(&held), allowed(&rights.grants));
            let goes = |command: &&String| {
                secret.contains(&command.as_str())
                    || goes_around(command, key != "*", channel != "*", categories)
            };
            let lost: BTreeSet<String> = before.iter().filter(goes).cloned().collect();
            assert_eq!(&before - &after, lost, "{name}: {preset:?} {key} {channel}");
            assert!(after.is_subset(&before));
            assert_eq!(rights.grants.keys, held.keys);
            assert_eq!(rights.grants.channels, held.channels);
        }
    }
}

/// Rules as policies write them, over keys and channels of which some are all.
fn answers() -> impl Strategy<Value = (&'static Categories, Preset, UserGrants)> {
    let keys = select(vec!["*", "app:*", "**", ""]);
    let access = select(vec![
        KeyAccess::ReadWrite,
        KeyAccess::ReadWrite,
        KeyAccess::Read,
    ]);
    let channels = select(vec!["*", "news:*", ""]);
    let rules = table().prop_flat_map(|table| (Just(table), rules(table)));
    (rules, select(PRESETS.to_vec()), keys, access, channels).prop_map(
        |((table, commands), preset, pattern, access, channel)| {
            let key = KeyGrant {
                pattern: pattern.to_owned(),
                access,
            };
            let grants = UserGrants {
                name: "ops".to_owned(),
                commands,
                keys: [key].into_iter().filter(|_| !pattern.is_empty()).collect(),
                channels: [channel]
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
            };
            (table, preset, grants)
        },
    )
}

#[test]
fn no_answer_of_any_policy_gives_a_limited_user_a_command_that_goes_around_its_limits() {
    let (limited, passed) = (std::cell::Cell::new(0_u32), std::cell::Cell::new(0_u32));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(4000));
    let result = runner.run(&answers(), |(categories, preset, grants)| {
        let input = AclInput {
            users: vec![request(preset, &["*"], &["*"])],
            categories: categories.clone(),
        };
        let rules = compile(&grants, &[]).rules;
        let Limits { keys, channels } = Limits::granted(&grants);
        // In the servers' words: all keys is `~*` and nothing else is.
        prop_assert_eq!(keys, !rules.contains(&"~*".to_owned()));
        prop_assert_eq!(channels, !rules.contains(&"&*".to_owned()));
        let answer = AclAnswer {
            users: vec![grants],
        };
        if guard(&input, &answer).is_err() {
            return Ok(());
        }
        passed.set(passed.get() + 1);
        limited.set(limited.get() + u32::from(keys || channels));
        for command in server(categories, &rules) {
            let around = goes_around(&command, keys, channels, categories);
            prop_assert!(!around, "{command}");
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    let (limited, passed) = (limited.get(), passed.get());
    assert!(limited > 400 && passed > limited, "{limited} of {passed}");
}
