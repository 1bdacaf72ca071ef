//! What the presets grant, on tables as servers of two generations answer them.

use hera_policy_acl_presets::{Presets, Settings};
use hera_policy_sdk::acl::{AclInput, AclPolicy, CommandRule, Preset, UserGrants, UserRequest};
use hera_policy_sdk::testing::{acl_input, context, user};

const REDIS_7: &[(&str, &str)] = &[
    ("read", "get info keys"),
    ("write", "set flushall"),
    ("admin", "config|get config|set shutdown"),
    (
        "dangerous",
        "config|get config|set shutdown flushall keys info",
    ),
    ("scripting", "eval"),
    ("connection", "ping client|id client|kill"),
    ("slow", "config client eval"),
];
const REDIS_6: &[(&str, &str)] = &[
    ("read", "get"),
    ("write", "set"),
    ("admin", "config client shutdown"),
    ("slow", "ping"),
];

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
    assert_eq!(
        rules(user("viewer", Preset::ReadOnly), REDIS_7),
        "+@read -@write -@admin -@dangerous +client|id +info +ping"
    );
}

#[test]
fn readwrite_leaves_out_categories_that_the_server_lacks() {
    assert_eq!(
        rules(user("app", Preset::ReadWrite), REDIS_7),
        "+@read +@write +@scripting -@admin -@dangerous +client|id +info +ping"
    );
    assert_eq!(
        rules(user("app", Preset::ReadWrite), REDIS_6),
        "+@read +@write -@admin +client|caching +client|capa +client|getname +client|getredir \
         +client|id +client|info +client|no-touch +client|reply +client|setinfo \
         +client|setname +client|tracking +client|trackinginfo +ping"
    );
}

#[test]
fn admin_has_all_but_what_is_the_operators() {
    assert_eq!(
        rules(user("ops", Preset::Admin), REDIS_7),
        "+@all -client -config -shutdown +client|kill +config|get +client|id +info +ping"
    );
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
