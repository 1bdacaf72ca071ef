//! Names and addresses of the testbed. They are the same on every machine, so that an `up` finds
//! what an earlier testbed left behind, also when its clone is gone.

use std::path::PathBuf;

/// The nodes of the cluster.
pub const NODES: [Node; 3] = [Node(1), Node(2), Node(3)];
/// The bridge that joins the nodes and the host.
pub const BRIDGE: &str = "hera0";
/// The host's address on the bridge; the API server is reached there from the nodes.
pub const HOST_IP: &str = "172.30.0.1";
/// The network of the nodes.
pub const NODE_NET: &str = "172.30.0.0/24";
/// The network that holds the pods of all nodes.
pub const POD_NET: &str = "10.244.0.0/16";
/// The network of the Services' ClusterIPs.
pub const SERVICE_NET: &str = "10.96.0.0/16";
/// The API server's ClusterIP.
pub const API_SERVICE_IP: &str = "10.96.0.1";
/// The cluster DNS's ClusterIP.
pub const DNS_IP: &str = "10.96.0.10";
/// The API server's port on the host.
pub const API_PORT: u16 = 6443;
/// The port on the host of the store for backups.
pub const STORE_PORT: u16 = 7070;
/// etcd's port on loopback; not etcd's own, so that an etcd of the machine's is not in the way.
pub const ETCD_PORT: u16 = 12379;
/// The provisioner's name in StorageClasses.
pub const PROVISIONER: &str = "testbed.hera.io/local";
/// Everything of the testbed runs below this cgroup.
pub const CGROUP: &str = "hera";
/// What runs and dies with the machine: sockets, mounts, the owner's record.
pub const RUN: &str = "/run/hera-testbed";
/// What the cluster stores: etcd, images, volumes, certificates.
pub const DATA: &str = "/var/lib/hera-testbed";

/// A node, by its number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(pub u8);

impl Node {
    /// The node with this Kubernetes name.
    pub fn by_name(name: &str) -> Option<Self> {
        NODES.into_iter().find(|node| node.name() == name)
    }

    /// The Kubernetes node's name: `n1`.
    pub fn name(self) -> String {
        format!("n{}", self.0)
    }

    /// The network namespace: `hera-n1`. The link's end on the host has the same name.
    pub fn netns(self) -> String {
        format!("hera-n{}", self.0)
    }

    /// The link's end on the host, a port of the bridge.
    pub fn link(self) -> String {
        self.netns()
    }

    /// The node's address.
    pub fn ip(self) -> String {
        format!("172.30.0.{}", 10 + self.0)
    }

    /// The network of this node's pods.
    pub fn pod_net(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }

    /// The node's cgroup below each controller's root: `hera/n1`.
    pub fn cgroup(self) -> String {
        format!("{CGROUP}/{}", self.name())
    }

    /// The folder of the node's data.
    pub fn data(self) -> PathBuf {
        PathBuf::from(DATA).join("nodes").join(self.name())
    }

    /// The folder of the node's sockets and of containerd's state.
    pub fn run(self) -> PathBuf {
        PathBuf::from(RUN).join(self.name())
    }

    /// containerd's socket.
    pub fn socket(self) -> PathBuf {
        self.run().join("containerd.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_name_fits_the_kernels_fifteen_bytes() {
        assert!(NODES.iter().all(|node| node.link().len() <= 15));
    }

    #[test]
    fn nodes_have_distinct_addresses_inside_the_cluster_networks() {
        assert_eq!(Node(1).ip(), "172.30.0.11");
        assert_eq!(Node(3).pod_net(), "10.244.3.0/24");
        assert_eq!(Node::by_name("n2"), Some(Node(2)));
        assert_eq!(Node::by_name("n9"), None);
    }
}
