//! What `kubectl hera policy new backup` makes does what its cases say.

#[path = "../../../host/cli/templates/backup/src/lib.rs"]
mod template;

use hera_policy_sdk::testing::check_backup_cases;
use template::PolicyName;

#[test]
fn its_cases_come_out_as_written() {
    check_backup_cases::<PolicyName>("../../host/cli/templates/backup/cases");
}
