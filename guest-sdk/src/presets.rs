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
    acl|cat acl|dryrun acl|genpass acl|log acl|users client|kill client|list client|no-evict \
    client|unblock cluster|count-failure-reports cluster|replicas cluster|slot-stats \
    config|resetstat module|list";

/// What an admin has of `@admin` and `@dangerous` though its keys or channels are limited: nothing
/// here goes around that.
const WITHIN_LIMITS: &str = "\
    bgrewriteaof bgsave commandlog|len commandlog|reset hotkeys|get hotkeys|reset hotkeys|start \
    hotkeys|stop keys lastsave latency|doctor latency|graph latency|histogram latency|history \
    latency|latest latency|reset migrate pfdebug pfselftest restore restore-asking role \
    slowlog|len slowlog|reset sort_ro";

/// What goes around limited keys and not around limited channels.
const OF_ALL_KEYS: &str = "flushall flushdb swapdb";

/// What an owner has of `@admin` and `@dangerous`, whatever its limits: nothing here goes around them, and
/// nothing steers the server. Never a category: a later server may add to it.
const OWNER: &str = "\
    client|list cluster|count-failure-reports cluster|replicas cluster|slot-stats commandlog|len \
    commandlog|reset hotkeys|get hotkeys|reset hotkeys|start hotkeys|stop keys lastsave \
    latency|doctor latency|graph latency|histogram latency|history latency|latest latency|reset \
    module|list restore role slowlog|len slowlog|reset sort_ro";

/// The same of commands that 6.2 has in `@read`: it refuses to be given a part of what it gave as a whole.
const MEMORY: &str = "memory|doctor memory|malloc-stats memory|purge memory|stats";

/// What an owner has who is not limited: it shows what others write and publish.
const OF_OTHERS: &str = "commandlog|get slowlog|get";

/// What who copies all data has, with all keys. A replica says nothing else once it logged in. PSYNC for a full copy
/// alone: with the id of a history it can promote the server.
const COPYING: &str = "psync|? replconf sync";

/// What of FUNCTION changes nothing that others run, and shows nothing that they run it with.
const FUNCTION: &str = "function|dump function|help function|kill function|list";

/// What of a user is limited: the commands that go around that are not granted with it.
#[derive(Clone, Copy, PartialEq)]
struct Limits {
    keys: bool,
    channels: bool,
}

impl Limits {
    fn of(user: &UserRequest) -> Self {
        let has_all = |patterns: &[String]| patterns.iter().any(|pattern| pattern == "*");
        Self {
            keys: !has_all(&user.keys),
            channels: !has_all(&user.channels),
        }
    }
}

/// What the built-in policy grants this user: the preset's rights as far as this server knows
/// them, the spec's keys and channels, then the spec's rules. Who has not all keys and channels
/// gets no command that goes around that; a policy that narrows them asks with the narrower ones.
pub fn grants(input: &AclInput, user: &UserRequest) -> UserGrants {
    with_rules(user, rules(input, user.preset, Limits::of(user)))
}

/// [`grants`] of every user, in order. What a preset means on this server is looked up once.
pub fn all(input: &AclInput) -> Vec<UserGrants> {
    let mut known: Vec<(Preset, Limits, Vec<CommandRule>)> = vec![];
    let users = input.users.iter().map(|user| {
        let (preset, limits) = (user.preset, Limits::of(user));
        let same = known
            .iter()
            .find(|(of, under, _)| (*of, *under) == (preset, limits));
        if let Some((_, _, rules)) = same {
            return with_rules(user, rules.clone());
        }
        let rules = rules(input, preset, limits);
        known.push((preset, limits, rules.clone()));
        with_rules(user, rules)
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

/// Whether the server knows a name.
type Known<'a> = &'a dyn Fn(&str) -> bool;
/// Names, what is done about those that the server knows, and how that is told.
type Step<'a> = (&'static str, fn(String) -> CommandRule, Known<'a>);

/// What a preset means on this server, for a user with such limits.
fn rules(input: &AclInput, preset: Preset, limits: Limits) -> Vec<CommandRule> {
    let limited = limits.keys || limits.channels;
    let (allowed, denied) = match preset {
        Preset::ReadOnly => (READONLY, "write admin dangerous"),
        Preset::ReadWrite | Preset::Owner => (READWRITE, "admin dangerous"),
        Preset::Admin if limited => ("all", "admin dangerous"),
        Preset::Admin => ("all", ""),
        Preset::Replication => ("", ""),
    };
    let admin = preset == Preset::Admin;
    let owner = preset == Preset::Owner;
    let copies = preset == Preset::Replication;
    let only = |names: &'static str, wanted: bool| if wanted { names } else { "" };
    // Before 7.0, which brought SORT_RO, SORT reads keys that nobody allowed.
    let opened = owner || admin && limited;
    let sorts = opened && (!limits.keys || input.has_command("sort_ro"));
    let closed = limited && preset != Preset::ReadOnly && !copies;

    let known_category = |name: &str| name == "all" || input.category(name).is_some();
    let known_command = |name: &str| input.has_command(name);
    // 6.2 has no subcommands; there `+client|id` allows CLIENT with this first argument.
    let usable_command = |name: &str| {
        input.has_command(name)
            || name
                .split_once(['|'])
                .is_some_and(|(base, _)| input.has_command(base) && !input.has_subcommands(base))
    };
    let (category, command): (Known<'_>, Known<'_>) = (&known_category, &known_command);
    let usable: Known<'_> = &usable_command;
    let steps: [Step<'_>; 15] = [
        (allowed, CommandRule::AllowCategory, category),
        (denied, CommandRule::DenyCategory, category),
        (only(RESERVED, admin), CommandRule::DenyCommand, command),
        (only("function", closed), CommandRule::DenyCommand, command),
        (only(FUNCTION, closed), CommandRule::AllowCommand, command),
        (only(ADMIN, admin), CommandRule::AllowCommand, usable),
        (only(OWNER, owner), CommandRule::AllowCommand, usable),
        (only(MEMORY, owner), CommandRule::AllowCommand, command),
        (
            only(OF_OTHERS, owner && !limited),
            CommandRule::AllowCommand,
            usable,
        ),
        (
            only(WITHIN_LIMITS, admin && limited),
            CommandRule::AllowCommand,
            usable,
        ),
        (
            only(OF_ALL_KEYS, opened && !limits.keys),
            CommandRule::AllowCommand,
            command,
        ),
        (only("sort", sorts), CommandRule::AllowCommand, command),
        (
            only(COPYING, copies && !limits.keys),
            CommandRule::AllowCommand,
            usable,
        ),
        (only("ping", copies), CommandRule::AllowCommand, command),
        (only(CONNECTION, !copies), CommandRule::AllowCommand, usable),
    ];
    let mut rules = vec![];
    for (names, rule, known) in steps {
        for name in names.split_ascii_whitespace() {
            if known(name) {
                rules.push(rule(name.to_owned()));
            }
        }
    }
    rules
}
