use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::spec::{MAX_SETTINGS, Preset, RebalanceMode};

fn spec(mut fields: Value) -> RedisInstanceSpec {
    let map = fields.as_object_mut().unwrap();
    if !map.contains_key("image") {
        map.entry("version").or_insert_with(|| json!("7.2"));
    }
    serde_json::from_value(fields).unwrap()
}

fn good(fields: Value) -> Validated {
    validate("cache", &spec(fields)).unwrap()
}

/// Fields with a problem.
fn bad(fields: Value) -> Vec<String> {
    let error = validate("cache", &spec(fields)).unwrap_err();
    error.0.into_iter().map(|problem| problem.field).collect()
}

#[test]
fn the_shortest_spec_keeps_its_data_and_has_no_maxmemory() {
    let v = good(json!({}));
    assert_eq!(v.engine, Engine::Redis);
    assert_eq!(v.version.to_string(), "7.2");
    assert_eq!(v.persistence.aof, Some(crate::Fsync::EverySecond));
    assert_eq!(v.persistence.save, "");
    assert_eq!(
        v.persistence.volume.as_ref().map(|volume| volume.bytes),
        Some(1 << 30)
    );
    assert_eq!(v.memory.limit, None);
    assert_eq!(v.memory.maxmemory, Maxmemory::Unset);
}

#[test]
fn a_spec_as_the_api_server_stores_it_is_the_same_as_the_users() {
    let stored = json!({
        "engine": "redis", "networkPolicy": "Enabled", "paused": false, "replicas": 1,
        "persistence": {"enabled": true, "reclaimPolicy": "Retain", "size": "1Gi"},
        "auth": {"username": "app", "preset": "ReadWrite", "keys": ["*"], "channels": ["*"], "defaultUser": false},
        "durability": {"minReplicasToWrite": 0},
        "failover": {"fenceAfter": "15s", "hangAfter": "10s", "scriptAfter": "60s"},
        "updateStrategy": {"mode": "Unsupervised", "surge": "Auto", "maxWait": "168h",
            "progressDeadline": "10m", "onFailure": "Stop"},
    });
    assert_eq!(good(stored), good(json!({})));
}

#[test]
fn what_a_spec_leaves_out_is_left_out_again_when_it_is_written() {
    let written = serde_json::to_value(spec(json!({}))).unwrap();
    let persistence = json!({"enabled": true, "reclaimPolicy": "Retain", "size": "1Gi"});
    assert_eq!(
        written,
        json!({
            "engine": "redis", "networkPolicy": "Enabled", "paused": false, "persistence": persistence,
            "replicas": 1, "version": "7.2",
        })
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let wrong = json!({
        "version": "seven",
        "config": {"slaveof": "x", "hz": "1\nuser x on"},
        "users": [{"name": "hera-x", "preset": "Admin", "keys": [], "passwordSecretRef": {"name": "s"}}],
    });
    assert_eq!(
        bad(wrong),
        [
            "spec.version",
            "spec.config.hz",
            "spec.config.slaveof",
            "spec.users[0].name"
        ]
    );
}

#[test]
fn the_version_of_an_image_is_its_tag_unless_the_spec_says_it() {
    for (image, version) in [
        ("redis:7.2.4", "7.2.4"),
        ("registry:5000/team/redis:7.2-alpine", "7.2"),
        ("redis:v8.0", "8.0"),
        ("redis:7.2@sha256:0123", "7.2"),
    ] {
        assert_eq!(
            good(json!({"image": image})).version.to_string(),
            version,
            "{image}"
        );
    }
    for image in [
        "redis",
        "registry:5000/redis",
        "redis:latest",
        "redis@sha256:0123",
    ] {
        assert_eq!(bad(json!({"image": image})), ["spec.version"], "{image}");
        let v = good(json!({"image": image, "version": "8.1"}));
        assert_eq!(
            (v.version.to_string().as_str(), v.image.as_deref()),
            ("8.1", Some(image))
        );
    }
}

#[test]
fn maxmemory_leaves_room_for_a_fork_where_there_is_one() {
    let limits = json!({"limits": {"memory": "1000M"}});
    let with = good(json!({"resources": limits}));
    assert_eq!(with.memory.maxmemory, Maxmemory::Derived(700_000_000));
    let maxmemory = |replicas: u32, surge: &str| {
        let strategy = json!({"surge": surge});
        let volatile = json!({"resources": limits, "persistence": {"enabled": false}, "replicas": replicas,
            "updateStrategy": strategy});
        good(volatile).memory.maxmemory
    };
    assert_eq!(maxmemory(1, "Never"), Maxmemory::Derived(800_000_000));
    assert_eq!(maxmemory(2, "Never"), Maxmemory::Derived(700_000_000));
    // A temporary replica copies the data.
    assert_eq!(maxmemory(1, "Auto"), Maxmemory::Derived(700_000_000));
}

#[test]
fn a_limit_that_the_containers_have_counts_as_one_of_the_spec() {
    let gib = Some(1 << 30);
    let within = |spec| good(spec).memory.within(gib);
    let of_spec = good(json!({"resources": {"limits": {"memory": "1Gi"}}})).memory;
    assert_eq!(within(json!({})), of_spec);
    assert_eq!(
        good(json!({})).memory.within(None).maxmemory,
        Maxmemory::Unset
    );
    // What the spec says wins.
    let own = json!({"resources": {"limits": {"memory": "2Gi"}}});
    assert_eq!(within(own.clone()), good(own).memory);
    let configured = within(json!({"config": {"maxmemory": "100mb"}}));
    assert_eq!(configured.maxmemory, Maxmemory::Configured(100 << 20));
    let unbounded = within(json!({"config": {"maxmemory": "0"}}));
    assert_eq!(
        (unbounded.maxmemory, unbounded.limit),
        (Maxmemory::Unset, gib)
    );
}

#[test]
fn a_maxmemory_of_the_users_wins_but_must_fit() {
    let with = |maxmemory: &str| json!({"resources": {"limits": {"memory": "1Gi"}}, "config": {"maxmemory": maxmemory}});
    assert_eq!(
        good(with("900mb")).memory.maxmemory,
        Maxmemory::Configured(900 << 20)
    );
    assert_eq!(good(with("0")).memory.maxmemory, Maxmemory::Unset);
    assert_eq!(bad(with("1gb")), ["spec.config.maxmemory"]);
    assert_eq!(bad(with("lots")), ["spec.config.maxmemory"]);
    assert_eq!(
        good(json!({"config": {"maxmemory": "1g"}}))
            .memory
            .maxmemory
            .bytes(),
        Some(1_000_000_000)
    );
}

#[test]
fn a_server_that_could_not_start_is_refused() {
    let limits = |limit: &str| json!({"resources": {"limits": {"memory": limit}}});
    assert_eq!(bad(limits("8Mi")), ["spec.resources.limits.memory"]);
    assert_eq!(
        bad(json!({"persistence": {"size": "1Mi"}})),
        ["spec.persistence.size"]
    );
}

#[test]
fn a_request_above_its_limit_is_refused_as_the_pod_would_be() {
    let resources = json!({"requests": {"memory": "2Gi", "cpu": "1"}, "limits": {"memory": "1Gi", "cpu": "1000m"}});
    assert_eq!(
        bad(json!({"resources": resources})),
        ["spec.resources.requests.memory"]
    );
}

#[test]
fn snapshots_are_on_where_the_append_only_file_is_off() {
    let persistence =
        |aof: bool, rdb: Value| json!({"persistence": {"aof": {"enabled": aof}, "rdb": rdb}});
    let off = good(json!({"persistence": {"aof": {"enabled": false}}})).persistence;
    assert_eq!(
        (off.aof, off.save.as_str()),
        (None, "3600 1 300 100 60 10000")
    );
    assert_eq!(
        good(persistence(true, json!({"save": "60 1"})))
            .persistence
            .save,
        "60 1"
    );
    assert_eq!(
        bad(persistence(false, json!({"save": ""}))),
        ["spec.persistence"]
    );
    for save in ["60", "a b", "60 1 ", " ", "0 1", "-1 1", "60  1"] {
        assert_eq!(
            bad(persistence(true, json!({"save": save}))),
            ["spec.persistence.rdb.save"],
            "{save:?}"
        );
    }
}

#[test]
fn without_a_volume_nothing_is_written() {
    let v = good(json!({"persistence": {"enabled": false}}));
    assert_eq!(
        v.persistence,
        Persistence {
            volume: None,
            aof: None,
            save: String::new()
        }
    );
    assert_eq!(
        bad(json!({"persistence": {"enabled": false, "aof": {}}})),
        ["spec.persistence"]
    );
}

#[test]
fn users_are_told_apart_from_each_other_and_from_the_operators() {
    let user = |name: &str| json!({"name": name, "preset": "ReadOnly", "keys": ["*"], "passwordSecretRef": {"name": "s"}});
    assert_eq!(
        good(json!({"users": [user("a"), user("b.c-d_1")]}))
            .users
            .len(),
        2
    );
    assert_eq!(
        bad(json!({"users": [user("a"), user("a")]})),
        ["spec.users[1].name"]
    );
    for name in ["default", "hera-operator", "app", "", "a b", "-a", "é"] {
        assert_eq!(
            bad(json!({"users": [user(name)]})),
            ["spec.users[0].name"],
            "{name:?}"
        );
    }
    assert_eq!(
        good(json!({"users": [user("app")], "auth": {"username": "shop"}})).users[0].name,
        "app"
    );
    assert_eq!(
        bad(json!({"users": [user("shop")], "auth": {"username": "shop"}})),
        ["spec.users[0].name"]
    );
}

#[test]
fn the_application_users_name_is_no_other_users() {
    let v = good(json!({"auth": {"username": "shop", "passwordSecretRef": {"name": "login"}}}));
    assert_eq!(v.auth.username, "shop");
    assert_eq!(v.auth.password.unwrap().key, "password");
    for name in ["default", "hera-agent", "", "a b", "x\ny"] {
        assert_eq!(
            bad(json!({"auth": {"username": name}})),
            ["spec.auth.username"],
            "{name:?}"
        );
    }
}

#[test]
fn the_application_user_has_rights_as_any_other() {
    let usual = good(json!({})).auth.rights;
    assert_eq!(usual.preset, Preset::ReadWrite);
    assert_eq!((usual.keys, usual.channels), (all(), all()));
    assert_eq!(usual.rules, Vec::<String>::new());

    let asked =
        json!({"preset": "Owner", "keys": ["app:*"], "channels": [], "rules": ["-flushall"]});
    let rights = good(json!({"auth": asked})).auth.rights;
    assert_eq!(rights.preset, Preset::Owner);
    assert_eq!(rights.keys, ["app:*"]);
    assert_eq!(rights.channels, Vec::<String>::new());
    assert_eq!(rights.rules, ["-flushall"]);

    let wrong = json!({"keys": ["a b"], "channels": [""], "rules": ["nopass"]});
    assert_eq!(
        bad(json!({"auth": wrong})),
        [
            "spec.auth.keys[0]",
            "spec.auth.channels[0]",
            "spec.auth.rules[0]"
        ]
    );
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

#[test]
fn who_copies_all_data_is_limited_to_no_keys() {
    let copies = |keys: Value| json!({"name": "copy", "preset": "Replication", "keys": keys, "passwordSecretRef": {"name": "s"}});
    let rights = good(json!({"users": [copies(json!(["*"]))]}))
        .users
        .remove(0)
        .rights;
    assert_eq!(rights.preset, Preset::Replication);
    for keys in [json!([]), json!(["app:*"]), json!(["**"])] {
        assert_eq!(
            bad(json!({"users": [copies(keys.clone())]})),
            ["spec.users[0].keys"],
            "{keys}"
        );
        assert_eq!(
            bad(json!({"auth": {"preset": "Replication", "keys": keys}})),
            ["spec.auth.keys"]
        );
    }
}

#[test]
fn a_password_from_elsewhere_is_not_from_the_secret_that_the_operator_makes() {
    let from = |name: &str| json!({"auth": {"passwordSecretRef": {"name": name}}});
    assert_eq!(good(from("mine")).auth.password.unwrap().name, "mine");
    assert_eq!(bad(from("cache-app")), ["spec.auth.passwordSecretRef.name"]);
}

#[test]
fn a_rule_is_about_commands_and_nothing_else() {
    let rules = |rule: &str| json!({"users": [{"name": "a", "preset": "Admin", "keys": [], "rules": [rule], "passwordSecretRef": {"name": "s"}}]});
    for rule in [
        "+get",
        "-@dangerous",
        "+config|get",
        "-json.set",
        "+client|no-evict",
    ] {
        assert_eq!(good(rules(rule)).users[0].rights.rules, [rule]);
    }
    for rule in [
        "nopass", ">secret", "#ab", "~*", "%R~*", "&*", "reset", "allkeys", "+get ~*", "(+get)",
        "+", "+@", "+a|b|c", "+GET", "on",
    ] {
        assert_eq!(bad(rules(rule)), ["spec.users[0].rules[0]"], "{rule}");
    }
}

#[test]
fn a_pattern_cannot_bring_a_second_rule() {
    let keys = |pattern: &str| json!({"users": [{"name": "a", "preset": "Admin", "keys": [pattern], "passwordSecretRef": {"name": "s"}}]});
    for pattern in ["", "a b", "a +@all", "a\nuser b", "\0"] {
        assert_eq!(bad(keys(pattern)), ["spec.users[0].keys[0]"], "{pattern:?}");
    }
}

#[test]
fn settings_have_a_bound() {
    let policy = |text: String| json!({"policies": {"acl": {"configMapRef": {"name": "p"}, "settings": {"a": text}}}});
    let v = good(policy("x".repeat(1000)));
    assert_eq!(
        v.acl_policy
            .and_then(|source| Some(source.config_map_ref?.key)),
        Some("policy.wasm".to_owned())
    );
    let settings = json!({"a": "x".repeat(MAX_SETTINGS)});
    let shadow = json!({"configMapRef": {"name": "p"}, "settings": settings});
    assert_eq!(
        bad(json!({"policies": {"acl": {"shadow": shadow}}})),
        ["spec.policies.acl.shadow.settings"]
    );
    assert_eq!(
        bad(policy("x".repeat(MAX_SETTINGS))),
        ["spec.policies.acl.settings"]
    );
}

#[test]
fn labels_that_kubernetes_would_refuse_are_refused_with_their_field() {
    let labels =
        |key: &str, value: &str| json!({"podTemplate": {"metadata": {"labels": {key: value}}}});
    good(labels("example.com/team", "a.b_c-1"));
    good(labels("team", ""));
    for (key, value) in [
        ("", "a"),
        ("a b", "a"),
        ("/a", "a"),
        ("EXAMPLE/a", "a"),
        ("a/b/c", "a"),
        ("a", "-b"),
        ("a", "a b"),
    ] {
        assert_eq!(
            bad(labels(key, value)),
            ["spec.podTemplate.metadata.labels"],
            "{key} {value}"
        );
    }
}

#[test]
fn a_name_that_is_too_long_for_its_children_is_refused() {
    let error = validate(&"a".repeat(41), &spec(json!({}))).unwrap_err();
    assert_eq!(error.0[0].field, "metadata.name");
}

/// What is said about a spec with one problem.
fn words(fields: Value) -> String {
    let error = validate("cache", &spec(fields)).unwrap_err();
    assert_eq!(error.0.len(), 1, "{error}");
    error.to_string()
}

#[test]
fn one_to_seven_pods_hold_the_data() {
    assert_eq!(good(json!({})).replicas, 1);
    assert_eq!(good(json!({"replicas": 7})).replicas, 7);
    for replicas in [-1, 0, 8] {
        assert_eq!(
            words(json!({"replicas": replicas})),
            format!("spec.replicas: {}", messages::REPLICAS)
        );
    }
}

#[test]
fn writes_wait_for_fewer_replicas_than_there_are_pods() {
    let spec =
        |replicas, min| json!({"replicas": replicas, "durability": {"minReplicasToWrite": min}});
    assert_eq!(good(spec(1, 0)).min_replicas_to_write, 0);
    assert_eq!(good(spec(3, 2)).min_replicas_to_write, 2);
    for (replicas, min) in [(1, 1), (3, 3), (7, 8), (3, -1)] {
        assert_eq!(
            words(spec(replicas, min)),
            format!(
                "spec.durability.minReplicasToWrite: {}",
                messages::MIN_REPLICAS_TO_WRITE
            )
        );
    }
}

#[test]
fn a_primary_is_given_up_after_a_time_that_makes_sense() {
    let failover = |field: &str, text: &str| json!({"replicas": 3, "failover": {field: text}});
    assert_eq!(
        good(json!({})).failover,
        Failover {
            fence_after_ms: 15_000,
            hang_after_ms: 10_000,
            script_after_ms: 60_000
        }
    );
    for (text, want) in [("0s", 0), ("5s", 5000), ("5000ms", 5000), ("5m", 300_000)] {
        let v = good(failover("fenceAfter", text));
        assert_eq!(v.failover.fence_after_ms, want, "{text}");
    }
    for text in [
        "", "0", "soon", "15", "4s", "4999ms", "6m", "301s", "-5s", "1h",
    ] {
        assert_eq!(
            words(failover("fenceAfter", text)),
            format!("spec.failover.fenceAfter: {}", messages::FENCE_AFTER)
        );
    }
    assert_eq!(
        good(failover("hangAfter", "2s")).failover.hang_after_ms,
        2000
    );
    for text in ["", "0s", "soon", "1999ms", "6m"] {
        assert_eq!(
            words(failover("hangAfter", text)),
            format!("spec.failover.hangAfter: {}", messages::HANG_AFTER)
        );
    }
    for (text, want) in [("0s", 0), ("10s", 10_000), ("5m", 300_000)] {
        let v = good(failover("scriptAfter", text));
        assert_eq!(v.failover.script_after_ms, want, "{text}");
    }
    for text in ["", "0", "9s", "6m", "-10s"] {
        assert_eq!(
            words(failover("scriptAfter", text)),
            format!("spec.failover.scriptAfter: {}", messages::SCRIPT_AFTER)
        );
    }
}

#[test]
fn what_the_operator_sets_for_durability_is_refused_with_its_field() {
    let words = words(json!({"config": {"min-slaves-to-write": "1"}}));
    assert!(
        words.ends_with("set durability.minReplicasToWrite"),
        "{words}"
    );
}

#[test]
fn a_mode_of_updates_that_is_none_is_not_read() {
    assert_eq!(
        good(json!({"updateStrategy": {"mode": "Supervised"}})).update_mode,
        UpdateMode::Supervised
    );
    let wrong = json!({"version": "7.2", "updateStrategy": {"mode": "supervised"}});
    assert!(serde_json::from_value::<RedisInstanceSpec>(wrong).is_err());
}

#[test]
fn a_wait_for_approval_is_bounded_between_a_minute_and_a_year() {
    let max_wait = |text: &str| json!({"updateStrategy": {"maxWait": text}});
    assert_eq!(good(json!({})).max_wait_ms, 168 * 3_600_000);
    assert_eq!(good(max_wait("90m")).max_wait_ms, 5_400_000);
    for text in ["", "0s", "59s", "8761h", "7d", "forever"] {
        assert_eq!(
            words(max_wait(text)),
            format!("spec.updateStrategy.maxWait: {}", messages::MAX_WAIT)
        );
    }
}

#[test]
fn a_pod_of_a_new_revision_has_between_a_minute_and_a_day_and_nothing_goes_back_unasked() {
    let deadline = |text: &str| json!({"updateStrategy": {"progressDeadline": text}});
    assert_eq!(good(json!({})).progress_deadline_ms, 600_000);
    assert_eq!(good(deadline("24h")).progress_deadline_ms, 86_400_000);
    for text in ["", "0s", "59s", "25h", "1d"] {
        assert_eq!(
            words(deadline(text)),
            format!(
                "spec.updateStrategy.progressDeadline: {}",
                messages::PROGRESS_DEADLINE
            )
        );
    }
    assert_eq!(good(json!({})).on_failure, OnFailure::Stop);
    let back = json!({"updateStrategy": {"onFailure": "Rollback"}});
    assert_eq!(good(back).on_failure, OnFailure::Rollback);
}

#[test]
fn a_temporary_pod_is_added_unless_it_is_turned_off() {
    assert_eq!(good(json!({})).surge, Surge::Auto);
    let never = json!({"updateStrategy": {"surge": "Never"}});
    assert_eq!(good(never).surge, Surge::Never);
}

fn cluster(fields: Value) -> Result<Validated, InvalidSpec> {
    let mut fields = fields;
    let map = fields.as_object_mut().unwrap();
    map.entry("version").or_insert_with(|| json!("7.2"));
    validate_cluster("shop", &serde_json::from_value(fields).unwrap())
}

#[test]
fn the_sample_of_a_cluster_is_three_shards_of_two_pods_that_nobody_fences() {
    let v = cluster(json!({"masters": 3, "replicasPerMaster": 1})).unwrap();
    assert_eq!((v.shards, v.replicas), (Some(3), 2));
    assert_eq!(v.failover.fence_after_ms, 0);
    assert_eq!(cluster(json!({})).unwrap(), v, "these are the defaults");
}

#[test]
fn a_cluster_that_cannot_be_is_refused_with_what_to_do() {
    let bad = |fields: Value| {
        let error = cluster(fields).unwrap_err();
        error
            .0
            .into_iter()
            .map(|problem| problem.field)
            .collect::<Vec<_>>()
    };
    for masters in [0, 2, 129] {
        assert_eq!(bad(json!({"masters": masters})), ["spec.masters"]);
    }
    let too_many = json!({"replicasPerMaster": 6});
    assert_eq!(bad(too_many), ["spec.replicasPerMaster"]);
    assert_eq!(bad(json!({"version": "6.0"})), ["spec.version"]);
    let reserved = json!({"config": {"cluster-node-timeout": "1"}});
    assert_eq!(bad(reserved), ["spec.config.cluster-node-timeout"]);
    let rebalance = json!({"rebalance": {"maxStall": "9ms", "cooldown": "169h"}});
    assert_eq!(
        bad(rebalance),
        ["spec.rebalance.maxStall", "spec.rebalance.cooldown"]
    );
    let long = "a".repeat(41);
    let spec = serde_json::from_value(json!({"version": "7.2"})).unwrap();
    let error = validate_cluster(&long, &spec).unwrap_err();
    assert_eq!(error.0[0].field, "metadata.name");
}

#[test]
fn slots_move_by_themselves_unless_the_spec_says_otherwise() {
    let rebalance = |fields: Value| cluster(json!({"rebalance": fields})).unwrap().rebalance;
    let default = Rebalance {
        mode: RebalanceMode::Auto,
        max_stall: Duration::from_millis(100),
        cooldown: Duration::from_secs(600),
    };
    assert_eq!(rebalance(json!({})), Some(default));
    assert_eq!(cluster(json!({})).unwrap().rebalance, Some(default));
    let own = json!({"mode": "Approve", "maxStall": "5s", "cooldown": "0s"});
    let wanted = Rebalance {
        mode: RebalanceMode::Approve,
        max_stall: Duration::from_secs(5),
        cooldown: Duration::ZERO,
    };
    assert_eq!(rebalance(own), Some(wanted));
    assert_eq!(good(json!({})).rebalance, None, "it has no slots");
}

#[test]
fn a_policy_for_slots_is_one_of_a_cluster() {
    let policies = json!({"policies": {"rebalance": {"configMapRef": {"name": "slots"}}}});
    assert_eq!(bad(policies.clone()), ["spec.policies.rebalance"]);
    let policy = cluster(policies).unwrap().rebalance_policy;
    let reference = policy.and_then(|policy| policy.config_map_ref);
    assert_eq!(reference.map(|map| map.name).as_deref(), Some("slots"));
}

#[test]
fn a_generated_password_is_replaced_by_age_within_bounds_and_one_of_the_users_is_not() {
    let rotation = |auth: Value| good(json!({"auth": auth})).auth.rotation;
    let never = rotation(json!({}));
    assert_eq!((never.after_ms, never.overlap_ms), (None, 3_600_000));
    let monthly = rotation(json!({"rotateAfter": "720h", "overlap": "0s"}));
    assert_eq!(
        (monthly.after_ms, monthly.overlap_ms),
        (Some(2_592_000_000), 0)
    );
    for (auth, field) in [
        (json!({"rotateAfter": "59m"}), "spec.auth.rotateAfter"),
        (json!({"rotateAfter": "8761h"}), "spec.auth.rotateAfter"),
        (json!({"rotateAfter": "30d"}), "spec.auth.rotateAfter"),
        (json!({"overlap": "169h"}), "spec.auth.overlap"),
        (json!({"overlap": "1"}), "spec.auth.overlap"),
        (json!({"rotateAfter": "1h"}), "spec.auth.overlap"),
        (
            json!({"rotateAfter": "24h", "overlap": "24h"}),
            "spec.auth.overlap",
        ),
        (
            json!({"rotateAfter": "720h", "passwordSecretRef": {"name": "mine"}}),
            "spec.auth.rotateAfter",
        ),
    ] {
        assert_eq!(bad(json!({"auth": auth})), [field], "{auth}");
    }
}

#[test]
fn the_next_password_has_a_key_of_its_own() {
    let reference = |next: &str| json!({"name": "mine", "key": "now", "nextKey": next});
    let user = |next: &str| json!([{"name": "worker", "preset": "ReadOnly", "keys": [], "passwordSecretRef": reference(next)}]);
    let both =
        |next: &str| json!({"auth": {"passwordSecretRef": reference(next)}, "users": user(next)});
    let auth = good(both("then")).auth.password.unwrap();
    assert_eq!(auth.next_key.as_deref(), Some("then"));
    assert_eq!(
        bad(both("now")),
        [
            "spec.auth.passwordSecretRef.nextKey",
            "spec.users[0].passwordSecretRef.nextKey"
        ]
    );
}

#[test]
fn a_further_user_may_have_the_generated_password_and_names_no_next_one_of_it() {
    let user = |password: Value| json!({"name": "worker", "preset": "ReadOnly", "keys": [], "passwordSecretRef": password});
    let shares = |auth: Value, password: Value| {
        let v = good(json!({"auth": auth, "users": [user(password)]}));
        v.shares_generated(&v.users[0])
    };
    let generated = json!({"name": "cache-app"});
    assert!(shares(json!({}), generated.clone()));
    let elsewhere = json!({"passwordSecretRef": {"name": "mine"}});
    assert!(!shares(elsewhere, generated));
    assert!(!shares(json!({}), json!({"name": "mine"})));
    let another_key = json!({"name": "cache-app", "key": "worker", "nextKey": "next"});
    assert!(!shares(json!({}), another_key));
    let next = json!({"name": "cache-app", "nextKey": "next"});
    assert_eq!(
        bad(json!({"users": [user(next)]})),
        ["spec.users[0].passwordSecretRef.nextKey"]
    );
}

#[test]
fn pods_serve_metrics_and_nothing_leads_to_them_unless_asked_for() {
    let v = good(json!({}));
    assert_eq!((v.metrics, v.pod_monitor), (Metrics::Enabled, None));
    let v = good(json!({"monitoring": {"podMonitor": {}}}));
    assert_eq!(v.pod_monitor.map(|wanted| wanted.interval_ms), Some(30_000));
    let labels = json!({"release": "kube-prometheus", "example.com/team": ""});
    let wanted = json!({"podMonitor": {"interval": "1m30s", "labels": labels}});
    let v = good(json!({"monitoring": wanted}));
    let found = v.pod_monitor.unwrap();
    assert_eq!(found.interval_ms, 90_000);
    assert_eq!(json!(found.labels), labels);
    let disabled = good(json!({"monitoring": {"metrics": "Disabled"}}));
    assert_eq!(disabled.metrics, Metrics::Disabled);
}

#[test]
fn an_interval_of_scrapes_is_between_a_second_and_an_hour() {
    let of = |text: &str| json!({"monitoring": {"podMonitor": {"interval": text}}});
    for text in ["1s", "1h", "1500ms"] {
        good(of(text));
    }
    for text in ["0", "0s", "", "999ms", "61m", "1d", "-30s", "30"] {
        assert_eq!(
            words(of(text)),
            format!(
                "spec.monitoring.podMonitor.interval: {}",
                messages::SCRAPE_INTERVAL
            ),
            "{text}"
        );
    }
}

#[test]
fn a_pod_monitor_of_pods_without_metrics_is_refused() {
    let wanted = json!({"monitoring": {"metrics": "Disabled", "podMonitor": {}}});
    assert_eq!(
        words(wanted.clone()),
        format!(
            "spec.monitoring.podMonitor: {}",
            messages::MONITORED_HAS_METRICS
        )
    );
    assert!(cluster(wanted).is_err());
}

#[test]
fn labels_of_a_pod_monitor_are_what_kubernetes_takes() {
    for labels in [json!({"a b": "x"}), json!({"team": "-x"})] {
        let wanted = json!({"monitoring": {"podMonitor": {"labels": labels}}});
        assert_eq!(bad(wanted), ["spec.monitoring.podMonitor.labels"]);
    }
}
