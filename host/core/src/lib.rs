//! Pure decisions: from what was observed to what is done next.
//!
//! Nothing here talks to a server, to Kubernetes or to a clock: time and observations come in
//! as values, plans go out as values.

pub mod acl;
pub mod agent;
pub mod backup;
pub mod cluster;
pub mod digest;
pub mod fence;
pub mod instance;
pub mod quarantine;
pub mod rebalance;
pub mod reshard;
pub mod rotation;
pub mod shard;
pub mod term;
