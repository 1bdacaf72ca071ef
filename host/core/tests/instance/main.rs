//! The decision about an instance, told as stories and held as properties.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod failover;
mod fixtures;
mod handovers;
mod lineage;
mod lists;
mod nodes;
mod properties;
mod recovery;
mod rollback;
mod scripts;
mod space;
mod surge;
mod view;
mod world;

use fixtures::{ClaimExt as _, agent, claim, pod, seen, wanted};
use hera_core::agent::ServerState;
use hera_core::instance::{Observation, Step, decide, verdict};
use hera_core::shard::{AgentView, Cause};

#[test]
fn a_settled_instance_asks_for_nothing() {
    let (wanted, seen) = (wanted(), seen());
    let plan = decide(&wanted, &seen);
    assert_eq!(plan.steps, vec![]);
    let verdict = verdict(&wanted, &seen, &plan);
    assert!(verdict.settled);
    assert_eq!(verdict.cause, Cause::Serving);
}

#[test]
fn an_instance_that_hibernates_is_at_rest_once_its_pods_are_gone() {
    let (mut wanted, mut seen) = (wanted(), seen());
    wanted.pods.hibernate = true;
    let at_rest = |seen: &Observation| verdict(&wanted, seen, &decide(&wanted, seen)).at_rest;
    assert!(!at_rest(&seen), "its pod ends first");
    seen.members[0].pod = None;
    seen.members[0].agent = AgentView::Absent;
    assert!(!at_rest(&seen), "clients are still led to it");
    seen.endpoint = None;
    assert!(at_rest(&seen));
}

#[test]
fn a_pod_of_another_revision_is_replaced_last_of_all() {
    let mut seen = seen();
    seen.members[0].pod = Some(pod().with_revision("old"));
    seen.acl.revision = 9;
    let plan = decide(&wanted(), &seen);
    assert_eq!(plan.steps.len(), 2);
    assert!(matches!(plan.steps[0].step, Step::PushAcl(_)));
    assert!(matches!(plan.steps[1].step, Step::DeletePod(_)));
}

#[test]
fn while_paused_no_change_of_the_spec_reaches_a_pod() {
    let mut wanted = wanted();
    wanted.pods.paused = true;
    let mut seen = seen();
    seen.members[0].pod = Some(pod().with_revision("old"));
    seen.config.revision = 9;
    assert_eq!(decide(&wanted, &seen).steps, vec![]);
}

#[test]
fn while_paused_a_restarted_server_is_confirmed() {
    let mut wanted = wanted();
    wanted.pods.paused = true;
    let mut seen = seen();
    seen.members[0].agent = agent().unconfirmed().view();
    seen.endpoint = None;
    let plan = decide(&wanted, &seen);
    assert!(
        plan.steps
            .iter()
            .any(|planned| matches!(planned.step, Step::PushAcl(_))),
        "{plan:?}"
    );
}

#[test]
fn clients_are_led_away_from_a_pod_that_is_deleted() {
    let mut seen = seen();
    seen.members[0].pod = Some(pod().deleting());
    let plan = decide(&wanted(), &seen);
    assert_eq!(plan.steps[0].step, Step::SetEndpoint { ip: None });
    assert!(!plan.is_disruptive());
}

#[test]
fn clients_stay_where_they_are_led_while_the_server_comes_back_in_its_pod() {
    for server in [
        ServerState::Starting,
        ServerState::Loading { pid: 9 },
        ServerState::Running {
            pid: 9,
            run_id: "next".into(),
        },
        // There is no other address to lead them to.
        ServerState::BackOff { until_unix_ms: 0 },
    ] {
        let mut seen = seen();
        seen.members[0].agent = agent().held().server(server).view();
        let plan = decide(&wanted(), &seen);
        assert_eq!(plan.steps, vec![]);
        assert_ne!(verdict(&wanted(), &seen, &plan).cause, Cause::Serving);
    }
}

#[test]
fn a_pod_whose_volume_would_go_with_it_is_not_replaced() {
    let mut seen = seen();
    seen.members[0].pod = Some(pod().with_revision("old"));
    seen.members[0].claim = Some(claim().deleting());
    let plan = decide(&wanted(), &seen);
    assert_eq!(plan.steps, vec![]);
    let lost = verdict(&wanted(), &seen, &plan).claim_lost_with_pod;
    assert_eq!(lost.as_deref(), Some("data-shop-0"));
}

#[test]
fn rights_are_pushed_before_configuration() {
    let mut seen = seen();
    seen.config.revision = 9;
    seen.acl.revision = 9;
    let steps = decide(&wanted(), &seen).steps;
    let names: Vec<_> = steps.iter().map(|planned| planned.step.name()).collect();
    assert_eq!(names, ["push-acl", "push-config"]);
}

#[test]
fn a_new_pod_gets_clients_only_once_it_is_the_primary() {
    let mut seen = seen();
    seen.endpoint = None;
    seen.members[0].agent = agent().held().view();
    assert_eq!(decide(&wanted(), &seen).steps, vec![]);
    seen.endpoint = Some("10.0.0.99".into());
    let plan = decide(&wanted(), &seen);
    assert_eq!(plan.steps[0].step, Step::SetEndpoint { ip: None });
}

#[test]
fn a_broken_stream_moves_nothing() {
    let mut seen = seen();
    seen.members[0].agent = AgentView::Unreachable("connection reset".into());
    assert_eq!(decide(&wanted(), &seen).steps, vec![]);
}

#[test]
fn a_directive_that_needs_a_restart_replaces_the_pod_and_says_which() {
    let mut seen = seen();
    seen.members[0].agent = agent().pending("databases").view();
    let plan = decide(&wanted(), &seen);
    assert!(plan.is_disruptive());
    assert!(plan.steps[0].reason.contains("databases"));
}

#[test]
fn a_smaller_size_is_refused_and_a_larger_one_grows() {
    let (mut wanted, mut seen) = (wanted(), seen());
    wanted.storage.as_mut().unwrap().bytes = 1;
    let plan = decide(&wanted, &seen);
    assert!(verdict(&wanted, &seen, &plan).shrink_refused);
    seen.members[0].claim = Some(claim().with_requested(0));
    assert!(verdict(&wanted, &seen, &plan).growing);
}

#[test]
fn a_server_that_refuses_its_configuration_says_which_directive() {
    let mut seen = seen();
    seen.members[0].agent = agent()
        .server(ServerState::BackOff { until_unix_ms: 0 })
        .rejected("maxmemory-policy", "must be one of")
        .view();
    let plan = decide(&wanted(), &seen);
    let cause = verdict(&wanted(), &seen, &plan).cause;
    assert_eq!(
        cause,
        Cause::ConfigRejected("maxmemory-policy: must be one of".into())
    );
}

#[test]
fn a_missing_storage_class_explains_an_unschedulable_pod() {
    let mut seen = seen();
    seen.members[0].agent = AgentView::Absent;
    seen.members[0].claim = Some(claim().unbound("nowhere"));
    let mut waiting = pod().0;
    waiting.unschedulable = Some("unbound claims".into());
    seen.members[0].pod = Some(waiting);
    let plan = decide(&wanted(), &seen);
    assert_eq!(
        verdict(&wanted(), &seen, &plan).cause,
        Cause::StorageClassMissing("nowhere".into())
    );
}
