//! Generates what is checked in, checks that it is up to date, and builds what cargo cannot.

#[cfg(test)]
mod backup_words;
mod c_policy;
mod categories;
mod crds;
mod manifests;
#[cfg(test)]
mod monitoring;
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
    /// Builds the example policy in C, with clang and bindings made from the contract.
    CPolicy {
        /// Where the module goes.
        #[arg(long)]
        out: PathBuf,
    },
    /// Writes the command tables of servers to host/core/testdata, each as its server answers.
    Categories {
        /// The program of a server, instead of all that the testbed has; may be given many times.
        #[arg(long)]
        server: Vec<PathBuf>,
        /// Write nothing; fail if a file would change.
        #[arg(long)]
        check: bool,
    },
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
        Task::CPolicy { out } => c_policy::run(&root, &out),
        Task::Categories { server, check } => categories::run(&root, server, check),
        Task::Crds { check } => crds::run(&root, check),
        Task::Manifests => manifests::check(&root),
        Task::Wit { freeze: None } => wit::check(&root),
        Task::Wit {
            freeze: Some(version),
        } => wit::freeze(&root, &version),
    }
}

/// The workspace's folder.
/// The repository that it is run in: clones may share a target folder, so not the one that built it.
fn root() -> Result<PathBuf> {
    let here = std::env::current_dir()?;
    here.ancestors()
        .find(|folder| folder.join("host/xtask/Cargo.toml").exists())
        .map(Path::to_path_buf)
        .context("run it inside the repository")
}
