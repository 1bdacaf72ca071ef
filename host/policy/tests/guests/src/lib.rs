//! Policies that do what policies must not, one in each example. `host/policy` builds them for
//! its tests and writes them to a folder with `cargo run -p hera-policy --example hostile`.

pub use hera_policy_sdk::acl::{AclAnswer, AclInput, UserGrants};
pub use hera_policy_sdk::{Context, PolicyError, presets};

/// What the built-in would answer.
pub fn honest(input: &AclInput) -> AclAnswer {
    AclAnswer::new(presets::all(input))
}

/// A policy from a function, which takes numbers for settings and looks at none.
#[macro_export]
macro_rules! policy {
    ($decide:expr) => {
        /// The policy.
        pub struct Policy;

        impl hera_policy_sdk::acl::AclPolicy for Policy {
            type Settings = hera_policy_sdk::Map<i64>;

            fn decide(
                context: &$crate::Context,
                _: &Self::Settings,
                input: &$crate::AclInput,
            ) -> Result<$crate::AclAnswer, $crate::PolicyError> {
                let decide: fn(
                    &$crate::Context,
                    &$crate::AclInput,
                ) -> Result<$crate::AclAnswer, $crate::PolicyError> = $decide;
                decide(context, input)
            }
        }

        hera_policy_sdk::export_acl_policy!(Policy);
    };
}
