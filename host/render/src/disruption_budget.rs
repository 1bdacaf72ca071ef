use hera_api::validate::Validated;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{Context, metadata};

/// Lets a drain take one pod at a time, so that the one that leaves can hand over. A pod that is not
/// ready holds no drain up. None for a pod that is alone: it could never be drained, nor while a
/// temporary one beside it finds no place.
pub fn build_disruption_budget(v: &Validated, ctx: &Context) -> Option<PodDisruptionBudget> {
    (ctx.replicas.min(v.replicas) > 1).then(|| PodDisruptionBudget {
        metadata: metadata::child_of_pods(v, ctx, metadata::pods(v, ctx).disruption_budget()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(metadata::selector_labels(v, ctx.shard)),
                match_expressions: None,
            }),
            // Where most primaries of a cluster are lost no pod is ready, and every copy counts.
            unhealthy_pod_eviction_policy: Some(
                match v.shards {
                    Some(_) => "IfHealthyBudget",
                    None => "AlwaysAllow",
                }
                .to_owned(),
            ),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
