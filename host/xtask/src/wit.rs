//! A released version of the policy contract does not change any more: modules built for it are out
//! there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// Lists each frozen version with the digest of its files.
const FROZEN: &str = "wit/frozen.json";

/// Checks that no frozen version changed.
pub fn check(root: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join(FROZEN)).context(FROZEN)?;
    let frozen: BTreeMap<String, String> = serde_json::from_str(&text).context(FROZEN)?;
    for (version, wanted) in frozen {
        let found = digest(&root.join("wit").join(&version))?;
        if found != wanted {
            bail!(
                "wit/{version} is released and may not change: put it back, and make the change in \
                 the next version"
            );
        }
    }
    Ok(())
}

/// Freezes a version.
pub fn freeze(root: &Path, version: &str) -> Result<()> {
    let path = root.join(FROZEN);
    let text = fs::read_to_string(&path).context(FROZEN)?;
    let mut frozen: BTreeMap<String, String> = serde_json::from_str(&text).context(FROZEN)?;
    let digest = digest(&root.join("wit").join(version))?;
    if frozen.insert(version.to_owned(), digest).is_some() {
        bail!("wit/{version} is frozen already");
    }
    fs::write(path, serde_json::to_string_pretty(&frozen)? + "\n").context(FROZEN)
}

/// Of the names and contents of all files in a folder.
fn digest(folder: &Path) -> Result<String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.insert(name, hera_core::digest::of(&fs::read(entry.path())?));
    }
    let all = serde_json::to_vec(&files)?;
    Ok(hera_core::digest::of(&all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_version_may_not_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("wit/v0.1")).unwrap();
        fs::write(root.join(FROZEN), "{}").unwrap();
        let file = root.join("wit/v0.1/acl.wit");
        fs::write(&file, "interface acl {}").unwrap();
        freeze(root, "v0.1").unwrap();
        check(root).unwrap();
        assert!(freeze(root, "v0.1").is_err());
        fs::write(&file, "interface acl { }").unwrap();
        assert!(check(root).unwrap_err().to_string().contains("wit/v0.1"));
    }
}
