//! The `rebalance` decision: which shard serves which slots.

use serde::de::DeserializeOwned;

pub use crate::bindings::rebalance::exports::hera::policy::rebalance::{
    Limits, Moved, RebalanceAnswer, RebalanceInput, Shard, ShardState, SlotLoad, SlotMove,
    SlotRange,
};
use crate::{Context, PolicyError, slots};

/// A policy that decides which shard serves which slots. Register it with
/// [`export_rebalance_policy!`](crate::export_rebalance_policy).
pub trait RebalancePolicy {
    /// What stands beside the policy under `settings`; no settings mean the default.
    type Settings: DeserializeOwned + Default;

    /// The moves to make now. [`Plan`](crate::plan::Plan) makes none that the operator refuses.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when there is no answer; the built-in then decides this time.
    fn decide(
        context: &Context,
        settings: &Self::Settings,
        input: &RebalanceInput,
    ) -> Result<RebalanceAnswer, PolicyError>;

    /// Checks settings beyond their shape.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote them.
    fn validate(_settings: &Self::Settings) -> Result<(), String> {
        Ok(())
    }
}

impl Shard {
    /// True if slots may move to it.
    pub fn takes(&self) -> bool {
        matches!(self.state, ShardState::Serving | ShardState::Joining)
    }

    /// What these of its slots take, as the operator reckons: what the server says of a slot, and of the
    /// others the mean. None if it is not known how much the shard uses.
    pub fn bytes_of(&self, slots: &[SlotRange]) -> Option<u64> {
        let (all_bytes, all) = self.told(&self.slots);
        let (bytes, some) = self.told(slots);
        let rest = self.used_bytes?.saturating_sub(all_bytes);
        let others = count(&self.slots).saturating_sub(all).max(1);
        let asked = count(slots).saturating_sub(some);
        let mean = rest.saturating_mul(asked).div_ceil(others);
        Some(bytes.saturating_add(mean))
    }

    /// Bytes of those of these slots of which the server tells, and how many they are.
    fn told(&self, slots: &[SlotRange]) -> (u64, u64) {
        let (mut bytes, mut count) = (0_u64, 0);
        for load in &self.heaviest {
            if let Some(used) = load.used_bytes
                && slots::contains(slots, load.slot)
            {
                bytes = bytes.saturating_add(used);
                count += 1;
            }
        }
        (bytes, count)
    }

    /// What it may still take until it is as full as it may be: nothing if it is not known what it uses,
    /// `u64::MAX` if nothing limits it.
    pub fn room(&self, limits: &Limits) -> u64 {
        let Some(max) = self.max_bytes else {
            return u64::MAX;
        };
        let most = (max / 100).saturating_mul(u64::from(limits.fill_percent));
        self.used_bytes.map_or(0, |used| most.saturating_sub(used))
    }
}

fn count(slots: &[SlotRange]) -> u64 {
    u64::from(slots::count(slots))
}

impl RebalanceInput {
    /// The slots that a shard may give now.
    pub fn movable(&self, shard: &Shard) -> Vec<SlotRange> {
        if shard.state == ShardState::Unhealthy {
            return vec![];
        }
        let mut left = slots::without(&shard.slots, &self.stays);
        if shard.state != ShardState::Leaving {
            for moved in &self.history {
                if moved.age_seconds < self.limits.cooldown_seconds {
                    left = slots::without(&left, &moved.slots);
                }
            }
        }
        left
    }
}

impl RebalanceAnswer {
    /// An answer that holds until something changes, or the operator asks again from time to time.
    pub fn new(moves: Vec<SlotMove>, reason: &str) -> Self {
        Self {
            moves,
            reason: reason.to_owned(),
            again_at: None,
        }
    }

    /// Lets it hold until this time at the latest, in milliseconds since 1970: then the policy is
    /// asked again, a minute after it was asked at the soonest. Of several times the first counts.
    #[must_use]
    pub fn until(mut self, unix_ms: u64) -> Self {
        let first = self.again_at.map_or(unix_ms, |known| known.min(unix_ms));
        self.again_at = Some(first);
        self
    }
}

/// Turns a policy type into the component that the operator loads.
#[macro_export]
macro_rules! export_rebalance_policy {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::export::rebalance::Guest for Component {
                fn decide(
                    context: $crate::Context,
                    input: $crate::rebalance::RebalanceInput,
                ) -> ::core::result::Result<$crate::rebalance::RebalanceAnswer, $crate::PolicyError>
                {
                    $crate::export::decide_rebalance::<$policy>(context, input)
                }

                fn validate_settings(
                    settings: $crate::export::String,
                ) -> ::core::result::Result<(), $crate::export::String> {
                    $crate::export::validate_rebalance::<$policy>(settings)
                }
            }

    $crate::bindings::rebalance::__export_rebalance_policy!(Component with_types_in $crate::bindings::rebalance);

            // The host reads this before anything runs, so that its messages can say what a
            // module was built with.
            #[used]
            #[unsafe(link_section = "hera-policy-sdk")]
            static SDK: [u8; $crate::SDK_VERSION.len()] = $crate::export::sdk_bytes();
        };
    };
}
