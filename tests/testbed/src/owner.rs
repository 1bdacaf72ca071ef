//! The machine-wide record of the testbed: whose it is and which programs it started.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::names::RUN;
use crate::process::Process;
use crate::run::wait;
use crate::spawn::Program;

const LOCK: &str = "/run/hera-testbed.lock";

/// Who brought the testbed up, and what runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The clone's root.
    pub clone: PathBuf,
    /// The machine's boot: pids of another boot mean nothing.
    pub boot: String,
    /// The programs by name.
    pub programs: BTreeMap<String, Process>,
}

impl Owner {
    /// A record without programs.
    pub fn new(clone: &Path) -> Result<Self> {
        Ok(Self {
            clone: clone.to_path_buf(),
            boot: boot_id()?,
            programs: BTreeMap::new(),
        })
    }

    /// The record of the machine's testbed, if one was brought up since the machine's start.
    /// A record that cannot be read counts as none: what it owned is found by name.
    pub fn load() -> Option<Self> {
        let text = std::fs::read_to_string(record()).ok()?;
        serde_json::from_str::<Self>(&text)
            .ok()
            .filter(|owner| boot_id().is_ok_and(|boot| boot == owner.boot))
    }

    /// Writes the record.
    pub fn save(&self) -> Result<()> {
        std::fs::create_dir_all(RUN)?;
        let new = Path::new(RUN).join("owner.json.new");
        std::fs::write(&new, serde_json::to_string_pretty(self)?)?;
        std::fs::rename(new, record()).context("cannot write the testbed's record")
    }

    /// Whether a program of this name runs.
    pub fn runs(&self, program: &str) -> bool {
        self.programs
            .get(program)
            .is_some_and(|process| process.alive())
    }

    /// Starts a program unless it runs. Tells when, if it did.
    pub fn ensure(&mut self, layout: &Layout, program: &Program) -> Result<Option<SystemTime>> {
        if self.runs(&program.name) {
            return Ok(None);
        }
        let start = SystemTime::now();
        let process = program.spawn(layout)?;
        self.programs.insert(program.name.clone(), process);
        self.save()?;
        Ok(Some(start))
    }

    /// Whether the cluster as such lives: its store and its API server run.
    pub fn lives(&self) -> bool {
        self.runs("etcd") && self.runs("apiserver")
    }

    /// Whether any program of it runs, so that the rest can be started again.
    pub fn can_be_mended(&self) -> bool {
        self.programs.values().any(|process| process.alive())
    }

    /// The process of a program that must run.
    pub fn program(&self, name: &str) -> Result<Process> {
        let process = self
            .programs
            .get(name)
            .copied()
            .filter(|process| process.alive());
        process.with_context(|| format!("the testbed's {name} does not run"))
    }
}

fn record() -> PathBuf {
    Path::new(RUN).join("owner.json")
}

fn boot_id() -> Result<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .context("cannot read the boot id")?;
    Ok(id.trim().to_owned())
}

/// Takes the machine-wide lock that `up` and `down` hold while they change things.
pub fn lock() -> Result<File> {
    let file = File::create(LOCK).with_context(|| format!("cannot open {LOCK}"))?;
    let mut told = false;
    wait(
        "the end of another `hera-testbed` that holds the lock",
        Duration::from_secs(1800),
        || {
            let got = file.try_lock().is_ok();
            if !got && !told {
                println!("another `hera-testbed` is at work on this machine; waiting for it");
                told = true;
            }
            Ok(got)
        },
    )?;
    Ok(file)
}
