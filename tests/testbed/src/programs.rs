//! The Go programs: Kubernetes in one binary, and CoreDNS.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{self, Recipe};
use crate::layout::Layout;
use crate::run::{command, logged, output};

/// The Kubernetes version that `kube/go.mod` requires, as clients shall see it.
const KUBE_LDFLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.2 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34";

/// The Kubernetes programs; 4 to 12 minutes when Go's cache is empty too.
pub fn kube(layout: &Layout) -> Result<PathBuf> {
    build(layout, "kube", KUBE_LDFLAGS)
}

/// CoreDNS.
pub fn coredns(layout: &Layout) -> Result<PathBuf> {
    build(layout, "coredns", "-s -w")
}

/// The content hash of CoreDNS's sources.
pub fn coredns_key(layout: &Layout) -> Result<String> {
    key(layout, "coredns", "-s -w")
}

fn key(layout: &Layout, name: &str, ldflags: &str) -> Result<String> {
    let source = layout.source().join(name);
    let files = ["main.go", "go.mod", "go.sum"].map(|file| source.join(file));
    let recipe = files
        .iter()
        .try_fold(Recipe::default().text(ldflags), |recipe, file| {
            recipe.file(file)
        })?;
    Ok(recipe.key())
}

fn build(layout: &Layout, name: &str, ldflags: &str) -> Result<PathBuf> {
    let source = layout.source().join(name);
    cache::get(layout, name, &key(layout, name, ldflags)?, |out| {
        println!("          building {name}: minutes, once per machine");
        logged(
            &mut go_build(&source, ldflags, out)?,
            &layout.log_of(&format!("build-{name}")),
        )
    })
}

fn go_build(source: &Path, ldflags: &str, out: &Path) -> Result<std::process::Command> {
    output(&mut command(&["go", "version"])?)
        .context("Go is needed to build Kubernetes; install it")?;
    let out = out.display().to_string();
    let mut build = command(&[
        "go",
        "build",
        "-trimpath",
        "-ldflags",
        ldflags,
        "-o",
        &out,
        ".",
    ])?;
    build
        .current_dir(source)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false");
    Ok(build)
}
