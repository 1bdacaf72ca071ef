//! What the machine must have and allow.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::layout::Layout;
use crate::run::{command, logged, output, succeeds};

/// Programs, and the Debian packages that hold them.
const NEEDED: [(&str, &str); 12] = [
    ("/usr/bin/etcd", "etcd-server"),
    ("/usr/bin/containerd", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/bin/catatonit", "catatonit"),
    ("/usr/bin/mmdebstrap", "mmdebstrap"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/sbin/sysctl", "procps"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/bin/musl-gcc", "musl-tools"),
];
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Fails with one line if the testbed cannot work here.
pub fn check_machine() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the testbed needs root: it makes network namespaces, mounts and cgroups");
    }
    if !succeeds("unshare --net --mount true") {
        bail!(
            "the testbed needs the right to make network and mount namespaces, which this sandbox does not give"
        );
    }
    crate::cgroup::tracking_root().map(drop)
}

/// Installs what is missing; gives the names of what it installed.
pub fn packages(layout: &Layout) -> Result<Vec<&'static str>> {
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(path, _)| !exists(path))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    output(&mut command(&["apt-get", "--version"])?)
        .with_context(|| format!("no apt-get here; please install: {}", missing.join(" ")))?;
    let log = layout.log_of("apt");
    let own_policy = forbid_services()?;
    let result = apt(&log, &["update"]).and_then(|()| {
        let mut words = vec!["install", "--yes", "--no-install-recommends"];
        words.extend(&missing);
        apt(&log, &words)
    });
    if own_policy {
        fs::remove_file(POLICY)?;
    }
    result?;
    Ok(missing)
}

fn exists(path: &str) -> bool {
    // Machines differ in whether /sbin is /usr/sbin, and some have a program in a place of their own.
    let name = path.rsplit('/').next().unwrap_or_default();
    Path::new(path).exists() || (!path.contains("/lib/") && succeeds(&format!("which {name}")))
}

/// Packages must not start their services. Gives whether the file that says so is ours.
fn forbid_services() -> Result<bool> {
    if Path::new(POLICY).exists() {
        return Ok(false);
    }
    fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
    fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
    Ok(true)
}

fn apt(log: &Path, words: &[&str]) -> Result<()> {
    let mut all = vec!["apt-get"];
    all.extend(words);
    logged(command(&all)?.env("DEBIAN_FRONTEND", "noninteractive"), log)
}
