//! What an object begins with: the data of a backup, or of an instant.

use k8s_openapi::jiff::Timestamp;

use super::backup::check_name;
use super::error::Problems;
use super::labels::is_dns_label;
use super::messages;
use crate::RedisInstanceSpec;
use crate::spec::{self, RecoverySource};

/// Of all fields but which of the two there is.
const FIELD: &str = "spec.bootstrap.recovery";
/// Milliseconds of the year 2000 since 1970: no log is older.
const EARLIEST: i64 = 946_684_800_000;
/// Longest name of an object.
const MAX_NAME: usize = 40;
/// Longest uid.
const MAX_UID: usize = 64;
/// A replication id has so many digits.
const ID: usize = 40;

/// Which data an object begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Whose.
    pub origin: Origin,
    /// Of when; none for that of the backup itself, or for the latest that the store has.
    pub at: Option<At>,
    /// A replication id: the history that ended there, and not the one that went on.
    pub branch: Option<String>,
}

/// Whose data an object begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// That of the RedisBackup of this name; where an instant is asked for, that of its object.
    Backup(String),
    /// That of an object as a store knows it.
    Object(RecoverySource),
}

/// An instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// As the spec has it.
    pub text: String,
    /// In milliseconds since 1970; what is less counts for nothing.
    pub unix_ms: u64,
}

pub(super) fn of_instance(spec: &RedisInstanceSpec, problems: &mut Problems) -> Option<Recovery> {
    let bootstrap = spec.bootstrap.as_ref()?;
    let Some(recovery) = &bootstrap.recovery else {
        problems.add("spec.bootstrap", messages::BEGINS_WITH_SOMETHING);
        return None;
    };
    let spec::Recovery {
        backup_ref,
        source,
        time,
        branch,
    } = recovery;
    let origin = match (backup_ref, source) {
        (Some(backup), None) => {
            let field = format!("{FIELD}.backupRef.name");
            check_name(&field, &backup.name, problems);
            Some(Origin::Backup(backup.name.clone()))
        }
        (None, Some(source)) => {
            check_source(source, problems);
            Some(Origin::Object(source.clone()))
        }
        _ => {
            problems.add(FIELD, messages::ONE_ORIGIN);
            None
        }
    };
    if branch.is_some() && time.is_none() && source.is_none() {
        problems.add(FIELD, messages::BRANCH_OF_A_LOG);
    }
    if branch.as_deref().is_some_and(|id| !is_replication_id(id)) {
        problems.add(format!("{FIELD}.branch"), messages::BRANCH);
    }
    let at = time.as_deref().map(at);
    if at == Some(None) {
        problems.add(format!("{FIELD}.time"), messages::TIME);
    }
    Some(Recovery {
        origin: origin?,
        at: at.flatten(),
        branch: branch.clone(),
    })
}

fn check_source(source: &RecoverySource, problems: &mut Problems) {
    let RecoverySource {
        store_ref,
        kind: _,
        namespace,
        name,
        uid,
    } = source;
    let field = |last: &str| format!("{FIELD}.source.{last}");
    check_name(&field("storeRef.name"), &store_ref.name, problems);
    if namespace.as_deref().is_some_and(|name| !is_dns_label(name)) {
        problems.add(field("namespace"), messages::LABEL);
    }
    if name.len() > MAX_NAME || !is_dns_label(name) {
        problems.add(field("name"), messages::SOURCE_NAME);
    }
    if uid.as_deref().is_some_and(|uid| !is_uid(uid)) {
        problems.add(field("uid"), messages::UID);
    }
}

/// Nothing that leads out of a folder of a store.
fn is_uid(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    (1..=MAX_UID).contains(&text.len()) && text.chars().all(good)
}

fn is_replication_id(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == ID && text.bytes().all(good)
}

/// The instant that a text names; none if it names none.
fn at(text: &str) -> Option<At> {
    let time: Timestamp = text.parse().ok().filter(|_| is_rfc3339(text))?;
    let unix_ms = time.as_millisecond();
    Some(At {
        text: text.to_owned(),
        unix_ms: u64::try_from(unix_ms)
            .ok()
            .filter(|_| unix_ms >= EARLIEST)?,
    })
}

/// True of what looks like a time of RFC 3339; what its numbers are is not looked at.
fn is_rfc3339(text: &str) -> bool {
    const DATE_AND_TIME: &str = "0000-00-00T00:00:00";
    let Some((head, rest)) = text.split_at_checked(DATE_AND_TIME.len()) else {
        return false;
    };
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit());
            rest.split_at(end.unwrap_or(rest.len()))
        }
        None => ("0", rest),
    };
    looks_like(head, DATE_AND_TIME)
        && (1..=9).contains(&fraction.len())
        && (zone == "Z" || looks_like(zone, "+00:00") || looks_like(zone, "-00:00"))
}

/// True of the same text but for its digits, for each of which the other has a 0.
fn looks_like(text: &str, like: &str) -> bool {
    let same = |(byte, like): (u8, u8)| match like {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    text.len() == like.len() && text.bytes().zip(like.bytes()).all(same)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::validate::{Invalid, InvalidSpec, validate};

    const HISTORY: &str = "0123456789abcdef0123456789abcdef01234567";

    fn begins(recovery: Value) -> Result<Recovery, InvalidSpec> {
        let spec = json!({"version": "7.2", "bootstrap": {"recovery": recovery}});
        let v = validate("cache", &serde_json::from_value(spec).unwrap())?;
        Ok(v.recovery.unwrap())
    }

    fn fields(recovery: Value) -> Vec<String> {
        let problems = begins(recovery).err().map(|error| error.0);
        let problems = problems.unwrap_or_default().into_iter();
        problems.map(|problem| problem.field).collect()
    }

    fn source() -> Value {
        json!({"storeRef": {"name": "s3"}, "name": "old"})
    }

    #[test]
    fn a_backup_is_begun_with_as_it_is_and_its_object_at_any_time() {
        let plain = begins(json!({"backupRef": {"name": "nightly"}})).unwrap();
        let backup = Recovery {
            origin: Origin::Backup("nightly".to_owned()),
            at: None,
            branch: None,
        };
        assert_eq!(plain, backup);
        let time = "2026-11-28T14:03:04.5Z";
        let later = begins(json!({"backupRef": {"name": "nightly"}, "time": time})).unwrap();
        let at = At {
            text: time.to_owned(),
            unix_ms: 1_795_874_584_500,
        };
        assert_eq!(
            later,
            Recovery {
                at: Some(at),
                ..backup
            }
        );
    }

    #[test]
    fn an_object_that_is_gone_is_named_as_its_store_knows_it() {
        let mut whole = source();
        whole["kind"] = json!("RedisInstance");
        whole["namespace"] = json!("shop");
        whole["uid"] = json!("7c1f-A");
        let read = begins(json!({"source": whole, "branch": HISTORY})).unwrap();
        let Origin::Object(found) = read.origin else {
            panic!("it is no object");
        };
        assert_eq!(found.store_ref.name, "s3");
        assert_eq!((found.name.as_str(), read.at), ("old", None));
        assert_eq!(found.namespace.as_deref(), Some("shop"));
        assert_eq!(found.uid.as_deref(), Some("7c1f-A"));
        assert_eq!(read.branch.as_deref(), Some(HISTORY));
    }

    #[test]
    fn it_begins_with_one_thing() {
        let both = json!({"backupRef": {"name": "nightly"}, "source": source()});
        for recovery in [both, json!({}), json!({"time": "2026-11-28T14:03:04Z"})] {
            let expected = Invalid::new(FIELD, messages::ONE_ORIGIN);
            assert_eq!(begins(recovery).unwrap_err().0, [expected]);
        }
        let branch = json!({"backupRef": {"name": "nightly"}, "branch": HISTORY});
        let expected = Invalid::new(FIELD, messages::BRANCH_OF_A_LOG);
        assert_eq!(begins(branch).unwrap_err().0, [expected]);
    }

    #[test]
    fn what_names_an_object_never_leads_out_of_its_folder() {
        for name in ["", "A", "a.b", "../b", "a/b", "-a"] {
            let mut wrong = source();
            wrong["name"] = json!(name);
            wrong["namespace"] = json!(name);
            let expected = ["namespace", "name"].map(|last| format!("{FIELD}.source.{last}"));
            assert_eq!(fields(json!({"source": wrong})), expected, "{name:?}");
        }
        let long = "u".repeat(65);
        for uid in ["", "..", "a/b", "a.b", long.as_str()] {
            let mut wrong = source();
            wrong["uid"] = json!(uid);
            let expected = [format!("{FIELD}.source.uid")];
            assert_eq!(fields(json!({"source": wrong})), expected, "{uid:?}");
        }
        let upper = HISTORY.to_uppercase();
        for id in ["", &HISTORY[1..], upper.as_str()] {
            let wrong = json!({"source": source(), "branch": id});
            assert_eq!(fields(wrong), [format!("{FIELD}.branch")], "{id:?}");
        }
    }

    #[test]
    fn a_time_is_one_of_rfc_3339() {
        let of = |time: &str| begins(json!({"source": source(), "time": time}));
        for (time, unix_ms) in [
            ("2026-11-28T14:03:04Z", 1_795_874_584_000),
            ("2026-11-28T15:03:04+01:00", 1_795_874_584_000),
            ("2026-11-28T14:03:04.1239999Z", 1_795_874_584_123),
            ("2000-01-01T00:00:00Z", 946_684_800_000),
        ] {
            let at = of(time).unwrap().at.unwrap();
            assert_eq!((at.unix_ms, at.text.as_str()), (unix_ms, time));
        }
        for time in [
            "",
            "now",
            "-10m",
            "2026-11-28",
            "2026-11-28 14:03:04Z",
            "2026-11-28t14:03:04z",
            "2026-11-28T14:03Z",
            "2026-11-28T14:03:04",
            "2026-11-28T14:03:04.Z",
            "2026-11-28T14:03:04.1234567890Z",
            "2026-11-28T14:03:04Z[Europe/Berlin]",
            "2026-11-28T14:03:04+0100",
            "2026-13-28T14:03:04Z",
            "2026-02-30T14:03:04Z",
            "1999-12-31T23:59:59Z",
            "+002026-11-28T14:03:04Z",
            "é026-11-28T14:03:04Z",
        ] {
            let wrong = json!({"source": source(), "time": time});
            assert_eq!(fields(wrong), [format!("{FIELD}.time")], "{time:?}");
        }
    }
}
