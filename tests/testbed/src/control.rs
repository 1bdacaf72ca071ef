//! The control plane's programs and their flags.

use std::path::Path;

use anyhow::Result;

use crate::layout::Layout;
use crate::names::{API_PORT, DATA, ETCD_PORT, HOST_IP, POD_NET, RUN, SERVICE_NET};
use crate::pki::file;
use crate::spawn::{Program, flags};

/// etcd: nothing that it writes has to survive the machine.
pub fn etcd() -> Program {
    let (client, peer) = (
        format!("http://127.0.0.1:{ETCD_PORT}"),
        format!("http://127.0.0.1:{}", ETCD_PORT + 1),
    );
    let data = format!("{DATA}/etcd");
    let mut argv = vec!["etcd".to_owned(), "--unsafe-no-fsync".to_owned()];
    argv.extend(flags(&[
        ("data-dir", &data),
        ("listen-client-urls", &client),
        ("advertise-client-urls", &client),
        ("listen-peer-urls", &peer),
        ("initial-advertise-peer-urls", &peer),
        ("initial-cluster", &format!("default={peer}")),
        ("auto-compaction-retention", "10m"),
        ("logger", "zap"),
        ("log-level", "warn"),
    ]));
    Program::control("etcd", argv)
}

/// The API server, on the bridge's address only.
pub fn apiserver(layout: &Layout, kube: &Path) -> Program {
    let audit = layout.audit_log().display().to_string();
    let policy = format!("{DATA}/audit-policy.yaml");
    Program::control(
        "apiserver",
        component(
            kube,
            "kube-apiserver",
            &[
                ("etcd-servers", &format!("http://127.0.0.1:{ETCD_PORT}")),
                ("bind-address", HOST_IP),
                ("advertise-address", HOST_IP),
                ("secure-port", &API_PORT.to_string()),
                ("service-cluster-ip-range", SERVICE_NET),
                ("service-account-issuer", "https://kubernetes.default.svc"),
                ("service-account-key-file", &file("tokens.pub")),
                ("service-account-signing-key-file", &file("tokens.key")),
                ("authorization-mode", "Node,RBAC"),
                ("enable-admission-plugins", "NodeRestriction"),
                ("allow-privileged", "true"),
                ("client-ca-file", &file("ca.crt")),
                ("tls-cert-file", &file("apiserver.crt")),
                ("tls-private-key-file", &file("apiserver.key")),
                ("kubelet-client-certificate", &file("admin.crt")),
                ("kubelet-client-key", &file("admin.key")),
                ("kubelet-certificate-authority", &file("ca.crt")),
                ("kubelet-preferred-address-types", "InternalIP"),
                ("proxy-client-cert-file", &file("front.crt")),
                ("proxy-client-key-file", &file("front.key")),
                ("requestheader-client-ca-file", &file("ca.crt")),
                ("requestheader-username-headers", "X-Remote-User"),
                ("requestheader-group-headers", "X-Remote-Group"),
                ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
                ("audit-policy-file", &policy),
                ("audit-log-path", &audit),
                ("audit-log-maxsize", "50"),
                ("audit-log-maxbackup", "2"),
                ("profiling", "false"),
                ("cert-dir", &format!("{RUN}/apiserver")),
            ],
        ),
    )
}

/// The controllers. Without leader election: with it they exit when the API server restarts.
pub fn controllers(kube: &Path) -> Program {
    let config = file("controllers.kubeconfig");
    Program::control(
        "controllers",
        component(
            kube,
            "kube-controller-manager",
            &[
                ("kubeconfig", &config),
                ("authentication-kubeconfig", &config),
                ("authorization-kubeconfig", &config),
                ("bind-address", "127.0.0.1"),
                ("leader-elect", "false"),
                ("service-account-private-key-file", &file("tokens.key")),
                ("root-ca-file", &file("ca.crt")),
                ("cluster-signing-cert-file", &file("ca.crt")),
                ("cluster-signing-key-file", &file("ca.key")),
                ("use-service-account-credentials", "true"),
                ("node-monitor-grace-period", "20s"),
                ("node-monitor-period", "2s"),
                ("flex-volume-plugin-dir", &format!("{DATA}/volume-plugins")),
            ],
        ),
    )
}

/// The scheduler.
pub fn scheduler(kube: &Path) -> Program {
    let config = file("scheduler.kubeconfig");
    Program::control(
        "scheduler",
        component(
            kube,
            "kube-scheduler",
            &[
                ("kubeconfig", &config),
                ("authentication-kubeconfig", &config),
                ("authorization-kubeconfig", &config),
                ("bind-address", "127.0.0.1"),
                ("leader-elect", "false"),
            ],
        ),
    )
}

/// kube-proxy for the host, so that tests reach ClusterIPs as pods do.
pub fn proxy(kube: &Path) -> Program {
    Program::control("proxy-host", proxy_argv(kube, "n1"))
}

/// The words of a kube-proxy. Conntrack limits are the machine's own business.
pub fn proxy_argv(kube: &Path, node: &str) -> Vec<String> {
    component(
        kube,
        "kube-proxy",
        &[
            ("kubeconfig", &file("proxy.kubeconfig")),
            ("hostname-override", node),
            ("proxy-mode", "nftables"),
            ("cluster-cidr", POD_NET),
            ("healthz-bind-address", "127.0.0.1:10256"),
            ("conntrack-max-per-core", "0"),
            ("conntrack-tcp-timeout-established", "0"),
            ("conntrack-tcp-timeout-close-wait", "0"),
            ("oom-score-adj", "0"),
        ],
    )
}

/// The volume provisioner: this program itself.
pub fn provisioner(program: &Path) -> Result<Program> {
    Ok(Program::control(
        "provisioner",
        vec![program.display().to_string(), "provisioner".to_owned()],
    ))
}

fn component(kube: &Path, name: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    let mut argv = vec![kube.display().to_string(), name.to_owned()];
    argv.extend(flags(pairs));
    argv
}
