//! Rendered objects, byte for byte: whoever changes one sees what changes for users.
//!
//! `HERA_BLESS=1 cargo test -p hera-render` writes them anew; never in CI.

use std::fs;
use std::path::Path;

use hera_api::validate::Validated;
use hera_core::acl::{AclSet, AclUser};
use hera_render::{
    AddressFamily, AppCredentials, ClaimFate, Context, Owner, PodEndpoint, SystemPasswords,
    TlsFiles, build_acl_secret, build_app_secret, build_claim, build_claim_patch,
    build_client_service, build_config_map, build_disruption_budget, build_endpoint_slice,
    build_headless_service, build_network_policy, build_replicas_service, build_replicas_slice,
    build_stateful_set, build_system_secret, build_tls_secret,
};
use serde_json::Value;

use crate::support::{
    CLUSTER, REPLICAS, context, control_sources, sample, validated, validated_cluster,
};

#[test]
fn the_sample_is_rendered_as_before() {
    compare("sample", &sample());
}

#[test]
fn an_instance_without_a_volume_is_rendered_as_before() {
    compare("memory-only", include_str!("specs/memory-only.yaml"));
}

#[test]
fn an_instance_with_every_field_is_rendered_as_before() {
    compare("everything", include_str!("specs/everything.yaml"));
}

#[test]
fn an_instance_with_replicas_is_rendered_as_before() {
    compare("replicas", REPLICAS);
}

#[test]
fn the_sample_of_a_cluster_is_rendered_as_before() {
    let v = validated_cluster(CLUSTER);
    let ctx = context(&v);
    let shard = Context {
        shard: Some(2),
        ..context(&v)
    };
    let mut objects = common(&v, &ctx);
    objects.push(value(&build_stateful_set(&v, &shard)));
    objects.extend(build_disruption_budget(&v, &shard).map(|budget| value(&budget)));
    objects.extend(build_claim(&v, &shard, 0, []).map(|claim| value(&claim)));
    compare_with("cluster", &documents(&objects));
}

fn compare(name: &str, spec: &str) {
    compare_with(name, &render(spec));
}

fn compare_with(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.yaml"));
    if std::env::var_os("HERA_BLESS").is_some() {
        assert!(
            std::env::var_os("CI").is_none(),
            "golden files are not accepted in CI"
        );
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (got, want))) = text
        .lines()
        .zip(golden.lines())
        .enumerate()
        .find(|(_, (a, b))| a != b)
    {
        panic!(
            "{}:{}\n  was {want:?}\n  is  {got:?}\nHERA_BLESS=1 accepts it",
            path.display(),
            line + 1
        );
    }
    assert_eq!(
        text.len(),
        golden.len(),
        "{} is shorter or longer than before",
        path.display()
    );
}

/// What all pods of an object share.
fn common(v: &Validated, ctx: &Context) -> Vec<Value> {
    let app = AppCredentials {
        username: "app".into(),
        password: v.auth.password.is_none().then(|| "pass word".into()),
    };
    let tls = TlsFiles {
        certificate: "CERT".into(),
        key: "KEY".into(),
        authority: "CA".into(),
    };
    let users = AclSet {
        owner: ctx.uid.clone(),
        revision: 3,
        app: "app".to_owned(),
        users: vec![AclUser {
            name: "app".into(),
            password_sha256: vec!["ab".into()],
            rules: vec!["+@read".into()],
        }],
        undecided: Default::default(),
    };
    let system = SystemPasswords {
        replication: "replication password".into(),
        rotation: None,
        replication_rotation: None,
    };
    let mut objects = vec![
        value(&build_system_secret(v, ctx, &system)),
        value(&build_tls_secret(&Owner::of(v, ctx), &tls)),
        value(&build_app_secret(v, ctx, &app)),
        value(&build_acl_secret(v, ctx, &users).unwrap()),
        value(&build_config_map(v, ctx).unwrap()),
        value(&build_headless_service(v, ctx)),
        value(&build_client_service(v, ctx)),
    ];
    objects.extend(build_network_policy(v, ctx, &control_sources()).map(|policy| value(&policy)));
    objects
}

fn render(spec: &str) -> String {
    let v = validated(spec);
    let ctx = context(&v);
    let owner = Owner::of(&v, &ctx);
    let mut pods: Vec<_> = (0..v.replicas).map(|ordinal| pod(&v, ordinal)).collect();
    let primary = pods.remove(0);
    let mut objects = common(&v, &ctx);
    objects.extend([
        value(&build_endpoint_slice(
            &owner,
            AddressFamily::V4,
            Some(&primary),
        )),
        value(&build_replicas_service(&v, &ctx)),
        value(&build_replicas_slice(&owner, AddressFamily::V4, &pods)),
        value(&build_stateful_set(&v, &ctx)),
    ]);
    objects.extend(build_disruption_budget(&v, &ctx).map(|budget| value(&budget)));
    objects.extend(claim_patch(&v, &ctx));
    objects.extend(build_claim(&v, &ctx, v.replicas, []).map(|claim| value(&claim)));
    documents(&objects)
}

fn documents(objects: &[Value]) -> String {
    let documents: Vec<_> = objects
        .iter()
        .map(|object| serde_saphyr::to_string(object).unwrap())
        .collect();
    documents.join("---\n")
}

fn pod(v: &Validated, ordinal: u32) -> PodEndpoint {
    PodEndpoint {
        ip: format!("10.244.1.{}", 7 + ordinal).parse().unwrap(),
        pod: v.name.pods(None).pod(ordinal),
        pod_uid: format!("pod-uid-{ordinal}"),
        node: Some(format!("node-{}", ordinal + 1)),
    }
}

/// The patch for a claim as the StatefulSet made it, half the size.
fn claim_patch(v: &Validated, ctx: &Context) -> Option<Value> {
    let claim = serde_json::from_value(serde_json::json!({
        "metadata": {"name": v.name.pods(None).claim(0), "namespace": ctx.namespace, "uid": "claim-uid"},
        "spec": {"resources": {"requests": {"storage": "512Mi"}}},
    }));
    build_claim_patch(v, ctx, &claim.unwrap(), ClaimFate::Stays)
}

fn value(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}
