//! Files in a real store on loopback, and what is in the way of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use hera_store::Store;
use hera_testbed::gateway::Gateway;

mod faults;
mod files;
mod proxy;
mod tls;

/// The bucket that there is.
const BUCKET: &str = "backups";
/// The folder in it.
const PREFIX: &str = "team/redis";

/// A store with a bucket.
fn gateway() -> Gateway {
    let gateway = Gateway::start().unwrap();
    gateway.make_bucket(BUCKET).unwrap();
    gateway
}

fn open(gateway: &Gateway) -> Store {
    Store::open(&gateway.access(BUCKET, PREFIX)).unwrap()
}

/// Bytes without a pattern that would hide one that is missing or doubled.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}
