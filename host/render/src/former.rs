use k8s_openapi::api::core::v1::{Container, EnvVar, PodTemplateSpec};

use crate::pod::{ENGINE, SERVE_METRICS};

/// Gives a template what a former one has of all that decides about the revision (see [`crate::roll_hash`]),
/// and nothing else: the agent, and what pods are told of their number, are today's.
pub(crate) fn restore(template: &mut PodTemplateSpec, former: &PodTemplateSpec) {
    if let (Some(metadata), Some(before)) = (&mut template.metadata, &former.metadata) {
        metadata.labels.clone_from(&before.labels);
        metadata.annotations.clone_from(&before.annotations);
    }
    let (Some(spec), Some(before)) = (&mut template.spec, &former.spec) else {
        return;
    };
    spec.image_pull_secrets
        .clone_from(&before.image_pull_secrets);
    spec.node_selector.clone_from(&before.node_selector);
    spec.affinity.clone_from(&before.affinity);
    spec.tolerations.clone_from(&before.tolerations);
    spec.topology_spread_constraints
        .clone_from(&before.topology_spread_constraints);
    spec.priority_class_name
        .clone_from(&before.priority_class_name);
    let inits = spec.init_containers.iter_mut().flatten();
    let before_inits = before.init_containers.iter().flatten();
    for container in inits {
        if let Some(before) = before_inits.clone().find(|c| c.name == container.name) {
            container.resources.clone_from(&before.resources);
        }
    }
    for container in &mut spec.containers {
        if let Some(before) = before.containers.iter().find(|c| c.name == container.name) {
            restore_server(container, before);
        }
    }
}

fn restore_server(container: &mut Container, former: &Container) {
    container.image.clone_from(&former.image);
    container.resources.clone_from(&former.resources);
    let is_engine = |variable: &&EnvVar| variable.name == ENGINE;
    let engine = former.env.iter().flatten().find(is_engine);
    for variable in container.env.iter_mut().flatten() {
        if let Some(engine) = engine.filter(|engine| engine.name == variable.name) {
            variable.value.clone_from(&engine.value);
        }
    }
    let is_of_metrics = |variable: &&EnvVar| variable.name == SERVE_METRICS;
    let metrics = former.env.iter().flatten().find(is_of_metrics);
    let variables = container.env.get_or_insert_default();
    variables.retain(|variable| !is_of_metrics(&variable));
    variables.extend(metrics.cloned());
}
