use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::no;
use crate::validate::messages;
use crate::{duration, schema};

/// The application user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(schema::COPIES_ALL_KEYS).message(messages::COPIES_ALL_KEYS))]
#[x_kube(validation = Rule::new(schema::ROTATES_ITS_OWN).message(messages::ROTATES_ITS_OWN))]
#[x_kube(validation = Rule::new(schema::OVERLAP_IS_SHORTER).message(messages::OVERLAP_IS_SHORTER))]
pub struct Auth {
    /// Its name on the server.
    #[serde(default = "app_user")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::USER_NAME))]
    #[x_kube(validation = Rule::new(schema::NOT_SYSTEM_USER).message(messages::SYSTEM_USER))]
    pub username: String,

    /// What it may do at most, as the preset of a further user.
    #[serde(default)]
    pub preset: Preset,

    /// Patterns of the keys that it may touch, such as "app:*"; "*" for all, none for none. With other
    /// patterns than "*" it gets no command that would reach beyond them.
    #[serde(default = "all")]
    #[schemars(schema_with = "schema::patterns")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub keys: Vec<String>,

    /// Patterns of the channels that it may publish and subscribe to.
    #[serde(default = "all")]
    #[schemars(schema_with = "schema::patterns")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub channels: Vec<String>,

    /// Further rules about commands, as those of a further user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::rules")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<String>,

    /// Its password, in a Secret of yours; the Secret `<name>-app` then has type, username, host, port, and a
    /// uri without a password. If absent, the operator generates one, which is there as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,

    /// Also let clients in that send a password and no username, with the application user's
    /// password and rights.
    #[serde(default = "no")]
    pub default_user: bool,

    /// The age at which the generated password is replaced by another, and that of replication as well, from 1h
    /// to 8760h. If absent, never by itself; at any time kubectl hera rotate replaces the first, and kubectl hera
    /// rotate --replication the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::ROTATE_AFTER).message(messages::ROTATE_AFTER))]
    pub rotate_after: Option<String>,

    /// How long the password before is accepted once the Secret shows the new one, for applications that
    /// read the Secret late. From 0s to 168h.
    #[serde(default = "overlap")]
    #[schemars(length(max = duration::MAX_LENGTH))]
    #[x_kube(validation = Rule::new(schema::OVERLAP).message(messages::OVERLAP))]
    pub overlap: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            username: app_user(),
            preset: Preset::default(),
            keys: all(),
            channels: all(),
            rules: Vec::new(),
            password_secret_ref: None,
            default_user: false,
            rotate_after: None,
            overlap: overlap(),
        }
    }
}

fn overlap() -> String {
    "1h".to_owned()
}

fn app_user() -> String {
    crate::meta::APP_USER.to_owned()
}

/// Whatever the name is.
fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Auth {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What the application user is to have.
    pub fn rights(&self) -> Rights {
        Rights {
            preset: self.preset,
            keys: self.keys.clone(),
            channels: self.channels.clone(),
            rules: self.rules.clone(),
        }
    }
}

/// What a user is to have: the application user, or another of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Its preset.
    pub preset: Preset,
    /// Key patterns, without the leading `~`.
    pub keys: Vec<String>,
    /// Channel patterns, without the leading `&`.
    pub channels: Vec<String>,
    /// Further rules about commands.
    pub rules: Vec<String>,
}

/// A Secret in the object's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub name: String,
}

/// A key of a Secret in the object's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(schema::TWO_KEYS).message(messages::TWO_KEYS))]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub name: String,

    /// Key in the Secret.
    #[serde(default = "password_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DATA_KEY))]
    pub key: String,

    /// Another key of it, for the next password: while it has one, servers accept both. It may be missing,
    /// as it is between two rotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DATA_KEY))]
    pub next_key: Option<String>,
}

fn password_key() -> String {
    crate::meta::KEY_PASSWORD.to_owned()
}

/// A further user of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(schema::COPIES_ALL_KEYS).message(messages::COPIES_ALL_KEYS))]
pub struct UserSpec {
    /// Name of the user on the server.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::USER_NAME))]
    #[x_kube(validation = Rule::new(schema::NOT_SYSTEM_USER).message(messages::SYSTEM_USER))]
    pub name: String,

    /// What the user may do at most: ReadOnly, ReadWrite, Owner, Admin or Replication.
    pub preset: Preset,

    /// Patterns of the keys that the user may touch, such as "app:*"; "*" for all, none for none.
    #[schemars(schema_with = "schema::patterns")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub keys: Vec<String>,

    /// Patterns of the channels that the user may publish and subscribe to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::patterns")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub channels: Vec<String>,

    /// Further rules about commands in the server's notation, such as "-@dangerous" or
    /// "+client|list"; they apply in order, within what the preset allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::rules")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<String>,

    /// The user's password.
    pub password_secret_ref: SecretKeyRef,
}

impl UserSpec {
    /// What the user is to have.
    pub fn rights(&self) -> Rights {
        Rights {
            preset: self.preset,
            keys: self.keys.clone(),
            channels: self.channels.clone(),
            rules: self.rules.clone(),
        }
    }
}

/// How far a user's commands may reach; with limited keys or channels none goes around the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Preset {
    /// Reads data, changes nothing.
    #[serde(alias = "readonly")]
    ReadOnly,
    /// Reads and writes data.
    #[serde(alias = "readwrite")]
    #[default]
    ReadWrite,
    /// Does everything with the data, FLUSHALL included, and looks at the server (INFO, CLIENT LIST, SLOWLOG,
    /// LATENCY, MEMORY) without steering it.
    Owner,
    /// Everything that neither takes the server out of the operator's hands nor shows a password.
    #[serde(alias = "admin")]
    Admin,
    /// Copies all data as a replica does (SYNC, PSYNC), which reads everything, and nothing else. Its keys
    /// are "*".
    Replication,
}
