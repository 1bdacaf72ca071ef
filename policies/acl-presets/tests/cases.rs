//! What the presets grant, on tables as servers of two generations answer them.

use hera_policy_acl_presets::{Presets, Settings};
use hera_policy_sdk::acl::{AclInput, AclPolicy, CommandRule, Preset, UserGrants, UserRequest};
use hera_policy_sdk::testing::{acl_input, context, user};

const REDIS_7: &[(&str, &str)] = &[
    ("read", "get info keys sort_ro"),
    ("write", "set flushall sort function|load"),
    (
        "admin",
        "config|get config|resetstat config|set monitor slowlog|get slowlog|len shutdown",
    ),
    (
        "dangerous",
        "config|get config|resetstat config|set monitor slowlog|get slowlog|len shutdown flushall \
         keys info sort sort_ro",
    ),
    ("scripting", "eval function|load function|list"),
    ("connection", "ping client|id client|kill"),
    ("slow", "config client eval function slowlog"),
];
const REDIS_6: &[(&str, &str)] = &[
    ("read", "get"),
    ("write", "set sort"),
    ("admin", "config client shutdown slowlog"),
    ("dangerous", "config client shutdown slowlog sort"),
    ("slow", "ping"),
];

/// A user whom nothing limits.
fn free(name: &str, preset: Preset) -> UserRequest {
    user(name, preset).keys(&["app:*", "*"]).channels(&["*"])
}

fn decide(input: &AclInput) -> Vec<UserGrants> {
    Presets::decide(&context(), &Settings::default(), input)
        .map(|answer| answer.users)
        .unwrap_or_default()
}

/// The one user's rules in the server's notation.
fn rules(user: UserRequest, table: &[(&str, &str)]) -> String {
    let users = decide(&acl_input(vec![user], table));
    let text = |rule: &CommandRule| match rule {
        CommandRule::AllowCommand(name) => format!("+{name}"),
        CommandRule::DenyCommand(name) => format!("-{name}"),
        CommandRule::AllowCategory(name) => format!("+@{name}"),
        CommandRule::DenyCategory(name) => format!("-@{name}"),
    };
    users
        .iter()
        .flat_map(|user| &user.commands)
        .map(text)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn readonly_reads() {
    for user in [
        free("viewer", Preset::ReadOnly),
        user("viewer", Preset::ReadOnly),
    ] {
        assert_eq!(
            rules(user, REDIS_7),
            "+@read -@write -@admin -@dangerous +client|id +info +ping"
        );
    }
}

#[test]
fn readwrite_leaves_out_categories_that_the_server_lacks() {
    assert_eq!(
        rules(free("app", Preset::ReadWrite), REDIS_7),
        "+@read +@write +@scripting -@admin -@dangerous +client|id +info +ping"
    );
    assert_eq!(
        rules(free("app", Preset::ReadWrite), REDIS_6),
        "+@read +@write -@admin -@dangerous +client|caching +client|capa +client|getname \
         +client|getredir +client|id +client|info +client|no-touch +client|reply +client|setinfo \
         +client|setname +client|tracking +client|trackinginfo +ping"
    );
}

#[test]
fn admin_has_all_but_what_is_the_operators() {
    assert_eq!(
        rules(free("ops", Preset::Admin), REDIS_7),
        "+@all -client -config -shutdown +client|kill +config|resetstat +client|id +info +ping"
    );
}

#[test]
fn who_has_not_all_keys_gets_nothing_that_goes_around_that() {
    let app = user("app", Preset::ReadWrite)
        .keys(&["app:*"])
        .channels(&["*"]);
    assert_eq!(
        rules(app, REDIS_7),
        "+@read +@write +@scripting -@admin -@dangerous -function +function|list +client|id +info \
         +ping"
    );
    let ops = || user("ops", Preset::Admin).keys(&["app:*"]).channels(&["*"]);
    assert_eq!(
        rules(ops(), REDIS_7),
        "+@all -@admin -@dangerous -client -config -shutdown -function +function|list +client|kill \
         +config|resetstat +keys +slowlog|len +sort_ro +sort +client|id +info +ping"
    );
    let before_subcommands = rules(ops(), REDIS_6);
    assert!(before_subcommands.contains("+slowlog|len +slowlog|reset +client|caching"));
    assert!(
        !before_subcommands.contains("sort"),
        "it would read any key"
    );
}

#[test]
fn who_has_all_keys_and_not_all_channels_gets_nothing_that_shows_messages() {
    let ops = user("ops", Preset::Admin)
        .keys(&["*"])
        .channels(&["news:*"]);
    let granted = rules(ops, REDIS_7);
    assert!(granted.contains("+flushall") && granted.contains("-@admin -@dangerous"));
    assert!(!granted.contains("+monitor") && !granted.contains("+slowlog|get"));
}

#[test]
fn an_owner_has_the_data_and_looks_at_the_server() {
    assert_eq!(
        rules(free("app", Preset::Owner), REDIS_7),
        "+@read +@write +@scripting -@admin -@dangerous +keys +slowlog|len +sort_ro +slowlog|get \
         +flushall +sort +client|id +info +ping"
    );
    let some_keys = user("app", Preset::Owner).keys(&["app:*"]).channels(&["*"]);
    assert_eq!(
        rules(some_keys, REDIS_7),
        "+@read +@write +@scripting -@admin -@dangerous -function +function|list +keys \
         +slowlog|len +sort_ro +sort +client|id +info +ping"
    );
}

#[test]
fn an_owner_is_not_given_a_part_of_what_6_2_gives_as_a_whole() {
    const TABLE: &[(&str, &str)] = &[("read", "get memory"), ("admin", "slowlog")];
    assert_eq!(
        rules(free("app", Preset::Owner), TABLE),
        "+@read -@admin +slowlog|len +slowlog|reset +slowlog|get"
    );
}

#[test]
fn who_copies_all_data_gets_that_with_all_keys_alone() {
    const TABLE: &[(&str, &str)] = &[
        ("admin", "psync replconf sync"),
        ("read", "get info"),
        ("fast", "ping"),
    ];
    let copies = |keys: &[&str]| user("copy", Preset::Replication).keys(keys);
    assert_eq!(
        rules(copies(&["*"]), TABLE),
        "+psync|? +replconf +sync +ping"
    );
    assert_eq!(rules(copies(&["copy:*"]), TABLE), "+ping");
}

#[test]
fn the_rules_of_the_spec_come_last() {
    let user = user("app", Preset::ReadOnly).rules(&["+keys", "-@scripting"]);
    assert!(rules(user, REDIS_7).ends_with("+ping +keys -@scripting"));
}

#[test]
fn keys_and_channels_are_those_of_the_spec() {
    let user = user("app", Preset::ReadWrite)
        .keys(&["app:*", "shared"])
        .channels(&["news:*"]);
    let users = decide(&acl_input(vec![user], REDIS_7));
    let keys: Vec<_> = users
        .iter()
        .flat_map(|user| &user.keys)
        .map(|key| &key.pattern)
        .collect();
    assert_eq!(keys, ["app:*", "shared"]);
    assert_eq!(users[0].channels, ["news:*"]);
}

#[test]
fn every_user_is_answered_in_order() {
    let input = acl_input(
        vec![user("b", Preset::Admin), user("a", Preset::ReadOnly)],
        REDIS_7,
    );
    let names: Vec<_> = decide(&input).into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["b", "a"]);
}
