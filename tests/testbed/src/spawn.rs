//! Starting programs that outlive the command that starts them.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::cgroup;
use crate::layout::Layout;
use crate::names::Node;
use crate::process::Process;
use crate::run::{command, open_log};

/// Joins the tracked cgroups and becomes the program: no unsafe code between fork and exec.
const ENTER: &str =
    r#"for f in $HERA_CGROUPS; do echo $$ > $f || exit 70; done; unset HERA_CGROUPS; exec "$@""#;

/// A program to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name in the record and of its log.
    pub name: String,
    /// The node it belongs to; none for the control plane.
    pub node: Option<Node>,
    /// Its words.
    pub argv: Vec<String>,
}

impl Program {
    /// A program of the control plane.
    pub fn control(name: &str, argv: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            node: None,
            argv,
        }
    }

    /// A program of a node, in the node's network namespace.
    pub fn node(node: Node, name: &str, argv: Vec<String>) -> Self {
        Self {
            name: format!("{name}-{}", node.name()),
            node: Some(node),
            argv,
        }
    }

    /// The cgroup by which the program is found again, below a controller's root.
    pub fn cgroup(&self) -> String {
        match self.node {
            Some(node) => format!("{}/programs", node.cgroup()),
            None => format!("{}/control", crate::names::CGROUP),
        }
    }

    /// Starts it with its output in its log.
    pub fn spawn(&self, layout: &Layout) -> Result<Process> {
        let group = cgroup::tracking_root()?.join(self.cgroup());
        std::fs::create_dir_all(&group)
            .with_context(|| format!("cannot make the cgroup {}", group.display()))?;
        let mut words: Vec<String> = ["setsid", "sh", "-c", ENTER, "sh"]
            .map(str::to_owned)
            .to_vec();
        if let Some(node) = self.node {
            // Not `ip netns exec`: it mounts /sys anew and hides the cgroups.
            words.extend([
                "nsenter".to_owned(),
                format!("--net={}", netns_path(node).display()),
            ]);
        }
        words.extend(self.argv.iter().cloned());
        let log = open_log(&layout.log_of(&self.name))?;
        let child = command(&words)?
            .env("HERA_CGROUPS", group.join("cgroup.procs"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let pid = i32::try_from(child.id())?;
        Process::by_pid(pid).with_context(|| self.ended(layout))
    }

    /// What to say when the program is gone.
    pub fn ended(&self, layout: &Layout) -> String {
        format!(
            "{} ended, see {}",
            self.name,
            layout.log_of(&self.name).display()
        )
    }
}

/// The file that holds a node's network namespace.
pub fn netns_path(node: Node) -> PathBuf {
    PathBuf::from("/run/netns").join(node.netns())
}

/// Flags `--key=value` from pairs.
pub fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs
        .iter()
        .map(|(key, value)| format!("--{key}={value}"))
        .collect()
}
