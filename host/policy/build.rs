//! Builds the built-in policy and leaves it where `src/builtin.rs` embeds it.

use std::path::{Path, PathBuf};

mod guests;

fn main() {
    // Not the lock file: it changes with every dependency of anybody, and cargo itself notices.
    for path in [
        "../../wit",
        "../../guest-sdk",
        "../../policies/acl-presets",
        "../../.cargo/config.toml",
        "guests.rs",
        "build.rs",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    if let Err(error) = embed() {
        for line in error.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn embed() -> Result<(), String> {
    let variable = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .ok_or(format!("no {name}"))
    };
    let out_dir = variable("OUT_DIR")?;
    let workspace = variable("CARGO_MANIFEST_DIR")?.join("../..");
    let modules = guests::build(
        Path::new(&workspace),
        &guests::target_dir(&out_dir),
        &["-p", "hera-policy-acl-presets", "--lib"],
    )?;
    let module = modules.join("hera_policy_acl_presets.wasm");
    std::fs::copy(&module, out_dir.join("acl-presets.wasm"))
        .map(drop)
        .map_err(|error| format!("{}: {error}", module.display()))
}
