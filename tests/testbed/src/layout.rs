//! Where a clone keeps its files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders of one clone and of the cache that all clones share.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The clone's root.
    pub repo: PathBuf,
    /// The cache of what is slow to make.
    pub cache: PathBuf,
}

impl Layout {
    /// The layout of the clone that holds `start`.
    pub fn find(start: &Path) -> Result<Self> {
        let start = start
            .canonicalize()
            .with_context(|| format!("no such folder: {}", start.display()))?;
        let repo = start
            .ancestors()
            .find(|dir| dir.join("tests/testbed/Cargo.toml").is_file())
            .with_context(|| format!("{} is not inside a clone of Hera", start.display()))?;
        Ok(Self {
            repo: repo.to_path_buf(),
            cache: cache_root()?.join("hera/testbed"),
        })
    }

    /// The layout of the clone that the working folder is in.
    pub fn here() -> Result<Self> {
        Self::find(&std::env::current_dir()?)
    }

    /// The clone's state folder; git ignores it.
    pub fn state(&self) -> PathBuf {
        self.repo.join(".testbed")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state().join("kubeconfig")
    }

    /// Links to the programs, `kubectl` among them.
    pub fn bin(&self) -> PathBuf {
        self.state().join("bin")
    }

    /// The programs' logs.
    pub fn log(&self) -> PathBuf {
        self.state().join("log")
    }

    /// The log of one program.
    pub fn log_of(&self, program: &str) -> PathBuf {
        self.log().join(format!("{program}.log"))
    }

    /// The API server's audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.log().join("audit.log")
    }

    /// The testbed's own sources.
    pub fn source(&self) -> PathBuf {
        self.repo.join("tests/testbed")
    }

    /// The recipes of the images.
    pub fn images(&self) -> PathBuf {
        self.repo.join("deploy/images")
    }
}

fn cache_root() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        return Ok(PathBuf::from(dir));
    }
    let home = std::env::var_os("HOME")
        .filter(|dir| !dir.is_empty())
        .unwrap_or_else(|| "/root".into());
    Ok(PathBuf::from(home).join(".cache"))
}
