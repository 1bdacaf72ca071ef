//! What is written by hand in `deploy/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// The folders that `kubectl apply -f` takes as they are, in which every file must be an object. No object may
/// be twice in those that stand together.
const APPLIED: [&[&str]; 2] = [
    &["deploy/crd", "deploy/manager", "deploy/samples"],
    &["deploy/namespaced/operator", "deploy/namespaced/watched"],
];
/// The operator's image without its tag.
const IMAGE: &str = "ghcr.io/hera-io/hera-operator:";

pub fn check(root: &Path) -> Result<()> {
    for folders in APPLIED {
        check_together(root, folders)?;
    }
    Ok(())
}

fn check_together(root: &Path, folders: &[&str]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for folder in folders {
        for (file, object) in objects(&root.join(folder))? {
            let identity = identity(&object)
                .with_context(|| format!("{file} holds something that is no object"))?;
            ensure!(
                seen.insert(identity.clone()),
                "{file}: {identity} is there twice"
            );
            check_images(&object, &file)?;
        }
    }
    Ok(())
}

/// Every document of every file, in the order in which kubectl reads them.
fn objects(folder: &Path) -> Result<Vec<(String, Value)>> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let text = fs::read_to_string(&file).with_context(|| format!("read {name}"))?;
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).with_context(|| format!("read {name} as YAML"))?;
        objects.extend(
            documents
                .into_iter()
                .map(|document| (name.clone(), document)),
        );
    }
    Ok(objects)
}

fn identity(object: &Value) -> Option<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let namespace = text("/metadata/namespace").unwrap_or("-");
    Some(format!(
        "{} {} {namespace}/{}",
        text("/apiVersion")?,
        text("/kind")?,
        text("/metadata/name")?
    ))
}

/// The tag is this workspace's version, wherever the image is named.
fn check_images(value: &Value, file: &str) -> Result<()> {
    match value {
        Value::String(text) if text.starts_with(IMAGE) => {
            let wanted = format!("{IMAGE}{}", env!("CARGO_PKG_VERSION"));
            if *text != wanted {
                bail!("{file} names {text}: it should be {wanted}");
            }
            Ok(())
        }
        Value::Object(map) => map.values().try_for_each(|value| check_images(value, file)),
        Value::Array(items) => items.iter().try_for_each(|value| check_images(value, file)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hera_api::validate::{validate, validate_cluster, validate_store};
    use hera_api::{RedisBackupSpec, RedisBackupStoreSpec, RedisClusterSpec, RedisInstanceSpec};

    use super::*;

    /// Of each resource (`apps/statefulsets`) what may be done with it; behind a verb, with which one alone.
    type Rights = BTreeMap<String, BTreeSet<String>>;

    /// The object of this kind and name in a folder.
    fn object(folder: &str, kind: &str, name: &str) -> Value {
        let all = objects(&crate::root().unwrap().join(folder)).unwrap();
        let mut all = all.into_iter().map(|(_, object)| object);
        let found = all.find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
        found.unwrap()
    }

    fn texts(list: &Value) -> Vec<&str> {
        let items = list.as_array().into_iter().flatten();
        items.map(|item| item.as_str().unwrap()).collect()
    }

    fn resources(rule: &Value) -> Vec<String> {
        let groups = texts(&rule["apiGroups"]).into_iter();
        let resources = texts(&rule["resources"]);
        groups
            .flat_map(|group| resources.iter().map(move |name| format!("{group}/{name}")))
            .collect()
    }

    fn operators(folder: &str, kind: &str) -> Rights {
        let mut rights = Rights::new();
        for rule in object(folder, kind, "hera-operator")["rules"]
            .as_array()
            .unwrap()
        {
            let names = texts(&rule["resourceNames"]).join(" ");
            let verbs = texts(&rule["verbs"]).into_iter();
            let verbs: Vec<String> = verbs
                .map(|verb| format!("{verb} {names}").trim_end().to_owned())
                .collect();
            for resource in resources(rule) {
                rights.entry(resource).or_default().extend(verbs.clone());
            }
        }
        rights
    }

    #[test]
    fn where_it_is_given_a_namespace_the_operator_may_what_it_may_everywhere() {
        let mut everywhere = operators("deploy/manager", "ClusterRole");
        for of_no_namespace in [
            "/nodes",
            "/namespaces",
            "storage.k8s.io/storageclasses",
            "apiextensions.k8s.io/customresourcedefinitions",
        ] {
            assert!(everywhere.remove(of_no_namespace).is_some());
        }
        assert_eq!(operators("deploy/namespaced/watched", "Role"), everywhere);
    }

    #[test]
    fn with_roles_alone_the_operator_may_no_more_in_its_own_namespace() {
        let always = operators("deploy/manager", "Role");
        let mut both = operators("deploy/manager", "ClusterRole");
        for (resource, verbs) in always.clone() {
            both.entry(resource).or_default().extend(verbs);
        }
        let roles = operators("deploy/namespaced/operator", "Role");
        for (resource, verbs) in &roles {
            assert!(verbs.is_subset(&both[resource]), "{resource}");
        }
        for (resource, verbs) in &always {
            assert!(verbs.is_subset(&roles[resource]), "{resource}");
        }
    }

    /// Plural names of the kinds that there are, with those of their definitions.
    fn kinds() -> Vec<(String, String)> {
        let definitions = objects(&crate::root().unwrap().join("deploy/crd")).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        definitions
            .into_iter()
            .map(|(_, object)| {
                let plural = text(&object["spec"]["names"]["plural"]);
                (plural, text(&object["metadata"]["name"]))
            })
            .collect()
    }

    #[test]
    fn the_operator_may_see_every_kind_and_its_definition() {
        let rights = operators("deploy/manager", "ClusterRole");
        let of_definitions = &rights["apiextensions.k8s.io/customresourcedefinitions"];
        for (plural, definition) in kinds() {
            for verb in ["get", "list", "watch"] {
                let objects = &rights[&format!("cache.hera.io/{plural}")];
                assert!(objects.contains(verb), "{verb} {plural}");
            }
            let status = &rights[&format!("cache.hera.io/{plural}/status")];
            assert!(status.contains("patch"), "{plural}");
            let get = of_definitions.iter().find(|verb| verb.starts_with("get "));
            let mut names = get.unwrap().split(' ');
            assert!(names.any(|name| name == definition), "{definition}");
        }
    }

    #[test]
    fn people_who_view_or_edit_do_so_with_every_kind() {
        for (role, verbs) in [
            ("hera-view", &["get", "list", "watch"][..]),
            ("hera-edit", &["create", "update", "patch", "delete"][..]),
        ] {
            let role = object("deploy/manager", "ClusterRole", role);
            let rules = role["rules"].as_array().unwrap();
            for (plural, _) in kinds() {
                let resource = format!("cache.hera.io/{plural}");
                let mut may = rules
                    .iter()
                    .filter(|rule| resources(rule).contains(&resource));
                let has_all = |rule: &Value| {
                    let granted = texts(&rule["verbs"]);
                    verbs.iter().all(|verb| granted.contains(verb))
                };
                assert!(may.any(has_all), "{resource}");
            }
        }
    }

    #[test]
    fn a_quota_bounds_how_many_objects_there_are_of_every_kind() {
        let quota = object("deploy/samples", "ResourceQuota", "hera-objects");
        let hard = quota["spec"]["hard"].as_object().unwrap();
        for (_, definition) in kinds() {
            assert!(
                hard.contains_key(&format!("count/{definition}")),
                "{definition}"
            );
        }
    }

    /// Specs of the samples of a kind, by name.
    fn samples(kind: &str) -> BTreeMap<String, Value> {
        let all = objects(&crate::root().unwrap().join("deploy/samples")).unwrap();
        let all = all.into_iter().map(|(_, object)| object);
        all.filter(|object| object["kind"] == kind)
            .map(|object| {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                (name, object["spec"].clone())
            })
            .collect()
    }

    #[test]
    fn what_the_samples_ask_for_can_be() {
        let instances = samples("RedisInstance");
        let stores = samples("RedisBackupStore");
        let backups = samples("RedisBackup");
        for (name, spec) in &instances {
            let spec: RedisInstanceSpec = serde_json::from_value(spec.clone()).unwrap();
            validate(name, &spec).unwrap();
            if let Some(backup) = &spec.backup {
                assert!(stores.contains_key(&backup.store_ref.name), "{name}");
            }
            let bootstrap = spec.bootstrap.as_ref();
            let recovery = bootstrap.and_then(|start| start.recovery.as_ref());
            if let Some(backup) = recovery.and_then(|recovery| recovery.backup_ref.as_ref()) {
                assert!(backups.contains_key(&backup.name), "{name}");
            }
            if let Some(source) = recovery.and_then(|recovery| recovery.source.as_ref()) {
                assert!(stores.contains_key(&source.store_ref.name), "{name}");
                let of = &instances[&source.name];
                assert!(of["backup"]["log"].is_object(), "{name}");
            }
        }
        for (name, spec) in samples("RedisCluster") {
            let spec: RedisClusterSpec = serde_json::from_value(spec).unwrap();
            validate_cluster(&name, &spec).unwrap();
        }
        for spec in stores.into_values() {
            let spec: RedisBackupStoreSpec = serde_json::from_value(spec).unwrap();
            validate_store(&spec).unwrap();
        }
        for (name, spec) in backups {
            let spec: RedisBackupSpec = serde_json::from_value(spec).unwrap();
            let target = &instances[&spec.target.name];
            assert!(target.get("backup").is_some(), "{name}");
        }
    }

    #[test]
    fn kustomize_applies_every_definition_and_all_of_the_manager() {
        let root = crate::root().unwrap();
        let text = fs::read_to_string(root.join("deploy/kustomization.yaml")).unwrap();
        let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
        let listed: BTreeSet<&str> = texts(&kustomization["resources"]).into_iter().collect();
        let mut there = BTreeSet::new();
        for folder in ["crd", "manager"] {
            for file in fs::read_dir(root.join("deploy").join(folder)).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                there.insert(format!("{folder}/{name}"));
            }
        }
        let there: BTreeSet<&str> = there.iter().map(String::as_str).collect();
        assert_eq!(listed, there);
    }

    #[test]
    fn the_sample_that_keeps_the_operator_to_its_own_is_about_all_that_it_may_change() {
        let kind = "ValidatingAdmissionPolicy";
        let policy = object("deploy/samples", kind, "hera-operator-own");
        let rules = &policy["spec"]["matchConstraints"]["resourceRules"];
        let rules = rules.as_array().unwrap().iter();
        let kept: BTreeSet<String> = rules.flat_map(resources).collect();
        let may_change = |verbs: &BTreeSet<String>| {
            let mut verbs = verbs.iter().filter_map(|verb| verb.split(' ').next());
            verbs.any(|verb| !["get", "list", "watch"].contains(&verb))
        };
        // The objects that it looks after, its words about them, and what is no object.
        let is_child = |resource: &String| {
            !resource.starts_with("cache.hera.io/")
                && resource != "events.k8s.io/events"
                && resource != "discovery.k8s.io/endpointslices/restricted"
        };
        let rights = operators("deploy/manager", "ClusterRole").into_iter();
        let changed = rights.filter(|(_, verbs)| may_change(verbs));
        let changed: BTreeSet<String> = changed.map(|(resource, _)| resource).collect();
        let changed: BTreeSet<String> = changed.into_iter().filter(is_child).collect();
        assert_eq!(kept, changed);
    }

    #[test]
    fn what_is_applied_as_it_stands_is_nothing_but_objects() {
        check(&crate::root().unwrap()).unwrap();
    }
}
