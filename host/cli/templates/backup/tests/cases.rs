//! The cases in `cases/`, natively. `kubectl hera policy check` runs them in the sandbox.

use hera_policy_sdk::testing::check_backup_cases;
use policy_name::PolicyName;

#[test]
fn cases_come_out_as_written() {
    check_backup_cases::<PolicyName>("cases");
}
