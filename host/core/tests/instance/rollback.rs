//! Which rolls count as failed, and which revisions as proven.

use hera_core::agent::ServerState;
use hera_core::shard::{AgentView, NodeState, PodView};

use crate::fixtures::{Group, HOUR, PROGRESS_DEADLINE, group, status};

const CRASHING: ServerState = ServerState::BackOff { until_unix_ms: 0 };

/// The last replica is of the new revision, for so long, and its server does not come up.
fn broken_since(millis: u64) -> Group {
    group(3).outdated(&[0, 1]).change(|_, seen| {
        seen.now_ms = HOUR;
        let member = &mut seen.members[2];
        let status = status(member);
        (status.server, status.link) = (CRASHING, None);
        let pod = member.pod.as_mut().unwrap();
        (pod.ready, pod.since_ms) = (false, HOUR - millis);
    })
}

fn with_pod(group: Group, change: impl Fn(&mut PodView)) -> Group {
    group.change(|_, seen| change(seen.members[2].pod.as_mut().unwrap()))
}

fn failed(group: &Group) -> bool {
    group.seen.shard(&group.wanted).why_failed().is_some()
}

#[test]
fn a_roll_has_failed_once_a_pod_of_it_had_its_time() {
    assert!(!failed(&broken_since(PROGRESS_DEADLINE)));
    let late = broken_since(PROGRESS_DEADLINE + 1);
    let why = late.seen.shard(&late.wanted).why_failed().unwrap();
    let begins = "shop-2 was not ready after 10 min: ";
    assert!(why.starts_with(begins), "{why}");
    assert!(!failed(&late.change(|wanted, _| wanted.pods.paused = true)));
    let ends = broken_since(HOUR).change(|wanted, _| wanted.pods.hibernate = true);
    assert!(!failed(&ends));
}

#[test]
fn a_pod_that_nothing_ran_in_has_failed_as_well() {
    let idle = || {
        broken_since(HOUR).change(|_, seen| {
            seen.members[2].agent = AgentView::Absent;
            seen.members[2].pod.as_mut().unwrap().ip = None;
        })
    };
    let nowhere = with_pod(idle(), |pod| pod.unschedulable = Some("no node".into()));
    let no_image = with_pod(idle(), |pod| {
        pod.waiting = Some(("ImagePullBackOff".into(), "no such image".into()));
    });
    for group in [nowhere, no_image] {
        assert!(failed(&group));
    }
}

#[test]
fn a_server_that_runs_or_reads_its_data_has_not_failed_however_long_it_takes() {
    let running = || ServerState::Running {
        pid: 7,
        run_id: "run".into(),
    };
    for server in [
        running(),
        ServerState::Loading { pid: 7 },
        ServerState::Fenced,
        ServerState::Stopping,
    ] {
        let group = broken_since(HOUR);
        let group = group.change(|_, seen| status(&mut seen.members[2]).server = server);
        assert!(!failed(&group));
    }
}

/// The operator remembers nothing of the roll: what it sees must not look like a failure.
#[test]
fn a_roll_that_waits_for_a_persons_word_has_not_failed() {
    let replicas_done = group(3).outdated(&[0]);
    let waits = replicas_done.change(|_, seen| {
        seen.now_ms = HOUR;
        for member in &mut seen.members {
            member.pod.as_mut().unwrap().since_ms = 0;
        }
    });
    assert!(!failed(&waits));
}

#[test]
fn what_is_not_the_revisions_fault_fails_no_roll() {
    // It was ready until a moment ago.
    let crashed = with_pod(broken_since(HOUR), |pod| pod.ready = true);
    assert!(!failed(&crashed));
    // Nobody can tell.
    assert!(!failed(&broken_since(HOUR).unheard(2)));
    let unheard = broken_since(HOUR).change(|_, seen| seen.members[2].agent = AgentView::Absent);
    assert!(!failed(&unheard));
    let lost = with_pod(broken_since(HOUR), |pod| {
        pod.node_state = NodeState::NotReady
    });
    assert!(!failed(&lost));
    // One of the former revision.
    assert!(!failed(&broken_since(HOUR).outdated(&[2])));
    // One of the new revision leads.
    let leads = broken_since(HOUR).change(|_, seen| {
        seen.members[0].pod.as_mut().unwrap().revision = Some("new".into());
    });
    assert!(!failed(&leads));
    // Who leads next is decided first.
    assert!(!failed(&broken_since(HOUR).crash(0)));
}

#[test]
fn a_server_alone_that_does_not_come_back_has_failed_unless_it_may_serve() {
    let alone = |server: ServerState| {
        group(1).change(|_, seen| {
            seen.now_ms = HOUR;
            status(&mut seen.members[0]).server = server;
        })
    };
    assert!(failed(&alone(CRASHING)));
    assert!(!failed(&alone(ServerState::Loading { pid: 7 })));
    assert!(!failed(&alone(CRASHING).unheard(0)));
}

#[test]
fn a_revision_is_proven_once_all_pods_of_it_are_in_sync() {
    let proven = |group: &Group| group.seen.shard(&group.wanted).is_proven();
    assert!(proven(&group(1)));
    assert!(proven(&group(3)));
    assert!(!proven(&group(3).outdated(&[2])));
    assert!(!proven(&group(3).quiet(2)));
    assert!(!proven(&group(3).crash(0)));
    assert!(!proven(
        &group(3).change(|wanted, _| wanted.pods.count = Some(4))
    ));
    // Before the spec is read nothing is.
    assert!(!proven(
        &group(3).change(|wanted, _| wanted.pods.count = None)
    ));
}
