//! What processes take.

use std::ops::AddAssign;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::Bed;

/// Clock ticks a second in /proc, on every Linux that there is.
const TICKS: f64 = 100.0;

/// What processes have taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Resident memory, in MiB.
    pub rss_mib: f64,
    /// CPU since its start, in seconds.
    pub cpu_seconds: f64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.rss_mib += other.rss_mib;
        self.cpu_seconds += other.cpu_seconds;
    }
}

impl Bed {
    /// What those processes of a pod that have `word` in their command line have taken until now.
    ///
    /// # Errors
    /// When there are none, or /proc does not tell.
    pub fn usage(&self, pod: &Pod, word: &str) -> Result<Usage> {
        let processes = self.testbed.pod_processes(&pod.uid().unwrap_or_default())?;
        let mut sum = Usage::default();
        let mut found = false;
        for process in processes {
            if process.cmdline.contains(word) {
                sum += of(process.pid).with_context(|| process.cmdline.clone())?;
                found = true;
            }
        }
        ensure!(found, "{} has no process {word:?}", pod.name_any());
        Ok(sum)
    }
}

fn of(pid: i32) -> Result<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = rss
        .and_then(|v| v.split_whitespace().next())
        .context("no VmRSS")?
        .parse()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields after the name, which may hold anything; user and system time are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(Usage {
        rss_mib: kib / 1024.0,
        cpu_seconds: ticks / TICKS,
    })
}
