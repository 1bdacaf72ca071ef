//! Talking to the cluster while it comes up.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::names::{API_SERVICE_IP, DNS_IP, NODES};
use crate::run::{command, output, wait};

/// Runs kubectl as the administrator, for at most two minutes.
pub fn kubectl(layout: &Layout, words: &[&str]) -> Result<String> {
    let program = layout.bin().join("kubectl").display().to_string();
    let config = format!("--kubeconfig={}", layout.kubeconfig().display());
    let mut all = vec!["timeout", "120", program.as_str(), &config];
    all.extend(words);
    output(&mut command(&all)?)
}

/// Waits until the API server is ready, as long as `alive` has no objection.
pub fn wait_api(layout: &Layout, alive: impl Fn() -> Result<()>) -> Result<()> {
    let log = layout.log_of("apiserver");
    wait(
        &format!("a ready API server (see {})", log.display()),
        Duration::from_secs(90),
        || {
            alive()?;
            kubectl(layout, &["get", "--raw", "/readyz", "--request-timeout=5s"]).map(|_| true)
        },
    )
}

/// Applies the cluster's own objects.
pub fn apply(layout: &Layout) -> Result<()> {
    for name in ["storage.yaml", "dns.yaml"] {
        let path = layout
            .source()
            .join("manifests")
            .join(name)
            .display()
            .to_string();
        wait(
            &format!("the applying of {name}"),
            Duration::from_secs(30),
            || {
                kubectl(
                    layout,
                    &[
                        "apply",
                        "--request-timeout=10s",
                        "--server-side",
                        "--force-conflicts",
                        "-f",
                        &path,
                    ],
                )
                .map(|_| true)
            },
        )?;
    }
    Ok(())
}

/// Waits until every node is ready.
pub fn wait_nodes(layout: &Layout) -> Result<()> {
    let what = format!(
        "three ready nodes (see {}/kubelet-*.log)",
        layout.log().display()
    );
    wait(&what, Duration::from_secs(90), || {
        let path = r#"jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}"#;
        let text = kubectl(
            layout,
            &["get", "nodes", "--request-timeout=5s", "-o", path],
        )?;
        let ready = NODES
            .iter()
            .filter(|node| {
                text.lines()
                    .any(|line| line == format!("{}=True", node.name()))
            })
            .count();
        if ready < NODES.len() {
            bail!("ready: {ready} of {}", NODES.len());
        }
        Ok(true)
    })
}

/// Waits until the cluster's DNS runs on every node and answers the host with the API server's address.
pub fn wait_dns(layout: &Layout) -> Result<()> {
    let words = [
        "--namespace=kube-system",
        "rollout",
        "status",
        "daemonset/coredns",
        "--timeout=90s",
    ];
    kubectl(layout, &words).with_context(|| {
        format!(
            "CoreDNS does not become ready; see its pods, and {}/kubelet-*.log",
            layout.log().display()
        )
    })?;
    wait(
        &format!("an answer of the cluster DNS at {DNS_IP}"),
        Duration::from_secs(30),
        || {
            let answer = resolve("kubernetes.default.svc.cluster.local")?;
            Ok(answer == API_SERVICE_IP)
        },
    )
}

/// Asks the cluster's DNS for a name's IPv4 address, from the host.
pub fn resolve(name: &str) -> Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    socket.connect((DNS_IP, 53))?;
    socket.send(&question(name)?)?;
    let mut buffer = [0; 512];
    let length = socket
        .recv(&mut buffer)
        .context("no answer of the cluster DNS")?;
    let answer = buffer.get(..length).unwrap_or_default();
    // One question, one answer: the address is the packet's last four bytes.
    match (answer.get(6..8), answer.last_chunk::<4>()) {
        (Some([0, 1..=255]), Some([a, b, c, d])) => Ok(format!("{a}.{b}.{c}.{d}")),
        _ => bail!("the cluster DNS does not know {name}"),
    }
}

fn question(name: &str) -> Result<Vec<u8>> {
    let mut packet = vec![0x48, 0x52, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len())?);
        packet.extend(label.bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_holds_the_name_as_labels() {
        let packet = question("a.bc").unwrap();
        assert_eq!(&packet[12..], &[1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1]);
    }
}
