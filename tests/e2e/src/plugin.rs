//! `kubectl hera`, as its users run it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use crate::{Bed, Space};

/// What a command printed, and its exit code.
#[derive(Clone, Debug)]
pub struct Said {
    /// Standard output.
    pub text: String,
    /// Standard error.
    pub errors: String,
    /// The exit code.
    pub code: i32,
}

impl Said {
    /// The text, if the command ended with this code.
    ///
    /// # Errors
    /// With all that it printed, if not.
    pub fn with_code(self, code: i32) -> Result<String> {
        if self.code == code {
            return Ok(self.text);
        }
        bail!(
            "exit code {} instead of {code}\n{}\n{}",
            self.code,
            self.text,
            self.errors
        )
    }
}

/// Runs a program in a folder, for at most four minutes.
///
/// # Errors
/// When it does not start or end.
pub async fn run(program: &Path, words: &[&str], folder: &Path) -> Result<Said> {
    let mut command = Command::new(program);
    command
        .args(words)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .kill_on_drop(true);
    // Settings of the cargo that runs these scenarios are not those of an author.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        if text.starts_with("CARGO_PKG") || text.starts_with("CARGO_MANIFEST") || text == "CARGO" {
            command.env_remove(&name);
        }
    }
    let output = tokio::time::timeout(Duration::from_secs(240), command.output())
        .await
        .with_context(|| format!("{} {} does not end", program.display(), words.join(" ")))?
        .with_context(|| program.display().to_string())?;
    Ok(Said {
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(-1),
    })
}

/// The folder in which cargo built this program. Cargo tags only one that it made itself.
///
/// # Errors
/// When the program lies elsewhere.
pub fn target() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let mut folders = exe.ancestors();
    let target = folders.find(|folder| folder.join(".rustc_info.json").exists());
    Ok(target.context("no target folder")?.to_path_buf())
}

/// The plugin of this build.
///
/// # Errors
/// When it was not built.
pub fn program() -> Result<PathBuf> {
    let path = target()?.join("debug/kubectl-hera");
    if !path.exists() {
        bail!("{} is missing: run `make image`", path.display());
    }
    Ok(path)
}

impl Bed {
    /// Runs `kubectl hera` against the testbed, in a folder.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn hera(&self, folder: &Path, words: &[&str]) -> Result<Said> {
        let kubeconfig = self.testbed.kubeconfig().display().to_string();
        let mut all = vec!["--kubeconfig", &kubeconfig];
        all.extend(words);
        run(&program()?, &all, folder).await
    }
}

impl Space<'_> {
    /// Runs `kubectl hera` in this namespace.
    ///
    /// # Errors
    /// When it cannot be run.
    pub async fn hera(&self, words: &[&str]) -> Result<Said> {
        let mut all = vec!["-n", self.namespace()];
        all.extend(words);
        self.bed().hera(self.bed().repo(), &all).await
    }

    /// What `kubectl hera status` tells programs about an instance.
    ///
    /// # Errors
    /// When it cannot be run, or tells nothing.
    pub async fn hera_status(&self, instance: &str) -> Result<Value> {
        let said = self.hera(&["status", instance, "-o", "json"]).await?;
        serde_json::from_str(&said.text).with_context(|| said.errors)
    }
}
