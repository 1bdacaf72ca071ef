//! The policies that come with the operator: modules like any other, run in the same sandbox.

/// Rights by preset, `policies/acl-presets`.
pub const ACL_PRESETS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/acl-presets.wasm"));
/// Backups at once, on the copies that can best bear it, `policies/backup-cron`.
pub const BACKUP_CRON: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/backup-cron.wasm"));
/// As many slots for each shard, `policies/rebalance-even`.
pub const REBALANCE_EVEN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rebalance-even.wasm"));
