//! The rights of the built-in policy, for policies that want it slightly different:
//! start from [`grants`] or [`all`] and add rules; later ones win.

use crate::acl::{AclInput, CommandRule, Preset, UserGrants, UserRequest};

/// Connection and introspection commands that every client library may send.
const CONNECTION: &str = "\
    acl|whoami asking auth client|caching client|capa client|getname client|getredir \
    client|id client|info client|no-touch client|reply client|setinfo client|setname \
    client|tracking client|trackinginfo cluster|countkeysinslot cluster|getkeysinslot \
    cluster|info cluster|keyslot cluster|links cluster|myid cluster|myshardid \
    cluster|nodes cluster|shards cluster|slots command discard echo exec hello info \
    lolwut multi ping psubscribe pubsub punsubscribe quit readonly readwrite reset \
    select ssubscribe subscribe sunsubscribe time unsubscribe unwatch wait waitaof watch";

const READONLY: &str = "read";
const READWRITE: &str = "read write transaction scripting pubsub blocking";

/// What stays the operator's: who leads, the configuration, the process. Containers are denied
/// as a whole and then opened in part, so that what a later server adds stays closed.
const RESERVED: &str = "\
    acl client cluster config debug failover module psync replconf replicaof save shutdown \
    slaveof sync trimslots";

const ADMIN: &str = "\
    acl|cat acl|dryrun acl|genpass acl|getuser acl|list acl|log acl|users client|kill \
    client|list client|no-evict client|unblock cluster|count-failure-reports \
    cluster|replicas cluster|slot-stats config|get config|resetstat module|list";

/// What the built-in policy grants this user: the preset's rights as far as this server knows
/// them, the spec's keys and channels, then the spec's rules.
pub fn grants(input: &AclInput, user: &UserRequest) -> UserGrants {
    with_rules(user, rules(input, user.preset))
}

/// [`grants`] of every user, in order. What a preset means on this server is looked up once.
pub fn all(input: &AclInput) -> Vec<UserGrants> {
    let mut known: [Option<Vec<CommandRule>>; 3] = [None, None, None];
    let users = input.users.iter().map(|user| {
        let [readonly, readwrite, admin] = &mut known;
        let of_preset = match user.preset {
            Preset::ReadOnly => readonly,
            Preset::ReadWrite => readwrite,
            Preset::Admin => admin,
        };
        let rules = of_preset.get_or_insert_with(|| rules(input, user.preset));
        with_rules(user, rules.clone())
    });
    users.collect()
}

fn with_rules(user: &UserRequest, rules: Vec<CommandRule>) -> UserGrants {
    let mut grants = UserGrants::new(&user.name).with_patterns_of(user);
    grants.commands = rules;
    for rule in &user.rules {
        if let Some(rule) = CommandRule::parse(rule) {
            grants.commands.push(rule);
        }
    }
    grants
}

/// What a preset means on this server.
fn rules(input: &AclInput, preset: Preset) -> Vec<CommandRule> {
    let known_category = |name: &str| input.category(name).is_some();
    let known_command = |name: &str| input.has_command(name);
    // 6.2 has no subcommands; there `+client|id` allows CLIENT with this first argument.
    let usable_command = |name: &str| {
        input.has_command(name)
            || name
                .split_once(['|'])
                .is_some_and(|(base, _)| input.has_command(base) && !input.has_subcommands(base))
    };
    let mut rules = vec![];
    let (allowed, denied): (&str, &str) = match preset {
        Preset::ReadOnly => (READONLY, "write admin dangerous"),
        Preset::ReadWrite => (READWRITE, "admin dangerous"),
        Preset::Admin => ("all", ""),
    };
    let every_server = |name: &str| name == "all" || known_category(name);
    add(
        &mut rules,
        allowed,
        CommandRule::AllowCategory,
        &every_server,
    );
    add(
        &mut rules,
        denied,
        CommandRule::DenyCategory,
        &known_category,
    );
    if preset == Preset::Admin {
        add(
            &mut rules,
            RESERVED,
            CommandRule::DenyCommand,
            &known_command,
        );
        add(
            &mut rules,
            ADMIN,
            CommandRule::AllowCommand,
            &usable_command,
        );
    }
    add(
        &mut rules,
        CONNECTION,
        CommandRule::AllowCommand,
        &usable_command,
    );
    rules
}

/// A rule for each of the names that the server knows. One function for all: size counts here.
fn add(
    rules: &mut Vec<CommandRule>,
    names: &str,
    rule: fn(String) -> CommandRule,
    known: &dyn Fn(&str) -> bool,
) {
    for name in names.split_ascii_whitespace() {
        if known(name) {
            rules.push(rule(name.to_owned()));
        }
    }
}
