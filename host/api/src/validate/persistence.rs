use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::error::Problems;
use crate::quantity;
use crate::spec::{self, Fsync, ReclaimPolicy};

/// Least size of a volume: the files of an empty server, twice, and room to work.
const MIN_VOLUME: u64 = 16 << 20;
/// The server's own save points, for snapshots without an append-only file.
const USUAL_SAVE: &str = "3600 1 300 100 60 10000";

/// Where the data is kept, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Persistence {
    /// The volume; without one the data lives as long as the pod.
    pub volume: Option<Volume>,
    /// When the append-only file reaches the disk, if there is one.
    pub aof: Option<Fsync>,
    /// Save points; empty for none.
    pub save: String,
}

/// A volume to keep data on.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Its size as the spec writes it.
    pub size: Quantity,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its class; the cluster's default if absent.
    pub storage_class: Option<String>,
    /// What becomes of it when the object is deleted.
    pub reclaim: ReclaimPolicy,
}

impl Persistence {
    /// True if there is a volume.
    pub fn is_on(&self) -> bool {
        self.volume.is_some()
    }
}

pub(super) fn resolve(spec: &spec::Persistence, problems: &mut Problems) -> Persistence {
    if !spec.enabled {
        if spec.aof.is_some() || spec.rdb.is_some() {
            problems.add(
                "spec.persistence",
                "aof and rdb need a volume: set enabled to true, or remove them",
            );
        }
        return Persistence {
            volume: None,
            aof: None,
            save: String::new(),
        };
    }
    let bytes = problems
        .take("spec.persistence.size", quantity::units(&spec.size))
        .unwrap_or(MIN_VOLUME);
    if bytes < MIN_VOLUME {
        problems.add(
            "spec.persistence.size",
            format!(
                "{} is too small for any data: use 16Mi or more",
                spec.size.0
            ),
        );
    }
    let aof = match &spec.aof {
        Some(aof) => aof.enabled.then_some(aof.fsync),
        None => Some(Fsync::default()),
    };
    let save = match (&spec.rdb, aof) {
        (Some(rdb), _) => rdb.save.clone(),
        (None, Some(_)) => String::new(),
        (None, None) => USUAL_SAVE.to_owned(),
    };
    if !is_save(&save) {
        problems.add(
            "spec.persistence.rdb.save",
            "write pairs of seconds and changes, such as \"3600 1 300 100\"",
        );
    }
    if aof.is_none() && save.is_empty() {
        problems.add(
            "spec.persistence",
            "nothing would be written: set aof.enabled to true, or give rdb.save save points",
        );
    }
    Persistence {
        volume: Some(Volume {
            size: spec.size.clone(),
            bytes,
            storage_class: spec.storage_class_name.clone(),
            reclaim: spec.reclaim_policy,
        }),
        aof,
        save,
    }
}

/// Pairs of seconds, at least one, and changes.
fn is_save(save: &str) -> bool {
    let numbers: Vec<_> = save.split(' ').filter(|_| !save.is_empty()).collect();
    let is_number =
        |n: &str| n.len() <= 9 && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    numbers.len().is_multiple_of(2)
        && numbers.iter().all(|n| is_number(n))
        && numbers
            .iter()
            .step_by(2)
            .all(|seconds| !seconds.starts_with('0'))
}
