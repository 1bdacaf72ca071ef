//! Builds the built-in policies and leaves them where `src/builtin.rs` embeds them.

use std::path::{Path, PathBuf};

mod guests;

/// Folders in `policies/`.
const BUILT_IN: [&str; 3] = ["acl-presets", "backup-cron", "rebalance-even"];

fn main() {
    // Not the lock file: it changes with every dependency of anybody, and cargo itself notices.
    for path in [
        "../../wit",
        "../../guest-sdk",
        "../../policies/acl-presets",
        "../../policies/backup-cron",
        "../../policies/rebalance-even",
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
    let packages = BUILT_IN.map(|name| format!("hera-policy-{name}"));
    let mut args = vec!["--lib"];
    for package in &packages {
        args.extend(["-p", package.as_str()]);
    }
    let modules = guests::build(Path::new(&workspace), &guests::target_dir(&out_dir), &args)?;
    for (name, package) in BUILT_IN.iter().zip(&packages) {
        let module = modules.join(format!("{}.wasm", package.replace('-', "_")));
        std::fs::copy(&module, out_dir.join(format!("{name}.wasm")))
            .map_err(|error| format!("{}: {error}", module.display()))?;
    }
    Ok(())
}
