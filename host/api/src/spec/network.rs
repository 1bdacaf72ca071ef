use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether the object brings a NetworkPolicy for its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NetworkPolicy {
    /// It does: each port lets in who needs it.
    #[default]
    Enabled,
    /// It does not, and the one that it brought goes.
    Disabled,
}
