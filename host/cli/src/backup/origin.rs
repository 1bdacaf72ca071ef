//! What a new instance begins with: `spec.bootstrap.recovery`.

use anyhow::Context as _;
use hera_api::RedisBackup;
use kube::api::DynamicObject;
use serde_json::{Map, Value, json};

use super::when::Until;
use crate::args::Recover;

/// Where what was stored of an instance is.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    store: String,
    /// Tells it from others that had its name.
    uid: Option<String>,
}

/// Which data is meant.
pub struct Origin<'a> {
    pub asked: &'a Recover,
    /// None if it is the backup's own instant.
    pub to: Option<Until>,
    /// The instance whose data it is, if it is still there.
    pub live: Option<&'a DynamicObject>,
    /// The backup that is named, or the last whole one of an instance that is gone.
    pub backup: Option<&'a RedisBackup>,
}

impl Origin<'_> {
    /// As the spec says it.
    ///
    /// # Errors
    /// When nothing says in which store it is.
    pub fn recovery(&self) -> anyhow::Result<Value> {
        let mut recovery = match (&self.asked.from, self.to) {
            // The latest goes by the object: a backup without a time is its own instant.
            (None, _) | (Some(_), Some(Until::Latest)) => self.source()?,
            (Some(from), None | Some(Until::At(_))) => {
                Map::from_iter([("backupRef".to_owned(), json!({"name": from}))])
            }
        };
        if let Some(Until::At(at)) = self.to {
            recovery.insert("time".to_owned(), json!(at.to_string()));
        }
        Ok(Value::Object(recovery))
    }

    /// In words, behind "begins with".
    pub fn words(&self) -> String {
        let of = self.asked.target.name();
        match (&self.asked.from, self.to) {
            (_, Some(Until::At(at))) => format!("what {of} held at {at}"),
            (_, Some(Until::Latest)) => format!("the last that is stored of {of}"),
            (from, None) => format!("the data of {}", from.as_deref().unwrap_or(of)),
        }
    }

    /// True if an instant is asked for of an instance that keeps no log now.
    pub fn is_without_log(&self) -> bool {
        let is_kept = |live: &DynamicObject| {
            let log = live.data.pointer("/spec/backup/log");
            let mode = log.and_then(|log| log.get("mode")).and_then(Value::as_str);
            log.is_some_and(Value::is_object) && mode != Some("Disabled")
        };
        self.to.is_some() && self.live.is_some_and(|live| !is_kept(live))
    }

    fn source(&self) -> anyhow::Result<Map<String, Value>> {
        let found = match (self.backup, self.live) {
            (Some(backup), _) => stored(backup),
            (None, Some(live)) => stores(live),
            (None, None) => None,
        };
        let name = self.asked.target.name();
        let source = found.with_context(|| {
            format!(
                "nothing says in which store the log of {name} is: name a RedisBackup of it with --from, or write \
                 bootstrap.recovery.source yourself (docs/backup.md)"
            )
        })?;
        let mut said = json!({"storeRef": {"name": source.store}, "name": name});
        if let (Some(said), Some(uid)) = (said.as_object_mut(), source.uid) {
            said.insert("uid".to_owned(), json!(uid));
        }
        Ok(Map::from_iter([("source".to_owned(), said)]))
    }
}

/// Where an instance that is there stores.
fn stores(live: &DynamicObject) -> Option<Source> {
    let store = live.data.pointer("/spec/backup/storeRef/name")?;
    Some(Source {
        store: store.as_str()?.to_owned(),
        uid: live.metadata.uid.clone(),
    })
}

/// Where the instance of a backup stored.
fn stored(backup: &RedisBackup) -> Option<Source> {
    let status = backup.status.as_ref()?;
    Some(Source {
        store: status.store.clone()?,
        uid: status.target_uid.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::recover::tests::{asked, live};
    use super::super::tests::backup;
    use super::*;

    const AT: &str = "2026-11-28T14:03:04.5Z";

    fn at() -> Option<Until> {
        Some(Until::At(AT.parse().unwrap()))
    }

    fn kept() -> DynamicObject {
        live(json!({"backup": {"storeRef": {"name": "s3"}, "log": {}}}))
    }

    fn whole() -> RedisBackup {
        backup(
            "b1",
            1,
            json!({"phase": "Completed", "store": "old", "targetUid": "u-0"}),
        )
    }

    fn made(
        from: Option<&str>,
        to: Option<Until>,
        live: Option<&DynamicObject>,
        backup: Option<&RedisBackup>,
    ) -> anyhow::Result<Value> {
        let mut asked = asked("cart");
        asked.from = from.map(str::to_owned);
        let origin = Origin {
            asked: &asked,
            to,
            live,
            backup,
        };
        origin.recovery()
    }

    #[test]
    fn an_instant_of_an_instance_that_is_there_is_looked_for_where_it_stores() {
        let live = kept();
        let source = json!({"storeRef": {"name": "s3"}, "name": "cart", "uid": "u-1"});
        let found = made(None, at(), Some(&live), None).unwrap();
        assert_eq!(found, json!({"source": source, "time": AT}));
        let latest = made(None, Some(Until::Latest), Some(&live), None).unwrap();
        assert_eq!(latest, json!({"source": source}));
    }

    #[test]
    fn a_backup_that_is_named_says_which_object_and_store_are_meant() {
        let (live, backup) = (kept(), whole());
        let made = |to| made(Some("b1"), to, Some(&live), Some(&backup)).unwrap();
        let backup_ref = json!({"name": "b1"});
        assert_eq!(made(None), json!({"backupRef": backup_ref}));
        assert_eq!(made(at()), json!({"backupRef": backup_ref, "time": AT}));
        let source = json!({"storeRef": {"name": "old"}, "name": "cart", "uid": "u-0"});
        assert_eq!(made(Some(Until::Latest)), json!({"source": source}));
    }

    #[test]
    fn of_an_instance_that_is_gone_its_last_backup_says_where_it_stored() {
        let backup = whole();
        let source = json!({"storeRef": {"name": "old"}, "name": "cart", "uid": "u-0"});
        let found = made(None, at(), None, Some(&backup)).unwrap();
        assert_eq!(found, json!({"source": source, "time": AT}));
        let without = live(json!({"version": "7.2"}));
        for live in [None, Some(&without)] {
            let refused = made(None, at(), live, None).unwrap_err().to_string();
            assert!(refused.contains("--from"), "{refused}");
        }
    }

    #[test]
    fn who_asks_for_an_instant_of_what_keeps_no_log_is_told() {
        let asked = asked("cart");
        let told = |live: &DynamicObject, to| {
            let origin = Origin {
                asked: &asked,
                to,
                live: Some(live),
                backup: None,
            };
            origin.is_without_log()
        };
        let off =
            live(json!({"backup": {"storeRef": {"name": "s3"}, "log": {"mode": "Disabled"}}}));
        let never = live(json!({"backup": {"storeRef": {"name": "s3"}}}));
        assert!(told(&off, at()) && told(&never, at()));
        assert!(!told(&kept(), at()) && !told(&never, None));
    }
}
