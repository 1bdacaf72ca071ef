//! Policy modules, built the way a policy's author builds them, or written down.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

#[path = "../../../host/policy/guests.rs"]
#[allow(dead_code, reason = "shared with the build script of hera-policy")]
mod guests;

#[path = "../../../host/policy/slow.rs"]
mod slow;

/// A policy module.
#[derive(Clone, Debug)]
pub struct Module {
    /// Its bytes, as they stand in a ConfigMap.
    pub bytes: Vec<u8>,
    /// Its digest, as it stands in a status.
    pub digest: String,
}

impl Module {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = hera_core::digest::of(&bytes);
        Self { bytes, digest }
    }
}

/// A module by its name: those of `policies/` are sound, the others do what a policy
/// must not (`host/policy/tests/guests`).
///
/// # Errors
/// When it does not build.
pub async fn module(name: &'static str) -> Result<Module> {
    let bytes = tokio::task::spawn_blocking(move || bytes(name)).await??;
    Ok(Module::new(bytes))
}

/// The same module, sound, and larger than a module may be. It still fits in a ConfigMap.
pub fn oversized(module: &Module) -> Module {
    padded(module, &vec![0; 600 << 10])
}

/// The same module with something in it that nobody looks at: another digest.
pub fn padded(module: &Module, padding: &[u8]) -> Module {
    let name = b"padding";
    let mut content = vec![u8::try_from(name.len()).unwrap_or_default()];
    content.extend(name);
    content.extend(padding);
    // A custom section: its id, its length in LEB128, its name, its content.
    let mut bytes = module.bytes.clone();
    bytes.push(0);
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap_or_default());
    bytes.extend(content);
    Module::new(bytes)
}

fn bytes(name: &str) -> Result<Vec<u8>> {
    match name {
        "acl-presets" | "acl-no-delete" | "acl-write-hours" | "rebalance-even"
        | "rebalance-load" => {
            let package = format!("hera-policy-{name}");
            let folder = build(&["-p", &package, "--lib"])?;
            read(folder.join(format!("{}.wasm", package.replace('-', "_"))))
        }
        "garbage" => Ok(b"#!/bin/sh\necho this is no module\n".repeat(40)),
        // A component that exports another interface.
        "wrong-world" => text(
            r#"(component
                (instance $i)
                (export "someone:else/thing@1.0.0" (instance $i)))"#,
        ),
        // A component that wants a clock.
        "wasi" => text(
            r#"(component
                (import "wasi:clocks/monotonic-clock@0.2.6" (instance
                    (export "now" (func (result u64)))))
                (instance $i)
                (export "hera:policy/acl@0.1.0" (instance $i)))"#,
        ),
        // Too much for the processor time that a module may take.
        "slow-to-compile" => text(&slow::slow_to_compile()),
        // What a build for wasm32-wasip1 makes.
        "wasi-core" => text(
            r#"(module (import "wasi_snapshot_preview1" "fd_write"
                (func (param i32 i32 i32 i32) (result i32))))"#,
        ),
        guest => {
            let folder = build(&["-p", "hera-policy-hostile", "--examples"])?;
            read(
                folder
                    .join("examples")
                    .join(format!("{}.wasm", guest.replace('-', "_"))),
            )
        }
    }
}

fn text(module: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(module)?)
}

fn read(path: PathBuf) -> Result<Vec<u8>> {
    std::fs::read(&path).with_context(|| path.display().to_string())
}

fn build(args: &[&str]) -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = guests::target_dir(&std::env::current_exe()?);
    guests::build(&workspace, &target, args).map_err(|error| anyhow!(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_module_is_larger_than_the_limit_and_smaller_than_a_config_map() {
        let module = Module::new(wat::parse_str("(module)").unwrap());
        let large = oversized(&module);
        assert!(large.bytes.len() > 512 << 10 && large.bytes.len() < 1 << 20);
        assert_ne!(module.digest, large.digest);
    }
}
