//! What both the API server and [`super::validate`] say.

pub(crate) const REPLICAS: &str =
    "use 1 to 7: 1 is a server alone, each further one holds a copy of its data";
pub(crate) const SYSTEM_USER: &str = "\"default\" and names that begin with \"hera-\" belong to the operator: choose \
     another name (for clients that can only send a password, set auth.defaultUser)";
pub(crate) const FENCE_AFTER: &str =
    "write 0s, or a duration from 5s to 5m, such as \"15s\" or \"1m30s\"";
pub(crate) const HANG_AFTER: &str = "write a duration from 2s to 5m, such as \"10s\" or \"1m30s\"";
pub(crate) const MAX_WAIT: &str =
    "write a duration from 1m to 8760h, such as \"1h30m\" or \"168h\"";
pub(crate) const PROGRESS_DEADLINE: &str =
    "write a duration from 1m to 24h, such as \"10m\" or \"2h\"";
pub(crate) const MIN_REPLICAS_TO_WRITE: &str = "durability.minReplicasToWrite must be less than replicas, which count the primary \
     as well: raise replicas, or lower it";
