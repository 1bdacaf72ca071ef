//! Scenarios on the testbed, as a user meets them. Each says which row of "What it must show"
//! (issues 3 to 5) it shows; those that disturb the operator run after all others, one at a time.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON answers null where there is nothing"
)]

use std::process::ExitCode;

/// A list of scenarios by the names of their functions.
macro_rules! scenarios {
    ($phase:ident; $($name:ident),* $(,)?) => {
        &[$(hera_tests_e2e::Scenario {
            name: stringify!($name),
            phase: hera_tests_e2e::Phase::$phase,
            run: |space| Box::pin($name(space)),
        }),*]
    };
}

mod author;
mod bad_input;
mod bad_policies;
mod changes;
mod copies;
mod deletion;
mod endurance;
mod faults;
mod fences;
mod figures;
mod guide;
mod healing;
mod hostile;
mod install;
mod lifecycle;
mod lineage;
mod nodes;
mod oncall;
mod operator;
mod outages;
mod policies;
mod refusals;
mod replicas;
mod rollback;
mod scene;
mod shadows;
mod sources;
mod space;
mod steady;
mod surge;
mod users;

/// What a machine shows in a bounded time that is too slow for all: facts that do not depend on how
/// fast it is (docs/decisions/014-slow-machines.md).
const ON_A_SLOW_MACHINE: &[&str] = &[
    "an_applied_instance_becomes_ready_and_takes_writes",
    "the_sample_works_as_it_stands",
    "a_killed_server_comes_back_in_its_container_with_every_acknowledged_write",
    "a_killed_agent_comes_back_with_every_acknowledged_write",
    "a_directive_reaches_the_running_server",
    "a_policy_that_cannot_be_found_changes_nobodys_rights",
    "a_secret_that_is_replaced_shuts_nobody_out",
    "a_user_that_left_while_the_pod_was_down_stays_out",
    "a_child_of_somebody_else_is_left_alone",
    "a_spec_that_cannot_be_carried_out_stops_no_healing",
    "what_the_schema_knows_to_be_wrong_is_refused_with_what_to_do",
    "a_kept_volume_is_taken_over_by_an_instance_of_the_same_name",
    "a_deleted_namespace_ends",
    "without_surge_a_server_alone_is_restarted_where_it_is",
    "somebody_fences_a_replica_and_lifts_the_fence",
    "a_redis_7_2_becomes_a_valkey",
];

fn main() -> ExitCode {
    // Those that take longest first.
    let all = [
        changes::ALL,
        bad_policies::ALL,
        rollback::ALL,
        lifecycle::ALL,
        policies::ALL,
        oncall::ALL,
        shadows::ALL,
        sources::ALL,
        bad_input::ALL,
        healing::ALL,
        users::ALL,
        deletion::ALL,
        figures::ALL,
        hostile::ALL,
        steady::ALL,
        operator::ALL,
        install::ALL,
        shadows::ALONE,
        sources::ALONE,
        author::ALL,
        replicas::ALL,
        fences::ALL,
        copies::ALL,
        lineage::ALL,
        refusals::ALL,
        space::ALL,
        surge::ALL,
        surge::ALONE,
        faults::ALL,
        outages::ALL,
        nodes::ALL,
        guide::ALL,
        endurance::ALL,
    ];
    hera_tests_e2e::run(&all.concat(), ON_A_SLOW_MACHINE)
}
