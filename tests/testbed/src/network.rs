//! The bridge, the nodes' network namespaces, and the routes between them.

use anyhow::{Context, Result};

use crate::names::{BRIDGE, HOST_IP, NODE_NET, NODES, Node, SERVICE_NET};
use crate::run::{sh, succeeds};
use crate::spawn::netns_path;

/// The bridge on the host, with the host's address.
pub fn bridge() -> Result<()> {
    if !succeeds(&format!("ip link show {BRIDGE}")) {
        sh(&format!("ip link add {BRIDGE} type bridge"))?;
        sh(&format!("ip address add {HOST_IP}/24 dev {BRIDGE}"))?;
    }
    sh(&format!("ip link set {BRIDGE} up"))
        .map(drop)
        .with_context(|| format!("cannot bring up {BRIDGE} for {NODE_NET}"))
}

/// A node's network namespace, link and routes; what is there stays.
pub fn node(node: Node) -> Result<()> {
    let (netns, link) = (node.netns(), node.link());
    if !netns_path(node).exists() {
        sh(&format!("ip netns add {netns}"))?;
    }
    if !succeeds(&format!("ip link show {link}")) {
        sh(&format!(
            "ip link add {link} type veth peer name eth0 netns {netns}"
        ))?;
    }
    sh(&format!("ip link set {link} master {BRIDGE} up"))?;
    sh(&format!("ip -n {netns} link set lo up"))?;
    sh(&format!(
        "ip -n {netns} address replace {}/24 dev eth0",
        node.ip()
    ))?;
    sh(&format!("ip -n {netns} link set eth0 up"))?;
    // No default route: nothing on a node reaches beyond the testbed, and what tries fails at once.
    // The Services' addresses need one, since a packet is routed before it is rewritten.
    sh(&format!(
        "ip -n {netns} route replace {SERVICE_NET} via {HOST_IP}"
    ))?;
    // Packets that cross the pods' bridge must meet the Service rules too; not every kernel has it.
    let set = format!("nsenter --net={} sysctl -qw", netns_path(node).display());
    sh(&format!("{set} net.ipv4.ip_forward=1"))?;
    succeeds(&format!("{set} net.bridge.bridge-nf-call-iptables=1"));
    for other in NODES.into_iter().filter(|other| *other != node) {
        sh(&format!(
            "ip -n {netns} route replace {} via {}",
            other.pod_net(),
            other.ip()
        ))?;
    }
    host_route(node)
}

/// The host's route to a node's pods; the link's fall removes it.
pub fn host_route(node: Node) -> Result<()> {
    sh(&format!(
        "ip route replace {} via {}",
        node.pod_net(),
        node.ip()
    ))?;
    Ok(())
}
