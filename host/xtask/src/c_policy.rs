//! The example policy in C: bindings from the contract, then clang.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

/// The policy's folder.
const POLICY: &str = "policies/acl-least-privilege-c";
/// The contract, and the world in it that the policy makes.
const CONTRACT: &str = "wit/v0.1";
const WORLD: &str = "acl-policy";

const TARGET: &str = "--target=wasm32-unknown-unknown";
/// Freestanding: headers are the compiler's and ours, never this machine's, and a loop in our
/// memcpy does not become a call of memcpy.
const COMPILE: [&str; 5] = [TARGET, "-std=c11", "-O2", "-ffreestanding", "-nostdlibinc"];
/// For what is ours; what is generated may warn.
const STRICT: [&str; 3] = ["-Wall", "-Wextra", "-Werror"];
/// A policy has no main. A stack that overflows at the bottom of memory traps, and does not write
/// over data.
const LINK: [&str; 5] = [
    TARGET,
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,--stack-first",
    "-Wl,--strip-all",
];

pub fn run(root: &Path, out: &Path) -> Result<()> {
    ensure!(has_tools(), "install clang and lld");
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    build(root, out)?;
    let bytes = fs::metadata(out).with_context(|| format!("look at {}", out.display()))?;
    println!("wrote {} ({} bytes)", out.display(), bytes.len());
    Ok(())
}

fn build(root: &Path, out: &Path) -> Result<()> {
    let work = tempfile::tempdir().context("make a folder for bindings")?;
    let work = work.path();
    bindings(root, work)?;
    let policy = root.join(POLICY);
    let libc = policy.join("libc");
    let ours = sources(&policy)?.into_iter();
    let ours = ours.map(|file| (file, STRICT.as_slice()));
    let generated = (work.join("acl_policy.c"), [].as_slice());
    let mut link = Command::new("clang");
    link.args(LINK);
    for (number, (source, warnings)) in ours.chain([generated]).enumerate() {
        let object = work.join(format!("{number}.o"));
        let mut compile = Command::new("clang");
        compile.args(COMPILE).args(warnings);
        compile.arg("-I").arg(&libc).arg("-I").arg(work);
        // Warnings in what others wrote are theirs.
        compile.arg("-isystem").arg(policy.join("vendor"));
        compile.arg("-c").arg(&source).arg("-o").arg(&object);
        succeed(compile).with_context(|| format!("compile {}", source.display()))?;
        link.arg(object);
    }
    // This object is nothing but the world, in a custom section that the linker hands on: by it
    // the operator makes a component of a plain module.
    link.arg(work.join("acl_policy_component_type.o"));
    link.arg("-o").arg(out);
    succeed(link).with_context(|| format!("link {}", out.display()))
}

/// What is ours to compile: the policy, then its C library.
fn sources(policy: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for folder in [policy.to_owned(), policy.join("libc")] {
        let list = fs::read_dir(&folder);
        for entry in list.with_context(|| format!("list {}", folder.display()))? {
            let file = entry?.path();
            if file.extension().is_some_and(|end| end == "c") {
                found.push(file);
            }
        }
    }
    // Folders list in no order, and the same files should make the same module.
    found.sort();
    Ok(found)
}

/// Writes `acl_policy.h`, `acl_policy.c` and `acl_policy_component_type.o`.
fn bindings(root: &Path, folder: &Path) -> Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root.join(CONTRACT))?;
    let world = resolve.select_world(&[package], Some(WORLD))?;
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    generator.generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        fs::write(folder.join(name), content).with_context(|| format!("write {name}"))?;
    }
    Ok(())
}

/// True if there is a clang that knows where its linker is: it says a bare name if it does not.
fn has_tools() -> bool {
    let mut ask = Command::new("clang");
    ask.args([TARGET, "-print-prog-name=wasm-ld"]);
    let said = ask.stderr(Stdio::null()).output();
    said.is_ok_and(|said| said.status.success() && said.stdout.contains(&b'/'))
}

/// What is wrong with the code, clang tells on its own.
fn succeed(mut command: Command) -> Result<()> {
    let status = command.status().context("start clang")?;
    if !status.success() {
        bail!("clang ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_in_c_has_every_function_that_the_contract_asks_for() {
        let root = crate::root().unwrap();
        let folder = tempfile::tempdir().unwrap();
        bindings(&root, folder.path()).unwrap();
        let header = fs::read_to_string(folder.path().join("acl_policy.h")).unwrap();
        let sources = sources(&root.join(POLICY)).unwrap();
        let code: String = sources
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect();
        let asked: Vec<_> = header
            .lines()
            .filter(|line| line.starts_with("bool exports_"))
            .filter_map(|line| line.split_once('('))
            .map(|(start, _)| start)
            .collect();
        assert_eq!(asked.len(), 2);
        for start in asked {
            assert!(code.contains(&format!("{start}(")), "{start}");
        }
    }

    #[test]
    fn every_c_file_of_the_policy_and_of_its_library_is_compiled() {
        let root = crate::root().unwrap();
        let policy = root.join(POLICY);
        let found = sources(&policy).unwrap();
        assert!(found.is_sorted());
        for name in ["policy.c", "settings.c", "json.c", "libc/libc.c"] {
            assert!(found.contains(&policy.join(name)), "{name}");
        }
    }
}
