use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::no;
use crate::schema;
use crate::validate::messages;

/// The application user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Auth {
    /// Its name on the server.
    #[serde(default = "app_user")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::USER_NAME))]
    #[x_kube(validation = Rule::new(schema::NOT_SYSTEM_USER).message(messages::SYSTEM_USER))]
    pub username: String,

    /// Its password, in a Secret of yours. If absent, the operator generates one, in the Secret
    /// `<name>-app` with username, password, host, port and uri.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,

    /// Also let clients in that send a password and no username, with the application user's
    /// password and rights.
    #[serde(default = "no")]
    pub default_user: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            username: app_user(),
            password_secret_ref: None,
            default_user: false,
        }
    }
}

fn app_user() -> String {
    crate::meta::APP_USER.to_owned()
}

impl Auth {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
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
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub name: String,

    /// Key in the Secret.
    #[serde(default = "password_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DATA_KEY))]
    pub key: String,
}

fn password_key() -> String {
    crate::meta::KEY_PASSWORD.to_owned()
}

/// A further user of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserSpec {
    /// Name of the user on the server.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::USER_NAME))]
    #[x_kube(validation = Rule::new(schema::NOT_SYSTEM_USER).message(messages::SYSTEM_USER))]
    pub name: String,

    /// What the user may do at most: ReadOnly, ReadWrite or Admin.
    pub preset: Preset,

    /// Patterns of the keys that the user may touch, such as "app:*"; "*" for all, none for none.
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 256), regex(pattern = r"^[^\x00-\x20\x7f]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub keys: Vec<String>,

    /// Patterns of the channels that the user may publish and subscribe to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 256), regex(pattern = r"^[^\x00-\x20\x7f]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub channels: Vec<String>,

    /// Further rules about commands in the server's notation, such as "-@dangerous" or
    /// "+client|list"; they apply in order, within what the preset allows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(
            length(min = 2, max = 64),
            regex(pattern = r"^[+-](@[a-z]+|[a-z0-9._-]+(\|[a-z0-9._-]+)?)$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rules: Vec<String>,

    /// The user's password.
    pub password_secret_ref: SecretKeyRef,
}

/// How far a user's commands may reach; with limited keys or channels none goes around the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Preset {
    /// Reads data, changes nothing.
    #[serde(alias = "readonly")]
    ReadOnly,
    /// Reads and writes data.
    #[serde(alias = "readwrite")]
    ReadWrite,
    /// Everything that neither takes the server out of the operator's hands nor shows a password.
    #[serde(alias = "admin")]
    Admin,
}
