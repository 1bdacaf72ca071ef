//! A primary that a script keeps from answering anybody else.

use hera_core::agent::{Script, ServerState};
use hera_core::instance::{Plan, Step, verdict};

use crate::fixtures::{EPOCH, Group, group, names, plan, promoted, status};

const SCRIPT: Script = Script {
    since_unix_ms: 1_000,
    has_written: false,
};

fn busy(replicas: u32, has_written: bool) -> Group {
    group(replicas).change(|_, seen| {
        status(&mut seen.members[0]).script = Some(Script {
            has_written,
            ..SCRIPT
        });
    })
}

fn asked_down(group: Group) -> Group {
    group.change(|wanted, _| wanted.fenced = vec!["shop-0".into()])
}

fn ends_the_primary(plan: &Plan) -> bool {
    let last = plan.steps.last().map(|planned| &planned.step);
    matches!(last, Some(Step::Fence { pod, epoch: EPOCH, busy: true }) if pod.name == "shop-0")
}

#[test]
fn a_script_that_its_agent_can_end_is_left_to_the_agent() {
    let plan = plan(&busy(3, false));
    assert!(!plan.is_disruptive(), "{plan:?}");
}

#[test]
fn a_script_that_has_written_ends_with_its_server_only_where_a_replica_has_everything() {
    assert!(ends_the_primary(&plan(&busy(2, true))));
    assert!(ends_the_primary(&plan(&busy(2, true).quiet(1))));
    for group in [busy(1, true), busy(2, true).links_down()] {
        let plan = plan(&group);
        assert!(!plan.is_disruptive(), "{plan:?}");
    }
}

#[test]
fn a_busy_primary_is_fenced_on_request_where_a_replica_has_everything() {
    let fenced = plan(&asked_down(busy(3, false)));
    assert!(
        ends_the_primary(&fenced) && fenced.refused.is_none(),
        "{fenced:?}"
    );
    let alone = plan(&asked_down(busy(2, false).links_down()));
    assert!(!alone.is_disruptive(), "{alone:?}");
    assert!(alone.refused.unwrap().contains("no replica is in sync"));
    let all = asked_down(busy(2, true)).change(|wanted, _| wanted.fenced.push("shop-1".into()));
    let last = plan(&all).steps.pop().unwrap().step;
    assert!(
        matches!(&last, Step::Fence { pod, .. } if pod.name == "shop-1"),
        "nobody is left to lead: {last:?}"
    );
}

#[test]
fn once_it_is_down_on_request_another_leads() {
    let group = asked_down(busy(2, false))
        .links_down()
        .at(1, 80, 9)
        .change(|_, seen| {
            let fenced = status(&mut seen.members[0]);
            fenced.server = ServerState::Fenced;
            fenced.role = hera_core::agent::Role::Unknown;
            fenced.script = None;
            seen.remembered.leaderless_ms = 60_000;
        });
    let leads = promoted(&plan(&group)).map(|(pod, _)| pod);
    assert_eq!(leads.as_deref(), Some("shop-1"));
}

#[test]
fn a_busy_primary_hands_over_to_nobody_and_says_so() {
    let group = busy(3, false).change(|wanted, _| wanted.promote = Some("shop-1".into()));
    let asked = plan(&group);
    assert!(!asked.is_disruptive(), "{asked:?}");
    assert!(asked.refused.unwrap().contains("a script keeps"));
    let ends = busy(3, false).change(|_, seen| status(&mut seen.members[0]).leaving = true);
    let ends = plan(&ends);
    assert!(!ends.is_disruptive(), "{ends:?}");
    assert!(ends.waiting_for.unwrap().contains("a script keeps"));
}

#[test]
fn the_script_of_the_primary_is_judged_and_no_other() {
    let told = |group: &Group| {
        let plan = plan(group);
        assert!(names(&plan).is_empty(), "{plan:?}");
        verdict(&group.wanted, &group.seen, &plan).script
    };
    assert_eq!(told(&busy(3, false)), Some(("shop-0".to_owned(), SCRIPT)));
    let replica = group(3).change(|_, seen| {
        status(&mut seen.members[1]).script = Some(SCRIPT);
    });
    assert_eq!(told(&replica), None);
}
