//! From a validated spec to Kubernetes objects and server configuration. Pure: no client, no clock.
//!
//! One file per kind. What is immutable or named once (selectors, service names, claim templates,
//! names of children) is final from the first release: see the frozen tests.

mod claims;
mod config_map;
mod context;
mod disruption_budget;
mod endpoint_slice;
mod former;
mod metadata;
mod network_policy;
mod pod;
mod pod_monitor;
mod roll_hash;
mod secrets;
pub mod server_config;
mod services;
mod stateful_set;
mod users;
pub mod versions;

pub use claims::{
    ClaimFate, ClaimSize, build_claim, build_claim_patch, claim_record, claim_size, goes_with,
    is_lent, is_let_go, is_never_bound, is_temporary,
};
pub use config_map::{CONFIG_KEY, RECOVERY_KEY, build_config_map};
pub use context::{Context, LiveStatefulSet};
pub use disruption_budget::build_disruption_budget;
pub use endpoint_slice::{AddressFamily, PodEndpoint, build_endpoint_slice, build_replicas_slice};
pub use metadata::{Owner, common_labels, owner_reference, pod_selector, selector_labels};
pub use network_policy::{ControlSources, build_network_policy};
pub use pod::{MOUNT_ACL, MOUNT_CONFIG, MOUNT_DATA, MOUNT_LOGIN, MOUNT_RUN, MOUNT_TLS};
pub use pod_monitor::{PodMonitor, build_pod_monitor};
pub use roll_hash::{pod_revision, roll_hash, template_revision};
pub use secrets::{
    ACL_KEY, AppCredentials, REPLICATION_PASSWORD_KEY, REPLICATION_ROTATION_KEY, ROTATION_KEY,
    SystemPasswords, TlsFiles, build_acl_secret, build_app_secret, build_system_secret,
    build_tls_secret,
};
pub use services::{build_client_service, build_headless_service, build_replicas_service};
pub use stateful_set::build_stateful_set;
pub use users::{raw_requests, user_requests};
