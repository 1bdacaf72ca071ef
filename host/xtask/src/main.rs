//! Generates what is checked in, and checks that it is up to date.

mod crds;
mod manifests;
mod wit;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// Tasks of the project: `cargo xtask <task>`.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes deploy/crd from the types.
    Crds {
        /// Write nothing; fail if a file would change.
        #[arg(long)]
        check: bool,
    },
    /// Checks what is written by hand in deploy: every file is an object, no two are the same, and
    /// images carry the version of this workspace.
    Manifests,
    /// Checks that no released version of the policy contract changed.
    Wit {
        /// Freeze this version (`v0.1`), as part of releasing it.
        #[arg(long)]
        freeze: Option<String>,
    },
}

fn main() -> Result<()> {
    let root = root()?;
    match Args::parse().task {
        Task::Crds { check } => crds::run(&root, check),
        Task::Manifests => manifests::check(&root),
        Task::Wit { freeze: None } => wit::check(&root),
        Task::Wit {
            freeze: Some(version),
        } => wit::freeze(&root, &version),
    }
}

/// The workspace's folder.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .context("this crate is not in host/xtask any more")
}
