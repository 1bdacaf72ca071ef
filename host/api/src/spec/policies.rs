use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::schema;

/// Policies of your own, one per decision. Without one, the operator's default decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policies {
    /// Decides which rights each user gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl: Option<PolicySource>,

    /// Decides which shard of a RedisCluster serves which slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance: Option<PolicySource>,

    /// Decides when backups begin, from which copies they are read, and which ones are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<PolicySource>,
}

impl Policies {
    /// Each, with the decision that it is about.
    pub fn by_decision(&self) -> impl Iterator<Item = (&'static str, &PolicySource)> {
        let all = [
            ("acl", &self.acl),
            ("rebalance", &self.rebalance),
            ("backup", &self.backup),
        ];
        let all = all.into_iter();
        all.filter_map(|(decision, source)| Some((decision, source.as_ref()?)))
    }

    pub(crate) fn of_mut(&mut self, decision: &str) -> Option<&mut PolicySource> {
        match decision {
            "acl" => self.acl.as_mut(),
            "rebalance" => self.rebalance.as_mut(),
            "backup" => self.backup.as_mut(),
            _ => None,
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a policy comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.configMapRef) || has(self.shadow)")
        .message("name the ConfigMap of a policy in configMapRef, or one to compare with in shadow"),
    validation = Rule::new("has(self.configMapRef) || !has(self.settings)")
        .message("settings belong to the policy of configMapRef: name it, or put them beside that of shadow"),
)]
pub struct PolicySource {
    /// The ConfigMap that holds the module. Without one the operator's default decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,

    /// Settings for this policy, as its author documents them; at most 16 KiB of JSON. A built-in that
    /// steps in for it runs with its own defaults.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[schemars(schema_with = "schema::settings")]
    pub settings: Settings,

    /// A second policy that is asked the same and only compared: nothing that it answers is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowSource>,
}

/// A policy that is only compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShadowSource {
    /// The ConfigMap that holds the module.
    pub config_map_ref: ConfigMapKeyRef,

    /// Settings for this policy; at most 16 KiB of JSON.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    #[schemars(schema_with = "schema::settings")]
    pub settings: Settings,
}

/// A key of a ConfigMap in the object's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub name: String,

    /// Key in the ConfigMap's binaryData.
    #[serde(default = "policy_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DATA_KEY))]
    pub key: String,

    /// Take the module only if its digest is this one: sha256:<64 hexadecimal digits>.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71), regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
}

fn policy_key() -> String {
    "policy.wasm".to_owned()
}
