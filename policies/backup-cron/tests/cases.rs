//! The cases in `cases/`, natively; `host/policy/tests/cases.rs` runs them in the sandbox.

use hera_policy_backup_cron::Cron;
use hera_policy_sdk::testing::check_backup_cases;

#[test]
fn cases_come_out_as_written() {
    check_backup_cases::<Cron>("cases");
}
