//! Requests and answers: near enough to each other that some pass, far enough that most don't.

use hera_core::acl::{
    AclAnswer, AclInput, Categories, CommandRule, KeyAccess, KeyGrant, Preset, UserGrants,
    UserRequest,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fixtures;

/// The table of any server.
pub fn table() -> impl Strategy<Value = &'static Categories> {
    select(fixtures::tables().values().collect::<Vec<_>>())
}

pub fn pattern() -> impl Strategy<Value = String> {
    let part = select(vec![
        "a", "b", ":", "*", "?", "[ab]", "[^a", r"\*", r"\", "]", "-",
    ]);
    let free = vec(part, 0..5).prop_map(|parts| parts.concat());
    let odd = select(vec!["a b", "a\n", ""]).prop_map(str::to_owned);
    let usual = select(vec!["*", "a:*", "a*", "ab", "a:b:*", r"a\*"]).prop_map(str::to_owned);
    prop_oneof![10 => usual, 10 => free, 1 => odd]
}

/// A pattern that has something to do with one of those asked for, or nothing at all.
pub fn pattern_for(asked: Vec<String>) -> BoxedStrategy<String> {
    if asked.is_empty() {
        return pattern().boxed();
    }
    let longer = (select(asked.clone()), pattern())
        .prop_map(|(asked, more)| format!("{}{more}", asked.trim_end_matches('*')));
    prop_oneof![4 => select(asked), 4 => longer, 1 => pattern()].boxed()
}

fn command_name(table: &'static Categories) -> impl Strategy<Value = String> {
    let known: Vec<&str> = table.values().flatten().map(String::as_str).collect();
    // Subcommands to most servers, first arguments to some.
    let below = [
        "acl|whoami",
        "client|id",
        "client|kill",
        "cluster|slots",
        "cluster|meet",
        "config|get",
        "config|resetstat",
        "config|set",
        "module|load",
        "pubsub|channels",
        "slowlog|get",
        "slowlog|len",
    ];
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
    prop_oneof![
        30 => select(known),
        3 => select(below.to_vec()),
        1 => select(odd.to_vec()),
    ]
    .prop_map(str::to_owned)
}

fn category_name(table: &'static Categories) -> impl Strategy<Value = String> {
    let known: Vec<&str> = table.keys().map(String::as_str).collect();
    prop_oneof![20 => select(known), 4 => Just("all"), 1 => Just("nosuch")].prop_map(str::to_owned)
}

fn rule(table: &'static Categories) -> impl Strategy<Value = CommandRule> {
    prop_oneof![
        2 => command_name(table).prop_map(CommandRule::AllowCommand),
        2 => command_name(table).prop_map(CommandRule::DenyCommand),
        1 => category_name(table).prop_map(CommandRule::AllowCategory),
        3 => category_name(table).prop_map(CommandRule::DenyCategory),
        2 => select(vec!["read", "hash", "string"])
            .prop_map(|name| CommandRule::AllowCategory(name.to_owned())),
    ]
}

/// Rules that end, most of the time, in the denials with which policies stay below a ceiling.
pub fn rules(table: &'static Categories) -> impl Strategy<Value = Vec<CommandRule>> {
    let deny = |name: &str| CommandRule::DenyCategory(name.to_owned());
    let endings = vec![
        vec![],
        vec![deny("dangerous"), deny("admin")],
        vec![deny("dangerous"), deny("admin"), deny("scripting")],
        vec![
            deny("dangerous"),
            deny("admin"),
            deny("write"),
            deny("scripting"),
        ],
    ];
    let (start, more) = (vec(rule(table), 0..5), vec(rule(table), 0..2));
    // What a user needs who copies all data, and everybody else is refused for.
    let copies = ["psync|?", "replconf", "sync", "ping"];
    let copies = copies.map(|name| CommandRule::AllowCommand(name.to_owned()));
    let copies = [vec![deny("all")], copies.to_vec()].concat();
    let ending = prop_oneof![12 => select(endings), 1 => Just(copies)];
    (start, ending, more).prop_map(|(start, ending, more)| [start, ending, more].concat())
}

/// Seldom the one that has next to nothing: as good as no answer gets past the guard then.
pub fn preset() -> impl Strategy<Value = Preset> {
    let usual = vec![
        Preset::ReadOnly,
        Preset::ReadWrite,
        Preset::Owner,
        Preset::Admin,
    ];
    prop_oneof![8 => select(usual), 1 => Just(Preset::Replication)]
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

pub fn grants_for(
    user: UserRequest,
    table: &'static Categories,
) -> impl Strategy<Value = UserGrants> {
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
        rules(table),
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

/// A request to any server, and an answer.
pub fn case() -> impl Strategy<Value = (AclInput, AclAnswer)> {
    (table(), requests()).prop_flat_map(|(table, users)| {
        let requests = users.iter().cloned();
        let grants: Vec<_> = requests.map(|user| grants_for(user, table)).collect();
        let extra = prop_oneof![12 => Just(false), 1 => Just(true)];
        (Just(users), grants, extra).prop_map(|(users, mut answer, repeat)| {
            if repeat {
                answer.extend(answer.first().cloned());
            }
            let input = AclInput {
                users,
                categories: table.clone(),
            };
            (input, AclAnswer { users: answer })
        })
    })
}
