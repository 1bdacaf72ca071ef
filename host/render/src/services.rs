use hera_api::Metrics;
use hera_api::validate::Validated;
use hera_core::agent::{METRICS_PORT, REDIS_PORT};
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{Context, Owner, metadata, pod};

/// The Service for clients. That of an instance has no selector: the operator moves its one EndpointSlice.
/// That of a cluster leads to any pod that is ready: each tells where a key is.
pub fn build_client_service(v: &Validated, ctx: &Context) -> Service {
    let mut service = without_selector(v, ctx, v.name.service());
    if v.shards.is_some()
        && let Some(spec) = &mut service.spec
    {
        spec.selector = Some(metadata::selector_labels(v, None));
    }
    service
}

/// The Service for clients that only read, without a selector as well.
pub fn build_replicas_service(v: &Validated, ctx: &Context) -> Service {
    without_selector(v, ctx, v.name.replicas_service())
}

fn without_selector(v: &Validated, ctx: &Context, name: String) -> Service {
    Service {
        metadata: metadata::child(&Owner::of(v, ctx), name),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            ports: Some(vec![port(("redis", REDIS_PORT))]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The Service that gives the pods their names, from before they are ready. It names the port of their metrics as
/// well, which the pods do not declare, for those who find what they scrape by Services.
pub fn build_headless_service(v: &Validated, ctx: &Context) -> Service {
    let metrics = (v.metrics == Metrics::Enabled).then_some(("metrics", METRICS_PORT));
    let ports = pod::ports(v).into_iter().chain(metrics);
    Service {
        metadata: metadata::child(&Owner::of(v, ctx), v.name.headless_service()),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(metadata::selector_labels(v, None)),
            ports: Some(ports.map(port).collect()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn port((name, number): (&str, u16)) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::Int(i32::from(number))),
        ..ServicePort::default()
    }
}
