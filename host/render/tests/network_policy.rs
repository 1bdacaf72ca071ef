//! Who may reach which port of a data pod.

use hera_api::validate::Validated;
use hera_render::{
    ControlSources, build_headless_service, build_network_policy, build_stateful_set,
    selector_labels,
};
use serde_json::{Value, json};

use crate::support::{CLUSTER, context, control_sources, sample, validated, validated_cluster};

fn policy(v: &Validated, sources: &ControlSources) -> Value {
    let policy = build_network_policy(v, &context(v), sources).unwrap();
    serde_json::to_value(policy).unwrap()
}

/// From where a port may be reached; none if from nowhere, null if from anywhere.
fn from(policy: &Value, port: u16) -> Option<Value> {
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let mut rules = rules.iter();
    let lets_in = |rule: &&Value| {
        let ports = rule["ports"].as_array().unwrap();
        ports
            .iter()
            .any(|open| open["port"] == port && open["protocol"] == "TCP")
    };
    rules.find(lets_in).map(|rule| rule["from"].clone())
}

fn all() -> [Validated; 2] {
    [validated(&sample()), validated_cluster(CLUSTER)]
}

#[test]
fn clients_metrics_and_probes_come_from_anywhere() {
    for v in all() {
        for port in [6379, 6380, 9121, 8080] {
            assert_eq!(
                from(&policy(&v, &control_sources()), port),
                Some(Value::Null),
                "{port}"
            );
        }
    }
}

#[test]
fn agents_are_controlled_from_the_operators_namespace_their_own_pods_and_what_settings_name() {
    for v in all() {
        let own = json!({"podSelector": {"matchLabels": selector_labels(&v, None)}});
        let home = json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hera-system"}},
        });
        let within = policy(&v, &control_sources());
        assert_eq!(from(&within, 8443), Some(json!([home, own])));
        let outside = ControlSources {
            ranges: vec!["192.0.2.0/24".into(), "2001:db8::/32".into()],
            ..control_sources()
        };
        let [four, six] =
            ["192.0.2.0/24", "2001:db8::/32"].map(|cidr| json!({"ipBlock": {"cidr": cidr}}));
        let outside = policy(&v, &outside);
        assert_eq!(from(&outside, 8443), Some(json!([home, own, four, six])));
    }
}

#[test]
fn the_bus_of_a_cluster_is_reached_from_its_own_pods_alone() {
    let [instance, cluster] = all();
    let own = json!([{"podSelector": {"matchLabels": selector_labels(&cluster, None)}}]);
    assert_eq!(
        from(&policy(&cluster, &control_sources()), 16379),
        Some(own)
    );
    assert_eq!(from(&policy(&instance, &control_sources()), 16379), None);
}

#[test]
fn it_is_about_all_data_pods_of_the_object_and_what_comes_in() {
    for v in all() {
        let policy = policy(&v, &control_sources());
        let shard = hera_render::Context {
            shard: v.shards.map(|_| 1),
            ..context(&v)
        };
        let set = serde_json::to_value(build_stateful_set(&v, &shard)).unwrap();
        let labels = &set["spec"]["template"]["metadata"]["labels"];
        let selected = policy["spec"]["podSelector"]["matchLabels"]
            .as_object()
            .unwrap();
        assert!(selected.len() > 1);
        for (label, value) in selected {
            assert_eq!(labels[label], *value, "{label}");
        }
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
        assert_eq!(policy["spec"].get("egress"), None);
    }
}

/// A port that is added to pods belongs into the policy, too.
#[test]
fn every_port_of_a_data_pod_can_be_reached_by_somebody() {
    for v in all() {
        let policy = policy(&v, &control_sources());
        let service = build_headless_service(&v, &context(&v)).spec.unwrap();
        for port in service.ports.unwrap() {
            let number = u16::try_from(port.port).unwrap();
            assert!(from(&policy, number).is_some(), "{number}");
        }
    }
}

#[test]
fn nobody_comes_to_the_port_of_metrics_that_are_disabled() {
    let disabled = "spec:\n  monitoring: {metrics: Disabled}\n";
    let v = validated(&sample().replacen("spec:\n", disabled, 1));
    let policy = policy(&v, &control_sources());
    assert_eq!(from(&policy, 9121), None);
    assert_eq!(from(&policy, 8080), Some(Value::Null));
}

#[test]
fn where_it_is_disabled_there_is_none() {
    let disabled = sample().replace("spec:\n", "spec:\n  networkPolicy: Disabled\n");
    let v = validated(&disabled);
    assert_eq!(
        build_network_policy(&v, &context(&v), &control_sources()),
        None
    );
}
