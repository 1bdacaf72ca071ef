//! Brings the testbed up: all of it on a bare machine, what is missing on a running one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::images::{self, Archive};
use crate::layout::Layout;
use crate::names::{DATA, NODES};
use crate::owner::{self, Owner};
use crate::run::{command, output, step};
use crate::spawn::Program;
use crate::{clean, cluster, control, install, network, node, pki, programs, store};

/// How to bring the testbed up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Take down a live testbed of another clone first.
    pub replace: bool,
}

/// Brings the testbed up; a running one is left as it is.
pub fn up(layout: &Layout, options: Options) -> Result<()> {
    install::check_machine()?;
    let _lock = owner::lock()?;
    let before = Owner::load();
    if let Some(other) = before
        .as_ref()
        .filter(|owner| owner.lives() && owner.clone != layout.repo)
    {
        if !options.replace && other.clone.is_dir() {
            bail!(
                "a testbed of {} is running on this machine; take it down there, or run `up --replace`",
                other.clone.display()
            );
        }
        step("removed the testbed of another clone", || {
            clean::clean(layout)
        })?;
    } else if !before.is_some_and(|owner| owner.clone == layout.repo && owner.can_be_mended())
        && clean::anything_left()
    {
        step("removed what a stopped testbed left", || {
            clean::clean(layout)
        })?;
    }
    let mut up = Up::prepare(layout)?;
    up.control_plane()?;
    up.nodes()?;
    up.cluster()
}

struct Up<'a> {
    layout: &'a Layout,
    owner: Owner,
    kube: PathBuf,
    first: Vec<Archive>,
    servers: Vec<Archive>,
}

impl<'a> Up<'a> {
    fn prepare(layout: &'a Layout) -> Result<Self> {
        fs::create_dir_all(layout.log())?;
        let installed = step("packages", || install::packages(layout))?;
        if !installed.is_empty() {
            println!("          installed {}", installed.join(" "));
        }
        let kube = step("Kubernetes programs", || programs::kube(layout))?;
        let make = |names: &[&str]| {
            names
                .iter()
                .map(|name| images::archive(layout, name))
                .collect::<Result<Vec<_>>>()
        };
        let (first, servers) = step("images", || {
            Ok((make(&images::FIRST)?, make(&images::SERVERS)?))
        })?;
        step("root file system of the operator's image", || {
            images::rootfs(layout, "base")
        })?;
        fs::create_dir_all(DATA)?;
        pki::create()?;
        let owner = match Owner::load() {
            Some(owner) => owner,
            None => Owner::new(&layout.repo)?,
        };
        owner.save()?;
        clone_files(layout, &kube)?;
        Ok(Self {
            layout,
            owner,
            kube,
            first,
            servers,
        })
    }

    /// Starts a program unless it runs. Tells when, if it did.
    fn ensure(&mut self, program: &Program) -> Result<Option<SystemTime>> {
        self.owner.ensure(self.layout, program)
    }

    fn control_plane(&mut self) -> Result<()> {
        step("control plane", || {
            network::bridge()?;
            fs::write(
                Path::new(DATA).join("audit-policy.yaml"),
                include_str!("../manifests/audit-policy.yaml"),
            )?;
            self.ensure(&control::etcd())?;
            let apiserver = control::apiserver(self.layout, &self.kube);
            self.ensure(&apiserver)?;
            cluster::wait_api(self.layout, || match self.owner.runs("apiserver") {
                true => Ok(()),
                false => bail!(apiserver.ended(self.layout)),
            })?;
            self.ensure(&control::controllers(&self.kube))?;
            self.ensure(&control::scheduler(&self.kube))?;
            self.ensure(&control::proxy(&self.kube))?;
            let provisioner = own_copy()?;
            self.ensure(&control::provisioner(&provisioner)?)?;
            // Somebody asked for it since, and it died.
            if self.owner.programs.contains_key(store::PROGRAM) {
                self.ensure(&store::program(self.layout)?)?;
            }
            Ok(())
        })
    }

    fn nodes(&mut self) -> Result<()> {
        step("nodes", || {
            for n in NODES {
                node::prepare(n)?;
                self.ensure(&node::containerd(n))?;
            }
            for n in NODES {
                node::wait_containerd(self.layout, n)?;
            }
            load_missing(&self.first)?;
            for n in NODES {
                let kubelet = node::kubelet(n, &self.kube);
                if let Some(start) = self.ensure(&kubelet)? {
                    let alive = || self.owner.runs(&kubelet.name);
                    node::wait_kubelet(self.layout, n, start, alive)?;
                }
                self.ensure(&node::proxy(n, &self.kube))?;
            }
            Ok(())
        })
    }

    fn cluster(&mut self) -> Result<()> {
        step("storage classes and DNS", || cluster::apply(self.layout))?;
        step("images on the nodes", || load_missing(&self.servers))?;
        step("nodes ready", || cluster::wait_nodes(self.layout))?;
        step("DNS answers", || cluster::wait_dns(self.layout))?;
        self.all_alive()
    }

    /// A program that ended soon after its start is an error now, not in a test later.
    fn all_alive(&self) -> Result<()> {
        let alive: BTreeMap<_, _> = self
            .owner
            .programs
            .iter()
            .map(|(name, process)| (name, process.alive()))
            .collect();
        match alive.iter().find(|(_, alive)| !**alive) {
            Some((name, _)) => bail!("{name} ended, see {}", self.layout.log_of(name).display()),
            None => Ok(()),
        }
    }
}

/// Loads archives into all nodes, side by side.
fn load_missing(archives: &[Archive]) -> Result<()> {
    std::thread::scope(|scope| {
        let loads: Vec<_> = NODES
            .into_iter()
            .map(|n| scope.spawn(move || images::load_missing(n, archives)))
            .collect();
        loads.into_iter().try_for_each(|load| {
            load.join()
                .unwrap_or_else(|_| bail!("a load stopped short"))
        })
    })
}

/// The kubeconfig and the links in the clone's own folder.
fn clone_files(layout: &Layout, kube: &Path) -> Result<()> {
    fs::create_dir_all(layout.bin())?;
    let shared = Path::new(DATA).join("bin");
    fs::create_dir_all(&shared)?;
    for link in [
        layout.bin().join("kubectl"),
        layout.bin().join("kube"),
        shared.join("kubectl"),
    ] {
        let _ = fs::remove_file(&link);
        symlink(kube, &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    fs::copy(pki::file("admin.kubeconfig"), layout.kubeconfig())?;
    Ok(())
}

/// A copy of this program that stays when the clone is built anew or removed.
fn own_copy() -> Result<PathBuf> {
    let copy = Path::new(DATA).join("bin/hera-testbed");
    let new = copy.with_extension("new");
    // By its path it may have been replaced meanwhile: bringing a testbed up takes long.
    fs::copy("/proc/self/exe", &new)?;
    fs::rename(new, &copy)?;
    Ok(copy)
}

/// What runs, as text, and the programs that are dead.
pub fn status() -> Result<(String, Vec<String>)> {
    use std::fmt::Write as _;
    let Some(owner) = Owner::load() else {
        bail!("no testbed runs on this machine; bring it up with `make testbed-up`")
    };
    let mut text = format!("clone            {}\n", owner.clone.display());
    for (name, process) in &owner.programs {
        let state = if process.alive() { "runs" } else { "DEAD" };
        writeln!(text, "{name:<16} {state}  pid {}", process.pid)?;
    }
    let kubectl = Path::new(DATA).join("bin/kubectl").display().to_string();
    let config = format!("--kubeconfig={}", pki::file("admin.kubeconfig"));
    let words = [
        kubectl.as_str(),
        &config,
        "get",
        "nodes",
        "--request-timeout=5s",
    ];
    text += &output(&mut command(&words)?).unwrap_or_else(|err| format!("{err:#}\n"));
    let dead = owner
        .programs
        .iter()
        .filter(|(_, process)| !process.alive());
    Ok((text, dead.map(|(name, _)| name.clone()).collect()))
}
