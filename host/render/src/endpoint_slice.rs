use std::net::IpAddr;

use hera_api::meta::MANAGED_BY;
use hera_core::agent::REDIS_PORT;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};

use crate::{Owner, metadata};

/// Kind of the addresses in a slice. Immutable, so taken from the first primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl AddressFamily {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// As it stands in the slice.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// A pod to which clients are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEndpoint {
    /// Its address.
    pub ip: IpAddr,
    /// Its name.
    pub pod: String,
    /// Its uid.
    pub pod_uid: String,
    /// Its node, once it has one.
    pub node: Option<String>,
}

/// The slice of the Service for clients; without a primary, one that sends them nowhere.
pub fn build_endpoint_slice(
    owner: &Owner<'_>,
    family: AddressFamily,
    primary: Option<&PodEndpoint>,
) -> EndpointSlice {
    let names = (owner.name.endpoint_slice(), owner.name.service());
    build(owner, family, names, primary.into_iter())
}

/// The slice of the Service for clients that only read: the pods that are given, in an order of
/// their own, so that the same pods make the same slice.
pub fn build_replicas_slice(
    owner: &Owner<'_>,
    family: AddressFamily,
    pods: &[PodEndpoint],
) -> EndpointSlice {
    let names = (owner.name.replicas_slice(), owner.name.replicas_service());
    let mut pods: Vec<_> = pods.iter().collect();
    pods.sort_by(|a, b| (&a.pod, &a.pod_uid).cmp(&(&b.pod, &b.pod_uid)));
    build(owner, family, names, pods.into_iter())
}

fn build<'a>(
    owner: &Owner<'_>,
    family: AddressFamily,
    (name, service): (String, String),
    pods: impl Iterator<Item = &'a PodEndpoint>,
) -> EndpointSlice {
    let mut metadata = metadata::child(owner, name);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert("kubernetes.io/service-name".to_owned(), service);
    labels.insert(
        "endpointslice.kubernetes.io/managed-by".to_owned(),
        MANAGED_BY.to_owned(),
    );
    EndpointSlice {
        metadata,
        address_type: family.as_str().to_owned(),
        ports: Some(vec![EndpointPort {
            name: Some("redis".to_owned()),
            port: Some(i32::from(REDIS_PORT)),
            protocol: Some("TCP".to_owned()),
            app_protocol: None,
        }]),
        endpoints: pods.map(|pod| endpoint(pod, owner)).collect(),
    }
}

fn endpoint(pod: &PodEndpoint, owner: &Owner<'_>) -> Endpoint {
    Endpoint {
        addresses: vec![pod.ip.to_string()],
        conditions: Some(EndpointConditions {
            ready: Some(true),
            serving: Some(true),
            terminating: Some(false),
        }),
        node_name: pod.node.clone(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: Some(pod.pod.clone()),
            namespace: Some(owner.namespace.to_owned()),
            uid: Some(pod.pod_uid.clone()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}
