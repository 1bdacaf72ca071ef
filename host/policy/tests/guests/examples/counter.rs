//! Tries to remember: logs how often this instance was asked.

use std::sync::atomic::{AtomicU32, Ordering};

static CALLS: AtomicU32 = AtomicU32::new(0);

hera_policy_hostile::policy!(|_, input| {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    hera_policy_sdk::log::info(&format!("call {calls}"));
    Ok(hera_policy_hostile::honest(input))
});
