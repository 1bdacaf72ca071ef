//! Takes a testbed down, also one whose programs were killed and whose clone is gone: everything
//! is found by its fixed name.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use crate::layout::Layout;
use crate::names::{BRIDGE, CGROUP, DATA, NODES, RUN};
use crate::owner::{self, Owner};
use crate::process::{find, signal_pid};
use crate::run::{sh, step, succeeds, wait};
use crate::spawn::netns_path;
use crate::{cgroup, install};

/// The tables of the host's kube-proxy.
const TABLES: [&str; 2] = ["ip kube-proxy", "ip6 kube-proxy"];

/// Takes the machine's testbed down, whoever's it is.
pub fn down(layout: &Layout) -> Result<()> {
    install::check_machine()?;
    let _lock = owner::lock()?;
    if let Some(other) = Owner::load()
        .filter(|owner| owner.lives() && owner.clone != layout.repo && owner.clone.is_dir())
    {
        bail!(
            "the testbed on this machine belongs to {}; take it down there",
            other.clone.display()
        );
    }
    step("testbed down", || clean(layout))
}

/// Whether anything of a testbed is on the machine.
pub fn anything_left() -> bool {
    !left().is_empty() || Path::new(DATA).exists()
}

/// Removes a testbed and checks that nothing is left.
pub fn clean(layout: &Layout) -> Result<()> {
    let owner = Owner::load();
    kill(owner.as_ref())?;
    unmount()?;
    for node in NODES {
        if netns_path(node).exists() {
            sh(&format!("ip netns delete {}", node.netns()))?;
        }
        remove_link(&node.link())?;
    }
    remove_link(BRIDGE)?;
    // `ip netns` mounts this folder on itself.
    if entries("/run/netns").is_empty() {
        let _ = umount2("/run/netns", MntFlags::MNT_DETACH);
    }
    for table in TABLES {
        if succeeds(&format!("nft list table {table}")) {
            sh(&format!("nft delete table {table}"))?;
        }
    }
    cgroup::remove(CGROUP)?;
    remove_shared_files();
    // Only now: no mount is below them any more.
    for dir in [RUN, DATA] {
        if Path::new(dir).exists() {
            fs::remove_dir_all(dir).with_context(|| format!("cannot remove {dir}"))?;
        }
    }
    let _ = fs::remove_file(layout.kubeconfig());
    match left().as_slice() {
        [] => Ok(()),
        left => bail!("still there: {}", left.join(", ")),
    }
}

/// Ends all programs first, so that no kubelet starts what was just stopped, then the containers.
fn kill(owner: Option<&Owner>) -> Result<()> {
    let programs: Vec<_> = owner
        .into_iter()
        .flat_map(|owner| owner.programs.values().copied())
        .collect();
    for process in &programs {
        process.signal(Signal::SIGKILL)?;
    }
    cgroup::kill_all(CGROUP)?;
    wait(
        "the end of the testbed's programs",
        Duration::from_secs(20),
        || {
            let stray = stray();
            for pid in &stray {
                signal_pid(*pid, Signal::SIGKILL)?;
            }
            Ok(stray.is_empty() && programs.iter().all(|process| !process.alive()))
        },
    )
}

/// Processes that can only be the testbed's: what names its folders in its arguments.
fn stray() -> Vec<i32> {
    let is_ours = |line: &str| {
        let program = line
            .split(' ')
            .next()
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or_default();
        let ours = [
            "containerd",
            "containerd-shim-runc-v2",
            "runc",
            "etcd",
            "kube",
            "hera-testbed",
        ]
        .contains(&program);
        ours && line
            .split([' ', '='])
            .skip(1)
            .any(|word| word.starts_with(RUN) || word.starts_with(DATA))
    };
    find(is_ours)
}

/// Unmounts all below the testbed's folders, the deepest first.
fn unmount() -> Result<()> {
    wait(
        "the unmounting of all below the testbed's folders",
        Duration::from_secs(20),
        || {
            for mount in mounts() {
                umount2(mount.as_str(), MntFlags::MNT_DETACH)
                    .with_context(|| format!("cannot unmount {mount}"))?;
            }
            Ok(mounts().is_empty())
        },
    )
}

/// The mounts below the testbed's folders, the last made first.
fn mounts() -> Vec<String> {
    parse_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn parse_mounts(mountinfo: &str) -> Vec<String> {
    let paths = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape);
    let mut ours: Vec<_> = paths
        .filter(|path| Path::new(path).starts_with(RUN) || Path::new(path).starts_with(DATA))
        .collect();
    ours.reverse();
    ours
}

/// The kernel writes blanks and the like as octal numbers.
fn unescape(path: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(path.to_owned(), |path, (code, text)| {
        path.replace(code, text)
    })
}

fn remove_link(link: &str) -> Result<()> {
    // A link goes with its namespace, by the kernel's own pace: that it is gone meanwhile is fine.
    if succeeds(&format!("ip link show {link}")) && !succeeds(&format!("ip link delete {link}")) {
        wait(
            &format!("the removal of the link {link}"),
            Duration::from_secs(10),
            || Ok(!succeeds(&format!("ip link show {link}"))),
        )?;
    }
    Ok(())
}

/// kubelets leave links to logs, CNI its results, and shims their sockets in folders that all of a
/// machine share.
fn remove_shared_files() {
    for entry in entries("/var/log/containers") {
        if fs::read_link(&entry).is_ok_and(|target| target.starts_with(DATA)) {
            let _ = fs::remove_file(entry);
        }
    }
    for entry in entries("/var/lib/cni/results") {
        // The result names the pod's network namespace, which is a file of ours.
        if fs::read_to_string(&entry).is_ok_and(|text| text.contains(&format!("\"{RUN}/"))) {
            let _ = fs::remove_file(entry);
        }
    }
    // A socket without a listener is a dead shim's or kubelet's, whoever's it was.
    let sockets = entries("/run/containerd/s")
        .into_iter()
        .chain(entries("/var/lib/kubelet/device-plugins"));
    for entry in sockets {
        if UnixStream::connect(&entry).is_err() {
            let _ = fs::remove_file(entry);
        }
    }
}

/// What is in a folder; nothing if it is not there.
fn entries(dir: &str) -> Vec<PathBuf> {
    Path::new(dir)
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

/// What is on the machine of a testbed, in words.
fn left() -> Vec<String> {
    let mut left: Vec<_> = mounts()
        .into_iter()
        .map(|mount| format!("mount {mount}"))
        .collect();
    left.extend(
        stray()
            .into_iter()
            .map(|pid| format!("process {pid} ({})", crate::process::cmdline(pid))),
    );
    for node in NODES {
        if netns_path(node).exists() {
            left.push(format!("network namespace {}", node.netns()));
        }
    }
    let links = NODES
        .map(|node| node.link())
        .into_iter()
        .chain([BRIDGE.to_owned()]);
    left.extend(
        links
            .filter(|link| succeeds(&format!("ip link show {link}")))
            .map(|link| format!("link {link}")),
    );
    let routes = sh("ip route").unwrap_or_default();
    left.extend(
        routes
            .lines()
            .filter(|line| line.starts_with("10.244.") || line.starts_with("172.30.0."))
            .map(|line| format!("route {line}")),
    );
    left.extend(
        cgroup::left(CGROUP)
            .into_iter()
            .map(|dir| format!("cgroup {}", dir.display())),
    );
    if Path::new(RUN).exists() {
        left.push(RUN.to_owned());
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mounts_below_the_testbeds_folders_are_unmounted_and_the_last_first() {
        let info = "1 0 8:1 / / rw - ext4 /dev/vda rw\n\
            2 1 0:5 / /var/lib/hera-testbed/a rw - tmpfs tmpfs rw\n\
            3 2 0:6 / /var/lib/hera-testbed/a/b\\040c rw - tmpfs tmpfs rw\n\
            4 1 0:7 / /var/lib/hera-testbed-other rw - tmpfs tmpfs rw\n";
        assert_eq!(
            parse_mounts(info),
            ["/var/lib/hera-testbed/a/b c", "/var/lib/hera-testbed/a"]
        );
    }
}
