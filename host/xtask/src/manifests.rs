//! What is written by hand in `deploy/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// The folders that `kubectl apply -f` takes as they are, in which every file must be an object.
const APPLIED: [&str; 3] = ["deploy/crd", "deploy/manager", "deploy/samples"];
/// The operator's image without its tag.
const IMAGE: &str = "ghcr.io/hera-io/hera-operator:";

pub fn check(root: &Path) -> Result<()> {
    let mut seen = BTreeSet::new();
    for folder in APPLIED {
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
    use super::*;

    #[test]
    fn what_is_applied_as_it_stands_is_nothing_but_objects() {
        check(&crate::root().unwrap()).unwrap();
    }
}
