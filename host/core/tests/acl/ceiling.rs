//! The ceilings on tables of real servers.

use std::collections::BTreeSet;

use hera_core::acl::{AclInput, Ceiling, CommandTable, Limits, Preset, UserRequest, check_request};

use crate::fixtures;

/// What a user has who may touch all keys and channels, not all keys, not all channels.
pub const FREE: Limits = Limits {
    keys: false,
    channels: false,
};
pub const SOME_KEYS: Limits = Limits {
    keys: true,
    channels: false,
};
pub const SOME_CHANNELS: Limits = Limits {
    keys: false,
    channels: true,
};
/// Each has what the one before it has. `Replication` is none of them: it has next to nothing of theirs.
pub const PRESETS: [Preset; 4] = [
    Preset::ReadOnly,
    Preset::ReadWrite,
    Preset::Owner,
    Preset::Admin,
];

/// For a user whom nothing limits.
pub fn permits(preset: Preset, command: &str, table: &CommandTable) -> bool {
    under(FREE, preset).permits(command, table)
}

pub fn under(limits: Limits, preset: Preset) -> Ceiling {
    Ceiling { preset, limits }
}

/// Each server and its table.
pub fn tables() -> impl Iterator<Item = (&'static str, CommandTable)> {
    fixtures::tables()
        .iter()
        .map(|(server, categories)| (server.as_str(), CommandTable::new(categories)))
}

#[test]
fn there_is_the_whole_table_of_every_server_that_can_be_run() {
    for server in [
        "redis-6.2",
        "redis-7.0",
        "redis-7.2",
        "redis-7.4",
        "redis-8.0",
        "redis-8.6",
        "valkey-8.0",
        "valkey-8.1",
        "valkey-9.0",
        "valkey-9.1",
    ] {
        assert!(fixtures::tables().contains_key(server), "{server}");
    }
    for (server, table) in tables() {
        assert_eq!(table.is_container("config"), server != "redis-6.2");
        assert!(table.commands().count() > 200, "{server}");
        assert!(table.is_in("get", "read"), "{server}");
        assert!(table.is_in("flushall", "dangerous"), "{server}");
    }
}

#[test]
fn ceilings_grow_from_readonly_to_admin() {
    for (server, table) in tables() {
        for command in table.commands() {
            for limits in [FREE, SOME_KEYS, SOME_CHANNELS] {
                let permits = PRESETS.map(|preset| under(limits, preset).permits(command, &table));
                assert!(permits.is_sorted(), "{server}: {command} {permits:?}");
            }
        }
    }
}

#[test]
fn nobody_takes_the_server_out_of_the_operators_hands() {
    for (server, categories) in fixtures::tables() {
        let table = CommandTable::new(categories);
        // What this server lacks is beyond reach too, as a first argument is on 6.2.
        let reserved = table
            .commands()
            .filter(|command| fixtures::is_reserved(command, categories))
            .chain(fixtures::RESERVED.iter().copied());
        for command in reserved {
            for preset in PRESETS {
                assert!(!permits(preset, command, &table), "{server}: {command}");
            }
        }
        for command in [
            "config|resetstat",
            "client|kill",
            "bgsave",
            "flushall",
            "get",
            "eval",
        ] {
            assert!(
                permits(Preset::Admin, command, &table),
                "{server}: {command}"
            );
        }
    }
}

#[test]
fn every_reserved_command_is_one_of_some_server() {
    for command in fixtures::RESERVED {
        assert!(tables().any(|(_, table)| table.has(command)), "{command}");
    }
}

/// A server whose table adds to this has something new to think about.
const ADMIN: &str = "\
    acl|dryrun acl|log acl|users bgrewriteaof bgsave client|kill client|list \
    client|no-evict client|unblock cluster|count-failure-reports cluster|replicas cluster|slaves \
    commandlog|get commandlog|len commandlog|reset config|resetstat flushall flushdb \
    hotkeys|get hotkeys|reset hotkeys|start hotkeys|stop info keys lastsave latency \
    latency|doctor latency|graph latency|histogram latency|history latency|latest latency|reset \
    migrate module|list monitor pfdebug pfselftest restore restore-asking role slowlog \
    slowlog|get slowlog|len slowlog|reset sort sort_ro swapdb";

/// The same of an owner.
pub const OWNER: &str = "\
    client|list cluster|count-failure-reports cluster|replicas commandlog|get commandlog|len \
    commandlog|reset flushall flushdb hotkeys|get hotkeys|reset hotkeys|start hotkeys|stop info \
    keys lastsave latency|doctor latency|graph latency|histogram latency|history latency|latest \
    latency|reset module|list restore role slowlog|get slowlog|len slowlog|reset sort sort_ro swapdb";

/// What a user may reach of these categories, on all servers together.
pub fn reached(ceiling: Ceiling, categories: &[&str]) -> BTreeSet<String> {
    let of = |(_, table): (_, CommandTable)| -> Vec<String> {
        table
            .commands()
            .filter(|command| !table.is_container(command) && ceiling.permits(command, &table))
            .filter(|command| categories.iter().any(|name| table.is_in(command, name)))
            .map(str::to_owned)
            .collect()
    };
    tables().flat_map(of).collect()
}

pub fn named(names: &str) -> BTreeSet<String> {
    names.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn readonly_writes_nothing_on_any_server() {
    let readonly = under(FREE, Preset::ReadOnly);
    assert_eq!(reached(readonly, &["write"]), named(""));
}

#[test]
fn what_a_preset_may_reach_of_the_dangerous_is_known_by_name() {
    let dangerous = |preset| reached(under(FREE, preset), &["admin", "dangerous"]);
    assert_eq!(dangerous(Preset::ReadOnly), named("info keys role sort_ro"));
    assert_eq!(
        dangerous(Preset::ReadWrite),
        named("info keys role sort sort_ro")
    );
    assert_eq!(dangerous(Preset::Owner), named(OWNER));
    assert_eq!(dangerous(Preset::Admin), named(ADMIN));
}

#[test]
fn an_owner_has_what_client_libraries_queues_and_exporters_ask_for_and_does_not_steer() {
    for (server, table) in tables() {
        // django-redis, Rails, BullMQ and redis_exporter, as far as a server has it.
        for command in [
            "flushdb",
            "flushall",
            "swapdb",
            "restore",
            "dump",
            "scan",
            "keys",
            "randomkey",
            "sort",
            "eval",
            "evalsha",
            "script|load",
            "xadd",
            "xreadgroup",
            "brpoplpush",
            "client|list",
            "client|setname",
            "client|getname",
            "info",
            "slowlog|get",
            "slowlog|len",
            "latency|latest",
            "memory|usage",
            "memory|stats",
            "object|encoding",
            "dbsize",
            "lastsave",
            "role",
            "acl|whoami",
        ] {
            assert!(
                permits(Preset::Owner, command, &table),
                "{server}: {command}"
            );
        }
        for command in [
            "config|get",
            "config|set",
            "config|resetstat",
            "client|kill",
            "client|pause",
            "client|unblock",
            "client|no-evict",
            "migrate",
            "restore-asking",
            "debug",
            "monitor",
            "acl|list",
            "acl|getuser",
            "acl|log",
            "bgsave",
            "bgrewriteaof",
            "save",
            "shutdown",
            "module|load",
            "cluster|setslot",
            "cluster|failover",
            "psync",
        ] {
            assert!(
                !permits(Preset::Owner, command, &table),
                "{server}: {command}"
            );
        }
    }
}

#[test]
fn what_a_later_server_adds_to_the_dangerous_is_beyond_an_owner() {
    for category in ["admin", "dangerous"] {
        let mut categories = fixtures::tables()["valkey-9.1"].clone();
        for added in ["dumpall", "latency|set", "client|redirect"] {
            let commands = categories.entry(category.to_owned()).or_default();
            commands.insert(added.to_owned());
        }
        let table = CommandTable::new(&categories);
        for added in ["dumpall", "latency|set", "client|redirect"] {
            assert!(!permits(Preset::Owner, added, &table), "{added}");
        }
    }
}

#[test]
fn who_copies_all_data_does_that_and_nothing_else_and_nobody_else_does() {
    for (server, table) in tables() {
        let copies = |limits| -> Vec<&str> {
            let ceiling = under(limits, Preset::Replication);
            let commands = table.commands().filter(|name| !table.is_container(name));
            commands
                .filter(|name| ceiling.permits(name, &table))
                .collect()
        };
        let all = ["ping", "replconf", "sync"];
        assert_eq!(copies(FREE), all, "{server}");
        // With the id of a history it promotes who follows.
        for psync in ["psync", "psync|8371", "psync|failover"] {
            assert!(
                !permits(Preset::Replication, psync, &table),
                "{server}: {psync}"
            );
        }
        assert!(permits(Preset::Replication, "psync|?", &table), "{server}");
        assert!(
            !under(SOME_KEYS, Preset::Replication).permits("psync|?", &table),
            "{server}"
        );
        assert_eq!(copies(SOME_CHANNELS), all, "{server}");
        assert_eq!(copies(SOME_KEYS), ["ping"], "{server}");
        for command in fixtures::COPYING {
            for preset in PRESETS {
                assert!(!permits(preset, command, &table), "{server}: {command}");
            }
        }
    }
}

#[test]
fn what_a_later_server_adds_to_a_container_is_beyond_until_it_is_listed() {
    let mut categories = fixtures::tables()["redis-7.0"].clone();
    for category in ["admin", "dangerous", "slow"] {
        categories
            .entry(category.to_owned())
            .or_default()
            .insert("cluster|migration".to_owned());
    }
    assert!(!permits(
        Preset::Admin,
        "cluster|migration",
        &CommandTable::new(&categories)
    ));
}

#[test]
fn on_6_2_a_container_is_allowed_only_by_its_first_argument() {
    let table = CommandTable::new(&fixtures::tables()["redis-6.2"]);
    for container in ["acl", "client", "cluster", "config", "module"] {
        assert!(!permits(Preset::Admin, container, &table), "{container}");
    }
    assert!(permits(Preset::Admin, "config|resetstat", &table));
    assert!(!permits(Preset::Admin, "config|set", &table));
    assert!(
        !permits(Preset::ReadOnly, "set|help", &table),
        "a first argument, not a help text"
    );
}

fn problems(name: &str, preset: Preset, rules: &[&str]) -> Vec<String> {
    problems_of(name, preset, "*", rules)
}

/// What is wrong with a user of these keys and all channels.
pub fn problems_of(name: &str, preset: Preset, keys: &str, rules: &[&str]) -> Vec<String> {
    let user = UserRequest {
        name: name.to_owned(),
        preset,
        keys: vec![keys.to_owned()],
        channels: vec!["*".to_owned()],
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    let input = AclInput {
        users: vec![user],
        categories: fixtures::tables()["redis-7.0"].clone(),
    };
    check_request(&input)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_spec_rule_within_the_preset_is_no_problem() {
    assert!(problems("app", Preset::ReadWrite, &["+keys", "-eval", "-@scripting"]).is_empty());
    assert!(problems("ops", Preset::Admin, &["+slowlog|get", "-flushall"]).is_empty());
}

#[test]
fn a_spec_rule_beyond_the_preset_is_the_specs_mistake() {
    assert_eq!(
        problems("app", Preset::ReadWrite, &["+flushall"]),
        [
            "user app: its rules allow flushall, which is beyond the preset; remove the rule, deny the \
          command after it, or choose a wider preset"
        ]
    );
    assert_eq!(
        problems("ops", Preset::Admin, &["+config|get"]),
        [
            "user ops: its rules allow config|get, which is for no user; remove the rule, deny the \
          command after it"
        ]
    );
}

#[test]
fn the_rules_of_who_copies_all_data_only_narrow() {
    assert!(problems("copy", Preset::Replication, &["-ping", "+sync"]).is_empty());
    for rule in ["+get", "+@read", "+@all", "+client|id", "+psync"] {
        let problems = problems("copy", Preset::Replication, &[rule]);
        assert_eq!(problems.len(), 1, "{rule}");
        assert!(
            problems[0].ends_with("or choose another preset"),
            "{problems:?}"
        );
    }
    assert_eq!(
        problems("ops", Preset::Admin, &["+sync"]),
        [
            "user ops: its rules allow sync, which is for users of the preset Replication alone; \
          remove the rule, deny the command after it"
        ]
    );
}

#[test]
fn who_copies_all_data_is_refused_with_other_keys() {
    for keys in ["app:*", "**", ""] {
        let problems = problems_of("copy", Preset::Replication, keys, &[]);
        assert_eq!(problems.len(), 1, "{keys:?}");
    }
    assert_eq!(
        problems_of("copy", Preset::Replication, "app:*", &[]),
        [
            "user copy: a user of the preset Replication copies all data, whatever its keys are: set \
          them to \"*\", or choose another preset"
        ]
    );
}

#[test]
fn anything_but_a_command_rule_is_refused() {
    for rule in [
        "nopass",
        ">pw",
        "~*",
        "&*",
        "allkeys",
        "reset",
        "+get nopass",
        "on",
        "%R~x",
        "",
    ] {
        assert_eq!(problems("app", Preset::Admin, &[rule]).len(), 1, "{rule}");
    }
}

#[test]
fn reserved_and_odd_names_are_refused() {
    for name in ["default", "hera-operator", "", "a b", "\u{e9}", "-x"] {
        assert_eq!(problems(name, Preset::ReadOnly, &[]).len(), 1, "{name:?}");
    }
}
