use std::collections::BTreeMap;

use hera_api::validate::Validated;
use hera_api::{Metrics, NetworkPolicy as Choice};
use hera_core::agent::{BUS_PORT, CONTROL_PORT, METRICS_PORT, PROBE_PORT, REDIS_PORT};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{Context, Owner, metadata};

/// Port of the Redis protocol over TLS.
const TLS_PORT: u16 = 6380;
/// Label that Kubernetes gives each namespace: its name.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

/// Where orders for agents come from, beside the agents of the same object.
#[derive(Clone, Debug, Default)]
pub struct ControlSources {
    /// Namespace of the operator.
    pub namespace: String,
    /// Ranges of addresses in the notation of CIDR, where an operator is outside of the cluster.
    pub ranges: Vec<String>,
}

/// Who may reach the data pods of an object, and on which port. None where the spec wants none.
///
/// Clients, metrics and probes come from anywhere: the server asks for passwords, the others tell no secret.
/// Agents take orders by certificate alone, and are kept out of reach as well. The bus of a cluster asks
/// nobody for anything.
pub fn build_network_policy(
    v: &Validated,
    ctx: &Context,
    sources: &ControlSources,
) -> Option<NetworkPolicy> {
    if v.network_policy == Choice::Disabled {
        return None;
    }
    let own = metadata::selector_labels(v, None);
    let metrics = (v.metrics == Metrics::Enabled).then_some(METRICS_PORT);
    let open = [REDIS_PORT, TLS_PORT].into_iter();
    let open = open.chain(metrics).chain([PROBE_PORT]);
    let mut ingress = vec![
        NetworkPolicyIngressRule {
            from: None,
            ports: Some(open.map(port).collect()),
        },
        NetworkPolicyIngressRule {
            from: Some(control_peers(&own, sources)),
            ports: Some(vec![port(CONTROL_PORT)]),
        },
    ];
    ingress.extend(v.shards.map(|_| NetworkPolicyIngressRule {
        from: Some(vec![pods(own.clone())]),
        ports: Some(vec![port(BUS_PORT)]),
    }));
    Some(NetworkPolicy {
        metadata: metadata::child(&Owner::of(v, ctx), v.name.network_policy()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(with_labels(own)),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(ingress),
            egress: None,
        }),
    })
}

fn control_peers(
    own: &BTreeMap<String, String>,
    sources: &ControlSources,
) -> Vec<NetworkPolicyPeer> {
    let namespace = BTreeMap::from([(NAMESPACE.to_owned(), sources.namespace.clone())]);
    let mut peers = vec![
        NetworkPolicyPeer {
            namespace_selector: Some(with_labels(namespace)),
            ..NetworkPolicyPeer::default()
        },
        pods(own.clone()),
    ];
    peers.extend(sources.ranges.iter().map(|range| NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: range.clone(),
            except: None,
        }),
        ..NetworkPolicyPeer::default()
    }));
    peers
}

/// Pods with these labels, in the namespace of the policy.
fn pods(labels: BTreeMap<String, String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(with_labels(labels)),
        ..NetworkPolicyPeer::default()
    }
}

fn with_labels(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        match_expressions: None,
    }
}

fn port(number: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(number))),
        protocol: Some("TCP".to_owned()),
        end_port: None,
    }
}
