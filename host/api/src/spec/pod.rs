use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// Where the pods run and what they carry. A change of it needs new pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplate {
    /// What the pods carry.
    #[serde(default, skip_serializing_if = "PodMetadata::is_default")]
    pub metadata: PodMetadata,

    /// Where the pods run.
    #[serde(default, skip_serializing_if = "PodTemplateSpec::is_default")]
    pub spec: PodTemplateSpec,
}

impl PodTemplate {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the pods carry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMetadata {
    /// Labels for the pods; the operator's own win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub labels: BTreeMap<String, String>,

    /// Annotations for the pods; the operator's own win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
}

impl PodMetadata {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the pods run: fields of a pod's spec.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTemplateSpec {
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,

    /// Affinity, as in a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::affinity")]
    pub affinity: Option<Affinity>,

    /// Tolerations, as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Vec<Toleration>,

    /// How pods spread, as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::topology_spread")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,

    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DNS_NAME))]
    pub priority_class_name: Option<String>,
}

impl PodTemplateSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
