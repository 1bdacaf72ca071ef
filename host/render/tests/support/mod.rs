#![allow(dead_code, reason = "each test file uses its part")]

use hera_api::validate::{Validated, validate, validate_cluster};
use hera_api::{RedisCluster, RedisInstance};
use hera_render::{Context, ControlSources};

/// The user's own sample manifest.
pub fn sample() -> String {
    include_str!("../../../../deploy/samples/cache_v1alpha1_redisinstance.yaml").to_owned()
}

/// The sample with replicas.
pub const REPLICAS: &str =
    include_str!("../../../../deploy/samples/cache_v1alpha1_redisinstance_replicas.yaml");

/// The user's own sample of a cluster.
pub const CLUSTER: &str =
    include_str!("../../../../deploy/samples/cache_v1alpha1_rediscluster.yaml");

/// A manifest of a cluster, checked. It must be good.
pub fn validated_cluster(manifest: &str) -> Validated {
    let object: RedisCluster = serde_saphyr::from_str(manifest).unwrap();
    validate_cluster(object.metadata.name.as_deref().unwrap(), &object.spec).unwrap()
}

/// A manifest, checked. It must be good.
pub fn validated(manifest: &str) -> Validated {
    let object: RedisInstance = serde_saphyr::from_str(manifest).unwrap();
    validate(object.metadata.name.as_deref().unwrap(), &object.spec).unwrap()
}

/// What the operator knows beside the spec.
pub fn context(v: &Validated) -> Context {
    Context {
        namespace: "shop".into(),
        uid: "object-uid".into(),
        generation: 7,
        replicas: v.replicas,
        image: v
            .image
            .clone()
            .unwrap_or_else(|| format!("registry.example/{}:{}", v.engine, v.version)),
        shard: None,
        recovery_due: false,
        restart: None,
        rollback: None,
        agent_image: "registry.example/hera-operator:0.1.0".into(),
        live: None,
    }
}

/// An operator in a pod of its namespace.
pub fn control_sources() -> ControlSources {
    ControlSources {
        namespace: "hera-system".into(),
        ranges: Vec::new(),
    }
}
