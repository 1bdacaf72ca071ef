//! `policy build`: the crate of a folder, as a module.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{inspect, module};
use crate::Verdict;
use crate::output::{Output, bad};

const TARGET: &str = "wasm32-unknown-unknown";

/// Builds, copies the module to `out`, and looks at it.
///
/// # Errors
/// When cargo cannot build it, or it makes no module.
pub fn run(folder: &Path, out: &Path, output: Output) -> anyhow::Result<Verdict> {
    let built = build(folder)?;
    std::fs::copy(&built, out)
        .with_context(|| format!("{} to {}", built.display(), out.display()))?;
    let bytes = module::read(out)?;
    match module::decision(&bytes) {
        Ok((_, inspection)) => {
            output.print(&inspection, |inspection| {
                format!("{}\n", out.display()) + &inspect::describe(inspection)
            })?;
            Ok(Verdict::Yes)
        }
        Err(error) => {
            anstream::eprintln!("{} {error}", bad(error.reason()));
            Ok(Verdict::No)
        }
    }
}

fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest
        .canonicalize()
        .with_context(|| format!("there is no {}", manifest.display()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--manifest-path")
        .arg(&manifest)
        .stdin(Stdio::null())
        // What it says to people it says to them.
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start: install Rust")?;
    if !output.status.success() {
        bail!("cargo cannot build it; is the target there? rustup target add {TARGET}");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message.get("reason").and_then(Value::as_str) == Some("compiler-artifact")
                && message.get("manifest_path").and_then(Value::as_str) == manifest.to_str()
        })
        .filter_map(|message| {
            let files = message.get("filenames")?.as_array()?.clone();
            files
                .iter()
                .filter_map(Value::as_str)
                .find(|file| file.ends_with(".wasm"))
                .map(PathBuf::from)
        })
        .next_back()
        .context("the crate makes no module: it needs crate-type = [\"cdylib\", \"rlib\"]")
}
