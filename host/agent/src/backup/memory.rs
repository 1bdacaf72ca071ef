//! Memory of the server's container, and how much of it a snapshot is to have: while a child of the server writes,
//! pages that change are there twice.

use std::fs;
use std::path::Path;

use hera_core::backup::{Failure, FailureReason};

use super::failed;

/// What a container is to have left of its memory when a snapshot starts.
pub const AT_START: Reserve = Reserve {
    percent: 20,
    bytes: 64 << 20,
};
/// The same while it runs.
pub const MEANWHILE: Reserve = Reserve {
    percent: 10,
    bytes: 32 << 20,
};
/// What a snapshot can take at most, in what the server has: pages that change are there twice, and as much may be on
/// its way through this agent.
const COPIES: u64 = 2;
/// As good as no limit.
const NO_LIMIT: u64 = 1 << 60;

/// Memory of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    used: u64,
    limit: u64,
}

impl Memory {
    /// What the kernel tells; none without a limit.
    pub fn of(cgroup: &Path) -> Option<Self> {
        let older = || {
            let (limit, used) = ("memory.limit_in_bytes", "memory.usage_in_bytes");
            Self::told(&cgroup.join("memory"), limit, used, "total_inactive_file")
        };
        Self::told(cgroup, "memory.max", "memory.current", "inactive_file").or_else(older)
    }

    /// What is taken without the files that the kernel can drop.
    fn told(folder: &Path, limit: &str, used: &str, dropped: &str) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let limit = number(limit).filter(|limit| (1..NO_LIMIT).contains(limit))?;
        let stat = read("memory.stat").unwrap_or_default();
        let value = |line: &str| {
            let text = line.strip_prefix(dropped)?.strip_prefix(' ')?;
            text.trim().parse::<u64>().ok()
        };
        let dropped = stat.lines().find_map(value);
        Some(Self {
            used: number(used)?.saturating_sub(dropped.unwrap_or(0)),
            limit,
        })
    }

    /// One of a hundred GiB.
    #[cfg(test)]
    pub fn of_a_large_container(percent: u64) -> Self {
        Self {
            used: percent << 30,
            limit: 100 << 30,
        }
    }

    /// What the container may take, in bytes.
    pub fn limit(self) -> u64 {
        self.limit
    }

    /// What it has left, in bytes.
    pub fn left(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    fn percent(self) -> u64 {
        self.used.saturating_mul(100) / self.limit
    }

    /// Whether so much is left, of a server that has `used_memory`.
    ///
    /// # Errors
    /// It is not.
    pub fn check(self, reserve: Reserve, used_memory: u64) -> Result<(), Failure> {
        let left = self.left();
        let needed = reserve.of(self.limit, used_memory);
        if left >= needed {
            return Ok(());
        }
        let words = format!(
            "the container takes {} % of its memory limit and has {} MiB left, and a snapshot is to have {} MiB: raise \
             the limit or lower maxmemory",
            self.percent(),
            left >> 20,
            needed.div_ceil(1 << 20)
        );
        Err(failed(FailureReason::NoHeadroom, words))
    }
}

/// What is to be left of a container's memory.
#[derive(Clone, Copy, Debug)]
pub struct Reserve {
    /// Of its limit.
    percent: u64,
    /// However small that is: a percentage of little is less than what a server that is written to takes in a moment.
    bytes: u64,
}

impl Reserve {
    /// In bytes. A small server needs no more than it can fill, so that a small container can be read.
    fn of(self, limit: u64, used_memory: u64) -> u64 {
        let most = used_memory.saturating_mul(COPIES);
        let part = limit.saturating_mul(self.percent) / 100;
        part.max(self.bytes.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_container_keeps_what_its_server_can_fill_and_64_mib_at_most() {
        let left = |limit: u64, used_memory: u64| {
            let bytes = [AT_START, MEANWHILE].map(|of| of.of(limit << 20, used_memory << 20));
            bytes.map(|bytes| bytes >> 20)
        };
        assert_eq!(left(128, 2), [25, 12], "nearly empty");
        assert_eq!(left(128, 20), [40, 32]);
        assert_eq!(left(256, 170), [64, 32]);
        assert_eq!(left(320, 200), [64, 32]);
        assert_eq!(left(1000, 700), [200, 100]);
        let memory = |used: u64| Memory {
            used: used << 20,
            limit: 256 << 20,
        };
        assert_eq!(memory(192).check(AT_START, 170 << 20), Ok(()));
        let full = memory(193).check(AT_START, 170 << 20).unwrap_err();
        assert_eq!(full.reason, FailureReason::NoHeadroom);
        assert!(full.message.contains("63 MiB left"), "{}", full.message);
    }

    #[test]
    fn files_that_the_kernel_can_drop_are_no_memory_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let cgroup = folder.path();
        assert_eq!(Memory::of(cgroup), None);
        let write = |name: &str, text: &str| fs::write(cgroup.join(name), text).unwrap();
        write("memory.current", "900\n");
        write(
            "memory.stat",
            "anon 500\ninactive_file 300\nactive_file 100\n",
        );
        write("memory.max", "max\n");
        assert_eq!(Memory::of(cgroup), None, "there is no limit");
        write("memory.max", "1000\n");
        assert_eq!(Memory::of(cgroup).unwrap().percent(), 60);
    }

    #[test]
    fn a_kernel_of_before_tells_it_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let cgroup = folder.path();
        fs::create_dir(cgroup.join("memory")).unwrap();
        let write = |name: &str, text: &str| fs::write(cgroup.join("memory").join(name), text);
        write("memory.usage_in_bytes", "900\n").unwrap();
        write("memory.stat", "inactive_file 1\ntotal_inactive_file 400\n").unwrap();
        write("memory.limit_in_bytes", "9223372036854771712\n").unwrap();
        assert_eq!(Memory::of(cgroup), None, "there is no limit");
        write("memory.limit_in_bytes", "1000\n").unwrap();
        assert_eq!(Memory::of(cgroup).unwrap().percent(), 50);
    }
}
