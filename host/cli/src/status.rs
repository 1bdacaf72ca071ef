//! `status`: an instance as a tree.

use anyhow::Context as _;
use hera_api::meta::{LABEL_INSTANCE, LABEL_ROLE};
use hera_api::{PolicyStatus, RedisInstance};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use serde::Serialize;

use crate::args::Cluster;
use crate::output::{Output, bad, faint, good, odd, short, strong};
use crate::{Verdict, cluster};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    object: RedisInstance,
    pods: Vec<PodLine>,
    volumes: Vec<VolumeLine>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodLine {
    name: String,
    phase: String,
    node: Option<String>,
    ip: Option<String>,
    restarts: i32,
    /// What its server was when the operator last looked.
    role: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeLine {
    name: String,
    phase: String,
    size: Option<String>,
    class: Option<String>,
}

/// Prints an instance; the answer is no while it does not serve.
///
/// # Errors
/// When the cluster cannot be asked, or there is no such instance.
pub async fn run(name: &str, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let namespace = connected.namespace.as_str();
    let objects: Api<RedisInstance> = Api::namespaced(connected.client.clone(), namespace);
    let object = objects
        .get_opt(name)
        .await?
        .with_context(|| format!("there is no RedisInstance {name} in namespace {namespace}"))?;
    let ours = ListParams::default().labels(&format!("{LABEL_INSTANCE}={name}"));
    let pods: Api<Pod> = Api::namespaced(connected.client.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(connected.client.clone(), namespace);
    let (pods, claims) = tokio::try_join!(pods.list(&ours), claims.list(&ours))?;
    let seen = Seen {
        pods: pods.iter().map(pod_line).collect(),
        volumes: claims.iter().map(volume_line).collect(),
        object,
    };
    let serves = is_true(&seen.object, "Ready");
    output.print(&seen, describe)?;
    Ok(Verdict::from(serves))
}

fn pod_line(pod: &Pod) -> PodLine {
    let status = pod.status.clone().unwrap_or_default();
    let phase = match &pod.metadata.deletion_timestamp {
        Some(_) => "Terminating".to_owned(),
        None => status.phase.unwrap_or_default(),
    };
    PodLine {
        name: pod.name_any(),
        phase,
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        ip: status.pod_ip,
        restarts: status
            .container_statuses
            .iter()
            .flatten()
            .map(|container| container.restart_count)
            .sum(),
        role: pod.labels().get(LABEL_ROLE).cloned(),
    }
}

fn volume_line(claim: &PersistentVolumeClaim) -> VolumeLine {
    let status = claim.status.clone().unwrap_or_default();
    VolumeLine {
        name: claim.name_any(),
        phase: status.phase.unwrap_or_default(),
        size: status
            .capacity
            .and_then(|capacity| Some(capacity.get("storage")?.0.clone())),
        class: claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.clone()),
    }
}

fn is_true(object: &RedisInstance, type_: &str) -> bool {
    object
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .any(|condition| condition.type_ == type_ && condition.status == "True")
}

fn describe(seen: &Seen) -> String {
    let object = &seen.object;
    let status = object.status.clone().unwrap_or_default();
    let phase = status
        .phase
        .map_or("?".to_owned(), |phase| format!("{phase:?}"));
    let phase = match is_true(object, "Ready") && !is_true(object, "Degraded") {
        true => good(&phase),
        false => bad(&phase),
    };
    let server = status
        .engine
        .zip(status.version.clone())
        .map_or("no server yet".to_owned(), |(engine, version)| {
            format!("{engine} {version}")
        });
    let head = format!(
        "{}  {phase}  {server}",
        strong(&format!(
            "RedisInstance {}/{}",
            object.namespace().unwrap_or_default(),
            object.name_any()
        ))
    );
    let mut branches = vec![conditions(object)];
    branches.push(Branch::new("pods", seen.pods.iter().map(pod_text)));
    branches.push(Branch::new("volumes", seen.volumes.iter().map(volume_text)));
    branches.push(Branch::new(
        "decided by",
        status.policies.iter().flat_map(policy_text),
    ));
    tree(&head, &branches)
}

struct Branch {
    title: &'static str,
    leaves: Vec<String>,
}

impl Branch {
    fn new(title: &'static str, leaves: impl Iterator<Item = String>) -> Self {
        Self {
            title,
            leaves: leaves.collect(),
        }
    }
}

fn conditions(object: &RedisInstance) -> Branch {
    let all = object.status.iter().flat_map(|status| &status.conditions);
    let leaf = |condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        let expected = match condition.type_.as_str() {
            "Degraded" => condition.status == "False",
            "Progressing" => true,
            _ => condition.status == "True",
        };
        let text = format!(
            "{:<14}{:<6}{}",
            condition.type_, condition.status, condition.reason
        );
        let text = if expected { good(&text) } else { odd(&text) };
        match condition.message.as_str() {
            "" => text,
            message => format!("{text}: {message}"),
        }
    };
    Branch::new("conditions", all.map(leaf))
}

fn pod_text(pod: &PodLine) -> String {
    let role = match pod.role.as_deref() {
        Some("primary") => good("primary"),
        Some(role) => role.to_owned(),
        None => faint("no role yet"),
    };
    let node = pod.node.as_deref().unwrap_or("no node");
    let ip = pod.ip.as_deref().unwrap_or("no address");
    format!(
        "{}  {role}  {}  {node}  {ip}  {} restarts",
        pod.name, pod.phase, pod.restarts
    )
}

fn volume_text(volume: &VolumeLine) -> String {
    let size = volume.size.as_deref().unwrap_or("no size yet");
    let class = volume.class.as_deref().unwrap_or("no class");
    format!("{}  {}  {size}  {class}", volume.name, volume.phase)
}

fn policy_text(policy: &PolicyStatus) -> Vec<String> {
    let digest = policy.digest.as_deref().map_or("no module", short);
    let mut lines = vec![format!("{}  {}  {digest}", policy.decision, policy.source)];
    if let Some(error) = &policy.error {
        lines.push(format!("  {}", odd(error)));
    }
    if let Some(shadow) = &policy.shadow {
        let digest = shadow.digest.as_deref().map_or("no module", short);
        let message = shadow.message.as_deref().unwrap_or_default();
        lines.push(format!(
            "  in the shadow: {}  {digest}  {:?}  {message}",
            shadow.source, shadow.verdict
        ));
    }
    lines
}

fn tree(head: &str, branches: &[Branch]) -> String {
    let mut text = format!("{head}\n");
    let shown: Vec<_> = branches.iter().filter(|b| !b.leaves.is_empty()).collect();
    for (at, branch) in shown.iter().enumerate() {
        let last = at + 1 == shown.len();
        let (knot, line) = if last {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        text.push_str(&format!("{knot} {}\n", strong(branch.title)));
        for (at, leaf) in branch.leaves.iter().enumerate() {
            let knot = if at + 1 == branch.leaves.len() {
                "└─"
            } else {
                "├─"
            };
            text.push_str(&format!("{line} {knot} {leaf}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_has_a_line_for_each_leaf_and_none_for_an_empty_branch() {
        let branches = [
            Branch::new("pods", ["a-0".to_owned(), "a-1".to_owned()].into_iter()),
            Branch::new("volumes", std::iter::empty()),
            Branch::new("decided by", ["acl".to_owned()].into_iter()),
        ];
        let text = anstream::adapter::strip_str(&tree("a", &branches)).to_string();
        let expected = "a\n├─ pods\n│  ├─ a-0\n│  └─ a-1\n└─ decided by\n   └─ acl\n";
        assert_eq!(text, expected);
    }
}
