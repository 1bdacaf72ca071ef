//! The policies that come with the operator: modules like any other, run in the same sandbox.

/// Rights by preset, `policies/acl-presets`.
pub const ACL_PRESETS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/acl-presets.wasm"));
