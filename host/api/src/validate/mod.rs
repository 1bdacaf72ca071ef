//! From a raw spec to one in which everything is resolved.
//!
//! The API server has refused most of what is wrong here, but not all (a quantity's value, a size
//! of memory), and not on every version of Kubernetes: so every rule is checked again.

mod backup;
mod backup_plan;
mod config;
pub mod directives;
mod error;
mod labels;
mod memory;
pub(crate) mod messages;
mod monitoring;
mod persistence;
mod rebalance;
mod recovery;
mod replication;
mod users;

use std::collections::BTreeMap;

use crate::names::{NameError, ObjectName};
use crate::spec::{
    BackupSpec, CommonSpec, Metrics, NetworkPolicy, OnFailure, PodTemplate, PolicySource,
    Resources, Surge, UpdateMode,
};
use crate::{Engine, Kind, RedisClusterSpec, RedisInstanceSpec, ServerVersion};

pub use backup::{Log, log, validate_store};
pub use backup_plan::{BackupPlan, Schedule, backup_plan};
pub use error::{Invalid, InvalidSpec};
pub use memory::{Maxmemory, Memory, MemorySizeError, parse_memory_size};
pub use monitoring::PodMonitor;
pub use persistence::{Persistence, Volume};
pub use rebalance::Rebalance;
pub use recovery::{At, Origin, Recovery};
pub use replication::{Failover, fence_after_ms};
pub use users::{Auth, PasswordRotation, User};

use error::Problems;

/// The oldest servers that are run as a cluster.
const OLDEST_CLUSTER: (u16, u16) = (6, 2);

/// A spec in which everything is resolved and nothing contradicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    /// The object's name, good for every child's name.
    pub name: ObjectName,
    /// Shards of a cluster; none of an object that is none.
    pub shards: Option<u32>,
    /// The server.
    pub engine: Engine,
    /// Its version: what the spec says, or the tag of the image.
    pub version: ServerVersion,
    /// The image that the spec names; without one, the catalog's for the version.
    pub image: Option<String>,
    /// Names of the Secrets with which images are pulled.
    pub image_pull_secrets: Vec<String>,
    /// How many data pods there are to be, the primary included; in each shard, where there are shards.
    pub replicas: u32,
    /// When a primary that cannot be reached is given up.
    pub failover: Failover,
    /// Below how many replicas in sync the primary refuses writes; 0 for never.
    pub min_replicas_to_write: u32,
    /// Who says when the primary is replaced.
    pub update_mode: UpdateMode,
    /// Whether a temporary pod keeps redundancy up while others are replaced.
    pub surge: Surge,
    /// Milliseconds that a step may wait for an approval.
    pub max_wait_ms: u64,
    /// Milliseconds that a pod of a new revision may take until it is in sync.
    pub progress_deadline_ms: u64,
    /// What becomes of a roll that does not get on.
    pub on_failure: OnFailure,
    /// What the server's container asks for and may use.
    pub resources: Resources,
    /// What is known about memory.
    pub memory: Memory,
    /// Where the data is kept, and how.
    pub persistence: Persistence,
    /// The user's directives, checked; `maxmemory`, if there, is also in [`Memory`].
    pub config: BTreeMap<String, String>,
    /// The application user.
    pub auth: Auth,
    /// Further users, in the order of the spec.
    pub users: Vec<User>,
    /// The user's policy for rights.
    pub acl_policy: Option<PolicySource>,
    /// How slots move between shards; none of an object that has none.
    pub rebalance: Option<Rebalance>,
    /// The user's policy for that.
    pub rebalance_policy: Option<PolicySource>,
    /// Where the pods run and what they carry.
    pub pod: PodTemplate,
    /// Whether there is a NetworkPolicy for them.
    pub network_policy: NetworkPolicy,
    /// Whether they serve metrics.
    pub metrics: Metrics,
    /// The PodMonitor that leads to these, if one is wanted.
    pub pod_monitor: Option<PodMonitor>,
    /// Where backups go, and which copy they are read from; none can be made without.
    pub backup: Option<BackupSpec>,
    /// The user's policy for when they are made, and which ones stay.
    pub backup_policy: Option<PolicySource>,
    /// The data that the object begins with; of one that began, what it was to be.
    pub recovery: Option<Recovery>,
    /// Changes of the spec wait.
    pub paused: bool,
}

/// Checks a spec and resolves it.
///
/// # Errors
///
/// Everything that is wrong, each with its field and what to do.
pub fn validate(name: &str, spec: &RedisInstanceSpec) -> Result<Validated, InvalidSpec> {
    let mut problems = Problems::default();
    let replication = replication::of_instance(spec, &mut problems);
    if spec.common.policies.rebalance.is_some() {
        problems.add("spec.policies.rebalance", messages::REBALANCE_OF_INSTANCE);
    }
    let backup = backup_plan::of_instance(spec, &mut problems);
    let recovery = recovery::of_instance(spec, &mut problems);
    let name = ObjectName::new(Kind::RedisInstance, name);
    let validated = resolve(name, &spec.common, None, replication, problems)?;
    Ok(Validated {
        backup,
        recovery,
        ..validated
    })
}

/// Checks the spec of a cluster and resolves it.
///
/// # Errors
///
/// Everything that is wrong, each with its field and what to do.
pub fn validate_cluster(name: &str, spec: &RedisClusterSpec) -> Result<Validated, InvalidSpec> {
    let mut problems = Problems::default();
    let shards = Shards {
        count: replication::shards(spec, &mut problems),
        rebalance: rebalance::resolve(spec, &mut problems),
    };
    let replication = replication::of_cluster(spec, &mut problems);
    if spec.common.policies.backup.is_some() {
        problems.add("spec.policies.backup", messages::BACKUP_OF_CLUSTER);
    }
    let name = ObjectName::new(Kind::RedisCluster, name);
    let validated = resolve(name, &spec.common, Some(shards), replication, problems)?;
    if validated.version.branch() < OLDEST_CLUSTER {
        let problem = Invalid::new("spec.version", messages::CLUSTER_VERSION);
        return Err(InvalidSpec(vec![problem]));
    }
    Ok(validated)
}

/// What only a cluster has.
struct Shards {
    count: u32,
    rebalance: Rebalance,
}

fn resolve(
    name: Result<ObjectName, NameError>,
    spec: &CommonSpec,
    shards: Option<Shards>,
    replication: replication::Replication,
    mut problems: Problems,
) -> Result<Validated, InvalidSpec> {
    let name = problems.take("metadata.name", name);
    let version = server_version(spec, &mut problems);
    let persistence = persistence::resolve(&spec.persistence, &mut problems);
    let config = config::check(&spec.config, &mut problems);
    // A temporary pod copies the data as well.
    let forks = persistence.is_on() || replication.replicas > 1 || replication.surge == Surge::Auto;
    let memory = memory::resolve(&spec.resources, forks, &config, &mut problems);
    let auth = users::app(name.as_ref(), spec, &mut problems);
    let users = users::resolve(name.as_ref(), spec, &mut problems);
    check_policy(spec, &mut problems);
    check_pod(&spec.pod_template, &mut problems);
    let pod_monitor = monitoring::pod_monitor(&spec.monitoring, &mut problems);
    let rebalance = shards.as_ref().map(|shards| shards.rebalance);
    let shards = shards.map(|shards| shards.count);
    let value = name.zip(version).map(|(name, version)| Validated {
        name,
        shards,
        engine: spec.engine,
        version,
        image: spec.image.clone(),
        image_pull_secrets: spec
            .image_pull_secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect(),
        replicas: replication.replicas,
        failover: replication.failover,
        min_replicas_to_write: replication.min_replicas_to_write,
        update_mode: replication.update_mode,
        surge: replication.surge,
        max_wait_ms: replication.max_wait_ms,
        progress_deadline_ms: replication.progress_deadline_ms,
        on_failure: replication.on_failure,
        resources: spec.resources.clone(),
        memory,
        persistence,
        config,
        auth,
        users,
        acl_policy: spec.policies.acl.clone(),
        rebalance,
        rebalance_policy: spec.policies.rebalance.clone(),
        pod: spec.pod_template.clone(),
        network_policy: spec.network_policy,
        metrics: spec.monitoring.metrics,
        pod_monitor,
        backup: None,
        backup_policy: spec.policies.backup.clone(),
        recovery: None,
        paused: spec.paused,
    });
    problems.finish(value)
}

fn server_version(spec: &CommonSpec, problems: &mut Problems) -> Option<ServerVersion> {
    match (&spec.version, &spec.image) {
        (Some(version), _) => problems.take("spec.version", version.parse()),
        (None, Some(image)) => {
            let found = version_of_tag(image);
            if found.is_none() {
                problems.add(
                    "spec.version",
                    format!("set it: the tag of image {image} does not begin with a version"),
                );
            }
            found
        }
        (None, None) => {
            problems.add("spec.version", messages::VERSION_OR_IMAGE);
            None
        }
    }
}

/// The version with which an image's tag begins: `7.2.4` of `registry:5000/redis:7.2.4-alpine`.
fn version_of_tag(image: &str) -> Option<ServerVersion> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let last = name.rsplit('/').next()?;
    let (_, tag) = last.split_once(':')?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    tag.split(['-', '_', '+']).next()?.parse().ok()
}

fn check_policy(spec: &CommonSpec, problems: &mut Problems) {
    for (decision, source) in spec.policies.by_decision() {
        let shadow = source.shadow.iter().map(|shadow| &shadow.settings);
        let all = [&source.settings].into_iter().chain(shadow);
        for (of, settings) in ["", "shadow."].into_iter().zip(all) {
            if let Err(excess) = settings.json() {
                problems.add(format!("spec.policies.{decision}.{of}settings"), excess);
            }
        }
    }
}

/// What Kubernetes would refuse only when the StatefulSet is written.
fn check_pod(pod: &PodTemplate, problems: &mut Problems) {
    let of_pods = ("spec.podTemplate.metadata.labels", &pod.metadata.labels);
    let selector = (
        "spec.podTemplate.spec.nodeSelector",
        &pod.spec.node_selector,
    );
    let annotations = (
        "spec.podTemplate.metadata.annotations",
        &pod.metadata.annotations,
    );
    for (field, map) in [of_pods, annotations, selector] {
        labels::check_keys(field, map, problems);
    }
    for (field, map) in [of_pods, selector] {
        labels::check_values(field, map, problems);
    }
}

#[cfg(test)]
mod tests;
