//! What the schema says of backups, once more: where they go, whether a log is kept, how a store is reached.

use super::error::{InvalidSpec, Problems};
use super::labels::is_dns_name;
use super::messages;
use super::replication::millis;
use crate::spec::{BackupSource, LogMode};
use crate::{Addressing, RedisBackupStoreSpec, RedisInstanceSpec, S3Store, StoreSecretKey};

/// Longest key of a Secret.
const MAX_KEY: usize = 253;

/// The log that is to be kept of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Name of the store.
    pub store: String,
    /// Which copy it is read from.
    pub source: BackupSource,
    /// The primary takes writes only with replicas in sync: it is not read in place of one.
    pub needs_replicas: bool,
    /// So long after it was acknowledged a write is in the store at the latest.
    pub max_delay_ms: u64,
}

/// The log that is to be kept of a spec of which nothing else may be usable; none if none is to be.
///
/// # Errors
///
/// What is wrong with what the spec says of it.
pub fn log(spec: &RedisInstanceSpec) -> Result<Option<Log>, InvalidSpec> {
    let mut problems = Problems::default();
    let log = check_log(spec, &mut problems);
    problems.finish(Some(log))
}

pub(super) fn check_log(spec: &RedisInstanceSpec, problems: &mut Problems) -> Option<Log> {
    let backup = spec.backup.as_ref()?;
    let store = &backup.store_ref.name;
    check_name("spec.backup.storeRef.name", store, problems);
    let log = backup.log.as_ref()?;
    let max_delay_ms = millis(
        problems,
        "spec.backup.log.maxDelay",
        &log.max_delay,
        |millis| (1_000..=600_000).contains(&millis),
        messages::MAX_DELAY,
    );
    match log.mode {
        LogMode::Disabled => None,
        LogMode::Enabled => Some(Log {
            store: store.clone(),
            source: backup.source,
            needs_replicas: spec.durability.min_replicas_to_write > 0,
            max_delay_ms,
        }),
    }
}

/// Checks the spec of a store.
///
/// # Errors
///
/// Everything that is wrong, each with its field and what to do.
pub fn validate_store(spec: &RedisBackupStoreSpec) -> Result<(), InvalidSpec> {
    let S3Store {
        bucket,
        prefix,
        region,
        endpoint,
        addressing,
        ca_ref,
        access_key_id_ref,
        secret_access_key_ref,
    } = &spec.s3;
    let mut problems = Problems::default();
    if !is_bucket(bucket) {
        problems.add("spec.s3.bucket", messages::BUCKET);
    }
    if *addressing == Addressing::VirtualHost && bucket.contains('.') {
        problems.add("spec.s3", messages::BUCKET_IS_A_HOST);
    }
    if !prefix.is_empty() && !prefix.split('/').all(is_folder) {
        problems.add("spec.s3.prefix", messages::PREFIX);
    }
    if !is_made_of(region, "-_") {
        problems.add("spec.s3.region", messages::REGION);
    }
    if endpoint.as_deref().is_some_and(|text| !is_endpoint(text)) {
        problems.add("spec.s3.endpoint", messages::ENDPOINT);
    }
    let of_store = [
        ("caRef", ca_ref.as_ref()),
        ("accessKeyIdRef", Some(access_key_id_ref)),
        ("secretAccessKeyRef", Some(secret_access_key_ref)),
    ];
    for (field, reference) in of_store {
        if let Some(StoreSecretKey { name, key }) = reference {
            check_name(&format!("spec.s3.{field}.name"), name, &mut problems);
            if key.len() > MAX_KEY || !is_made_of(key, "-_.") {
                problems.add(format!("spec.s3.{field}.key"), messages::SECRET_KEY);
            }
        }
    }
    problems.finish(Some(()))
}

pub(super) fn check_name(field: &str, name: &str, problems: &mut Problems) {
    if !is_dns_name(name) {
        problems.add(field, messages::REFERENCE);
    }
}

/// At least one character, each a letter, a digit, or one of `others`.
fn is_made_of(text: &str, others: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_bucket(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (3..=63).contains(&text.len())
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || matches!(c, '.' | '-'))
        && !text.contains("..")
}

/// One part of a prefix.
fn is_folder(text: &str) -> bool {
    is_made_of(text, "._-") && !text.starts_with(['.', '-'])
}

fn is_endpoint(text: &str) -> bool {
    let schemes = ["https://", "http://"];
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    let Some(rest) = rest else {
        return false;
    };
    let mut parts = rest.split('/');
    let authority = parts.next().unwrap_or_default();
    is_authority(authority) && parts.all(|part| is_made_of(part, "._~-"))
}

/// A host, with a port or without.
fn is_authority(text: &str) -> bool {
    let is_port = |port: &str| {
        (1..=5).contains(&port.len()) && port.chars().all(|digit| digit.is_ascii_digit())
    };
    if let Some(address) = text.strip_prefix('[') {
        return address.split_once(']').is_some_and(|(address, after)| {
            !address.is_empty()
                && address
                    .chars()
                    .all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'))
                && (after.is_empty() || after.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    is_made_of(host, ".-")
        && !host.starts_with(['.', '-'])
        && !host.ends_with(['.', '-'])
        && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::validate::{Invalid, Origin, Validated, validate};

    fn instance(mut fields: Value) -> Result<Validated, InvalidSpec> {
        fields["version"] = json!("7.2");
        validate("cache", &serde_json::from_value(fields).unwrap())
    }

    fn store(changes: Value) -> Result<(), InvalidSpec> {
        let mut s3 = json!({
            "bucket": "backups",
            "accessKeyIdRef": {"name": "s3", "key": "id"},
            "secretAccessKeyRef": {"name": "s3", "key": "secret"},
        });
        for (field, value) in changes.as_object().unwrap() {
            s3[field] = value.clone();
        }
        validate_store(&serde_json::from_value(json!({"s3": s3})).unwrap())
    }

    /// The fields with a problem.
    fn fields(result: Result<(), InvalidSpec>) -> Vec<String> {
        let problems = result.err().map(|error| error.0).unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn an_object_without_a_word_about_backups_has_none_and_begins_empty() {
        let v = instance(json!({})).unwrap();
        assert_eq!((v.backup, v.recovery), (None, None));
    }

    #[test]
    fn a_store_and_a_backup_to_begin_with_are_kept() {
        let v = instance(json!({
            "backup": {"storeRef": {"name": "s3"}},
            "bootstrap": {"recovery": {"backupRef": {"name": "cache-nightly"}}},
        }))
        .unwrap();
        let backup = v.backup.unwrap();
        assert_eq!(backup.store_ref.name, "s3");
        assert_eq!(backup.source, BackupSource::PreferReplica);
        assert_eq!(backup.log, None);
        let expected = Origin::Backup("cache-nightly".to_owned());
        assert_eq!(v.recovery.unwrap().origin, expected);
    }

    #[test]
    fn names_of_a_store_and_of_a_backup_are_names_of_objects() {
        for name in ["", "S3", "a_b", "-a", "a..b", "../other"] {
            let error = instance(json!({
                "backup": {"storeRef": {"name": name}},
                "bootstrap": {"recovery": {"backupRef": {"name": name}}},
            }))
            .unwrap_err();
            let expected = [
                "spec.backup.storeRef.name",
                "spec.bootstrap.recovery.backupRef.name",
            ];
            assert_eq!(fields(Err(error)), expected, "{name:?}");
        }
    }

    fn log_of(spec: Value) -> Result<Option<Log>, InvalidSpec> {
        log(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn a_log_is_kept_where_it_is_asked_for_and_is_five_seconds_late_at_most() {
        let store = json!({"name": "s3"});
        assert_eq!(log_of(json!({})), Ok(None));
        assert_eq!(log_of(json!({"backup": {"storeRef": store}})), Ok(None));
        let off = json!({"backup": {"storeRef": store, "log": {"mode": "Disabled"}}});
        assert_eq!(log_of(off), Ok(None));
        let plain = log_of(json!({"backup": {"storeRef": store, "log": {}}}));
        let expected = Log {
            store: "s3".to_owned(),
            source: BackupSource::PreferReplica,
            needs_replicas: false,
            max_delay_ms: 5_000,
        };
        assert_eq!(plain, Ok(Some(expected.clone())));
        let all = log_of(json!({
            "replicas": 2, "durability": {"minReplicasToWrite": 1},
            "backup": {
                "storeRef": store, "source": "Replica",
                "log": {"mode": "Enabled", "maxDelay": "1m30s"},
            },
        }));
        let expected = Log {
            source: BackupSource::Replica,
            needs_replicas: true,
            max_delay_ms: 90_000,
            ..expected
        };
        assert_eq!(all, Ok(Some(expected)));
    }

    #[test]
    fn how_late_a_log_may_be_has_bounds_also_while_none_is_kept() {
        let of = |delay: &str, mode: &str| {
            json!({"backup": {
                "storeRef": {"name": "s3"}, "log": {"mode": mode, "maxDelay": delay},
            }})
        };
        for delay in ["1s", "5s", "10m"] {
            assert!(instance(of(delay, "Enabled")).is_ok(), "{delay}");
        }
        for delay in ["", "0s", "999ms", "10m1s", "5", "-5s"] {
            for mode in ["Enabled", "Disabled"] {
                let error = instance(of(delay, mode)).unwrap_err();
                let expected = Invalid::new("spec.backup.log.maxDelay", messages::MAX_DELAY);
                assert_eq!(error.0, [expected], "{delay:?}");
                assert!(log_of(of(delay, mode)).is_err(), "{delay:?}");
            }
        }
    }

    #[test]
    fn a_bootstrap_that_says_nothing_is_refused() {
        let error = instance(json!({"bootstrap": {}})).unwrap_err();
        let expected = Invalid::new("spec.bootstrap", messages::BEGINS_WITH_SOMETHING);
        assert_eq!(error.0, [expected]);
    }

    #[test]
    fn the_shortest_store_is_amazons() {
        assert_eq!(store(json!({})), Ok(()));
    }

    #[test]
    fn a_bucket_has_a_name_that_s3_takes() {
        for name in ["abc", "a-b.c", "0a0"] {
            assert_eq!(store(json!({"bucket": name})), Ok(()), "{name}");
        }
        let long = "a".repeat(64);
        for name in [
            "ab",
            "Abc",
            "a_b",
            "-ab",
            "ab.",
            "a..b",
            "a/b",
            "",
            long.as_str(),
        ] {
            assert_eq!(
                fields(store(json!({"bucket": name}))),
                ["spec.s3.bucket"],
                "{name}"
            );
        }
    }

    #[test]
    fn a_prefix_is_a_folder_below_the_bucket_and_never_leads_out_of_it() {
        for prefix in ["", "redis", "redis/shop_1", "_a/b.c"] {
            assert_eq!(store(json!({"prefix": prefix})), Ok(()), "{prefix:?}");
        }
        for prefix in ["/a", "a/", "a//b", "..", "a/../b", ".", "a b", "é", "-a"] {
            assert_eq!(
                fields(store(json!({"prefix": prefix}))),
                ["spec.s3.prefix"],
                "{prefix:?}"
            );
        }
    }

    #[test]
    fn an_endpoint_is_an_address_without_a_user() {
        for endpoint in [
            "https://s3.example.com",
            "http://minio.storage.svc:9000",
            "https://192.0.2.7:9000",
            "https://[2001:db8::1]:9000",
            "https://[::1]",
            "https://gateway.example.com/storage/v1",
        ] {
            assert_eq!(store(json!({"endpoint": endpoint})), Ok(()), "{endpoint}");
        }
        for endpoint in [
            "",
            "s3.example.com",
            "ftp://s3.example.com",
            "https://",
            "https://s3.example.com/",
            "https://user:word@s3.example.com",
            "https://s3.example.com?x=1",
            "https://s3.example.com:",
            "https://s3.example.com:123456",
            "https://[::1",
            "https://[]",
            "https://-a",
        ] {
            assert_eq!(
                fields(store(json!({"endpoint": endpoint}))),
                ["spec.s3.endpoint"],
                "{endpoint}"
            );
        }
    }

    #[test]
    fn a_bucket_with_a_dot_is_no_part_of_a_hosts_name() {
        let of = |bucket: &str| store(json!({"bucket": bucket, "addressing": "VirtualHost"}));
        assert_eq!(of("backups"), Ok(()));
        assert_eq!(fields(of("back.ups")), ["spec.s3"]);
    }

    #[test]
    fn everything_that_is_wrong_with_a_store_is_said_at_once() {
        let wrong = json!({
            "region": "eu central",
            "caRef": {"name": "A", "key": "a b"},
            "accessKeyIdRef": {"name": "s3", "key": ""},
            "secretAccessKeyRef": {"name": "", "key": "secret"},
        });
        let expected = [
            "spec.s3.region",
            "spec.s3.caRef.name",
            "spec.s3.caRef.key",
            "spec.s3.accessKeyIdRef.key",
            "spec.s3.secretAccessKeyRef.name",
        ];
        assert_eq!(fields(store(wrong)), expected);
    }
}
