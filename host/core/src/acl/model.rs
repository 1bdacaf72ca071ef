use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{REPLICATION_USER, replication_user};

/// How far a user's commands may reach; the ceilings are in `docs/guards.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Preset {
    /// Reads data, changes nothing.
    ReadOnly,
    /// Reads and writes data.
    ReadWrite,
    /// Does everything with the data, and looks at the server.
    Owner,
    /// Everything that neither takes the server out of the operator's hands nor shows a password.
    Admin,
    /// Copies all data by following the server as a replica does, and nothing else.
    Replication,
}

/// One user as the spec asks for it. Passwords are never part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRequest {
    /// The user's name on the server.
    pub name: String,
    /// Its preset.
    pub preset: Preset,
    /// Key patterns, without the leading `~`.
    pub keys: Vec<String>,
    /// Channel patterns, without the leading `&`.
    pub channels: Vec<String>,
    /// Further command rules in the server's own notation: `+get`, `-@dangerous`, `+client|list`.
    pub rules: Vec<String>,
}

/// The server's own table: category name (without `@`) to its commands (`get`, `config|get`).
pub type Categories = BTreeMap<String, BTreeSet<String>>;

/// The input of the `acl` decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AclInput {
    /// Every user to be decided, in the order of the spec.
    pub users: Vec<UserRequest>,
    /// What the server knows.
    pub categories: Categories,
}

/// One step of a command rule list; later ones win, as on the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule", content = "name")]
pub enum CommandRule {
    /// `+name`, or `+name|sub`.
    AllowCommand(String),
    /// `-name`, or `-name|sub`.
    DenyCommand(String),
    /// `+@name`.
    AllowCategory(String),
    /// `-@name`.
    DenyCategory(String),
}

/// What may be done to the keys of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyAccess {
    /// `%R~pattern` (servers from 7.0).
    Read,
    /// `%W~pattern` (servers from 7.0).
    Write,
    /// `~pattern`.
    ReadWrite,
}

/// Rights on a key pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyGrant {
    /// The pattern, without the leading `~`.
    pub pattern: String,
    /// What may be done.
    pub access: KeyAccess,
}

/// What one user is granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserGrants {
    /// The user's name.
    pub name: String,
    /// Command rules; a user starts with none.
    pub commands: Vec<CommandRule>,
    /// Key patterns.
    pub keys: Vec<KeyGrant>,
    /// Channel patterns, without the leading `&`.
    pub channels: Vec<String>,
}

/// The output of the `acl` decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AclAnswer {
    /// Grants, one entry per user asked for.
    pub users: Vec<UserGrants>,
}

/// A user in the form that goes to a server and to its Secret: rules and password hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AclUser {
    /// The user's name.
    pub name: String,
    /// Lower-case hexadecimal SHA-256 of each valid password.
    pub password_sha256: Vec<String>,
    /// Rules in the server's notation, in order: `+@read`, `~app:*`, `&news:*`.
    pub rules: Vec<String>,
}

/// All users of one object, as pushed to agents and kept in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AclSet {
    /// The object's uid: a revision is comparable only within one object.
    pub owner: String,
    /// Grows with each change of content.
    pub revision: u64,
    /// Name of the application user; empty in a set of before there was one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub app: String,
    /// The operator's own users, then those of the spec.
    pub users: Vec<AclUser>,
    /// Those of the spec whose rights no policy decided: they have what they had, cut to the spec.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub undecided: BTreeSet<String>,
}

impl AclSet {
    /// The set as a server of this shard has it; without a shard, as it is. See [`replication_user`].
    #[must_use]
    pub fn at_shard(mut self, shard: Option<u32>) -> Self {
        let replicas = self
            .users
            .iter_mut()
            .filter(|user| user.name == REPLICATION_USER);
        for (user, shard) in replicas.zip(shard) {
            user.name = replication_user(shard);
        }
        self
    }
}
