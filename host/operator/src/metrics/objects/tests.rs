use std::time::Instant;

use hera_api::{RedisCluster, RedisInstance};
use kube::runtime::reflector::{self, store::Writer};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::metrics::Place;

/// Instances and clusters as a watch has them, and what is told of them.
struct Watched {
    objects: Objects,
    instances: Writer<Received<RedisInstance>>,
    clusters: Writer<Received<RedisCluster>>,
}

impl Watched {
    fn new() -> Self {
        let objects = Objects::default();
        let (of_instances, instances) = reflector::store::<Received<RedisInstance>>();
        let (of_clusters, clusters) = reflector::store::<Received<RedisCluster>>();
        objects.watch(of_instances);
        objects.watch(of_clusters);
        Self {
            objects,
            instances,
            clusters,
        }
    }

    fn apply(&mut self, instance: &RedisInstance) {
        let event = Event::Apply(Received(Ok(instance.clone())));
        self.instances.apply_watcher_event(&event);
    }

    fn delete(&mut self, instance: &RedisInstance) {
        let event = Event::Delete(Received(Ok(instance.clone())));
        self.instances.apply_watcher_event(&event);
    }

    /// The lines of a scrape that are series.
    fn series(&self) -> Vec<String> {
        let mut families = Families::default();
        self.objects.add(&mut families);
        let text = String::from_utf8(families.text().unwrap()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }

    fn has(&self, series: &str) -> bool {
        self.series().iter().any(|line| line == series)
    }

    /// How many series there are of a metric.
    fn count(&self, metric: &str) -> usize {
        let head = format!("{metric}{{");
        let series = self.series();
        series.iter().filter(|line| line.starts_with(&head)).count()
    }
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

fn instance(name: &str, status: &Value) -> RedisInstance {
    serde_json::from_value(json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"version": "7.2", "replicas": 3}, "status": status,
    }))
    .unwrap()
}

fn serving() -> Value {
    json!({
        "phase": "Ready", "primary": "cache-0", "readyReplicas": 2, "engine": "redis", "version": "7.2.4",
        "conditions": [condition("Ready", "True", "Serving"), condition("Degraded", "True", "ReplicaMissing")],
        "policies": [{"decision": "acl", "source": {"kind": "BuiltIn"}}],
    })
}

const CACHE: &str = r#"{kind="redisinstance",namespace="shop",name="cache"}"#;

#[test]
fn what_an_object_is_and_has_is_told() {
    let mut watched = Watched::new();
    watched.apply(&instance("cache", &serving()));
    for (metric, value) in [
        ("hera_object_ready", "1"),
        ("hera_object_pods_wanted", "3"),
        ("hera_object_pods_ready", "2"),
        ("hera_object_primaries_wanted", "1"),
        ("hera_object_primaries_there", "1"),
    ] {
        let series = format!("{metric}{CACHE} {value}");
        assert!(watched.has(&series), "{series}: {:#?}", watched.series());
    }
    for series in [
        r#"hera_object_info{kind="redisinstance",namespace="shop",name="cache",engine="redis",version="7.2.4",phase="Ready"} 1"#,
        r#"hera_object_condition{kind="redisinstance",namespace="shop",name="cache",condition="Degraded",reason="ReplicaMissing"} 1"#,
        r#"hera_object_policy_info{kind="redisinstance",namespace="shop",name="cache",decision="acl",source="BuiltIn"} 1"#,
    ] {
        assert!(watched.has(series), "{series}: {:#?}", watched.series());
    }
}

#[test]
fn the_last_backup_and_those_of_which_nothing_came_are_told_of_objects_that_have_a_store() {
    let mut watched = Watched::new();
    watched.apply(&instance("cache", &serving()));
    assert_eq!(watched.count("hera_backup_failures_total"), 0);
    let mut status = serving();
    status["backup"] = json!({
        "path": "shop.cache/u", "firstRecoverable": "2027-01-15T07:00:00Z",
        "lastBackup": {"name": "nightly", "instant": "2027-01-15T08:00:00Z"},
    });
    watched.apply(&instance("cache", &status));
    let key = ObjectKey::instance("shop", "cache");
    assert!(watched.has(&format!("hera_backup_failures_total{CACHE} 0")));
    watched.objects.note_failed_backup(&key);
    for (metric, value) in [
        ("hera_backup_failures_total", "1"),
        ("hera_backup_last_success_timestamp_seconds", "1800000000"),
        (
            "hera_backup_first_recoverable_timestamp_seconds",
            "1799996400",
        ),
    ] {
        let series = format!("{metric}{CACHE} {value}");
        assert!(watched.has(&series), "{series}: {:#?}", watched.series());
    }
}

#[test]
fn a_cluster_has_a_primary_for_each_shard() {
    let mut watched = Watched::new();
    let shard = |id: u32, primary: Option<&str>| json!({"id": id, "primary": primary, "replicas": [], "slots": ""});
    let cluster: RedisCluster = serde_json::from_value(json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisCluster",
        "metadata": {"namespace": "shop", "name": "carts"},
        "spec": {"version": "7.2", "masters": 3, "replicasPerMaster": 1},
        "status": {"shards": [shard(0, Some("carts-shard-0-0")), shard(1, None)]},
    }))
    .unwrap();
    let event = Event::Apply(Received(Ok(cluster)));
    watched.clusters.apply_watcher_event(&event);
    let own = r#"{kind="rediscluster",namespace="shop",name="carts"}"#;
    for (metric, value) in [
        ("hera_object_pods_wanted", 6),
        ("hera_object_primaries_wanted", 3),
        ("hera_object_primaries_there", 1),
    ] {
        assert!(watched.has(&format!("{metric}{own} {value}")), "{metric}");
    }
}

#[test]
fn slots_that_moved_are_counted_over_plans() {
    let objects = Objects::default();
    let key = ObjectKey::cluster("shop", "carts");
    let at = |plan: Option<&str>, left| SlotFigures {
        plan: plan.map(str::to_owned),
        left,
        too_large: 0,
    };
    for figures in [
        at(Some("a"), 10),
        at(Some("a"), 4),
        at(None, 0),
        at(Some("b"), 5),
        at(Some("b"), 5),
        at(None, 0),
        at(Some("c"), 9),
        // It is dropped.
        at(None, 7),
        at(None, 0),
    ] {
        objects.note_slots(&key, figures);
    }
    assert_eq!(objects.noted(&key).slots.unwrap().1, 17);
}

#[test]
fn who_hibernates_wants_nothing_whichever_kind_it_is() {
    let mut watched = Watched::new();
    let asleep = json!({"phase": "Hibernated"});
    watched.apply(&instance("cache", &asleep));
    let cluster: RedisCluster = serde_json::from_value(json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisCluster",
        "metadata": {"namespace": "shop", "name": "carts"},
        "spec": {"version": "7.2", "masters": 3, "replicasPerMaster": 1}, "status": asleep,
    }))
    .unwrap();
    let event = Event::Apply(Received(Ok(cluster)));
    watched.clusters.apply_watcher_event(&event);
    let carts = r#"{kind="rediscluster",namespace="shop",name="carts"}"#;
    for own in [CACHE, carts] {
        for metric in ["hera_object_pods_wanted", "hera_object_primaries_wanted"] {
            assert!(watched.has(&format!("{metric}{own} 0")), "{metric}{own}");
        }
    }
}

#[test]
fn who_is_asked_to_hibernate_wants_nothing_from_then_on() {
    let mut watched = Watched::new();
    let mut leaving = instance("cache", &serving());
    let asked = [("cache.hera.io/hibernate".to_owned(), "true".to_owned())];
    leaving.metadata.annotations = Some(asked.into());
    watched.apply(&leaving);
    for metric in ["hera_object_pods_wanted", "hera_object_primaries_wanted"] {
        assert!(watched.has(&format!("{metric}{CACHE} 0")), "{metric}");
    }
    let there = format!("hera_object_primaries_there{CACHE} 1");
    assert!(watched.has(&there), "{:#?}", watched.series());
}

#[test]
fn a_roll_that_stopped_is_told_whatever_else_is_wrong_until_it_goes_on() {
    let mut watched = Watched::new();
    let conditions = json!({"conditions": [condition("Degraded", "True", "ConfigRejected")]});
    watched.apply(&instance("cache", &conditions));
    let metric = "hera_object_roll_stopped";
    assert_eq!(watched.count(metric), 0);
    let object = ObjectKey::instance("shop", "cache");
    let told = |watched: &Watched, reason: &str| {
        let own = CACHE.trim_end_matches('}');
        watched.has(&format!("{metric}{own},reason=\"{reason}\"}} 1"))
    };
    watched.objects.note_roll(&object, true, false);
    assert!(told(&watched, "RollStopped"), "{:#?}", watched.series());
    watched.objects.note_roll(&object, false, true);
    assert!(told(&watched, "RolledBack"), "{:#?}", watched.series());
    assert_eq!(watched.count(metric), 1);
    watched.objects.note_roll(&object, false, false);
    assert_eq!(watched.count(metric), 0);
    watched.objects.note_roll(&object, true, false);
    watched.objects.forget(&object);
    assert_eq!(watched.count(metric), 0);
}

#[test]
fn a_condition_has_one_series_whatever_its_reason_was_before() {
    let mut watched = Watched::new();
    watched.apply(&instance("cache", &serving()));
    assert_eq!(watched.count("hera_object_condition"), 2);
    let after = json!({"conditions": [condition("Degraded", "False", "AsExpected")]});
    watched.apply(&instance("cache", &after));
    assert_eq!(watched.count("hera_object_condition"), 1);
    let series = r#"hera_object_condition{kind="redisinstance",namespace="shop",name="cache",condition="Degraded",reason="AsExpected"} 0"#;
    assert!(watched.has(series), "{:#?}", watched.series());
}

#[test]
fn of_what_is_gone_nothing_is_told() {
    let mut watched = Watched::new();
    let (gone, stays) = (instance("cache", &serving()), instance("other", &json!({})));
    watched.apply(&gone);
    watched.apply(&stays);
    let key = ObjectKey::instance("shop", "cache");
    watched
        .objects
        .note_certificate(&key, Some(Duration::from_secs(1)));
    watched.delete(&gone);
    let told = watched.series();
    assert!(!told.is_empty());
    assert!(
        told.iter().all(|line| line.contains(r#"name="other""#)),
        "{told:#?}"
    );
}

#[test]
fn what_passes_noted_is_told_until_it_is_forgotten() {
    let mut watched = Watched::new();
    watched.apply(&instance("cache", &serving()));
    let noted = [
        "hera_object_last_handover_seconds",
        "hera_object_last_failover_seconds",
        "hera_object_last_handover_timestamp_seconds",
        "hera_object_last_failover_timestamp_seconds",
        "hera_object_agent_certificate_expires_timestamp_seconds",
    ];
    // Nothing has moved: there is no figure, not one of zero.
    for metric in noted {
        assert_eq!(watched.count(metric), 0, "{metric}");
    }
    let object = &ObjectKey::instance("shop", "cache");
    let place = Place {
        object,
        shard: 0,
        term: 1,
        before: None,
    };
    let (moves, now) = (&watched.objects.moves, Instant::now());
    moves.handed_over(&place, "cache-1", Duration::from_millis(40));
    moves.sees(&place, None, now);
    moves.sees(&place, Some("cache-2"), now + Duration::from_secs(3));
    let until = Some(Duration::from_secs(1_800_000_000));
    watched.objects.note_certificate(object, until);
    for (metric, value) in [
        ("hera_object_last_handover_seconds", "0.04"),
        ("hera_object_last_failover_seconds", "3"),
        (
            "hera_object_agent_certificate_expires_timestamp_seconds",
            "1800000000",
        ),
    ] {
        let series = format!("{metric}{CACHE} {value}");
        assert!(watched.has(&series), "{series}: {:#?}", watched.series());
    }
    for metric in noted {
        assert_eq!(watched.count(metric), 1, "{metric}");
    }
    watched.objects.forget(object);
    for metric in noted {
        assert_eq!(watched.count(metric), 0, "{metric}");
    }
}
