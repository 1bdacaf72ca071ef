//! The ceilings on tables of real servers.

use crate::fixtures;
use hera_core::acl::{AclInput, CommandTable, Preset, UserRequest, check_request, permits};

fn tables() -> [CommandTable; 2] {
    [
        CommandTable::new(&fixtures::redis_7_0()),
        CommandTable::new(&fixtures::redis_6_2()),
    ]
}

#[test]
fn ceilings_grow_from_readonly_to_admin() {
    for table in tables() {
        for command in table.commands() {
            let [readonly, readwrite, admin] = [Preset::Readonly, Preset::Readwrite, Preset::Admin]
                .map(|preset| permits(preset, command, &table));
            assert!(!readonly || readwrite, "{command}");
            assert!(!readwrite || admin, "{command}");
        }
    }
}

#[test]
fn nobody_takes_the_server_out_of_the_operators_hands() {
    let table = CommandTable::new(&fixtures::redis_7_0());
    let reserved = [
        "acl|setuser",
        "acl|deluser",
        "acl|load",
        "acl|save",
        "client|pause",
        "client|unpause",
        "cluster|failover",
        "cluster|forget",
        "cluster|meet",
        "cluster|reset",
        "cluster|setslot",
        "config|rewrite",
        "config|set",
        "debug",
        "failover",
        "module|load",
        "module|loadex",
        "module|unload",
        "psync",
        "replconf",
        "replicaof",
        "save",
        "shutdown",
        "slaveof",
        "sync",
    ];
    for command in reserved {
        assert!(table.has(command), "{command} is in the table");
        assert!(!permits(Preset::Admin, command, &table), "{command}");
    }
    for command in [
        "config|get",
        "client|kill",
        "bgsave",
        "flushall",
        "slowlog|get",
        "get",
        "eval",
    ] {
        assert!(permits(Preset::Admin, command, &table), "{command}");
    }
}

#[test]
fn what_a_later_server_adds_to_a_container_is_beyond_until_it_is_listed() {
    let mut categories = fixtures::redis_7_0();
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
fn readonly_changes_nothing_and_readwrite_endangers_nothing() {
    for table in tables() {
        for command in table
            .commands()
            .filter(|command| !table.is_container(command))
        {
            if table.is_in(command, "write") {
                assert!(!permits(Preset::Readonly, command, &table), "{command}");
            }
            let tolerated = ["info", "keys", "role", "sort", "sort_ro"].contains(&command);
            if table.is_in(command, "dangerous") && !tolerated {
                assert!(!permits(Preset::Readwrite, command, &table), "{command}");
            }
        }
    }
}

#[test]
fn on_6_2_a_container_is_allowed_only_by_its_first_argument() {
    let table = CommandTable::new(&fixtures::redis_6_2());
    for container in ["acl", "client", "cluster", "config", "module"] {
        assert!(!permits(Preset::Admin, container, &table), "{container}");
    }
    assert!(permits(Preset::Admin, "config|get", &table));
    assert!(!permits(Preset::Admin, "config|set", &table));
    assert!(
        !permits(Preset::Readonly, "set|help", &table),
        "a first argument, not a help text"
    );
}

fn problems(name: &str, preset: Preset, rules: &[&str]) -> Vec<String> {
    let user = UserRequest {
        name: name.to_owned(),
        preset,
        keys: vec!["*".to_owned()],
        channels: vec![],
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    let input = AclInput {
        users: vec![user],
        categories: fixtures::redis_7_0(),
    };
    check_request(&input)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_spec_rule_within_the_preset_is_no_problem() {
    assert!(problems("app", Preset::Readwrite, &["+keys", "-eval", "-@scripting"]).is_empty());
    assert!(problems("ops", Preset::Admin, &["+config|get", "-flushall"]).is_empty());
}

#[test]
fn a_spec_rule_beyond_the_preset_is_the_specs_mistake() {
    assert_eq!(
        problems("app", Preset::Readwrite, &["+flushall"]),
        [
            "user app: its rules allow flushall, which is beyond the preset; remove the rule, deny the \
          command after it, or choose a wider preset"
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
        assert_eq!(problems(name, Preset::Readonly, &[]).len(), 1, "{name:?}");
    }
}
