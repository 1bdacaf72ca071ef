//! What `kubectl hera policy new rebalance` makes does what its cases say.

#[path = "../../../host/cli/templates/rebalance/src/lib.rs"]
mod template;

use hera_policy_sdk::testing::check_rebalance_cases;
use template::PolicyName;

#[test]
fn its_cases_come_out_as_written() {
    check_rebalance_cases::<PolicyName>("../../host/cli/templates/rebalance/cases");
}
