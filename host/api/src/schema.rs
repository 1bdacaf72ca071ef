//! Parts of the schema that no derive makes: bounds on embedded Kubernetes types, quantities, and
//! the rules that come from the table of reserved directives.
//!
//! Only what Kubernetes 1.25 knows: no `messageExpression` (1.27), `reason` (1.28),
//! `optionalOldSelf` (1.29) or CEL `quantity()` (1.29).

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::validate::directives;

/// A plain, unsigned quantity.
const QUANTITY: &str =
    r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$";
/// What a DNS name of an object looks like.
pub(crate) const DNS_NAME: &str =
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A DNS name of one part, such as a namespace has.
pub(crate) const DNS_LABEL: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// What Kubernetes gives out as uid: nothing that leads out of a folder.
pub(crate) const UID: &str = r"^[A-Za-z0-9-]+$";
/// What a server calls the history of its data.
pub(crate) const REPLICATION_ID: &str = r"^[0-9a-f]{40}$";
/// A key of a Secret or a ConfigMap.
pub(crate) const DATA_KEY: &str = r"^[-._a-zA-Z0-9]+$";
/// Name of a user on a server.
pub(crate) const USER_NAME: &str = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$";
/// Users of the operator's own are none of the spec's.
pub(crate) const NOT_SYSTEM_USER: &str = "self != 'default' && !self.startsWith('hera-')";
/// Who copies all data is limited to no keys.
pub(crate) const COPIES_ALL_KEYS: &str = "self.preset != 'Replication' || '*' in self.keys";
/// A pattern of keys or channels: no spaces.
const PATTERN: &str = r"^[^\x00-\x20\x7f]+$";
/// A rule about commands.
const RULE: &str = r"^[+-](@[a-z]+|[a-z0-9._-]+(\|[a-z0-9._-]+)?)$";
/// No control characters.
pub(crate) const PRINTABLE: &str = r"^[^\x00-\x1f\x7f]*$";

/// What the region of a bucket looks like.
pub(crate) const REGION: &str = r"^[A-Za-z0-9_-]+$";
/// What `s3.bucket` may be.
pub(crate) const BUCKET: &str =
    "self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$') && !self.contains('..')";
/// What `s3.prefix` may be: no folder begins with a dot, so none is `..`.
pub(crate) const PREFIX: &str =
    "self == '' || self.matches('^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$')";
/// What `s3.endpoint` may be: no user, no password, no question mark.
pub(crate) const ENDPOINT: &str = "self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?\
    (/[A-Za-z0-9._~-]+)*$')";
/// A certificate for `*.host` is good for one name before it.
pub(crate) const BUCKET_IS_A_HOST: &str =
    "self.addressing != 'VirtualHost' || !self.bucket.contains('.')";
/// There is something to begin with.
pub(crate) const BEGINS_WITH_SOMETHING: &str = "has(self.recovery)";
/// What `backup.log.maxDelay` may be.
pub(crate) const MAX_DELAY: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s') && \
    duration(self) <= duration('10m')";
/// What `backup.maxAge` may be.
pub(crate) const MAX_AGE: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('10m') && \
    duration(self) <= duration('8760h')";
/// What `backup.maxReplay` may be.
pub(crate) const MAX_REPLAY: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('10s') && \
    duration(self) <= duration('24h')";
/// What `backup.keep.for` may be.
pub(crate) const KEEP_FOR: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1h') && \
    duration(self) <= duration('87600h')";
/// What `backup.schedules.startWithin` may be.
pub(crate) const START_WITHIN: &str =
    "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) <= duration('24h')";
/// What `backup.schedules.cron` roughly looks like; what the fields say is read by [`crate::Cron`].
pub(crate) const CRON: &str =
    "self.matches('^(@(hourly|daily|weekly|monthly|yearly)|[^ @]+( +[^ ]+){4})$')";
/// What `backup.schedules.timeZone` roughly looks like; whether there is such a zone is looked up by [`crate::Cron`].
pub(crate) const TIME_ZONE: &str = "self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')";
/// Longest text of a time.
pub(crate) const MAX_TIME: usize = 40;
/// What `bootstrap.recovery.time` may be: RFC 3339, with fractions or without.
pub(crate) const TIME: &str = "self.matches('^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$') && \
    timestamp(self) >= timestamp('2000-01-01T00:00:00Z')";
/// An object begins with one thing.
pub(crate) const ONE_ORIGIN: &str = "has(self.backupRef) != has(self.source)";
/// A backup has no branches; the log of its object may.
pub(crate) const BRANCH_OF_A_LOG: &str = "!has(self.branch) || has(self.time) || has(self.source)";
/// What an object begins with is neither set, changed nor taken out once it is there.
pub(crate) const BOOTSTRAP_STAYS: &str = "has(self.bootstrap) ? has(oldSelf.bootstrap) && self.bootstrap == oldSelf.bootstrap : !has(oldSelf.bootstrap)";

/// Something says what to run.
pub(crate) const VERSION_OR_IMAGE: &str = "has(self.version) || has(self.image)";
/// No further user has the application user's name.
pub(crate) const APP_USER_IS_ONE: &str = "!has(self.users) || self.users.all(u, u.name != (has(self.auth) ? self.auth.username : 'app'))";
/// What `masters` may be.
pub(crate) const MASTERS: &str = "self >= 3 && self <= 128";
/// What `replicasPerMaster` may be.
pub(crate) const REPLICAS_PER_MASTER: &str = "self >= 0 && self <= 5";
/// How many data pods there may be.
pub(crate) const REPLICAS: &str = "self >= 1 && self <= 7";
/// What `failover.fenceAfter` may be.
pub(crate) const FENCE_AFTER: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && (duration(self) == duration('0s') || \
    (duration(self) >= duration('5s') && duration(self) <= duration('5m')))";
/// What `failover.hangAfter` may be.
pub(crate) const HANG_AFTER: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('2s') && \
    duration(self) <= duration('5m')";
/// What `failover.scriptAfter` may be.
pub(crate) const SCRIPT_AFTER: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && (duration(self) == duration('0s') || \
    (duration(self) >= duration('10s') && duration(self) <= duration('5m')))";
/// What `rebalance.maxStall` may be.
pub(crate) const MAX_STALL: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('10ms') && \
    duration(self) <= duration('5s')";
/// What `rebalance.cooldown` may be.
pub(crate) const COOLDOWN: &str =
    "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) <= duration('168h')";
/// What `updateStrategy.maxWait` may be.
pub(crate) const MAX_WAIT: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1m') && \
    duration(self) <= duration('8760h')";
/// What `monitoring.podMonitor.interval` may be.
pub(crate) const SCRAPE_INTERVAL: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s') && \
    duration(self) <= duration('1h')";
/// There is something for a PodMonitor to lead to.
pub(crate) const MONITORED_HAS_METRICS: &str =
    "!has(self.podMonitor) || !has(self.metrics) || self.metrics == 'Enabled'";
/// What `updateStrategy.progressDeadline` may be.
pub(crate) const PROGRESS_DEADLINE: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1m') && \
    duration(self) <= duration('24h')";

/// What `auth.rotateAfter` may be.
pub(crate) const ROTATE_AFTER: &str = "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1h') && \
    duration(self) <= duration('8760h')";
/// What `auth.overlap` may be.
pub(crate) const OVERLAP: &str =
    "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) <= duration('168h')";
/// Only the operator's own password is replaced by age.
pub(crate) const ROTATES_ITS_OWN: &str = "!has(self.rotateAfter) || !has(self.passwordSecretRef)";
/// The one before is gone before a password is replaced again.
pub(crate) const OVERLAP_IS_SHORTER: &str = "!has(self.rotateAfter) || !has(self.overlap) || duration(self.overlap) < duration(self.rotateAfter)";
/// The next password has a key of its own.
pub(crate) const TWO_KEYS: &str = "!has(self.nextKey) || self.nextKey != self.key";

/// Most directives in `config`.
pub(crate) const MAX_DIRECTIVES: usize = 128;
/// Longest value of a directive.
pub(crate) const MAX_DIRECTIVE_VALUE: usize = 1024;
/// Longest key of a label or an annotation: 253 characters of domain, a slash, and 63 of name.
const MAX_KEY: usize = 317;

pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "pattern": QUANTITY,
        "minimum": 0,
        "maxLength": 32,
    })
}

pub(crate) fn quantities(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": quantity(generator),
        "maxProperties": 8,
        "x-kubernetes-validations": keys(),
    })
}

/// Labels, annotations, node selectors: string to string.
fn string_map(max_properties: usize, max_length: usize) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": max_length},
        "maxProperties": max_properties,
        "x-kubernetes-validations": keys(),
    })
}

/// A schema bounds how many keys a map has; how long they are, only a rule.
fn keys() -> Value {
    json!([{
        "rule": format!("self.all(k, k.size() <= {MAX_KEY})"),
        "message": format!("a key has at most {MAX_KEY} characters"),
    }])
}

/// Patterns of keys or channels.
pub(crate) fn patterns(_: &mut SchemaGenerator) -> Schema {
    texts(32, 1, 256, PATTERN)
}

/// Rules about commands.
pub(crate) fn rules(_: &mut SchemaGenerator) -> Schema {
    texts(64, 2, 64, RULE)
}

fn texts(max_items: usize, min_length: usize, max_length: usize, pattern: &str) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "string",
            "minLength": min_length,
            "maxLength": max_length,
            "pattern": pattern,
        },
        "maxItems": max_items,
    })
}

pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    string_map(32, 63)
}

/// Those of a PodMonitor.
pub(crate) fn monitor_labels(_: &mut SchemaGenerator) -> Schema {
    string_map(16, 63)
}

pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    string_map(32, 4096)
}

/// The `config` map and its rules.
pub(crate) fn config(_: &mut SchemaGenerator) -> Schema {
    let mut rules = vec![json!({
        "rule": "self.all(k, k.size() <= 64 && k.matches('^[a-z0-9-]+$'))",
        "message": "config: a directive is written in lower-case letters, digits and dashes, at most 64 of them",
    })];
    rules.extend(
        directives::RESERVED
            .iter()
            .map(|group| json!({"rule": group.cel(), "message": group.message()})),
    );
    json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": MAX_DIRECTIVE_VALUE, "pattern": PRINTABLE},
        "maxProperties": MAX_DIRECTIVES,
        "x-kubernetes-validations": rules,
    })
}

/// Any JSON object; what is in it is the policy's business. How much it is, [`crate::Received`] counts: no
/// schema can.
pub(crate) fn settings(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

pub(crate) fn affinity(generator: &mut SchemaGenerator) -> Schema {
    bounded(Affinity::json_schema(generator))
}

pub(crate) fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    list_of(bounded(Toleration::json_schema(generator)))
}

pub(crate) fn topology_spread(generator: &mut SchemaGenerator) -> Schema {
    list_of(bounded(TopologySpreadConstraint::json_schema(generator)))
}

fn list_of(items: Schema) -> Schema {
    json_schema!({
        "type": "array",
        "items": items,
        "maxItems": 16,
        "x-kubernetes-list-type": "atomic",
    })
}

/// Bounds on every list, map and string of a type of Kubernetes. Its descriptions go: they are
/// longer than the rest of the CRD, and `kubectl explain pod` has them.
fn bounded(mut schema: Schema) -> Schema {
    if let Some(object) = schema.as_object_mut() {
        bound(object, true);
    }
    schema
}

fn bound(schema: &mut serde_json::Map<String, Value>, root: bool) {
    schema.remove("description");
    if root {
        schema.remove("title");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => {
            schema.entry("maxItems").or_insert_with(|| json!(16));
        }
        Some("string") => {
            schema.entry("maxLength").or_insert_with(|| json!(MAX_KEY));
        }
        Some("object") if schema.contains_key("additionalProperties") => {
            schema.entry("maxProperties").or_insert_with(|| json!(32));
            schema
                .entry("x-kubernetes-validations")
                .or_insert_with(keys);
        }
        _ => {}
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties
            .values_mut()
            .filter_map(Value::as_object_mut)
            .for_each(|p| bound(p, false));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key).and_then(Value::as_object_mut) {
            bound(inner, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt as _;

    use super::*;

    /// Paths in the schema of a spec where something has no bound.
    fn unbounded(schema: &Value, path: &str, found: &mut Vec<String>) {
        let has = |bound: &str| schema.get(bound).is_some();
        let is_bounded = match schema["type"].as_str() {
            Some("array") => has("maxItems"),
            Some("string") => has("maxLength") || has("enum"),
            Some("object") if has("additionalProperties") => {
                has("maxProperties") && has("x-kubernetes-validations")
            }
            Some("object") => !has("x-kubernetes-preserve-unknown-fields"),
            Some(_) => true,
            None => has("maxLength"),
        };
        if !is_bounded {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            unbounded(property, &format!("{path}.{name}"), found);
        }
        for inner in ["items", "additionalProperties"] {
            if has(inner) {
                unbounded(&schema[inner], &format!("{path}[]"), found);
            }
        }
    }

    #[test]
    fn nothing_in_a_spec_is_without_a_bound_but_the_settings_of_policies() {
        let settings = [
            "spec.policies.acl.settings",
            "spec.policies.acl.shadow.settings",
            "spec.policies.backup.settings",
            "spec.policies.backup.shadow.settings",
            "spec.policies.rebalance.settings",
            "spec.policies.rebalance.shadow.settings",
        ];
        let none: &[&str] = &[];
        for (crd, expected) in [
            (crate::RedisInstance::crd(), &settings[..]),
            (crate::RedisCluster::crd(), &settings[..]),
            (crate::RedisBackup::crd(), none),
            (crate::RedisBackupStore::crd(), none),
        ] {
            let crd = serde_json::to_value(crd).unwrap();
            let spec =
                &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
            let mut found = Vec::new();
            unbounded(spec, "spec", &mut found);
            assert_eq!(found, expected, "{}", crd["metadata"]["name"]);
        }
    }
}
