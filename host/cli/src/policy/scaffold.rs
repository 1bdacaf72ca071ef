//! `policy new`: a crate that builds and passes its tests at once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::module;
use crate::Verdict;
use crate::output::{Output, good};

/// A file of a template and what stands in it.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal; $($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!($folder, $file)))),*]
    };
}

/// A policy for `acl`.
const ACL: &[File] = files!["../../templates/acl/";
    "Cargo.toml.template",
    "README.md",
    "cargo-config.toml",
    "cases/misspelt-settings.json",
    "cases/no-scripts.json",
    "gitignore",
    "src/lib.rs",
    "tests/cases.rs",
];

/// A policy for `backup`.
const BACKUP: &[File] = files!["../../templates/backup/";
    "Cargo.toml.template",
    "README.md",
    "cargo-config.toml",
    "cases/at-other-hours-a-schedule-waits.json",
    "cases/in-its-hours-a-schedule-begins.json",
    "cases/it-waits-no-longer-than-it-may.json",
    "cases/misspelt-settings.json",
    "cases/what-somebody-asks-for-does-not-wait.json",
    "gitignore",
    "src/lib.rs",
    "tests/cases.rs",
];

/// A policy for `rebalance`.
const REBALANCE: &[File] = files!["../../templates/rebalance/";
    "Cargo.toml.template",
    "README.md",
    "cargo-config.toml",
    "cases/a-shard-that-leaves-does-not-wait.json",
    "cases/at-other-hours-they-wait.json",
    "cases/in-its-hours-slots-move.json",
    "cases/misspelt-settings.json",
    "gitignore",
    "src/lib.rs",
    "tests/cases.rs",
];

/// The template of each decision.
const TEMPLATES: [(&str, &[File]); 3] =
    [("acl", ACL), ("backup", BACKUP), ("rebalance", REBALANCE)];

/// The SDK, so that a new crate depends on nothing that has to be published or fetched.
const SDK: &[File] = files!["../../../../guest-sdk/";
    "src/acl.rs",
    "src/backup.rs",
    "src/bindings.rs",
    "src/calmest.rs",
    "src/even.rs",
    "src/export.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/map.rs",
    "src/plan.rs",
    "src/presets.rs",
    "src/rebalance.rs",
    "src/slots.rs",
    "src/testing/backup.rs",
    "src/testing/backup_cases.rs",
    "src/testing/cases.rs",
    "src/testing/mod.rs",
    "src/testing/rebalance.rs",
    "src/testing/rebalance_cases.rs",
];
const CONTRACT: &[File] = files!["../../../../wit/";
    "v0.1/acl.wit",
    "v0.1/backup.wit",
    "v0.1/rebalance.wit",
    "v0.1/types.wit",
];
const SDK_MANIFEST: &str = include_str!("../../templates/sdk.toml");

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    folder: PathBuf,
    files: Vec<PathBuf>,
}

/// Makes the folder.
///
/// # Errors
/// When the name is no name of a crate, or the folder is there already.
pub fn run(
    decision: &str,
    name: &str,
    sdk: Option<&Path>,
    output: Output,
) -> anyhow::Result<Verdict> {
    let known = TEMPLATES.iter().find(|(name, _)| *name == decision);
    let Some((_, template)) = known else {
        return Err(module::unknown(decision));
    };
    let usable = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !usable {
        bail!("'{name}' is no name for a crate: use lower-case letters, digits and dashes");
    }
    let folder = PathBuf::from(name);
    if folder.exists() {
        bail!("{name} is there already: choose another name");
    }
    let sdk_path = match sdk {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("the SDK {}", path.display()))?
            .display()
            .to_string(),
        None => "vendor/guest-sdk".to_owned(),
    };
    let fill = |text: &str| {
        text.replace("policy-name", name)
            .replace("policy_name", &name.replace('-', "_"))
            .replace("PolicyName", &type_name(name))
            .replace("SDK_PATH", &sdk_path)
    };
    let mut files = Vec::new();
    let mut put = |path: PathBuf, text: &str| -> anyhow::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        files.push(path);
        Ok(())
    };
    for (file, text) in *template {
        let file = match *file {
            // Under these names cargo and git would take the templates for their own.
            "Cargo.toml.template" => "Cargo.toml",
            "cargo-config.toml" => ".cargo/config.toml",
            "gitignore" => ".gitignore",
            other => other,
        };
        put(folder.join(file), &fill(text))?;
    }
    if sdk.is_none() {
        let vendor = folder.join("vendor");
        put(vendor.join("guest-sdk/Cargo.toml"), SDK_MANIFEST)?;
        for (file, text) in SDK {
            put(vendor.join("guest-sdk").join(file), text)?;
        }
        for (file, text) in CONTRACT {
            put(vendor.join("wit").join(file), text)?;
        }
    }
    let made = Made { folder, files };
    output.print(&made, |made| describe(made, name))?;
    Ok(Verdict::Yes)
}

fn describe(made: &Made, name: &str) -> String {
    format!(
        "{} {name}, {} files\nnext:\n  cd {name}\n  cargo test\n  kubectl hera policy build\n  \
         kubectl hera policy check policy.wasm\n  \
         kubectl hera policy apply policy.wasm --configmap {name}\n",
        good("made"),
        made.files.len()
    )
}

/// `team-acl` is `TeamAcl`.
fn type_name(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_after_the_crate() {
        assert_eq!(type_name("team-acl2"), "TeamAcl2");
    }

    /// Paths below `folder`, sorted.
    fn listed(folder: &Path) -> Vec<String> {
        fn walk(folder: &Path, below: &Path, found: &mut Vec<String>) {
            for entry in folder.read_dir().unwrap() {
                let path = entry.unwrap().path();
                let name = below.join(path.file_name().unwrap());
                if path.is_dir() {
                    walk(&path, &name, found);
                } else {
                    found.push(name.display().to_string());
                }
            }
        }
        let mut found = Vec::new();
        walk(folder, Path::new(""), &mut found);
        found.sort();
        found
    }

    #[test]
    fn nothing_of_template_sdk_or_contract_is_left_out() {
        let repo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let names = |files: &[File]| -> Vec<String> {
            files.iter().map(|(name, _)| (*name).to_owned()).collect()
        };
        for (decision, template) in TEMPLATES {
            let folder = repo.join("host/cli/templates").join(decision);
            assert_eq!(listed(&folder), names(template));
        }
        let sdk: Vec<String> = listed(&repo.join("guest-sdk"))
            .into_iter()
            .filter(|file| file.starts_with("src/"))
            .collect();
        assert_eq!(sdk, names(SDK));
        let contract: Vec<String> = listed(&repo.join("wit"))
            .into_iter()
            .filter(|file| file.ends_with(".wit"))
            .collect();
        assert_eq!(contract, names(CONTRACT));
    }

    /// The lines of a table of a manifest.
    fn dependencies(manifest: &str) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = manifest
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn the_copy_of_the_sdk_depends_on_what_the_workspace_says() {
        let workspace = include_str!("../../../../Cargo.toml");
        let sdk = include_str!("../../../../guest-sdk/Cargo.toml");
        let of_workspace = dependencies(workspace);
        for (name, value) in dependencies(sdk) {
            if !value.contains("workspace = true") {
                continue;
            }
            let version = |text: &str| text.split('"').nth(1).map(str::to_owned);
            let (_, wanted) = of_workspace
                .iter()
                .find(|(known, _)| *known == name)
                .unwrap();
            let copied = dependencies(SDK_MANIFEST);
            let copied: Vec<_> = copied.iter().filter(|(known, _)| *known == name).collect();
            assert!(
                !copied.is_empty(),
                "{name} is missing in templates/sdk.toml"
            );
            for (_, value) in copied {
                assert_eq!(version(value), version(wanted), "{name}");
            }
        }
    }
}
