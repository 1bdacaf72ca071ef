//! Backups that stay whatever their age: somebody keeps them, or an object is to begin with them.

use std::collections::{BTreeMap, BTreeSet};

use hera_api::RedisInstance;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use super::super::known::Guarded;
use super::super::record;

/// Those of a namespace, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// By annotation.
    pub by_person: BTreeSet<String>,
    /// For a RedisInstance that has not begun yet: its name.
    pub for_instance: BTreeMap<String, String>,
}

impl Kept {
    /// Those there are, as the API server says. An object whose spec cannot be understood counts all the same.
    ///
    /// # Errors
    /// When it does not answer: unknown is not none.
    pub async fn read(client: &Client, namespace: &str) -> kube::Result<Self> {
        let backups: Api<Guarded> = Api::namespaced(client.clone(), namespace);
        let resource = ApiResource::erase::<RedisInstance>(&());
        let instances: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &resource);
        let all = ListParams::default();
        let (backups, instances) = tokio::try_join!(backups.list(&all), instances.list(&all))?;
        let kept = backups
            .items
            .iter()
            .filter(|backup| record::is_kept(*backup));
        let begin = instances.items.iter().filter_map(|instance| {
            let backup = begins_with(&instance.data)?;
            Some((backup.to_owned(), instance.name_any()))
        });
        Ok(Self {
            by_person: kept.map(kube::ResourceExt::name_any).collect(),
            for_instance: begin.collect(),
        })
    }

    /// All of them.
    pub fn names(&self) -> BTreeSet<String> {
        let names = self.by_person.iter().chain(self.for_instance.keys());
        names.cloned().collect()
    }
}

/// Name of the backup with which an object is to begin and has not.
fn begins_with(object: &Value) -> Option<&str> {
    let has_begun = object.pointer("/status/recovery").is_some();
    let named = object.pointer("/spec/bootstrap/recovery/backupRef/name");
    named.filter(|_| !has_begun)?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_backup_is_needed_by_who_begins_with_it_until_that_has() {
        let mut object = json!({
            "spec": {"bootstrap": {"recovery": {"backupRef": {"name": "nightly"}}}, "strange": [7]},
            "status": {"phase": "Blocked"},
        });
        assert_eq!(begins_with(&object), Some("nightly"));
        object["status"]["recovery"] = json!({"store": "s3"});
        assert_eq!(begins_with(&object), None);
        assert_eq!(begins_with(&json!({"spec": {}})), None);
    }
}
