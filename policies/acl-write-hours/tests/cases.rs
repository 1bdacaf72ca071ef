//! The cases in `cases/`, natively; `host/policy/tests/cases.rs` runs them in the sandbox.

use hera_policy_acl_write_hours::WriteHours;
use hera_policy_sdk::testing::check_acl_cases;

#[test]
fn cases_come_out_as_written() {
    check_acl_cases::<WriteHours>("cases");
}
