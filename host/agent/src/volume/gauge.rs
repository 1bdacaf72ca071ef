//! Measures the data volume.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use tracing::warn;

use crate::volume::dump::NOT_READ;

/// Between two measurements.
const MEASURE: Duration = Duration::from_secs(1);

/// A volume, measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Bytes that are free.
    pub free: u64,
    /// Bytes of the snapshot.
    pub snapshot: u64,
    /// There is another one that was not read.
    pub not_read: bool,
}

/// Measures the volume beside all else: one that hangs holds nobody up.
#[derive(Default)]
pub struct Gauge {
    last: Mutex<Option<(Measured, Instant)>>,
    busy: AtomicBool,
}

impl Gauge {
    /// What was measured last, if anything was.
    pub fn last(&self) -> Option<Measured> {
        self.lock().map(|(measured, _)| measured)
    }

    /// Measures it, unless that was just done or is under way.
    pub fn measure(self: &Arc<Self>, data: &Path) {
        let is_fresh = |(_, at): (Measured, Instant)| at.elapsed() < MEASURE;
        if self.lock().is_some_and(is_fresh) || self.busy.swap(true, Ordering::SeqCst) {
            return;
        }
        let (gauge, data) = (self.clone(), data.to_owned());
        tokio::task::spawn_blocking(move || {
            match measured(&data) {
                Ok(measured) => *gauge.lock() = Some((measured, Instant::now())),
                Err(error) => warn!(%error, "the volume cannot be measured"),
            }
            gauge.busy.store(false, Ordering::SeqCst);
        });
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Measured, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn measured(data: &Path) -> nix::Result<Measured> {
    let volume = statvfs(data)?;
    let snapshot = data.join("dump.rdb").metadata();
    Ok(Measured {
        free: volume.blocks_available() * volume.fragment_size(),
        snapshot: snapshot.map_or(0, |file| file.len()),
        not_read: data.join(NOT_READ).exists(),
    })
}
