//! The cases in `cases/`, natively; `host/policy/tests/cases.rs` runs them in the sandbox.

use hera_policy_rebalance_load::Load;
use hera_policy_sdk::testing::check_rebalance_cases;

#[test]
fn cases_come_out_as_written() {
    check_rebalance_cases::<Load>("cases");
}
