//! The server binaries of the images, to run on loopback without a cluster: each with the C
//! library of its own root file system, whatever the machine's is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::{self, Recipe};
use crate::images;
use crate::install;
use crate::layout::Layout;
use crate::run::{command, output};

/// The engines and versions that can be had.
pub const ALL: [(&str, &str); 5] = [
    ("redis", "6.2"),
    ("redis", "7.0"),
    ("redis", "7.2"),
    ("redis", "8.0"),
    ("valkey", "8.1"),
];

/// Others, of suites that move on: one that is kept stays, and who makes it anew may get a later one, or none.
/// The testbed's nodes have no image of them.
pub const MOVING: [(&str, &str); 2] = [("redis", "8.6"), ("valkey", "9.1")];

/// The path of `redis-server` or `valkey-server` for an engine and a version such as `7.2`; the
/// command-line tools (`redis-cli`) lie beside it. Made from the image's root file system if missing.
pub fn path(engine: &str, version: &str) -> Result<PathBuf> {
    let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).or_else(|_| Layout::here())?;
    in_layout(&layout, engine, version)
}

/// The same; none, and said, of one of [`MOVING`] that cannot be had.
///
/// # Errors
/// When another cannot be had.
pub fn if_any(engine: &str, version: &str) -> Result<Option<PathBuf>> {
    match path(engine, version) {
        Err(error) if MOVING.contains(&(engine, version)) => {
            println!("NOT SHOWN: {engine} {version} cannot be had: {error:#}");
            Ok(None)
        }
        found => found.map(Some),
    }
}

/// The text of a replica's `nodes.conf` as that of a server which takes itself for a primary without slots.
pub fn without_primary(nodes_conf: &str) -> String {
    let lines = nodes_conf.lines().map(|line| {
        let mut words: Vec<&str> = line.split(' ').collect();
        if words.get(2) == Some(&"myself,slave") {
            words.splice(2.., ["myself,master", "-", "0", "0", "0", "connected"]);
        }
        words.join(" ") + "\n"
    });
    lines.collect()
}

/// As [`path`], for a clone.
pub fn in_layout(layout: &Layout, engine: &str, version: &str) -> Result<PathBuf> {
    let mut known = ALL.iter().chain(&MOVING);
    if !known.any(|one| *one == (engine, version)) {
        let known = ALL.iter().chain(&MOVING);
        let known: Vec<_> = known.map(|(e, v)| format!("{e} {v}")).collect();
        bail!(
            "no server {engine} {version}; there are: {}",
            known.join(", ")
        );
    }
    let name = format!("{engine}-{version}");
    let recipe = Recipe::default()
        .text(&images::rootfs_key(layout, &name)?)
        .text(&wrapper(Path::new(""), ""));
    let key = format!("{name}-{}", recipe.key());
    let kept = layout.cache.join("servers").join(&key);
    let dir = cache::get(layout, "servers", &key, |out| {
        install::packages(layout)?;
        unpack(&images::rootfs(layout, &name)?, &out.join("root"))?;
        wrap(engine, out, &kept)
    })?;
    Ok(dir.join(format!("{engine}-server")))
}

fn unpack(tar: &Path, root: &Path) -> Result<()> {
    fs::create_dir_all(root)?;
    let (tar, root) = (tar.display().to_string(), root.display().to_string());
    output(&mut command(&[
        "tar",
        "--extract",
        "--file",
        &tar,
        "--directory",
        &root,
    ])?)
    .map(drop)
}

/// A script for each program of the engine, with the path that the folder will have.
fn wrap(engine: &str, out: &Path, kept: &Path) -> Result<()> {
    let programs = out
        .join("root/usr/bin")
        .read_dir()
        .context("no programs in the root file system")?;
    for program in programs {
        let name = program?.file_name().to_string_lossy().into_owned();
        if name.starts_with(engine) {
            let script = out.join(&name);
            fs::write(&script, wrapper(&kept.join("root"), &name))?;
            fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

fn wrapper(root: &Path, program: &str) -> String {
    let (libraries, root) = (root.join("usr/lib/x86_64-linux-gnu"), root.display());
    // Not by /lib64: that is a link to an absolute path, the machine's own loader.
    let loader = format!("{}/ld-linux-x86-64.so.2", libraries.display());
    format!(
        "#!/bin/sh\nexec '{loader}' --library-path '{}' '{root}/usr/bin/{program}' \"$@\"\n",
        libraries.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_a_recipe_whose_image_is_loaded() {
        for (engine, version) in ALL {
            assert!(images::SERVERS.contains(&format!("{engine}-{version}").as_str()));
        }
    }

    #[test]
    fn every_server_of_a_suite_that_moves_on_has_a_recipe() {
        let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        for (engine, version) in MOVING {
            let folder = layout.images().join(format!("{engine}-{version}"));
            let tag = images::field(&folder, "tag").unwrap();
            assert_eq!(tag, Some(format!("localhost/{engine}:{version}")));
        }
    }

    #[test]
    fn an_unknown_server_is_refused_with_the_list_of_known_ones() {
        assert!(
            path("redis", "3.0")
                .unwrap_err()
                .to_string()
                .contains("valkey 8.1")
        );
    }
}
