//! Scenarios on the testbed, as a user meets them. Each says which row of "What it must show"
//! (issues 3 to 5, 22) it shows; those that disturb the operator run after all others, one at a time.

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
mod backups;
mod bad_input;
mod bad_policies;
mod changes;
mod cluster;
mod cluster_changes;
mod cluster_outages;
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
mod instants;
mod lifecycle;
mod lineage;
mod monitoring;
mod nodes;
mod oncall;
mod operator;
mod outages;
mod passwords;
mod policies;
mod recoveries;
mod refusals;
mod replicas;
mod retention;
mod rollback;
mod scaling;
mod scene;
mod shadows;
mod sources;
mod space;
mod steady;
mod surge;
mod users;

/// What each landing shows: a story for each thing that a user relies on. All others run before an issue
/// is called resolved (`make test-all`).
const LANDING: &[&str] = &[
    "an_applied_instance_becomes_ready_and_takes_writes",
    "the_sample_works_as_it_stands",
    "a_killed_server_comes_back_in_its_container_with_every_acknowledged_write",
    "a_deleted_pod_comes_back_with_every_acknowledged_write",
    "a_directive_reaches_the_running_server",
    "a_directive_that_the_server_takes_only_at_its_start_rolls_the_pod",
    "a_volume_grows_and_does_not_shrink",
    "a_paused_instance_holds_changes_back_and_heals",
    "what_the_schema_knows_to_be_wrong_is_refused_with_what_to_do",
    "a_child_of_somebody_else_is_left_alone",
    "a_new_password_takes_the_place_of_the_old_one",
    "a_missing_secret_is_said_and_its_user_comes_with_it",
    "a_generated_password_is_replaced_and_no_login_fails",
    "a_swapped_policy_changes_rights_while_a_client_stays_connected",
    "revoked_rights_stay_revoked_through_an_immediate_restart",
    "a_revocation_in_the_spec_holds_whatever_the_policy_says",
    "a_bad_policy_changes_nobodys_rights",
    "a_policy_in_the_shadow_is_compared_and_changes_nothing",
    "a_default_policy_decides_where_no_other_is_named_and_two_of_them_do_not",
    "the_last_good_policy_decides_through_a_restart_of_the_operator",
    "deleted_children_are_made_anew_and_changes_go_on",
    "a_user_that_left_while_the_pod_was_down_stays_out",
    "a_kept_volume_is_taken_over_by_an_instance_of_the_same_name",
    "a_deleted_namespace_ends",
    "an_instance_made_anew_goes_on_with_the_latest_data_and_not_with_the_most_keys",
    "where_nothing_recorded_says_which_copy_is_right_a_person_chooses",
    "a_full_volume_is_told_and_growing_it_heals_everything",
    "a_volume_that_takes_nothing_holds_back_no_revoked_right",
    "a_lost_volume_is_filled_from_a_replica",
    "an_empty_restart_empties_no_replica",
    "a_frozen_pod_is_fenced_and_comes_back_as_a_replica",
    "a_pod_deleted_by_force_is_followed_by_a_replica",
    "somebody_sees_who_leads_and_promotes_another",
    "somebody_speaks_with_the_servers_from_outside",
    "somebody_lets_an_instance_hibernate_and_resume",
    "somebody_approves_the_step_that_touches_the_primary",
    "three_pods_come_up_as_a_primary_and_two_replicas",
    "a_switchover_on_request_loses_nothing",
    "a_roll_of_all_pods_loses_nothing",
    "pods_come_and_go_without_a_gap",
    "all_pods_deleted_at_once_come_back_with_their_data",
    "a_server_without_a_volume_keeps_its_data_through_a_roll",
    "a_version_of_a_server_alone_changes_without_it_being_away",
    "a_killed_primary_is_followed_by_a_replica",
    "a_failover_is_finished_by_the_next_leader",
    "a_primary_on_a_partitioned_node_is_followed_by_a_replica",
    "a_drained_node_hands_its_primary_over",
    "when_the_leader_dies_the_other_operator_takes_over",
    "a_newer_operator_restarts_no_data_pod",
    "the_sample_of_a_cluster_forms_heals_and_keeps_every_key",
    "a_cluster_is_rolled_to_another_version",
    "a_scale_up_that_is_taken_back_in_the_middle_keeps_every_key",
    "an_instance_under_load_that_is_flushed_begins_anew_from_its_backup",
    "flushed_comes_back_to_the_instant_before",
    "schedules_make_backups_and_only_the_last_ones_stay",
];

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
        cluster::ALL,
        cluster_changes::ALL,
        cluster_outages::ALL,
        scaling::ALL,
        bad_policies::ALL,
        rollback::ALL,
        lifecycle::ALL,
        policies::ALL,
        oncall::ALL,
        instants::ALL,
        backups::ALL,
        retention::ALL,
        recoveries::ALL,
        shadows::ALL,
        sources::ALL,
        bad_input::ALL,
        healing::ALL,
        users::ALL,
        passwords::ALL,
        deletion::ALL,
        figures::ALL,
        hostile::ALL,
        steady::ALL,
        operator::ALL,
        install::ALL,
        recoveries::ALONE,
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
        monitoring::ALL,
        guide::ALL,
        endurance::ALL,
    ];
    hera_tests_e2e::run(&all.concat(), LANDING, ON_A_SLOW_MACHINE)
}
