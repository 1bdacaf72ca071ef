//! The Go programs: Kubernetes in one binary, CoreDNS, Prometheus, and a store that speaks S3.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{self, Recipe};
use crate::layout::Layout;
use crate::run::{command, logged, output};

/// The Kubernetes version that `kube/go.mod` requires, as clients shall see it.
const KUBE_LDFLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.2 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34";
/// What a program of the testbed's own is made from.
const OWN: &[&str] = &["main.go", "go.mod", "go.sum"];
/// Without them Prometheus knows how to find targets in every cloud, whose modules take most of the build.
const PROMETHEUS_TAGS: &str = "remove_all_sd,enable_kubernetes_sd";
/// The programs of Prometheus; its pages are not in its module.
const PROMETHEUS: [&str; 2] = [
    "github.com/prometheus/prometheus/cmd/prometheus",
    "github.com/prometheus/prometheus/cmd/promtool",
];
/// The store; it keeps files in a folder.
const VERSITYGW: &str = "github.com/versity/versitygw/cmd/versitygw";

/// The Kubernetes programs; 4 to 12 minutes when Go's cache is empty too.
pub fn kube(layout: &Layout) -> Result<PathBuf> {
    own(layout, "kube", KUBE_LDFLAGS)
}

/// CoreDNS.
pub fn coredns(layout: &Layout) -> Result<PathBuf> {
    own(layout, "coredns", "-s -w")
}

/// The content hash of CoreDNS's sources.
pub fn coredns_key(layout: &Layout) -> Result<String> {
    key(layout, "coredns", OWN, "-s -w")
}

/// The folder with `prometheus` and `promtool`, built if they are missing; minutes when Go's cache is empty too.
///
/// # Errors
/// When they cannot be built.
pub fn prometheus(layout: &Layout) -> Result<PathBuf> {
    let name = "prometheus";
    let key = key(layout, name, &["go.mod", "go.sum"], PROMETHEUS_TAGS)?;
    cache::get(layout, name, &key, |out| {
        fs::create_dir_all(out)?;
        let flags = ["-tags", PROMETHEUS_TAGS, "-ldflags", "-s -w"];
        build(layout, name, &[&flags[..], &PROMETHEUS[..]].concat(), out)
    })
}

/// The program of a store that speaks S3, built if it is missing; a minute or two when Go's cache is empty too.
///
/// # Errors
/// When it cannot be built.
pub fn versitygw(layout: &Layout) -> Result<PathBuf> {
    let name = "versitygw";
    let key = key(layout, name, &["go.mod", "go.sum"], VERSITYGW)?;
    cache::get(layout, name, &key, |out| {
        build(layout, name, &["-ldflags", "-s -w", VERSITYGW], out)
    })
}

fn own(layout: &Layout, name: &str, ldflags: &str) -> Result<PathBuf> {
    cache::get(layout, name, &key(layout, name, OWN, ldflags)?, |out| {
        build(layout, name, &["-ldflags", ldflags, "."], out)
    })
}

fn key(layout: &Layout, name: &str, files: &[&str], flags: &str) -> Result<String> {
    let source = layout.source().join(name);
    let recipe = files
        .iter()
        .try_fold(Recipe::default().text(flags), |recipe, file| {
            recipe.file(&source.join(file))
        })?;
    Ok(recipe.key())
}

/// Builds a program, or a folder of them, in the module of this name.
fn build(layout: &Layout, name: &str, words: &[&str], out: &Path) -> Result<()> {
    println!("          building {name}: minutes, once per machine");
    output(&mut command(&["go", "version"])?).context(
        "Go is needed to build Kubernetes, Prometheus and the store of tests; install it",
    )?;
    let mut build = command(&["go", "build", "-trimpath"])?;
    build
        .arg("-o")
        .arg(out)
        .args(words)
        .current_dir(layout.source().join(name))
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-buildvcs=false");
    logged(&mut build, &layout.log_of(&format!("build-{name}")))
}
