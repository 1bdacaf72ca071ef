use hera_core::agent::{Role, ServerState};
use hera_core::instance::{Observation, Step, Wanted, decide};
use hera_core::shard::{AgentView, PodView};
use proptest::prelude::*;

use crate::fixtures::{self, ClaimExt as _};

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
            (
                Wanted {
                    paused,
                    ..fixtures::wanted()
                },
                seen,
            )
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
        wanted.paused = true;
        let finished = seen.members[0].pod.as_ref().is_some_and(|pod| pod.finished);
        for planned in decide(&wanted, &seen).steps {
            let change = matches!(planned.step, Step::PushConfig(_))
                || (matches!(planned.step, Step::DeletePod(_)) && !finished);
            prop_assert!(!change);
        }
    }
}
