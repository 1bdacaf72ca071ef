use std::collections::BTreeMap;

use thiserror::Error;

use super::error::Problems;
use crate::quantity;
use crate::spec::Resources;

/// Share of the limit for data where the server forks to write it to a volume or to a replica (copy
/// on write takes the rest).
const PERCENT_WITH_FORKS: u64 = 70;
/// Share of the limit for data where it does not.
const PERCENT_WITHOUT_FORKS: u64 = 80;
/// Least memory limit with which a server and its agent start.
const MIN_LIMIT: u64 = 64 << 20;

/// What is known about memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The container's limit, in bytes.
    pub limit: Option<u64>,
    /// What the server may fill with data.
    pub maxmemory: Maxmemory,
    /// Share of the limit, in percent, that it may fill; none where `config` says how much.
    share: Option<u64>,
}

impl Memory {
    /// The same for containers that have a limit of their own, in bytes, where the spec has none: a
    /// LimitRange of the namespace gives it to pods that are made.
    #[must_use]
    pub fn within(self, limit: Option<u64>) -> Self {
        let (None, Some(limit)) = (self.limit, limit) else {
            return self;
        };
        Self {
            limit: Some(limit),
            maxmemory: match self.share {
                Some(percent) => Maxmemory::Derived(part(limit, percent)),
                None => self.maxmemory,
            },
            ..self
        }
    }
}

/// Divided first and last, so that no limit overflows and none loses a byte.
fn part(limit: u64, percent: u64) -> u64 {
    limit / 100 * percent + limit % 100 * percent / 100
}

/// What the server may fill with data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maxmemory {
    /// Neither a limit to derive it from, nor one in `config` (or 0 there): the server takes what it
    /// gets and is killed when the node has no more. A condition says so.
    Unset,
    /// Derived from the memory limit, in bytes.
    Derived(u64),
    /// Set in `config`, in bytes.
    Configured(u64),
}

impl Maxmemory {
    /// In bytes; none if unset.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::Unset => None,
            Self::Derived(bytes) | Self::Configured(bytes) => Some(bytes),
        }
    }
}

/// A size of memory that the server would not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no size of memory: write it like \"100mb\", \"1gb\" or a number of bytes")]
pub struct MemorySizeError(pub String);

/// A size in the notation of redis.conf: `1k` is 1000 bytes, `1kb` is 1024.
pub fn parse_memory_size(text: &str) -> Result<u64, MemorySizeError> {
    let refuse = || MemorySizeError(text.chars().take(64).collect());
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(split).ok_or_else(refuse)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err(refuse()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(refuse)
}

pub(super) fn resolve(
    resources: &Resources,
    forks: bool,
    config: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Memory {
    check_quantities(resources, problems);
    let limit = resources
        .limits
        .get("memory")
        .and_then(|limit| quantity::units(limit).ok());
    if limit.is_some_and(|limit| limit < MIN_LIMIT) {
        problems.add(
            "spec.resources.limits.memory",
            "too little for a server to start: use 64Mi or more",
        );
    }
    let configured = config
        .get("maxmemory")
        .and_then(|text| problems.take("spec.config.maxmemory", parse_memory_size(text)));
    let percent = match forks {
        true => PERCENT_WITH_FORKS,
        false => PERCENT_WITHOUT_FORKS,
    };
    let maxmemory = match (configured, limit) {
        (Some(0), _) | (None, None) => Maxmemory::Unset,
        (Some(bytes), Some(limit)) if bytes >= limit => {
            problems.add(
                "spec.config.maxmemory",
                format!("{bytes} bytes leave no room below the memory limit of {limit}: the server would be killed; \
                         lower it, raise resources.limits.memory, or remove it to have it derived from the limit"),
            );
            Maxmemory::Unset
        }
        (Some(bytes), _) => Maxmemory::Configured(bytes),
        (None, Some(limit)) => Maxmemory::Derived(part(limit, percent)),
    };
    Memory {
        limit,
        maxmemory,
        share: (!config.contains_key("maxmemory")).then_some(percent),
    }
}

fn check_quantities(resources: &Resources, problems: &mut Problems) {
    for (block, map) in [
        ("requests", &resources.requests),
        ("limits", &resources.limits),
    ] {
        for (name, value) in map {
            problems.take(
                &format!("spec.resources.{block}.{name}"),
                quantity::millis(value),
            );
        }
    }
    for (name, request) in &resources.requests {
        let Some(limit) = resources.limits.get(name) else {
            continue;
        };
        if let (Ok(request_value), Ok(limit_value)) =
            (quantity::millis(request), quantity::millis(limit))
            && request_value > limit_value
        {
            problems.add(
                format!("spec.resources.requests.{name}"),
                format!(
                    "{} is more than the limit of {}: lower it, or raise the limit",
                    request.0, limit.0
                ),
            );
        }
    }
}
