//! Whom a Prometheus of the prometheus-operator is led to, and how often.

use hera_api::validate::Validated;
use hera_render::{Context, build_headless_service, build_pod_monitor, build_stateful_set};
use serde_json::{Value, json};

use crate::support::{CLUSTER, context, sample, validated, validated_cluster};

fn with(manifest: &str, monitoring: &str) -> String {
    manifest.replacen(
        "spec:\n",
        &format!("spec:\n  monitoring: {monitoring}\n"),
        1,
    )
}

fn all(monitoring: &str) -> [Validated; 2] {
    [
        validated(&with(&sample(), monitoring)),
        validated_cluster(&with(CLUSTER, monitoring)),
    ]
}

fn monitor(v: &Validated) -> Value {
    serde_json::to_value(build_pod_monitor(v, &context(v)).unwrap()).unwrap()
}

fn template(v: &Validated) -> Value {
    let ctx = Context {
        shard: v.shards.map(|_| 1),
        ..context(v)
    };
    let set = serde_json::to_value(build_stateful_set(v, &ctx)).unwrap();
    set["spec"]["template"].clone()
}

#[test]
fn there_is_none_unless_it_is_asked_for() {
    for v in [validated(&sample()), validated_cluster(CLUSTER)] {
        assert_eq!(build_pod_monitor(&v, &context(&v)), None);
    }
}

#[test]
fn it_is_the_objects_and_has_the_labels_of_the_spec_beside_its_own() {
    let labels = "{podMonitor: {labels: {release: prom, app.kubernetes.io/managed-by: me}}}";
    for v in all(labels) {
        let monitor = monitor(&v);
        assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
        assert_eq!(monitor["kind"], "PodMonitor");
        let metadata = &monitor["metadata"];
        assert_eq!(metadata["name"], v.name.as_str());
        assert_eq!(metadata["namespace"], "shop");
        assert_eq!(metadata["ownerReferences"][0]["uid"], "object-uid");
        assert_eq!(metadata["labels"]["release"], "prom");
        let ours = &metadata["labels"]["app.kubernetes.io/managed-by"];
        assert_eq!(*ours, "hera-operator");
    }
}

#[test]
fn it_leads_to_the_metrics_of_every_data_pod_by_a_port_that_the_pods_declare() {
    for v in all("{podMonitor: {}}") {
        let (monitor, template) = (monitor(&v), template(&v));
        let selected = monitor["spec"]["selector"]["matchLabels"]
            .as_object()
            .unwrap();
        assert!(selected.len() > 1);
        for (label, value) in selected {
            assert_eq!(template["metadata"]["labels"][label], *value, "{label}");
        }
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        let ports = template["spec"]["containers"][0]["ports"]
            .as_array()
            .unwrap();
        let declared = ports.iter().filter(|port| port["name"] == endpoint["port"]);
        assert_eq!(declared.count(), 1, "one target for each pod");
        let address = &endpoint["relabelings"][0];
        assert_eq!(address["targetLabel"], "__address__");
        assert_eq!(address["replacement"], "$1:9121");
        let fixed = |label: &str| {
            let mut all = endpoint["relabelings"].as_array().unwrap().iter();
            all.find(|one| one["targetLabel"] == label).unwrap()["replacement"].clone()
        };
        // As the metrics of the operator have them.
        let kind = v.name.kind().name().to_lowercase();
        assert_eq!(
            (fixed("kind"), fixed("name")),
            (json!(kind), json!(v.name.as_str()))
        );
    }
}

#[test]
fn an_interval_is_written_as_prometheus_reads_it() {
    for (text, want) in [
        ("30s", "30s"),
        ("1m30s", "90s"),
        ("1.5s", "1500ms"),
        ("1h", "3600s"),
    ] {
        let [v, _] = all(&format!("{{podMonitor: {{interval: {text}}}}}"));
        let found = monitor(&v);
        assert_eq!(found["spec"]["podMetricsEndpoints"][0]["interval"], want);
    }
}

#[test]
fn pods_that_serve_metrics_are_the_same_with_and_without_one_that_leads_to_them() {
    for (v, with) in [validated(&sample()), validated_cluster(CLUSTER)]
        .into_iter()
        .zip(all("{podMonitor: {interval: 10s}}"))
    {
        assert_eq!(template(&v), template(&with));
    }
}

#[test]
fn pods_without_metrics_are_told_so_and_no_service_names_the_port() {
    let names = |v: &Validated| {
        let service = build_headless_service(v, &context(v)).spec.unwrap();
        let ports = service.ports.unwrap().into_iter();
        ports.filter_map(|port| port.name).collect::<Vec<_>>()
    };
    let variables = |v: &Validated| {
        let template = template(v);
        let env = template["spec"]["containers"][0]["env"].as_array().unwrap();
        let told = env.iter().find(|one| one["name"] == "HERA_SERVE_METRICS");
        told.map(|one| one["value"].clone())
    };
    for v in all("{metrics: Enabled}") {
        assert!(names(&v).contains(&"metrics".to_owned()));
        assert_eq!(variables(&v), None);
    }
    for v in all("{metrics: Disabled}") {
        assert!(!names(&v).contains(&"metrics".to_owned()));
        assert_eq!(variables(&v), Some(json!("false")));
        // By this the PodMonitor of all objects leaves them out.
        let label = &template(&v)["metadata"]["labels"]["cache.hera.io/metrics"];
        assert_eq!(*label, "Disabled");
    }
}
