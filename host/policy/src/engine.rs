use std::time::Duration;

use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::{Limits, StartError};

/// How often the epoch advances: the grain of wall-clock deadlines.
const TICK: Duration = Duration::from_millis(10);

/// An engine with every meter on, and the thread that ticks for it.
pub fn start(limits: &Limits) -> Result<Engine, StartError> {
    let engine = of(limits)?;
    let weak = engine.weak();
    // A thread of the system, not a task: the runtime that it guards may itself be busy.
    std::thread::Builder::new()
        .name("policy-epoch".to_owned())
        .spawn(move || {
            loop {
                std::thread::sleep(TICK);
                match weak.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => break,
                }
            }
        })
        .map_err(|error| StartError(error.to_string()))?;
    Ok(engine)
}

/// An engine that only compiles, and refuses what the other has no room for. Its own pool has the least
/// of it: room for one call.
pub fn compiler(limits: &Limits) -> Result<Engine, StartError> {
    let calls = 1;
    of(&Limits {
        calls,
        ..limits.clone()
    })
}

fn of(limits: &Limits) -> Result<Engine, StartError> {
    // The pool makes a fresh instance per call cheap. It reserves address space up front, which
    // a restricted process may not have; then each call maps its own memory.
    Engine::new(config(limits).allocation_strategy(pool(limits)))
        .or_else(|_| Engine::new(&config(limits)))
        .map_err(|error| StartError(format!("{error:#}")))
}

/// Ticks until `deadline` has surely passed: the first may come at once.
pub fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_millis().div_ceil(TICK.as_millis());
    u64::try_from(ticks)
        .unwrap_or(u64::MAX - 1)
        .saturating_add(1)
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        // The same input gives the same answer on every machine, or replay means nothing.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .relaxed_simd_deterministic(true)
        // What policies do not need is code that need not be trusted.
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .concurrency_support(false)
        // Two bytes far apart are no reason to keep all between them.
        .memory_guaranteed_dense_image_size(u64::try_from(limits.module_bytes).unwrap_or(0))
        .wasm_backtrace_max_frames(None);
    config
}

fn pool(limits: &Limits) -> InstanceAllocationStrategy {
    // Room for every call at once and the trial of a new module beside them. A component is
    // several core instances and tables: its own and those of the shims.
    let components = u32::try_from(limits.calls).unwrap_or(64).saturating_add(2);
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(components)
        .total_core_instances(components.saturating_mul(8))
        .total_memories(components)
        .total_tables(components.saturating_mul(4))
        .max_core_instances_per_component(16)
        .max_memories_per_component(1)
        .max_tables_per_component(4)
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .max_unused_warm_slots(1);
    InstanceAllocationStrategy::Pooling(pool)
}
