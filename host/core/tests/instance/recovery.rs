//! An instance that begins with a backup: nobody leads, follows or is started before the data is there.

use hera_core::agent::{Link, Role, ServerState};
use hera_core::backup::{Failure, FailureReason, RecoveryNews};
use hera_core::instance::{Plan, PlannedStep, Rule, Step, decide, guard, set_size};
use hera_core::shard::{AgentView, Record};
use proptest::prelude::*;

use crate::fixtures::{EPOCH, Group, group, names, plan, promoted, status};
use crate::properties::any_group;

fn done() -> RecoveryNews {
    RecoveryNews::Done {
        taken_unix_ms: 1,
        base: "shop.cache/u/base/0/r-1".to_owned(),
    }
}

fn holding() -> [RecoveryNews; 3] {
    [
        RecoveryNews::Waiting,
        RecoveryNews::Running,
        RecoveryNews::Failed {
            failure: Failure {
                reason: FailureReason::DataPresent,
                message: String::new(),
            },
        },
    ]
}

/// A new instance of so many pods that is to begin with a backup; the servers run, held, and are empty.
fn new(pods: u32) -> Group {
    group(pods).change(|wanted, seen| {
        wanted.pods.count = Some(1);
        seen.recovery_due = true;
        seen.endpoint = None;
        seen.replica_endpoints.clear();
        for member in &mut seen.members {
            if let Some(claim) = &mut member.claim {
                claim.record = Record::New;
            }
            let status = status(member);
            (status.role, status.link) = (Role::Held, None);
            status.memory = Default::default();
            status.acl.confirmed = false;
        }
    })
}

/// The agent of a pod holds its server down.
fn hold(group: &mut Group, ordinal: usize, news: RecoveryNews) {
    let status = status(&mut group.seen.members[ordinal]);
    status.server = ServerState::Fenced;
    (status.role, status.link) = (Role::Unknown, None::<Link>);
    status.recovery = Some(news);
}

fn is_ordered_a_role(plan: &Plan, uid: &str) -> bool {
    plan.steps.iter().any(|planned| match &planned.step {
        Step::Promote { pod, .. } | Step::Follow { pod, .. } | Step::Start(pod) => pod.uid == uid,
        _ => false,
    })
}

#[test]
fn a_server_alone_that_waits_for_its_data_is_neither_confirmed_nor_promoted_and_no_other_pod_comes()
{
    for news in holding() {
        let mut group = new(1);
        hold(&mut group, 0, news);
        let plan = plan(&group);
        assert!(!is_ordered_a_role(&plan, "uid-0"), "{plan:#?}");
        assert!(!names(&plan).contains(&"push-acl"), "{plan:#?}");
        assert_eq!(set_size(&group.wanted, &group.seen), 1);
    }
}

#[test]
fn an_agent_that_missed_that_it_is_to_wait_is_not_confirmed_so_that_it_does_not_promote_itself() {
    let group = new(1);
    assert!(!names(&plan(&group)).contains(&"push-acl"));
    let over = group.change(|_, seen| seen.recovery_due = false);
    assert!(names(&plan(&over)).contains(&"push-acl"));
}

#[test]
fn once_its_data_is_there_a_server_alone_is_confirmed() {
    let mut group = new(1);
    status(&mut group.seen.members[0]).recovery = Some(done());
    assert!(names(&plan(&group)).contains(&"push-acl"));
}

#[test]
fn an_empty_copy_is_not_promoted_in_place_of_one_that_waits_for_the_data() {
    for news in holding() {
        let mut group = new(3).at(1, 0, 0).at(2, 0, 0);
        hold(&mut group, 0, news);
        group.seen.remembered.leaderless_ms = 600_000;
        assert_eq!(promoted(&plan(&group)), None);
    }
}

#[test]
fn of_several_the_one_whose_data_came_is_promoted() {
    let mut group = new(3).at(0, 9, 9).at(1, 0, 0).at(2, 0, 0);
    status(&mut group.seen.members[0]).recovery = Some(done());
    group.seen.remembered.leaderless_ms = 600_000;
    let plan = plan(&group);
    let led = promoted(&plan).map(|(name, _)| name);
    assert_eq!(led.as_deref(), Some("shop-0"), "{plan:#?}");
}

#[test]
fn one_that_waits_beside_a_primary_is_not_told_to_follow_before_it_starts() {
    for news in holding() {
        let mut group = group(3);
        hold(&mut group, 2, news);
        assert!(!is_ordered_a_role(&plan(&group), "uid-2"));
    }
}

#[test]
fn a_plan_with_a_role_for_one_that_waits_breaks_a_rule() {
    let mut group = new(1);
    let pod = group.seen.members[0].target();
    let steps = [
        Step::Start(pod.clone()),
        Step::Promote {
            pod: pod.clone(),
            epoch: EPOCH,
            candidates: Vec::new(),
        },
        Step::Follow {
            pod,
            epoch: EPOCH,
            primary_uid: "uid-1".to_owned(),
            ip: "10.0.0.2".to_owned(),
            lineage: String::new(),
            gives_up: None,
        },
    ];
    hold(&mut group, 0, RecoveryNews::Waiting);
    for step in steps {
        let plan = Plan {
            steps: vec![PlannedStep {
                step,
                reason: String::new(),
            }],
            ..Plan::default()
        };
        let broken = guard(&plan, &group.seen).err().map(|broken| broken.rule);
        assert_eq!(broken, Some(Rule::DataFirst));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_seen_nobody_is_given_a_role_whose_data_is_to_come(
        mut group in any_group(),
        news in prop::collection::vec(0_usize..5, 5),
        due in any::<bool>(),
    ) {
        group.seen.recovery_due = due;
        let known = holding();
        let mut held = Vec::new();
        for (member, choice) in group.seen.members.iter_mut().zip(news) {
            let uid = member.uid().to_owned();
            let AgentView::Connected(status) = &mut member.agent else {
                continue;
            };
            match known.get(choice) {
                Some(news) => {
                    status.recovery = Some(news.clone());
                    held.push(uid);
                }
                None if choice == 3 => status.recovery = Some(done()),
                None => {}
            }
        }
        let plan = decide(&group.wanted, &group.seen);
        prop_assert_eq!(guard(&plan, &group.seen), Ok(()), "{:#?}", plan);
        let primary = group.seen.primary().map(|primary| primary.uid().to_owned());
        for uid in held.iter().filter(|uid| Some(*uid) != primary.as_ref()) {
            prop_assert!(!is_ordered_a_role(&plan, uid), "{:#?}", plan);
        }
    }
}
