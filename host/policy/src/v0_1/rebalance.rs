use hera_core::cluster::SlotSet;
use hera_core::rebalance::{
    Limits as PlanLimits, Moved, RebalanceAnswer, RebalanceInput, Shard, ShardState, SlotLoad,
    SlotMove,
};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use super::bindings::hera::policy::log;
use super::rebalance_bindings::exports::hera::policy::rebalance as wit;
use super::rebalance_bindings::{RebalancePolicy, RebalancePolicyPre};
use super::refused;
use crate::sandbox::{self, Ran, State};
use crate::{Answered, CallError, Context, Limits};

/// A compiled policy of the world `rebalance-policy`.
pub struct Rebalance(RebalancePolicyPre<State>);

impl Rebalance {
    /// Links a component: only the log is there to import.
    pub fn link(engine: &Engine, component: &Component) -> wasmtime::Result<Self> {
        let mut linker = Linker::<State>::new(engine);
        log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        let linked = linker.instantiate_pre(component)?;
        Ok(Self(RebalancePolicyPre::new(linked)?))
    }

    /// Starts an instance and drops it: types that differ show only here.
    pub fn trial(&self, limits: &Limits) -> Result<(), CallError> {
        let engine = self.0.engine();
        sandbox::run(engine, limits, |store| self.0.instantiate(store).map(drop)).result
    }

    /// Asks for a decision.
    pub fn decide(
        &self,
        limits: &Limits,
        context: &Context,
        input: &RebalanceInput,
    ) -> Ran<Answered<RebalanceAnswer>> {
        let (context, input) = (context.into(), wit::RebalanceInput::from(input));
        let ran = sandbox::run(self.0.engine(), limits, |store| {
            let policy: RebalancePolicy = self.0.instantiate(&mut *store)?;
            policy
                .hera_policy_rebalance()
                .call_decide(store, &context, &input)
        });
        ran.and_then(|answer| match answer {
            Ok(answer) => Ok(decode(answer, limits)),
            Err(error) => Err(refused(error, limits)),
        })
    }

    /// Asks whether settings make sense.
    pub fn validate_settings(&self, limits: &Limits, settings: &str) -> Result<(), CallError> {
        let ran = sandbox::run(self.0.engine(), limits, |store| {
            let policy: RebalancePolicy = self.0.instantiate(&mut *store)?;
            policy
                .hera_policy_rebalance()
                .call_validate_settings(store, settings)
        });
        ran.result?.map_err(|text| {
            CallError::InvalidSettings(hera_core::acl::printable(&text, limits.text_bytes))
        })
    }
}

fn decode(answer: wit::RebalanceAnswer, limits: &Limits) -> Answered<RebalanceAnswer> {
    let wit::RebalanceAnswer {
        moves,
        reason,
        again_at,
    } = answer;
    Answered {
        answer: RebalanceAnswer {
            moves: moves.into_iter().map(SlotMove::from).collect(),
            reason: hera_core::acl::printable(&reason, limits.text_bytes),
        },
        again_at_unix_ms: again_at,
    }
}

fn ranges(slots: &SlotSet) -> Vec<wit::SlotRange> {
    let ranges = slots.ranges().iter();
    ranges
        .map(|(first, last)| wit::SlotRange {
            first: *first,
            last: *last,
        })
        .collect()
}

impl From<&RebalanceInput> for wit::RebalanceInput {
    fn from(input: &RebalanceInput) -> Self {
        let RebalanceInput {
            shards,
            stays,
            history,
            limits,
        } = input;
        let PlanLimits {
            slots,
            cooldown_seconds,
            fill_percent,
        } = *limits;
        Self {
            shards: shards.iter().map(wit::Shard::from).collect(),
            stays: ranges(stays),
            history: history.iter().map(wit::Moved::from).collect(),
            limits: wit::Limits {
                slots,
                cooldown_seconds,
                fill_percent,
            },
        }
    }
}

impl From<&Shard> for wit::Shard {
    fn from(shard: &Shard) -> Self {
        let Shard {
            id,
            state,
            slots,
            used_bytes,
            max_bytes,
            ops_per_second,
            heaviest,
        } = shard;
        Self {
            id: *id,
            state: match state {
                ShardState::Serving => wit::ShardState::Serving,
                ShardState::Joining => wit::ShardState::Joining,
                ShardState::Leaving => wit::ShardState::Leaving,
                ShardState::Unhealthy => wit::ShardState::Unhealthy,
            },
            slots: ranges(slots),
            used_bytes: *used_bytes,
            max_bytes: *max_bytes,
            ops_per_second: *ops_per_second,
            heaviest: heaviest.iter().map(wit::SlotLoad::from).collect(),
        }
    }
}

impl From<&SlotLoad> for wit::SlotLoad {
    fn from(load: &SlotLoad) -> Self {
        let SlotLoad {
            slot,
            load_ppm,
            used_bytes,
        } = *load;
        Self {
            slot,
            load_ppm,
            used_bytes,
        }
    }
}

impl From<&Moved> for wit::Moved {
    fn from(moved: &Moved) -> Self {
        let Moved {
            source,
            target,
            slots,
            age_seconds,
            ops_per_second,
        } = moved;
        Self {
            source: *source,
            target: *target,
            slots: ranges(slots),
            age_seconds: *age_seconds,
            ops_per_second: *ops_per_second,
        }
    }
}

impl From<wit::SlotMove> for SlotMove {
    fn from(step: wit::SlotMove) -> Self {
        let wit::SlotMove {
            source,
            target,
            slots,
        } = step;
        Self {
            source,
            target,
            slots: slots
                .into_iter()
                .map(|range| (range.first, range.last))
                .collect(),
        }
    }
}
