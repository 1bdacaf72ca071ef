use hera_api::names::DATA_VOLUME;
use hera_api::validate::Validated;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::{Context, claims, metadata, pod};

/// The StatefulSet of the data pods. Its pods are replaced by the operator alone (`OnDelete`); its
/// selector, service name, pod management and claim templates are final.
pub fn build_stateful_set(v: &Validated, ctx: &Context) -> StatefulSet {
    let templates = claim_templates(v, ctx);
    let has_claim = templates
        .iter()
        .any(|t| t.metadata.name.as_deref() == Some(DATA_VOLUME));
    StatefulSet {
        metadata: metadata::child_of_pods(v, ctx, metadata::pods(v, ctx).stateful_set()),
        spec: Some(StatefulSetSpec {
            replicas: i32::try_from(ctx.replicas).ok(),
            service_name: Some(v.name.headless_service()),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            selector: LabelSelector {
                match_labels: Some(metadata::selector_labels(v, ctx.shard)),
                match_expressions: None,
            },
            template: pod::build_template(v, ctx, has_claim),
            volume_claim_templates: (!templates.is_empty()).then_some(templates),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// Those of the live StatefulSet, whatever the spec says now: they are immutable, and a claim that
/// should be larger grows by itself.
fn claim_templates(v: &Validated, ctx: &Context) -> Vec<PersistentVolumeClaim> {
    match (&ctx.live, &v.persistence.volume) {
        (Some(live), _) => live
            .claim_templates
            .iter()
            .map(|template| PersistentVolumeClaim {
                status: None,
                ..template.clone()
            })
            .collect(),
        (None, Some(volume)) => vec![claims::claim_template(v, ctx, volume)],
        (None, None) => Vec::new(),
    }
}
