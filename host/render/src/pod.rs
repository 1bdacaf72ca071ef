use std::collections::BTreeMap;

use hera_api::Metrics;
use hera_api::meta::{ANNOTATION_REVISION, LABEL_METRICS, METRICS_DISABLED};
use hera_api::names::{DATA_VOLUME, INSTALL_CONTAINER, SERVER_CONTAINER};
use hera_api::validate::Validated;
use hera_core::agent::{BUS_PORT, CONTROL_PORT, PROBE_PORT, REDIS_PORT};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, KeyToPath, LocalObjectReference, ObjectFieldSelector,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
    SecretVolumeSource, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::{Context, REPLICATION_PASSWORD_KEY, former, metadata, pod_revision};

/// Where the data is.
pub const MOUNT_DATA: &str = "/data";
/// Memory of the agent's, gone with the pod: final configuration and ACL file.
pub const MOUNT_RUN: &str = "/run/hera";
/// Where the agent's program is.
const MOUNT_AGENT: &str = "/hera";
/// Where the configuration is from which a pod boots.
pub const MOUNT_CONFIG: &str = "/etc/hera/config";
/// Where the users are with which a pod boots.
pub const MOUNT_ACL: &str = "/etc/hera/acl";
/// Where the agents' certificate is.
pub const MOUNT_TLS: &str = "/etc/hera/tls";

/// Where the password is with which replicas of a cluster log in.
pub const MOUNT_LOGIN: &str = "/etc/hera/login";

/// Variable that tells the agent which server it starts.
pub(crate) const ENGINE: &str = "HERA_ENGINE";
/// Variable that tells the agent to serve no metrics.
pub(crate) const SERVE_METRICS: &str = "HERA_SERVE_METRICS";
/// Name of the port of the probes.
pub(crate) const PROBES: &str = "probes";
/// The user as which all runs: that of the stock images of both engines.
const USER: i64 = 999;
/// Time for a handover, for waiting on replicas, and for writing little data.
const GRACE_SECONDS: u64 = 60;
/// What any disk writes in a second; a server that writes its data must not be killed for it.
const SAVED_PER_SECOND: u64 = 32 << 20;
/// Data of an instance whose memory nothing limits.
const UNLIMITED: u64 = 64 << 30;
/// From the agent's last means to the kubelet's.
const SPARE_SECONDS: u64 = 15;
/// A day: while a large file is read, nothing may kill the server for taking long.
const STARTUP_SECONDS: i32 = 86_400;

/// The pod. `has_claim` tells whether a claim named `data` comes with it.
pub(crate) fn build_template(v: &Validated, ctx: &Context, has_claim: bool) -> PodTemplateSpec {
    let mut labels = v.pod.metadata.labels.clone();
    labels.extend(metadata::common_labels(&v.name));
    labels.extend(metadata::selector_labels(v, ctx.shard));
    if v.metrics == Metrics::Disabled {
        labels.insert(LABEL_METRICS.to_owned(), METRICS_DISABLED.to_owned());
    }
    let mut annotations = v.pod.metadata.annotations.clone();
    annotations.insert(ANNOTATION_REVISION.to_owned(), pod_revision(v, ctx));
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(build_spec(v, ctx, has_claim)),
    };
    if let Some(former) = &ctx.rollback {
        former::restore(&mut template, former);
    }
    template
}

fn build_spec(v: &Validated, ctx: &Context, has_claim: bool) -> PodSpec {
    PodSpec {
        init_containers: Some(vec![install_container(v, ctx)]),
        containers: vec![server_container(v, ctx)],
        volumes: Some(volumes(v, has_claim)),
        image_pull_secrets: some_unless_empty(
            v.image_pull_secrets
                .iter()
                .map(|name| LocalObjectReference { name: name.clone() })
                .collect(),
        ),
        node_selector: (!v.pod.spec.node_selector.is_empty())
            .then(|| v.pod.spec.node_selector.clone()),
        affinity: v.pod.spec.affinity.clone(),
        tolerations: some_unless_empty(v.pod.spec.tolerations.clone()),
        topology_spread_constraints: some_unless_empty(spread(v, ctx)),
        priority_class_name: v.pod.spec.priority_class_name.clone(),
        termination_grace_period_seconds: i64::try_from(grace_seconds(v)).ok(),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// Pods keep apart, unless the spec says how they are to lie to each other or to other pods. Which
/// nodes they may have is another matter: they keep apart there. So does a single pod: more may come.
fn spread(v: &Validated, ctx: &Context) -> Vec<TopologySpreadConstraint> {
    let affinity = v.pod.spec.affinity.as_ref();
    let is_given = !v.pod.spec.topology_spread_constraints.is_empty()
        || affinity.is_some_and(|it| it.pod_affinity.is_some() || it.pod_anti_affinity.is_some());
    if is_given {
        return v.pod.spec.topology_spread_constraints.clone();
    }
    ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        .map(|topology_key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: topology_key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(metadata::selector_labels(v, ctx.shard)),
                match_expressions: None,
            }),
            ..TopologySpreadConstraint::default()
        })
        .into()
}

/// A server that reads a snapshot at its start writes one at its end, however long it takes.
fn grace_seconds(v: &Validated) -> u64 {
    if !v.persistence.is_on() {
        return GRACE_SECONDS;
    }
    GRACE_SECONDS + v.memory.limit.unwrap_or(UNLIMITED) / SAVED_PER_SECOND
}

fn some_unless_empty<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

/// Brings the agent. Its resources are the server's, so that a quota counts the pod once.
fn install_container(v: &Validated, ctx: &Context) -> Container {
    Container {
        name: INSTALL_CONTAINER.to_owned(),
        image: Some(ctx.agent_image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec![
            "/hera-agent".to_owned(),
            "install".to_owned(),
            MOUNT_AGENT.to_owned(),
        ]),
        resources: resources(v),
        security_context: Some(restricted()),
        volume_mounts: Some(vec![mount("agent", MOUNT_AGENT, false)]),
        ..Container::default()
    }
}

fn server_container(v: &Validated, ctx: &Context) -> Container {
    Container {
        name: SERVER_CONTAINER.to_owned(),
        image: Some(ctx.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(vec![format!("{MOUNT_AGENT}/hera-agent"), "run".to_owned()]),
        env: Some(environment(v, ctx)),
        ports: Some(ports(v).into_iter().map(port).collect()),
        resources: resources(v),
        security_context: Some(restricted()),
        startup_probe: Some(Probe {
            period_seconds: Some(1),
            failure_threshold: Some(STARTUP_SECONDS),
            timeout_seconds: Some(1),
            ..probe("/startupz")
        }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            failure_threshold: Some(6),
            timeout_seconds: Some(5),
            ..probe("/livez")
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(2),
            failure_threshold: Some(1),
            timeout_seconds: Some(2),
            ..probe("/readyz")
        }),
        volume_mounts: Some(mounts(v)),
        ..Container::default()
    }
}

/// The ports of a data pod, by name.
pub(crate) fn ports(v: &Validated) -> Vec<(&'static str, u16)> {
    let mut ports = vec![
        ("redis", REDIS_PORT),
        ("control", CONTROL_PORT),
        (PROBES, PROBE_PORT),
    ];
    ports.extend(v.shards.map(|_| ("bus", BUS_PORT)));
    ports
}

fn mounts(v: &Validated) -> Vec<VolumeMount> {
    let mut mounts = vec![
        mount("agent", MOUNT_AGENT, true),
        mount(DATA_VOLUME, MOUNT_DATA, false),
        mount("run", MOUNT_RUN, false),
        mount("tmp", "/tmp", false),
        mount("config", MOUNT_CONFIG, true),
        mount("acl", MOUNT_ACL, true),
        mount("tls", MOUNT_TLS, true),
    ];
    mounts.extend(v.shards.map(|_| mount("login", MOUNT_LOGIN, true)));
    mounts
}

fn environment(v: &Validated, ctx: &Context) -> Vec<EnvVar> {
    let downward = |name: &str, path: &str| EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                api_version: None,
            }),
            ..EnvVarSource::default()
        }),
    };
    let plain = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    let truth = |name: &str, value: bool| plain(name, if value { "true" } else { "false" });
    let script_seconds = v.failover.script_after_ms.div_ceil(1000);
    let hang_seconds = v.failover.hang_after_ms.div_ceil(1000);
    let mut variables = vec![
        downward("POD_NAME", "metadata.name"),
        downward("POD_NAMESPACE", "metadata.namespace"),
        downward("POD_UID", "metadata.uid"),
        downward("POD_IP", "status.podIP"),
        plain(ENGINE, v.engine.as_str()),
        plain("HERA_OBJECT_UID", &ctx.uid),
        truth("HERA_LONE", v.shards.is_none() && ctx.replicas == 1),
        truth("HERA_VOLATILE", !v.persistence.is_on()),
        plain(
            "HERA_STOP_SECONDS",
            &(grace_seconds(v) - SPARE_SECONDS).to_string(),
        ),
        plain("HERA_HANG_SECONDS", &hang_seconds.to_string()),
        plain("HERA_SCRIPT_SECONDS", &script_seconds.to_string()),
    ];
    variables.extend(
        ctx.shard
            .map(|shard| plain("HERA_SHARD", &shard.to_string())),
    );
    let service = v.name.headless_service();
    let own_name = format!("$(POD_NAME).{service}.$(POD_NAMESPACE).svc");
    variables.push(plain("HERA_SERVER_NAME", &own_name));
    // Older servers do not start with it.
    if v.shards.is_some() && v.version.branch() >= (7, 0) {
        variables.push(plain("HERA_HOSTNAME", &own_name));
    }
    // No word of it otherwise: the template of pods that serve them stays as it was.
    if v.metrics == Metrics::Disabled {
        variables.push(truth(SERVE_METRICS, false));
    }
    variables
}

fn resources(v: &Validated) -> Option<ResourceRequirements> {
    let some = |map: &BTreeMap<String, Quantity>| (!map.is_empty()).then(|| map.clone());
    (!v.resources.is_empty()).then(|| ResourceRequirements {
        requests: some(&v.resources.requests),
        limits: some(&v.resources.limits),
        claims: None,
    })
}

/// What the restricted Pod Security level asks for, and a root file system that cannot change.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

fn volumes(v: &Validated, has_claim: bool) -> Vec<Volume> {
    let mut volumes = vec![
        empty_dir("agent", None, Some("64Mi")),
        empty_dir("run", Some("Memory"), Some("8Mi")),
        empty_dir("tmp", None, Some("64Mi")),
        Volume {
            name: "config".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: v.name.config_map(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        secret("acl", v.name.acl_secret()),
        secret("tls", v.name.agent_tls_secret()),
    ];
    volumes.extend(v.shards.map(|_| login(v)));
    if !has_claim {
        volumes.push(empty_dir(DATA_VOLUME, None, None));
    }
    volumes
}

fn empty_dir(name: &str, medium: Option<&str>, size: Option<&str>) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: medium.map(str::to_owned),
            size_limit: size.map(|size| Quantity(size.to_owned())),
        }),
        ..Volume::default()
    }
}

/// Of the operator's own passwords the one that replicas log in with.
fn login(v: &Validated) -> Volume {
    let mut volume = secret("login", v.name.system_secret());
    if let Some(source) = &mut volume.secret {
        source.items = Some(vec![KeyToPath {
            key: REPLICATION_PASSWORD_KEY.to_owned(),
            path: REPLICATION_PASSWORD_KEY.to_owned(),
            mode: None,
        }]);
    }
    volume
}

/// Readable by the group that all runs as, and by nobody else.
fn secret(name: &str, secret_name: String) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret_name),
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn port((name, number): (&str, u16)) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(i32::from(PROBE_PORT)),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}
