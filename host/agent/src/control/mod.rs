//! How others speak with the agent: the operator, its peers and the kubelet.

pub mod answer;
pub mod api;
pub mod caller;
pub mod events;
pub mod expiry;
pub mod metrics;
pub mod orders;
pub mod peers;
pub mod probes;
pub mod status;
pub mod tls;
