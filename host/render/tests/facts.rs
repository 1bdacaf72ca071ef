//! Facts about single fields that somebody depends on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should say where"
)]

mod support;

use hera_api::meta::MANAGED_BY;
use hera_render::versions::Catalog;
use hera_render::{
    AddressFamily, ClaimSize, Owner, build_claim_patch, build_client_service, build_endpoint_slice,
    build_stateful_set, claim_size, server_config,
};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use serde_json::{Value, json};

use support::{context, sample, validated};

fn claim(size: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": "data-my-redis-0", "uid": "claim-uid"},
        "spec": {"resources": {"requests": {"storage": size}}},
    }))
    .unwrap()
}

#[test]
fn the_service_for_clients_has_no_selector() {
    let v = validated(&sample());
    let service = serde_json::to_value(build_client_service(&v, &context(&v))).unwrap();
    assert_eq!(service["spec"].get("selector"), None);
}

#[test]
fn without_a_primary_clients_are_sent_nowhere() {
    let v = validated(&sample());
    let slice = build_endpoint_slice(&Owner::of(&v, &context(&v)), AddressFamily::V6, None);
    assert!(slice.endpoints.is_empty());
    assert_eq!(slice.address_type, "IPv6");
    let labels = slice.metadata.labels.unwrap();
    assert_eq!(labels["kubernetes.io/service-name"], "my-redis");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], MANAGED_BY);
}

#[test]
fn a_claim_grows_and_never_shrinks() {
    let v = validated(&sample());
    assert_eq!(claim_size(&v, &claim("1Gi")), ClaimSize::Same);
    assert_eq!(claim_size(&v, &claim("1024Mi")), ClaimSize::Same);
    assert_eq!(claim_size(&v, &claim("512Mi")), ClaimSize::Grow(1 << 30));
    assert_eq!(
        claim_size(&v, &claim("2Gi")),
        ClaimSize::Shrink {
            claim: 2 << 30,
            spec: 1 << 30
        }
    );
    let patch = build_claim_patch(&v, &context(&v), &claim("2Gi")).unwrap();
    assert_eq!(patch["spec"]["resources"]["requests"]["storage"], "2Gi");
}

#[test]
fn a_claim_goes_with_its_object_only_where_the_spec_says_delete() {
    let keep = validated(&sample());
    let patch = build_claim_patch(&keep, &context(&keep), &claim("1Gi")).unwrap();
    assert_eq!(patch["metadata"].get("ownerReferences"), None);
    assert_eq!(
        patch["metadata"]["uid"], "claim-uid",
        "the patch must not make a claim"
    );

    let go =
        validated(&sample().replace("enabled: true", "enabled: true\n    reclaimPolicy: Delete"));
    let patch = build_claim_patch(&go, &context(&go), &claim("1Gi")).unwrap();
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "object-uid");
    assert_eq!(
        patch["metadata"]["ownerReferences"][0].get("controller"),
        None
    );
}

#[test]
fn the_pod_is_of_the_restricted_kind() {
    let v = validated(&sample());
    let set = serde_json::to_value(build_stateful_set(&v, &context(&v))).unwrap();
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    for containers in ["containers", "initContainers"] {
        for container in pod[containers].as_array().unwrap() {
            assert_eq!(
                container["securityContext"],
                json!({
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                }),
                "{}",
                container["name"]
            );
        }
    }
}

#[test]
fn no_probe_gives_up_on_a_server_that_loads() {
    let v = validated(&sample());
    let set = serde_json::to_value(build_stateful_set(&v, &context(&v))).unwrap();
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    let seconds = |probe: &str| {
        let number = |field: &str| container[probe][field].as_i64().unwrap();
        number("periodSeconds") * number("failureThreshold")
    };
    assert!(seconds("startupProbe") >= 3600);
    assert!(seconds("livenessProbe") >= 50);
}

#[test]
fn the_operators_labels_win_over_the_users() {
    let v = validated(include_str!("specs/everything.yaml"));
    let set = serde_json::to_value(build_stateful_set(&v, &context(&v))).unwrap();
    let metadata: &Value = &set["spec"]["template"]["metadata"];
    assert_eq!(
        metadata["labels"]["app.kubernetes.io/name"],
        "redis-instance"
    );
    assert_eq!(metadata["labels"]["team"], "orders");
    assert_ne!(
        metadata["annotations"]["cache.hera.io/revision"],
        "not-ours-to-take"
    );
}

#[test]
fn a_server_gets_only_directives_that_its_version_knows() {
    let since_7 = ["shutdown-timeout", "aof-timestamp-enabled"];
    let of =
        |version: &str| server_config::directives(&validated(&sample().replace("7.2", version)));
    assert!(
        since_7
            .iter()
            .all(|directive| !of("6.2").contains_key(*directive))
    );
    assert!(
        since_7
            .iter()
            .all(|directive| of("7.0").contains_key(*directive))
    );
}

#[test]
fn the_users_directives_win_over_the_defaults() {
    let all = server_config::directives(&validated(include_str!("specs/everything.yaml")));
    assert_eq!(all["maxmemory"], "512mb");
    assert_eq!(all["repl-backlog-size"], "16mb");
    assert_eq!(all["notify-keyspace-events"], "\"\"");
    assert_eq!(all["save"], "900 1 60 1000");
    assert_eq!(all["appendonly"], "no");
}

#[test]
fn without_snapshots_the_servers_own_save_points_are_off() {
    assert_eq!(
        server_config::directives(&validated(&sample()))["save"],
        "\"\""
    );
}

#[test]
fn the_catalog_that_is_shipped_has_an_image_for_the_sample() {
    let map: ConfigMap =
        serde_saphyr::from_str(include_str!("../../../deploy/manager/20-catalog.yaml")).unwrap();
    let catalog = Catalog::parse(&map.data.unwrap()).unwrap();
    let v = validated(&sample());
    assert_eq!(
        catalog.resolve(v.engine, v.version).map(|(image, _)| image),
        Ok("docker.io/library/redis:7.2")
    );
}
