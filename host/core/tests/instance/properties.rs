use hera_core::agent::{Link, Position, REDIS_PORT, Role, ServerState, Space};
use hera_core::instance::{
    Observation, Permit, Plan, PlannedStep, Rule, Step, Wanted, decide, guard,
};
use hera_core::shard::{AgentView, Member, PodView};
use proptest::prelude::*;

use crate::fixtures::{self, ClaimExt as _, EPOCH, Group, address, uid};

fn any_pod() -> impl Strategy<Value = PodView> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(current, deleting, finished, has_ip)| PodView {
            revision: Some(if current { "new" } else { "old" }.into()),
            deleting,
            finished,
            ip: has_ip.then(|| "10.0.0.1".into()),
            ..fixtures::pod().0
        },
    )
}

fn any_agent() -> impl Strategy<Value = AgentView> {
    let status = (0u64..4, 0u64..4, any::<bool>(), any::<bool>(), 0usize..4).prop_map(
        |(config, acl, confirmed, primary, state)| {
            let AgentView::Connected(mut status) = fixtures::agent().view() else {
                return AgentView::Absent;
            };
            status.config.revision = config;
            status.acl.revision = acl;
            status.acl.confirmed = confirmed;
            status.role = if primary { Role::Primary } else { Role::Held };
            status.server = match state {
                0 => ServerState::Starting,
                1 => ServerState::BackOff { until_unix_ms: 1 },
                2 => ServerState::Stopping,
                _ => status.server,
            };
            AgentView::Connected(status)
        },
    );
    prop_oneof![
        Just(AgentView::Absent),
        Just(AgentView::Unreachable("gone".into())),
        status,
    ]
}

fn any_case() -> impl Strategy<Value = (Wanted, Observation)> {
    let endpoint = prop_oneof![
        Just(None),
        Just(Some("10.0.0.1".to_owned())),
        Just(Some("10.0.0.9".to_owned()))
    ];
    (
        any::<bool>(),
        proptest::option::of(any_pod()),
        any_agent(),
        endpoint,
        0u64..4,
        0u64..4,
        any::<bool>(),
    )
        .prop_map(|(paused, pod, agent, endpoint, config, acl, claim_goes)| {
            let mut seen = Observation {
                endpoint,
                ..fixtures::seen()
            };
            seen.members[0].claim = Some(match claim_goes {
                true => fixtures::claim().deleting(),
                false => fixtures::claim(),
            });
            seen.members[0].pod = pod;
            seen.members[0].agent = agent;
            seen.config.revision = config;
            seen.acl.revision = acl;
            let mut wanted = fixtures::wanted();
            wanted.pods.paused = paused;
            (wanted, seen)
        })
}

proptest! {
    #[test]
    fn at_most_one_step_is_disruptive_and_it_is_the_last((wanted, seen) in any_case()) {
        let plan = decide(&wanted, &seen);
        let disruptive: Vec<_> = plan
            .steps
            .iter()
            .enumerate()
            .filter(|(_, planned)| matches!(planned.step, Step::DeletePod(_)))
            .collect();
        prop_assert!(disruptive.len() <= 1);
        if let Some((at, _)) = disruptive.first() {
            prop_assert_eq!(*at, plan.steps.len() - 1);
        }
    }

    #[test]
    fn no_pod_that_is_going_is_deleted_again((wanted, seen) in any_case()) {
        if seen.members[0].pod.as_ref().is_none_or(|pod| pod.deleting) {
            prop_assert!(!decide(&wanted, &seen).is_disruptive());
        }
    }

    #[test]
    fn no_pod_is_deleted_whose_volume_would_go_with_it((wanted, seen) in any_case()) {
        if seen.members[0].claim.as_ref().is_some_and(|claim| claim.deleting) {
            prop_assert!(!decide(&wanted, &seen).is_disruptive());
        }
    }

    #[test]
    fn clients_are_only_ever_led_to_a_server_that_says_it_is_the_primary((wanted, seen) in any_case()) {
        for planned in decide(&wanted, &seen).steps {
            if let Step::SetEndpoint { ip: Some(_) } = planned.step {
                prop_assert!(seen.members[0].agent.serves());
                prop_assert!(seen.members[0].pod.as_ref().is_some_and(|pod| !pod.deleting));
            }
        }
    }

    #[test]
    fn while_paused_no_pod_is_replaced_and_no_configuration_pushed((mut wanted, seen) in any_case()) {
        wanted.pods.paused = true;
        let finished = seen.members[0].pod.as_ref().is_some_and(|pod| pod.finished);
        for planned in decide(&wanted, &seen).steps {
            let change = matches!(planned.step, Step::PushConfig(_))
                || (matches!(planned.step, Step::DeletePod(_)) && !finished);
            prop_assert!(!change);
        }
    }
}

/// What one data pod of several may look like.
#[derive(Clone, Copy, Debug)]
struct Look {
    heard: bool,
    role: u8,
    running: bool,
    epoch: u64,
    promised: u64,
    led: bool,
    in_sync: bool,
    offset: u64,
    deleting: bool,
    claim_goes: bool,
    outdated: bool,
    left: bool,
    full: bool,
    listed: bool,
}

fn any_look() -> impl Strategy<Value = Look> {
    let server = (
        any::<bool>(),
        0_u8..4,
        any::<bool>(),
        any::<bool>(),
        0_u64..4,
    );
    let memory = (0_u64..4, 0_u64..4, any::<bool>(), any::<bool>());
    let pod = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let often = prop::bool::weighted(0.8);
    (often, server, memory, pod, any::<bool>()).prop_map(|(heard, server, memory, pod, listed)| {
        let (running, role, in_sync, full, offset) = server;
        let (epoch, promised, led, left) = memory;
        let (deleting, claim_goes, outdated, _) = pod;
        Look {
            heard,
            role,
            running,
            epoch,
            promised,
            led,
            in_sync,
            offset,
            deleting,
            claim_goes,
            outdated,
            left,
            full,
            listed,
        }
    })
}

fn looks_so(member: &mut Member, look: Look, primary: u32) {
    let pod = member.pod.as_mut().unwrap();
    pod.deleting = look.deleting;
    pod.revision = Some(if look.outdated { "old" } else { "new" }.to_owned());
    let claim = member.claim.as_mut().unwrap();
    claim.deleting = look.claim_goes;
    claim.record = fixtures::recorded(EPOCH + look.epoch, &uid(primary), look.led);
    let ordinal = member.ordinal;
    let status = fixtures::status(member);
    status.role = match look.role {
        0 => Role::Primary,
        1 => Role::Held,
        2 => Role::Unknown,
        _ => Role::Replica,
    };
    if !look.running {
        status.server = ServerState::Fenced;
    }
    status.memory.epoch = EPOCH + look.epoch;
    status.memory.promised_epoch = EPOCH + look.promised;
    status.memory.was_primary = look.led;
    status.memory.left = Some(look.left);
    if look.full {
        status.volume.space = Space::Full;
    }
    if !look.listed {
        status.members.revision = 0;
    }
    status.link = (status.role == Role::Replica && ordinal != primary).then(|| Link {
        host: address(primary),
        port: REDIS_PORT,
        up: look.in_sync,
        syncing: false,
        quiet: false,
    });
    member.position = Some(Position {
        offset: look.offset,
        keys: look.offset,
        replication_id: "a".to_owned(),
        ..Position::default()
    });
    if !look.heard {
        member.agent = AgentView::Unreachable(String::new());
        member.position = None;
    }
}

/// One to five pods in any state, and a spec that wants as many, more or fewer of them.
pub fn any_group() -> impl Strategy<Value = Group> {
    let looks = prop::collection::vec(any_look(), 1..=5);
    let spec = (prop::option::of(1_u32..6), 0_u32..5, any::<[bool; 5]>());
    let permit = prop::option::of(prop::sample::select(vec![
        Permit::Granted,
        Permit::Wait(5),
        Permit::Promises,
        Permit::Never,
    ]));
    (looks, spec, permit, 0_u64..30_000).prop_map(|(looks, spec, permit, leaderless_ms)| {
        let (count, primary, [surge, paused, hibernate, supervised, asks]) = spec;
        let pods = u32::try_from(looks.len()).unwrap();
        fixtures::group(pods).change(|wanted, seen| {
            wanted.pods.count = count;
            wanted.pods.surge = surge;
            wanted.pods.paused = paused;
            wanted.pods.hibernate = hibernate;
            wanted.pods.supervised = supervised;
            wanted.promote = asks.then(|| format!("shop-{}", primary % pods));
            for (member, look) in seen.members.iter_mut().zip(looks) {
                looks_so(member, look, primary % pods);
            }
            seen.remembered.permit = permit;
            seen.remembered.leaderless_ms = leaderless_ms;
            seen.served = true;
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_is_seen_of_one_to_five_pods_no_plan_breaks_a_rule(group in any_group()) {
        let plan = decide(&group.wanted, &group.seen);
        prop_assert_eq!(guard(&plan, &group.seen), Ok(()), "{:#?}", plan);
    }
}

#[test]
fn a_plan_that_breaks_a_rule_is_told_which() {
    let seen = fixtures::group(3).seen;
    let pod = |ordinal: usize| seen.members[ordinal].target();
    let promote = |ordinal, epoch| Step::Promote {
        pod: pod(ordinal),
        epoch,
        candidates: Vec::new(),
    };
    let follows = |ordinal: usize| Step::Follow {
        pod: pod(ordinal),
        epoch: EPOCH,
        primary_uid: seen.members[ordinal].uid().to_owned(),
        ip: address(0),
        lineage: String::new(),
        gives_up: None,
    };
    let elsewhere = Step::SetEndpoint {
        ip: Some(address(1)),
    };
    let told = |steps: Vec<Step>| {
        let steps = steps.into_iter().map(|step| PlannedStep {
            step,
            reason: String::new(),
        });
        let plan = Plan {
            steps: steps.collect(),
            ..Plan::default()
        };
        guard(&plan, &seen).err().map(|broken| broken.rule)
    };
    assert_eq!(told(vec![promote(0, EPOCH + 1)]), None);
    assert_eq!(told(vec![promote(0, EPOCH)]), Some(Rule::OneEpoch));
    let two = vec![promote(0, EPOCH + 1), promote(0, EPOCH + 2)];
    assert_eq!(told(two), Some(Rule::OneEpoch));
    assert_eq!(told(vec![promote(1, EPOCH + 1)]), Some(Rule::OnePrimary));
    assert_eq!(told(vec![follows(1)]), Some(Rule::FollowsAnother));
    assert_eq!(told(vec![elsewhere]), Some(Rule::LeadsToPrimary));
    let primary = Step::DeletePod(pod(0));
    assert_eq!(told(vec![primary]), Some(Rule::KeepsPrimary));
    let both = vec![Step::DeletePod(pod(2)), Step::Start(pod(1))];
    assert_eq!(told(both), Some(Rule::OneDisruption));
}
