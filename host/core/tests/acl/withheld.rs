//! What an owner of some keys is told that it does not get.

use hera_core::acl::{CommandTable, Preset, UserRequest, withheld};

use crate::fixtures;

fn told(server: &str, preset: Preset, keys: &str, channels: &str, rules: &[&str]) -> String {
    let user = UserRequest {
        name: "app".to_owned(),
        preset,
        keys: vec![keys.to_owned()],
        channels: vec![channels.to_owned()],
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
    };
    let table = CommandTable::new(&fixtures::tables()[server]);
    withheld(&user, &table).join(" ")
}

#[test]
fn an_owner_of_some_keys_is_told_what_would_reach_beyond_them() {
    let owner = |server, keys, channels| told(server, Preset::Owner, keys, channels, &[]);
    assert_eq!(
        owner("redis-7.2", "app:*", "*"),
        "flushall flushdb function|delete function|flush function|load function|restore \
         function|stats slowlog|get swapdb"
    );
    assert_eq!(
        owner("redis-7.2", "*", "news:*"),
        "function|delete function|flush function|load function|restore function|stats slowlog|get"
    );
    assert_eq!(
        owner("valkey-9.1", "*", "news:*"),
        "commandlog|get function|delete function|flush function|load function|restore \
         function|stats slowlog|get"
    );
    // It has no subcommands, and its SORT reads any key.
    assert_eq!(
        owner("redis-6.2", "app:*", "*"),
        "flushall flushdb slowlog|get sort swapdb"
    );
}

#[test]
fn who_has_all_keys_and_who_is_no_owner_is_told_nothing() {
    for server in fixtures::tables().keys() {
        assert_eq!(told(server, Preset::Owner, "*", "*", &[]), "", "{server}");
        for preset in [Preset::ReadOnly, Preset::ReadWrite, Preset::Admin] {
            assert_eq!(told(server, preset, "app:*", "*", &[]), "", "{server}");
        }
    }
}

#[test]
fn what_the_rules_of_the_spec_deny_anyway_is_not_told() {
    let rules = ["-flushall", "-function", "-slowlog|get"];
    assert_eq!(
        told("redis-7.2", Preset::Owner, "app:*", "*", &rules),
        "flushdb swapdb"
    );
}
