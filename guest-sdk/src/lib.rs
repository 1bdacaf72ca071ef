//! What the author of a policy depends on.
//!
//! A policy is a type with a trait and one macro:
//!
//! ```
//! use hera_policy_sdk::acl::{AclAnswer, AclInput, AclPolicy, Preset, UserGrants};
//! use hera_policy_sdk::{Context, PolicyError, export_acl_policy};
//!
//! struct PingOnly;
//!
//! impl AclPolicy for PingOnly {
//!     type Settings = ();
//!
//!     fn decide(_: &Context, _: &(), input: &AclInput) -> Result<AclAnswer, PolicyError> {
//!         let grant = |user: &hera_policy_sdk::acl::UserRequest| {
//!             UserGrants::new(&user.name).allow_command("ping")
//!         };
//!         Ok(AclAnswer::new(input.users.iter().map(grant)))
//!     }
//! }
//!
//! export_acl_policy!(PingOnly);
//! ```
//!
//! `cargo test` runs its logic natively; `cargo build --target wasm32-unknown-unknown` makes the
//! module that goes into a ConfigMap. The author's guide is `docs/policies.md`. Other decisions have a
//! trait and a macro of their own: [`rebalance`], with what the built-in does in [`even`]
//! (`docs/policies-rebalance.md`), and [`backup`], with what the built-in does in [`calmest`]
//! (`docs/policies-backup.md`).
//!
//! # Caveats
//!
//! There is no clock, no randomness and no file in a policy: what it needs is in its input.
//! `std::time::SystemTime::now()` panics; use [`Context::now_unix_ms`], and say with
//! [`until`](acl::AclAnswer::until) when the answer becomes another one. A `HashMap` iterates in
//! an order of its own; use `BTreeMap` where order reaches the answer.

pub mod acl;
pub mod backup;
#[doc(hidden)]
pub mod bindings;
pub mod calmest;
pub mod even;
#[doc(hidden)]
pub mod export;
pub mod log;
mod map;
pub mod plan;
pub mod presets;
pub mod rebalance;
pub mod slots;
pub mod testing;

pub use bindings::hera::policy::types::{Context, PolicyError};
pub use map::Map;

/// Version of this SDK, also in the custom section [`SDK_SECTION`] of every policy.
pub const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");
/// Custom section that names the SDK a policy was built with.
pub const SDK_SECTION: &str = "hera-policy-sdk";

/// Each call is an instance of its own, whose memory goes as a whole: freeing would be time and 10 KB
/// of code for nothing.
#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
#[global_allocator]
static ALLOCATOR: mini_alloc::MiniAlloc = mini_alloc::MiniAlloc::INIT;
