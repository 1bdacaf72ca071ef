//! Facts about single fields that somebody depends on.

use std::collections::BTreeMap;

use hera_api::meta::{ANNOTATION_ADOPT, ANNOTATION_TEMPORARY, MANAGED_BY};
use hera_core::cluster::SLOT_STATS;
use hera_render::versions::Catalog;
use hera_render::{
    AddressFamily, AppCredentials, CONFIG_KEY, ClaimFate, ClaimSize, Context, LiveStatefulSet,
    Owner, PodEndpoint, RECOVERY_KEY, build_app_secret, build_claim, build_claim_patch,
    build_client_service, build_config_map, build_disruption_budget, build_endpoint_slice,
    build_replicas_service, build_replicas_slice, build_stateful_set, claim_size, goes_with,
    is_lent, is_let_go, is_never_bound, is_temporary, pod_revision, pod_selector, selector_labels,
    server_config, template_revision,
};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, PodTemplateSpec};
use serde_json::{Value, json};

use crate::support::{CLUSTER, REPLICAS, context, sample, validated, validated_cluster};

fn claim(size: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {"name": "data-my-redis-0", "uid": "claim-uid"},
        "spec": {"resources": {"requests": {"storage": size}}},
    }))
    .unwrap()
}

/// The application Secret of the sample, as text.
fn app_secret(password: Option<&str>) -> BTreeMap<String, String> {
    let v = validated(&sample());
    let app = AppCredentials {
        username: "shop".into(),
        password: password.map(str::to_owned),
    };
    let secret = build_app_secret(&v, &context(&v), &app);
    let data = secret.data.unwrap().into_iter();
    data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap()))
        .collect()
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

#[test]
fn an_application_finds_what_it_binds_to_by_the_usual_names() {
    assert_eq!(
        app_secret(Some("p@ss")),
        texts([
            ("type", "redis"),
            ("username", "shop"),
            ("password", "p@ss"),
            ("host", "my-redis.shop.svc"),
            ("port", "6379"),
            ("uri", "redis://shop:p%40ss@my-redis.shop.svc:6379/0"),
        ])
    );
}

#[test]
fn an_application_whose_password_is_elsewhere_finds_all_but_that() {
    assert_eq!(
        app_secret(None),
        texts([
            ("type", "redis"),
            ("username", "shop"),
            ("host", "my-redis.shop.svc"),
            ("port", "6379"),
            ("uri", "redis://my-redis.shop.svc:6379/0"),
        ])
    );
}

#[test]
fn the_services_for_clients_have_no_selector() {
    let v = validated(&sample());
    let ctx = context(&v);
    for service in [
        build_client_service(&v, &ctx),
        build_replicas_service(&v, &ctx),
    ] {
        assert_eq!(service.spec.unwrap().selector, None);
    }
}

#[test]
fn the_same_replicas_make_the_same_slice_in_any_order() {
    let v = validated(REPLICAS);
    let ctx = context(&v);
    let owner = Owner::of(&v, &ctx);
    let pod = |ordinal: u32| PodEndpoint {
        ip: format!("10.0.0.{ordinal}").parse().unwrap(),
        pod: v.name.pods(None).pod(ordinal),
        pod_uid: format!("uid-{ordinal}"),
        node: None,
    };
    let slice = build_replicas_slice(&owner, AddressFamily::V4, &[pod(2), pod(1)]);
    let other = build_replicas_slice(&owner, AddressFamily::V4, &[pod(1), pod(2)]);
    assert_eq!(slice, other);
    assert_eq!(slice.endpoints.len(), 2);
    let labels = slice.metadata.labels.unwrap();
    assert_eq!(labels["kubernetes.io/service-name"], "my-redis-ha-replicas");
    assert!(
        build_replicas_slice(&owner, AddressFamily::V4, &[])
            .endpoints
            .is_empty()
    );
}

#[test]
fn a_drain_waits_for_pods_that_can_hand_over_and_never_for_one_that_is_alone() {
    let v = validated(REPLICAS);
    let budget = |replicas| {
        let ctx = Context {
            replicas,
            ..context(&v)
        };
        build_disruption_budget(&v, &ctx)
    };
    assert_eq!(budget(0), None);
    assert_eq!(budget(1), None);
    let alone = validated(&sample());
    let with_temporary = Context {
        replicas: 2,
        ..context(&alone)
    };
    assert_eq!(build_disruption_budget(&alone, &with_temporary), None);
    let spec = budget(2).unwrap().spec.unwrap();
    assert_eq!(
        spec.selector.unwrap().match_labels,
        Some(selector_labels(&v, None))
    );
}

#[test]
fn pods_are_selected_in_words_as_in_labels() {
    let v = validated(REPLICAS);
    let words = pod_selector(&v.name);
    let mut pairs: Vec<_> = words
        .split(',')
        .map(|p| p.split_once('=').unwrap())
        .collect();
    pairs.sort_unstable();
    let labels = selector_labels(&v, None);
    assert!(
        pairs
            .into_iter()
            .eq(labels.iter().map(|(k, v)| (k.as_str(), v.as_str())))
    );
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
    let patch = build_claim_patch(&v, &context(&v), &claim("2Gi"), ClaimFate::Stays).unwrap();
    assert_eq!(patch["spec"]["resources"]["requests"]["storage"], "2Gi");
}

#[test]
fn p13_a_claim_goes_with_its_object_only_where_the_spec_says_delete() {
    let keep = validated(&sample());
    let patch = build_claim_patch(&keep, &context(&keep), &claim("1Gi"), ClaimFate::Stays).unwrap();
    assert_eq!(patch["metadata"].get("ownerReferences"), None);
    assert_eq!(
        patch["metadata"]["uid"], "claim-uid",
        "the patch must not make a claim"
    );

    let go =
        validated(&sample().replace("enabled: true", "enabled: true\n    reclaimPolicy: Delete"));
    let patch = build_claim_patch(&go, &context(&go), &claim("1Gi"), ClaimFate::Stays).unwrap();
    assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "object-uid");
    assert_eq!(
        patch["metadata"]["ownerReferences"][0].get("controller"),
        None
    );
}

#[test]
fn a_claim_that_somebody_lends_is_owned_by_nobody_and_goes_with_no_pod() {
    let v =
        validated(&sample().replace("enabled: true", "enabled: true\n    reclaimPolicy: Delete"));
    let mut lent = claim("1Gi");
    lent.metadata.annotations = Some(BTreeMap::from([
        (ANNOTATION_ADOPT.to_owned(), "my-redis".to_owned()),
        (ANNOTATION_TEMPORARY.to_owned(), "true".to_owned()),
    ]));
    assert!(is_lent(&lent) && !is_temporary(&lent));
    let goes = ClaimFate::GoesWith {
        pod: "my-redis-1",
        uid: "pod-uid",
        gone: true,
    };
    for fate in [ClaimFate::Stays, goes] {
        let patch = build_claim_patch(&v, &context(&v), &lent, fate).unwrap();
        assert_eq!(patch["metadata"].get("ownerReferences"), None);
    }
}

#[test]
fn a_claim_in_advance_is_the_one_that_the_stateful_set_would_make() {
    let v = validated(&sample());
    let first = build_stateful_set(&v, &context(&v)).spec.unwrap();
    let template = first.volume_claim_templates.unwrap().remove(0);
    let made = build_claim(&v, &context(&v), 2, []).unwrap();
    assert_eq!(made.metadata.name.as_deref(), Some("data-my-redis-2"));
    assert_eq!(made.metadata.namespace.as_deref(), Some("shop"));
    assert_eq!(made.metadata.labels, template.metadata.labels);
    assert_eq!(made.metadata.owner_references, None);
    assert_eq!(made.spec, template.spec);

    // Of an older spec: the template cannot change, and the class is its.
    let changed = sample().replace("1Gi", "3Gi").replace("gp3", "gp4");
    let v = validated(&changed);
    let ctx = Context {
        live: Some(LiveStatefulSet {
            claim_templates: vec![template],
        }),
        ..context(&v)
    };
    let size = |claim: &PersistentVolumeClaim| {
        serde_json::to_value(claim).unwrap()["spec"]["resources"]["requests"]["storage"].clone()
    };
    let grown = build_claim(&v, &ctx, 1, []).unwrap();
    assert_eq!(size(&grown), "3Gi");
    assert_eq!(
        grown.spec.clone().unwrap().storage_class_name.as_deref(),
        Some("gp3")
    );
    let others = [claim("2Gi"), claim("5Gi")];
    assert_eq!(size(&build_claim(&v, &ctx, 1, &others).unwrap()), "5Gi");
}

#[test]
fn only_the_claim_of_a_temporary_pod_goes_with_its_pod() {
    let go =
        validated(&sample().replace("enabled: true", "enabled: true\n    reclaimPolicy: Delete"));
    let with = |gone| ClaimFate::GoesWith {
        pod: "my-redis-1",
        uid: "pod-uid",
        gone,
    };
    let owners = |claim: &PersistentVolumeClaim, fate| {
        let patch = build_claim_patch(&go, &context(&go), claim, fate).unwrap();
        let owner = patch["metadata"]["ownerReferences"][0]["uid"].clone();
        let note = patch["metadata"]["annotations"]["cache.hera.io/temporary"].clone();
        (owner, note)
    };
    let object = json!("object-uid");
    assert_eq!(
        owners(&claim("1Gi"), with(true)),
        (object.clone(), Value::Null)
    );
    let spare = |note: &str| {
        let mut metadata = build_claim(&go, &context(&go), 1, []).unwrap().metadata;
        metadata.uid = Some("claim-uid".into());
        let notes = metadata.annotations.as_mut().unwrap();
        notes.insert("cache.hera.io/temporary".into(), note.into());
        PersistentVolumeClaim {
            metadata,
            ..claim("1Gi")
        }
    };
    let noted = json!("pod-uid");
    assert_eq!(
        owners(&spare("true"), with(false)),
        (object.clone(), noted.clone())
    );
    assert_eq!(
        owners(&spare("pod-uid"), with(true)),
        (noted.clone(), noted)
    );
    assert_eq!(goes_with(&spare("pod-uid")), Some("pod-uid"));
    assert_eq!(goes_with(&spare("true")), None);
    let needed = (object.clone(), json!("true"));
    assert_eq!(owners(&spare("pod-uid"), ClaimFate::Needed), needed);
    // What stayed once stays for good.
    let stays = (object, json!("false"));
    assert_eq!(owners(&spare("true"), ClaimFate::Stays), stays);
    assert_eq!(owners(&spare("false"), with(true)), stays);
    let wanted = validated(REPLICAS);
    let stays = build_claim(&wanted, &context(&wanted), 1, []).unwrap();
    let new = stays.metadata.annotations.unwrap();
    let said = json!({"cache.hera.io/lineage": "new", "cache.hera.io/owner-uid": "object-uid"});
    assert_eq!(json!(new), said);
}

/// Whoever made it may be gone before it looks at it again.
#[test]
fn a_claim_in_advance_has_the_owner_that_it_gets_later() {
    let goes =
        validated(&sample().replace("enabled: true", "enabled: true\n    reclaimPolicy: Delete"));
    let stays = validated(&sample());
    let ctx = context(&goes);
    for ordinal in [0, 1] {
        let mut made = build_claim(&goes, &ctx, ordinal, []).unwrap();
        made.metadata.uid = Some("claim-uid".into());
        let patch = |v| build_claim_patch(v, &ctx, &made, ClaimFate::Needed).unwrap();
        let later = patch(&goes);
        let owners = json!(made.metadata.owner_references);
        assert_eq!(owners, later["metadata"]["ownerReferences"]);
        let uid = "cache.hera.io/owner-uid";
        assert_eq!(made.metadata.annotations.as_ref().unwrap()[uid], ctx.uid);
        assert!(!is_let_go(&ctx, &made, &later));
        assert!(is_let_go(&ctx, &made, &patch(&stays)));
        let kept = build_claim(&stays, &ctx, ordinal, []).unwrap();
        assert!(!is_let_go(&ctx, &kept, &patch(&stays)));
    }
}

#[test]
fn only_a_claim_of_ours_that_never_had_a_volume_holds_nothing() {
    let holds_nothing = |part: &str, field: &str, value: Value| {
        let mut claim = json!({
            "metadata": {"name": "data-my-redis-0", "annotations": {"cache.hera.io/owner-uid": "uid"}},
            "spec": {"storageClassName": "nowhere"}, "status": {"phase": "Pending"},
        });
        claim[part][field] = value;
        is_never_bound(&serde_json::from_value(claim).unwrap())
    };
    assert!(holds_nothing("spec", "volumeName", json!("")));
    let source = json!({"kind": "VolumeSnapshot", "name": "old"});
    for (part, field, value) in [
        ("spec", "volumeName", json!("pv")),
        ("status", "phase", json!("Bound")),
        ("status", "phase", json!("Lost")),
        ("status", "phase", Value::Null),
        ("spec", "dataSource", source.clone()),
        ("spec", "dataSourceRef", source),
        ("metadata", "annotations", Value::Null),
        (
            "metadata",
            "deletionTimestamp",
            json!("2026-01-01T00:00:00Z"),
        ),
    ] {
        assert!(
            !holds_nothing(part, field, value.clone()),
            "{field}: {value}"
        );
    }
}

#[test]
fn without_a_volume_there_is_no_claim() {
    let v = validated(include_str!("specs/memory-only.yaml"));
    assert_eq!(build_claim(&v, &context(&v), 1, []), None);
    let ctx = Context {
        live: Some(LiveStatefulSet::default()),
        ..context(&v)
    };
    assert_eq!(build_claim(&v, &ctx, 1, []), None);
}

#[test]
fn p26_pods_keep_apart_unless_the_spec_says_how_they_are_to_lie() {
    let spread = |manifest: &str| {
        let v = validated(manifest);
        let set = serde_json::to_value(build_stateful_set(&v, &context(&v))).unwrap();
        set["spec"]["template"]["spec"]["topologySpreadConstraints"].clone()
    };
    let keys = |spread: Value| {
        let constraints = spread.as_array().unwrap().clone();
        constraints
            .into_iter()
            .map(|constraint| {
                assert_eq!(constraint["whenUnsatisfiable"], "ScheduleAnyway");
                constraint["topologyKey"].as_str().unwrap().to_owned()
            })
            .collect::<Vec<_>>()
    };
    let both = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"];
    assert_eq!(keys(spread(REPLICAS)), both);
    assert_eq!(keys(spread(&sample())), both, "more may come");
    let with = |template: &str| {
        let replicas = format!("replicas: 3\n  podTemplate: {{spec: {template}}}");
        spread(&REPLICAS.replace("replicas: 3", &replicas))
    };
    for pool in [
        "{nodeSelector: {pool: cache}}",
        "{affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: \
         {nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: Exists}]}]}}}}",
        "{affinity: {}}",
    ] {
        assert_eq!(keys(with(pool)), both, "{pool}");
    }
    for own in [
        "{affinity: {podAntiAffinity: {}}}",
        "{affinity: {podAffinity: {}}}",
    ] {
        assert_eq!(with(own), Value::Null, "{own}");
    }
    assert_eq!(
        keys(spread(include_str!("specs/everything.yaml"))),
        ["topology.kubernetes.io/zone"]
    );
}

#[test]
fn agents_are_told_to_wait_for_a_backup_while_it_is_due_and_no_pod_differs_by_it() {
    let v = validated(&sample());
    let usual = context(&v);
    let due = Context {
        recovery_due: true,
        ..context(&v)
    };
    let told = |ctx: &Context| build_config_map(&v, ctx).unwrap().data.unwrap();
    assert_eq!(told(&usual).keys().collect::<Vec<_>>(), [CONFIG_KEY]);
    let data = told(&due);
    assert_eq!(data[RECOVERY_KEY], r#"{"uid":"object-uid"}"#);
    assert_eq!(data[CONFIG_KEY], told(&usual)[CONFIG_KEY]);
    assert_eq!(build_stateful_set(&v, &due), build_stateful_set(&v, &usual));
}

#[test]
fn a_pod_is_told_whether_it_is_alone_and_when_a_server_hangs() {
    let variable = |replicas, hang: &str, name: &str| {
        let failover = format!("replicas: 3\n  failover: {{hangAfter: {hang}}}");
        let v = validated(&REPLICAS.replace("replicas: 3", &failover));
        let ctx = Context {
            replicas,
            ..context(&v)
        };
        let set = serde_json::to_value(build_stateful_set(&v, &ctx)).unwrap();
        let all = set["spec"]["template"]["spec"]["containers"][0]["env"].clone();
        let found = all.as_array().unwrap().iter().find(|e| e["name"] == name);
        found.unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(variable(1, "10s", "HERA_LONE"), "true");
    assert_eq!(variable(2, "10s", "HERA_LONE"), "false");
    assert_eq!(variable(0, "10s", "HERA_LONE"), "false");
    for (hang, seconds) in [("10s", "10"), ("2m", "120"), ("2500ms", "3")] {
        assert_eq!(variable(3, hang, "HERA_HANG_SECONDS"), seconds);
    }
    assert_eq!(variable(3, "10s", "HERA_SCRIPT_SECONDS"), "60");
    let never = "10s, scriptAfter: 0s";
    assert_eq!(variable(3, never, "HERA_SCRIPT_SECONDS"), "0");
}

/// A primary that a script keeps busy is silent.
#[test]
fn replicas_bear_a_silence_that_is_longer_than_a_script_may_run() {
    let timeout = |failover: &str| {
        let manifest = REPLICAS.replace("replicas: 3", &format!("replicas: 3\n  {failover}"));
        server_config::directives(&validated(&manifest))["repl-timeout"].clone()
    };
    assert_eq!(timeout("paused: false"), "90");
    assert_eq!(timeout("failover: {scriptAfter: 5m}"), "330");
    assert_eq!(timeout("failover: {scriptAfter: 10s}"), "60");
    assert_eq!(timeout("failover: {scriptAfter: 0s}"), "60");
    assert_eq!(timeout("config: {repl-timeout: \"20\"}"), "20");
    let of_cluster = |manifest: &str| {
        server_config::directives(&validated_cluster(manifest))["repl-timeout"].clone()
    };
    assert_eq!(of_cluster(CLUSTER), "90");
    let set = CLUSTER.replace("spec:\n", "spec:\n  config: {repl-timeout: \"20\"}\n");
    assert_eq!(of_cluster(&set), "20");
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
    let since_7 = [
        "shutdown-timeout",
        "aof-timestamp-enabled",
        "replica-ignore-disk-write-errors",
    ];
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

/// It costs each command a little, and who goes by slots alone needs none of it.
#[test]
fn servers_count_what_slots_have_to_do_where_a_policy_may_go_by_it_and_they_know_how() {
    let of = |engine: &str, version: &str, policy: &str| {
        let spec = format!("engine: {engine}\n  {policy}\n  masters: 3");
        let manifest = CLUSTER.replace("7.2", version).replace("masters: 3", &spec);
        let all = server_config::directives(&validated_cluster(&manifest));
        all.get(SLOT_STATS).cloned()
    };
    let policy = "policies: {rebalance: {configMapRef: {name: slots}}}";
    for (engine, version, counts) in [
        ("redis", "8.0", None),
        ("redis", "8.2", Some("yes")),
        ("redis", "8.4", Some("yes")),
        ("redis", "8.6", Some("cpu")),
        ("redis", "8.10", Some("cpu")),
        ("valkey", "7.2", None),
        ("valkey", "8.0", Some("yes")),
        ("valkey", "9.1", Some("yes")),
    ] {
        let told = of(engine, version, policy);
        assert_eq!(told.as_deref(), counts, "{engine} {version}");
        // Without a reference the operator's default decides, which may go by it.
        let default = of(engine, version, "policies: {rebalance: {}}");
        assert_eq!(default.as_deref(), counts, "{engine} {version}");
        let none = of(engine, version, "policies: {}");
        assert_eq!(none, None, "{engine} {version}");
    }
}

#[test]
fn the_backlog_is_a_tenth_of_the_memory_within_bounds() {
    let backlog = |limit: &str| {
        let v = validated(&sample().replace("memory: \"512Mi\"", &format!("memory: {limit}")));
        server_config::directives(&v)["repl-backlog-size"]
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(backlog("256Mi"), 32 << 20, "an eighth of a small one");
    assert_eq!(backlog("512Mi"), 64 << 20);
    assert_eq!(backlog("1000Mi"), 100 << 20);
    assert_eq!(backlog("64Gi"), 512 << 20);
    let unlimited = validated(include_str!("specs/memory-only.yaml"));
    assert_eq!(
        server_config::directives(&unlimited)["repl-backlog-size"],
        (64 << 20).to_string()
    );
}

#[test]
fn the_backlog_of_one_pod_that_is_backed_up_is_small_until_there_are_replicas() {
    let backlog = |limit: &str, replicas: u32| {
        let spec = format!("spec:\n  replicas: {replicas}\n  backup: {{storeRef: {{name: s3}}}}\n");
        let sample = sample().replace("memory: \"512Mi\"", &format!("memory: {limit}"));
        let v = validated(&sample.replace("spec:\n", &spec));
        server_config::directives(&v)["repl-backlog-size"]
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(backlog("256Mi", 1), 8 << 20);
    assert_eq!(backlog("512Mi", 1), 16 << 20);
    assert_eq!(backlog("64Gi", 1), 64 << 20);
    assert_eq!(backlog("512Mi", 2), 64 << 20);
}

#[test]
fn what_a_write_must_have_reached_is_said_even_where_it_is_nothing() {
    let of = |manifest: &str| server_config::directives(&validated(manifest));
    assert_eq!(of(REPLICAS)["min-replicas-to-write"], "0");
    let durable = "replicas: 3\n  durability: {minReplicasToWrite: 2}";
    let all = of(&REPLICAS.replace("replicas: 3", durable));
    assert_eq!(all["min-replicas-to-write"], "2");
    assert_eq!(all["min-replicas-max-lag"], "10");
}

#[test]
fn another_default_asks_no_server_for_a_restart() {
    let v = validated(REPLICAS);
    assert!(server_config::build(&v, &context(&v)).from_spec.is_empty());
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
    let catalog = Catalog::parse("hera-catalog", &map.data.unwrap()).unwrap();
    let v = validated(&sample());
    assert_eq!(
        catalog.resolve(v.engine, v.version).map(|(image, _)| image),
        Ok("docker.io/library/redis:7.2")
    );
}

#[test]
fn on_the_way_back_a_pod_is_what_it_was_and_is_told_what_holds_today() {
    let former = validated(&sample());
    let before = build_stateful_set(&former, &context(&former));
    let changed = sample()
        .replace("version: \"7.2\"", "engine: valkey\n  version: \"8.1\"")
        .replace("memory: \"512Mi\"", "memory: \"2Gi\"")
        .replacen("spec:\n", "spec:\n  monitoring: {metrics: Disabled}\n", 1);
    let v = validated(&changed);
    let ctx = |template: Option<PodTemplateSpec>| Context {
        replicas: 3,
        agent_image: "registry.example/hera-operator:0.2.0".into(),
        rollback: template,
        ..context(&v)
    };
    let template = |set: StatefulSet| set.spec.unwrap().template;
    let forward = template(build_stateful_set(&v, &ctx(None)));
    let before = template(before);
    let back = template(build_stateful_set(&v, &ctx(Some(before.clone()))));
    let look = |template: &PodTemplateSpec| {
        let spec = template.spec.clone().unwrap();
        let server = spec.containers.into_iter().next().unwrap();
        let agent = spec.init_containers.unwrap().into_iter().next().unwrap();
        let told = |name: &str| {
            let mut env = server.env.iter().flatten();
            env.find(|v| v.name == name).and_then(|v| v.value.clone())
        };
        let revision = template_revision(template).map(str::to_owned);
        let was = (revision, server.image.clone(), told("HERA_ENGINE"));
        let resources = (server.resources.clone(), agent.resources.clone());
        let serves = told("HERA_SERVE_METRICS");
        let today = (agent.image.clone(), told("HERA_LONE"));
        ((was, (resources, serves)), today)
    };
    assert_eq!(look(&back).0, look(&before).0);
    assert_ne!(look(&back).0.0, look(&forward).0.0);
    assert_ne!(look(&back).0.1, look(&forward).0.1);
    assert_eq!(look(&back).1, look(&forward).1);
    assert_ne!(look(&back).1, look(&before).1);
    // The next pass takes what it finds in the live object.
    let again = template(build_stateful_set(&v, &ctx(Some(back.clone()))));
    assert_eq!(again, back);
    assert_eq!(
        pod_revision(&v, &ctx(Some(back.clone()))),
        pod_revision(&former, &context(&former))
    );
}
