//! The testbed's cgroups, under cgroup v1 (one tree per controller) and v2 (one tree).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::process::signal_pid;
use crate::run::wait;

const MOUNT: &str = "/sys/fs/cgroup";
/// The controllers that a kubelet needs.
const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];

/// Whether the machine has only cgroup v2.
pub fn is_v2() -> bool {
    Path::new(MOUNT).join("cgroup.controllers").is_file()
}

/// The tree in which processes are found and frozen.
pub fn tracking_root() -> Result<PathBuf> {
    let root = if is_v2() {
        PathBuf::from(MOUNT)
    } else {
        Path::new(MOUNT).join("freezer")
    };
    if !root.is_dir() {
        bail!(
            "no cgroup tree at {}: the testbed needs cgroups it may write to",
            root.display()
        );
    }
    Ok(root)
}

/// The roots of all trees, on v1 also that of the controller-less v2 tree beside them.
fn roots() -> Result<Vec<PathBuf>> {
    if is_v2() {
        return Ok(vec![PathBuf::from(MOUNT)]);
    }
    let mut roots = Vec::new();
    for entry in fs::read_dir(MOUNT).with_context(|| format!("no cgroups at {MOUNT}"))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            roots.push(entry.path());
        }
    }
    Ok(roots)
}

/// Makes a cgroup in every tree, ready for a kubelet.
pub fn create(path: &str) -> Result<()> {
    for root in roots()?
        .into_iter()
        .filter(|root| !root.ends_with("unified"))
    {
        let mut dir = root.clone();
        if is_v2() {
            enable_controllers(&dir)?;
        }
        for part in path.split('/') {
            let parent = dir.clone();
            dir.push(part);
            fs::create_dir_all(&dir)
                .with_context(|| format!("cannot make the cgroup {}", dir.display()))?;
            if is_v2() {
                enable_controllers(&dir)?;
            } else if root.ends_with("cpuset") {
                // A new cpuset is empty and takes no process before it has both.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    fs::write(dir.join(file), fs::read(parent.join(file))?)?;
                }
            }
        }
    }
    Ok(())
}

fn enable_controllers(dir: &Path) -> Result<()> {
    let file = dir.join("cgroup.subtree_control");
    let on = fs::read_to_string(&file)?;
    for controller in NEEDED
        .iter()
        .filter(|name| !on.split_whitespace().any(|word| word == **name))
    {
        fs::write(&file, format!("+{controller}")).with_context(|| {
            format!(
                "cannot pass the cgroup controller {controller} down from {}",
                dir.display()
            )
        })?;
    }
    Ok(())
}

/// The pids in a cgroup of the tracking tree and in those below it.
pub fn pids(dir: &Path) -> Vec<i32> {
    let mut found: Vec<i32> = fs::read_to_string(dir.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 0)
        .collect();
    for child in children(dir) {
        found.extend(pids(&child));
    }
    found
}

/// The cgroup of a pod below a node's, found by the pod's uid.
pub fn pod(node_dir: &Path, uid: &str) -> Option<PathBuf> {
    children(node_dir).into_iter().find_map(|dir| {
        if is_pod(&dir, uid) {
            Some(dir)
        } else {
            pod(&dir, uid)
        }
    })
}

/// A pod's cgroup is `pod<uid>`; the systemd driver would write `_` for `-`.
fn is_pod(dir: &Path, uid: &str) -> bool {
    let name = dir
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    name.strip_prefix("pod").is_some_and(|rest| rest == uid)
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Freezes or thaws a cgroup and waits until the kernel says so.
pub fn set_frozen(dir: &Path, frozen: bool) -> Result<()> {
    let v2 = dir.join("cgroup.freeze");
    if v2.exists() {
        fs::write(&v2, if frozen { "1" } else { "0" })?;
        let want = format!("frozen {}", u8::from(frozen));
        return wait("the freezer", Duration::from_secs(10), || {
            Ok(fs::read_to_string(dir.join("cgroup.events"))?
                .lines()
                .any(|line| line == want))
        });
    }
    let state = dir.join("freezer.state");
    let want = if frozen { "FROZEN" } else { "THAWED" };
    wait("the freezer", Duration::from_secs(10), || {
        fs::write(&state, want).with_context(|| format!("cannot write {}", state.display()))?;
        Ok(fs::read_to_string(&state)?.trim() == want)
    })
}

/// Kills everything in a cgroup and below it; the cgroups stay.
pub fn kill_all(path: &str) -> Result<()> {
    let dir = tracking_root()?.join(path);
    if !dir.is_dir() {
        return Ok(());
    }
    thaw_below(&dir)?;
    wait(
        &format!("the end of all processes in the cgroup {path}"),
        Duration::from_secs(20),
        || {
            let left = pids(&dir);
            for pid in &left {
                signal_pid(*pid, Signal::SIGKILL)?;
            }
            Ok(left.is_empty())
        },
    )
}

fn thaw_below(dir: &Path) -> Result<()> {
    let frozen = ["freezer.state", "cgroup.freeze"].iter().any(|file| {
        fs::read_to_string(dir.join(file))
            .is_ok_and(|text| matches!(text.trim(), "FROZEN" | "FREEZING" | "1"))
    });
    if frozen {
        set_frozen(dir, false)?;
    }
    children(dir).iter().try_for_each(|child| thaw_below(child))
}

/// Removes a cgroup and those below it from every tree.
pub fn remove(path: &str) -> Result<()> {
    for root in roots()? {
        let dir = root.join(path);
        // A process that was just killed may hold its cgroup for a moment.
        wait(
            &format!("the removal of the cgroup {}", dir.display()),
            Duration::from_secs(10),
            || {
                remove_tree(&dir)?;
                Ok(true)
            },
        )?;
    }
    Ok(())
}

fn remove_tree(dir: &Path) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    children(dir)
        .iter()
        .try_for_each(|child| remove_tree(child))?;
    fs::remove_dir(dir).with_context(|| format!("cannot remove the cgroup {}", dir.display()))
}

/// What is left of a cgroup, in any tree.
pub fn left(path: &str) -> Vec<PathBuf> {
    let roots = roots().unwrap_or_default();
    roots
        .into_iter()
        .map(|root| root.join(path))
        .filter(|dir| dir.exists())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_found_by_its_uid_at_any_depth() {
        let dir = std::env::temp_dir().join(format!("hera-cgroup-test-{}", std::process::id()));
        let deep = dir.join("kubepods/burstable/pod1b2c-3d");
        fs::create_dir_all(deep.join("0123abcd")).unwrap();
        fs::create_dir_all(dir.join("kubepods/besteffort/pod1b2c-3e")).unwrap();
        fs::write(deep.join("0123abcd/cgroup.procs"), "12\n13\n").unwrap();
        assert_eq!(pod(&dir, "1b2c-3d"), Some(deep.clone()));
        assert_eq!(pod(&dir, "1b2c"), None);
        assert_eq!(pids(&deep), vec![12, 13]);
        fs::remove_dir_all(dir).unwrap();
    }
}
