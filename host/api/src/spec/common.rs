use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    Auth, Monitoring, NetworkPolicy, Persistence, PodTemplate, Policies, Resources, SecretRef,
    UpdateStrategy, UserSpec, no,
};
use crate::{Engine, schema};

/// What every kind's spec has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommonSpec {
    /// The server: redis or valkey. That of a RedisInstance may change from redis up to 7.2 to
    /// valkey, and from valkey up to 8 to redis from 7.2 on: the new server reads the old one's
    /// files.
    #[serde(default)]
    pub engine: Engine,

    /// The server's version, such as "7.2" or "7.2.4". The operator's catalog names the image for
    /// it, unless image does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 16),
        regex(pattern = r"^(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){0,2}$")
    )]
    pub version: Option<String>,

    /// The server's image, instead of the catalog's. Its tag must be a version unless version is
    /// set as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._/:@+-]*$")
    )]
    pub image: Option<String>,

    /// Secrets with which images are pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub image_pull_secrets: Vec<SecretRef>,

    /// How pods are replaced.
    #[serde(default, skip_serializing_if = "UpdateStrategy::is_default")]
    pub update_strategy: UpdateStrategy,

    /// What the server's container asks for and may use.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,

    /// Where the data is kept, and how.
    #[serde(default)]
    pub persistence: Persistence,

    /// Directives of redis.conf, name to value, in the notation of redis.conf. Applied to the
    /// running server where it allows that. Directives that the operator owns are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::config")]
    pub config: BTreeMap<String, String>,

    /// The application user.
    #[serde(default, skip_serializing_if = "Auth::is_default")]
    pub auth: Auth,

    /// Further users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub users: Vec<UserSpec>,

    /// Policies of your own.
    #[serde(default, skip_serializing_if = "Policies::is_default")]
    pub policies: Policies,

    /// Where the pods run and what they carry.
    #[serde(default, skip_serializing_if = "PodTemplate::is_default")]
    pub pod_template: PodTemplate,

    /// Enabled: a NetworkPolicy lets clients, metrics and probes in from anywhere, agents be controlled by
    /// the operator and each other, and the servers of a cluster speak among themselves; nothing else comes
    /// in. Disabled: there is none.
    #[serde(default)]
    pub network_policy: NetworkPolicy,

    /// Metrics of the pods.
    #[serde(default, skip_serializing_if = "Monitoring::is_default")]
    pub monitoring: Monitoring,

    /// Hold back changes of the spec. What keeps the server healthy goes on.
    #[serde(default = "no")]
    pub paused: bool,
}

impl CommonSpec {
    /// The Secrets and ConfigMaps of its namespace that it names.
    pub fn references(&self) -> Vec<&str> {
        let app = self.auth.password_secret_ref.iter();
        let users = self.users.iter().map(|user| &user.password_secret_ref);
        let secrets = app.chain(users).map(|secret| &secret.name);
        let policies = self.policies.by_decision().flat_map(|(_, policy)| {
            let shadow = policy.shadow.iter().map(|shadow| &shadow.config_map_ref);
            policy.config_map_ref.iter().chain(shadow)
        });
        let policies = policies.map(|reference| &reference.name);
        secrets.chain(policies).map(String::as_str).collect()
    }
}
