//! Breaking things. A fault that lasts is a [`Fault`]: it is undone when it is dropped.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use crate::audit::{self, Request};
use crate::layout::Layout;
use crate::names::{NODES, Node};
use crate::owner::{self, Owner};
use crate::process::{cmdline, signal_pid};
use crate::run::sh;
use crate::{cgroup, cluster, control, network, node, provisioner};

/// A running testbed.
#[derive(Clone, Debug)]
pub struct Testbed {
    layout: Layout,
}

/// A process of a pod, by its pid on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodProcess {
    /// The pid on the host.
    pub pid: i32,
    /// The words of its command line, joined with blanks.
    pub cmdline: String,
}

/// A fault that lasts until it is ended or dropped.
#[must_use = "a fault ends when it is dropped"]
pub struct Fault {
    undo: Option<Box<dyn FnOnce() -> Result<()> + Send>>,
}

impl Fault {
    fn new(undo: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        Self {
            undo: Some(Box::new(undo)),
        }
    }

    /// Ends the fault and tells whether that worked.
    pub fn end(mut self) -> Result<()> {
        self.undo.take().map_or(Ok(()), |undo| undo())
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        if let Some(Err(err)) = self.undo.take().map(|undo| undo()) {
            eprintln!("a fault could not be undone: {err:#}");
        }
    }
}

impl Testbed {
    /// The testbed that the clone at `repo` brought up.
    pub fn attach(repo: &Path) -> Result<Self> {
        let layout = Layout::find(repo)?;
        let running = Owner::load().filter(Owner::lives);
        match running {
            Some(owner) if owner.clone == layout.repo && layout.kubeconfig().exists() => {
                Ok(Self { layout })
            }
            Some(owner) if owner.clone != layout.repo => {
                bail!(
                    "the testbed on this machine belongs to {}",
                    owner.clone.display()
                )
            }
            _ => bail!("no testbed is running; bring it up with `make testbed-up`"),
        }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// The API server's audit log: one JSON object a line.
    pub fn audit_log(&self) -> PathBuf {
        self.layout.audit_log()
    }

    /// The log of one of the testbed's programs, such as `kubelet-n1`.
    pub fn log(&self, program: &str) -> PathBuf {
        self.layout.log_of(program)
    }

    /// Runs kubectl as the administrator and gives what it printed.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        cluster::kubectl(&self.layout, words)
    }

    /// The folder on the host that a volume is, by the PersistentVolume's name.
    pub fn volume_folder(&self, volume: &str) -> PathBuf {
        provisioner::folder(volume)
    }

    /// The pod's processes, the one that only holds its namespaces left out.
    pub fn pod_processes(&self, uid: &str) -> Result<Vec<PodProcess>> {
        let pids = cgroup::pids(&pod_cgroup(uid)?);
        let all = pids.into_iter().map(|pid| PodProcess {
            pid,
            cmdline: cmdline(pid),
        });
        Ok(all
            .filter(|process| {
                !process.cmdline.is_empty() && !process.cmdline.starts_with("/pause ")
            })
            .collect())
    }

    /// Sends a signal to a process.
    pub fn kill_process(&self, pid: i32, signal: Signal) -> Result<()> {
        signal_pid(pid, signal)
    }

    /// Kills all processes of a pod's containers at once; gives how many there were.
    pub fn kill_pod(&self, uid: &str) -> Result<usize> {
        let processes = self.pod_processes(uid)?;
        if processes.is_empty() {
            bail!("the pod {uid} has no process");
        }
        processes
            .iter()
            .try_for_each(|process| signal_pid(process.pid, Signal::SIGKILL))?;
        Ok(processes.len())
    }

    /// Freezes all of a pod: no process of it runs, its connections stay.
    pub fn freeze_pod(&self, uid: &str) -> Result<Fault> {
        let dir = pod_cgroup(uid)?;
        cgroup::set_frozen(&dir, true)?;
        Ok(Fault::new(move || {
            if dir.exists() {
                cgroup::set_frozen(&dir, false)
            } else {
                Ok(())
            }
        }))
    }

    /// Stops the API server in its tracks: connections stay, nothing answers.
    pub fn pause_api(&self) -> Result<Fault> {
        self.pause_program("apiserver")
    }

    /// Kills the API server: connections break and new ones are refused. The fault's end starts it
    /// again and waits until it is ready.
    pub fn kill_api(&self) -> Result<Fault> {
        Owner::load()
            .context("no testbed")?
            .program("apiserver")?
            .signal(Signal::SIGKILL)?;
        let layout = self.layout.clone();
        Ok(Fault::new(move || {
            let _lock = owner::lock()?;
            let mut owner = Owner::load().context("no testbed")?;
            let program = control::apiserver(&layout, &layout.bin().join("kube").canonicalize()?);
            owner
                .programs
                .insert(program.name.clone(), program.spawn(&layout)?);
            owner.save()?;
            cluster::wait_api(&layout, || Ok(()))
        }))
    }

    /// The requests of a user, such as `system:serviceaccount:NAMESPACE:NAME`, oldest first. Reads
    /// are there for service accounts outside `kube-system` only.
    pub fn requests(&self, user: &str) -> Result<Vec<Request>> {
        audit::requests(&self.audit_log(), user)
    }

    /// Stops one of the testbed's programs (`scheduler`, `kubelet-n1`) in its tracks.
    pub fn pause_program(&self, name: &str) -> Result<Fault> {
        let process = Owner::load().context("no testbed")?.program(name)?;
        process.signal(Signal::SIGSTOP)?;
        Ok(Fault::new(move || process.signal(Signal::SIGCONT)))
    }

    /// Cuts a node and its pods off from all others and from the host.
    pub fn partition_node(&self, name: &str) -> Result<Fault> {
        let node = known(name)?;
        sh(&format!("ip link set {} down", node.link()))?;
        Ok(Fault::new(move || network::node(node)))
    }

    /// Drops every packet from one pod's or node's address to another's, in this direction only.
    pub fn block(&self, from: &str, to: &str) -> Result<Fault> {
        filter(|_| {
            let rule = format!("ip saddr {from} ip daddr {to} drop");
            let chain = |hook: &str| {
                format!("chain {hook} {{\ntype filter hook {hook} priority -310\n{rule}\n}}\n")
            };
            ["prerouting", "forward", "postrouting"].map(chain).concat()
        })
    }

    /// Whoever connects from a pod to one of two pods' addresses reaches the other. Connections that
    /// stand already stay as they are.
    pub fn exchange(&self, one: &str, other: &str) -> Result<Fault> {
        filter(|node| {
            let pods = node.pod_net();
            format!(
                "chain prerouting {{\ntype nat hook prerouting priority -110\n\
                 ip saddr {pods} ip daddr {one} dnat to {other}\n\
                 ip saddr {pods} ip daddr {other} dnat to {one}\n}}\n"
            )
        })
    }

    /// Kills a node as a power cut does: every process on it, and nobody answers for it any more.
    /// The fault's end starts it again, with its disks as they were and its memory empty.
    pub fn kill_node(&self, name: &str) -> Result<Fault> {
        let node = known(name)?;
        sh(&format!("ip link set {} down", node.link()))?;
        cgroup::kill_all(&node.cgroup())?;
        forget_memory(node)?;
        let bed = self.clone();
        Ok(Fault::new(move || bed.start_node(node)))
    }

    fn start_node(&self, node: Node) -> Result<()> {
        let _lock = owner::lock()?;
        let mut owner = Owner::load().context("no testbed")?;
        let kube = self.layout.bin().join("kube").canonicalize()?;
        node::prepare(node)?;
        for program in [
            node::containerd(node),
            node::kubelet(node, &kube),
            node::proxy(node, &kube),
        ] {
            let process = program.spawn(&self.layout)?;
            if program.name.starts_with("containerd") {
                node::wait_containerd(&self.layout, node)?;
            }
            owner.programs.insert(program.name, process);
        }
        owner.save()
    }
}

/// The cgroup of a pod, on whichever node it is.
fn pod_cgroup(uid: &str) -> Result<PathBuf> {
    let root = cgroup::tracking_root()?;
    let found = NODES
        .iter()
        .find_map(|node| cgroup::pod(&root.join(node.cgroup()), uid));
    found.with_context(|| format!("no node runs a pod with the uid {uid}"))
}

fn known(name: &str) -> Result<Node> {
    Node::by_name(name).with_context(|| format!("no node {name}"))
}

/// Memory-backed volumes do not outlive their machine.
fn forget_memory(node: Node) -> Result<()> {
    let pods = node.data().join("kubelet/pods");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    for line in mounts.lines().filter(|line| line.contains(" - tmpfs ")) {
        let path = line.split(' ').nth(4).unwrap_or_default();
        if Path::new(path).starts_with(&pods) {
            umount2(path, MntFlags::MNT_DETACH)
                .with_context(|| format!("cannot unmount {path}"))?;
        }
    }
    Ok(())
}

/// A table of these chains on each node, until the fault ends.
fn filter(chains: impl Fn(Node) -> String) -> Result<Fault> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let table = format!(
        "hera-fault-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let undo = table.clone();
    let fault = Fault::new(move || {
        NODES.into_iter().try_for_each(|node| {
            nft(
                node,
                &format!("add table ip {undo}; delete table ip {undo}"),
            )
        })
    });
    for node in NODES {
        let chains = chains(node);
        nft(node, &format!("table ip {table} {{\n{chains}}}\n"))?;
    }
    Ok(fault)
}

fn nft(node: Node, script: &str) -> Result<()> {
    let netns = format!("--net={}", crate::spawn::netns_path(node).display());
    crate::run::output(&mut crate::run::command(&[
        "nsenter", &netns, "nft", script,
    ])?)
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn a_fault_is_undone_once_whether_ended_or_dropped() {
        for end in [true, false] {
            let undone = Arc::new(AtomicBool::new(false));
            let flag = undone.clone();
            let fault = Fault::new(move || {
                assert!(!flag.swap(true, Ordering::SeqCst), "undone twice");
                Ok(())
            });
            if end {
                fault.end().unwrap()
            } else {
                drop(fault)
            }
            assert!(undone.load(Ordering::SeqCst));
        }
    }
}
