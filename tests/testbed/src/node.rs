//! A node: its configuration files and its three programs.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::layout::Layout;
use crate::names::{DNS_IP, Node};
use crate::pki::file;
use crate::run::wait;
use crate::spawn::{Program, flags};
use crate::{cgroup, control, network};

/// Every kubelet makes this socket anew when it starts, wherever its own folder is.
const DEVICES: &str = "/var/lib/kubelet/device-plugins/kubelet.sock";

/// Makes all that a node's programs need to start.
pub fn prepare(node: Node) -> Result<()> {
    network::node(node)?;
    cgroup::create(&node.cgroup())?;
    let data = node.data();
    fs::create_dir_all(data.join("cni"))?;
    fs::create_dir_all(node.run())?;
    fs::write(data.join("cni/10-pods.conflist"), cni(node).to_string())?;
    fs::write(data.join("containerd.toml"), containerd_config(node))?;
    fs::write(data.join("kubelet.json"), kubelet_config(node).to_string())?;
    fs::write(
        data.join("resolv.conf"),
        "# no name server outside the cluster\n",
    )?;
    Ok(())
}

/// The node's container runtime.
pub fn containerd(node: Node) -> Program {
    let config = node.data().join("containerd.toml");
    Program::node(
        node,
        "containerd",
        vec![
            "containerd".into(),
            "--config".into(),
            config.display().to_string(),
        ],
    )
}

/// The node's agent.
pub fn kubelet(node: Node, kube: &Path) -> Program {
    let data = node.data();
    let path = |name: &str| data.join(name).display().to_string();
    let mut argv = vec![kube.display().to_string(), "kubelet".to_owned()];
    argv.extend(flags(&[
        ("config", &path("kubelet.json")),
        (
            "kubeconfig",
            &file(&format!("kubelet-{}.kubeconfig", node.name())),
        ),
        ("hostname-override", &node.name()),
        ("node-ip", &node.ip()),
        ("root-dir", &path("kubelet")),
        ("cert-dir", &path("certs")),
        (
            "node-labels",
            &format!(
                "topology.kubernetes.io/zone=z{},topology.kubernetes.io/region=testbed",
                node.0
            ),
        ),
    ]));
    Program::node(node, "kubelet", argv)
}

/// The node's service proxy.
pub fn proxy(node: Node, kube: &Path) -> Program {
    Program::node(node, "proxy", control::proxy_argv(kube, &node.name()))
}

/// Waits until containerd answers.
pub fn wait_containerd(layout: &Layout, node: Node) -> Result<()> {
    let program = containerd(node);
    let what = format!(
        "an answer of {} (see {})",
        program.name,
        layout.log_of(&program.name).display()
    );
    wait(&what, Duration::from_secs(30), || {
        if !node.socket().exists() {
            bail!("no socket yet");
        }
        crate::run::sh(&format!(
            "ctr --address {} version",
            node.socket().display()
        ))
        .map(|_| true)
    })
    .context("the container runtime does not start")
}

/// Waits until a kubelet that was started at `start` has made the socket that all of them share: of two
/// that do it at once, one ends.
pub fn wait_kubelet(
    layout: &Layout,
    node: Node,
    start: SystemTime,
    alive: impl Fn() -> bool,
) -> Result<()> {
    let log = layout.log_of(&format!("kubelet-{}", node.name()));
    let what = format!("the socket of {}'s kubelet", node.name());
    wait(&what, Duration::from_secs(30), || {
        let made = fs::metadata(DEVICES).and_then(|socket| socket.modified());
        Ok(!alive() || made.is_ok_and(|made| made >= start))
    })
    .and_then(|()| match alive() {
        true => Ok(()),
        false => bail!("it ended"),
    })
    .with_context(|| format!("the kubelet does not start, see {}", log.display()))
}

fn cni(node: Node) -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": node.netns(),
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipMasq": false,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": node.pod_net()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": node.data().join("ipam"),
            },
        }],
    })
}

fn containerd_config(node: Node) -> String {
    let (data, run) = (node.data(), node.run());
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # Some machines lack the right to lower a process's oom_score_adj.
  restrict_oom_score_adj = true
  # Below `state`, where `down` finds and unmounts them.
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{runc}"
"#,
        root = data.join("containerd").display(),
        state = run.join("containerd").display(),
        runc = run.join("runc").display(),
        socket = node.socket().display(),
        opt = data.join("opt").display(),
        cni = data.join("cni").display(),
    )
}

fn kubelet_config(node: Node) -> serde_json::Value {
    let data = node.data();
    let certificate = format!("kubelet-{}", node.name());
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "x509": {"clientCAFile": file("ca.crt")},
            "webhook": {"enabled": false},
            "anonymous": {"enabled": false},
        },
        // Whoever has a certificate of the cluster's: the API server.
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": file(&format!("{certificate}.crt")),
        "tlsPrivateKeyFile": file(&format!("{certificate}.key")),
        "containerRuntimeEndpoint": format!("unix://{}", node.socket().display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", node.cgroup()),
        "clusterDNS": [DNS_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": data.join("resolv.conf"),
        // The default is shared by all kubelets of a machine, which then delete each other's logs.
        "podLogsDir": data.join("pod-logs"),
        "volumePluginDir": data.join("volume-plugins"),
        "failSwapOn": false,
        "oomScoreAdj": 0,
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 20,
        "syncFrequency": "10s",
        "serializeImagePulls": false,
        "eventRecordQPS": 50,
        "maxPods": 110,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::NODES;

    #[test]
    fn nodes_share_no_folder_and_no_socket() {
        let configs: Vec<_> = NODES.into_iter().map(containerd_config).collect();
        assert!(configs[0].contains("/run/hera-testbed/n1/containerd.sock"));
        assert!(!configs[0].contains("/n2/"));
        assert_eq!(kubelet_config(Node(2))["cgroupRoot"], "/hera/n2");
        assert_eq!(
            cni(Node(3))["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
            "10.244.3.0/24"
        );
    }

    #[test]
    fn a_kubelet_keeps_its_logs_and_names_its_zone() {
        assert_eq!(
            kubelet_config(Node(1))["podLogsDir"],
            "/var/lib/hera-testbed/nodes/n1/pod-logs"
        );
        let argv = kubelet(Node(1), Path::new("/kube")).argv;
        assert!(
            argv.iter()
                .any(|word| word.contains("topology.kubernetes.io/zone=z1"))
        );
    }
}
