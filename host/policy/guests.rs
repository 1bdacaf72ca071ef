// Builds policies for the sandbox with a cargo of its own. Shared by the build script (which
// embeds the built-in), the tests, the bench and the corpus example.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// Where `cargo` puts guests: beside the outer build's profiles, so that every profile and test
/// shares one build of them. It is another target folder, so the lock that the outer cargo holds
/// on its own is never waited for.
pub fn target_dir(out_dir: &Path) -> PathBuf {
    // Cargo tags only a folder that it made itself, and keeps what it knows of the compiler in any.
    let is_targets = |folder: &&Path| {
        let marks = ["CACHEDIR.TAG", ".rustc_info.json"];
        marks.iter().any(|mark| folder.join(mark).exists())
    };
    let outer = out_dir.ancestors().find(is_targets);
    outer.unwrap_or(out_dir).join("policies")
}

/// Builds with `args` (`-p crate`, `--examples`) and returns the folder with the modules.
pub fn build(workspace: &Path, target_dir: &Path, args: &[&str]) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args([
            "build",
            "--locked",
            "--quiet",
            "--profile",
            "policy",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .args(args);
    // The outer build's flags, wrappers (clippy, coverage) and job server are about the host.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let network = [
            "CARGO_HOME",
            "CARGO_HTTP_",
            "CARGO_NET_",
            "CARGO_REGISTR",
            "CARGO_SOURCE_",
        ];
        let cargo =
            name_text.starts_with("CARGO") && !network.iter().any(|n| name_text.starts_with(n));
        let tool = [
            "CLIPPY_",
            "RUSTC_W",
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "MAKEFLAGS",
            "MFLAGS",
            "LLVM_PROFILE",
        ];
        if cargo || tool.iter().any(|tool| name_text.starts_with(tool)) {
            command.env_remove(&name);
        }
    }
    let output = command
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if output.status.success() {
        return Ok(target_dir.join(TARGET).join("policy"));
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("target may not be installed") {
        return Err(format!(
            "the wasm target is missing; run: rustup target add {TARGET}"
        ));
    }
    Err(format!("policies do not build: {stderr}"))
}
