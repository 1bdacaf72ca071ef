//! Any answer to any question: what passes keeps what the spec promises.

use hera_core::backup::decision::{
    BackupAnswer, BackupInput, Cause, CopyRole, Decided, GuardRule, guard,
};
use proptest::prelude::*;

use crate::guard::{HOUR, NOW, answer, copy, demand, input, shard, start};

fn cause() -> impl Strategy<Value = Cause> {
    prop_oneof![
        Just(Cause::Schedule),
        Just(Cause::Person),
        Just(Cause::Age),
        Just(Cause::Replay),
        Just(Cause::Gap),
    ]
}

/// Hours before or after now.
fn time() -> impl Strategy<Value = u64> {
    (0_u64..60).prop_map(|hours| NOW - 30 * HOUR + hours * HOUR)
}

fn any_input() -> impl Strategy<Value = BackupInput> {
    let bases = prop::collection::vec((prop::option::of(time()), any::<[bool; 3]>()), 0..4);
    let demand_of = prop::option::of((cause(), time()));
    let age = prop::option::of(1_u64..40);
    (bases, demand_of, prop::option::of(time()), age).prop_map(|(bases, wanted, due, age)| {
        let mut asked = input();
        asked.shards = (0..)
            .zip(bases)
            .map(|(id, (base, fits))| {
                let mut found = shard(id);
                found.base_unix_ms = base;
                found.copies.push(copy(2, CopyRole::Replica));
                for (copy, fits) in found.copies.iter_mut().zip(fits) {
                    copy.fits = fits;
                }
                found
            })
            .collect();
        asked.demand = wanted.map(|(cause, latest_unix_ms)| {
            let mut wanted = demand(cause);
            wanted.latest_unix_ms = latest_unix_ms;
            wanted
        });
        asked.next_due_unix_ms = due;
        asked.limits.max_age_seconds = age.map(|hours| hours * HOUR / 1_000);
        asked
    })
}

fn any_answer() -> impl Strategy<Value = BackupAnswer> {
    let choices = prop::collection::vec((0_u32..4, 0_u32..4), 0..5);
    let next = prop_oneof![
        choices.prop_map(|choices| start(&choices)),
        (0_u32..4, 0_u32..3).prop_map(|(shards, copy)| {
            let all: Vec<(u32, u32)> = (0..shards).map(|shard| (shard, copy)).collect();
            start(&all)
        }),
        time().prop_map(Decided::WaitUntil),
        Just(Decided::Skip),
    ];
    let drop = prop::sample::subsequence(vec!["new", "old", "other"], 0..=2);
    (next, drop).prop_map(|(next, drop)| answer(next, &drop))
}

/// Where the newest backup of a shard is as old as it may get.
fn too_old(input: &BackupInput) -> Vec<Option<u64>> {
    let Some(age) = input.limits.max_age_seconds else {
        return vec![];
    };
    let bases = input.shards.iter().map(|shard| shard.base_unix_ms);
    bases.map(|base| Some(base? + age * 1_000)).collect()
}

proptest! {
    #[test]
    fn what_passes_keeps_what_the_spec_promises(asked in any_input(), said in any_answer()) {
        if guard(&asked, &said).is_err() {
            return Ok(());
        }
        prop_assert!(said.drop.iter().all(|id| id == "old"));
        let Some(wanted) = &asked.demand else {
            prop_assert_eq!(said.next, Decided::Skip);
            return Ok(());
        };
        match said.next {
            Decided::Start(choices) => {
                prop_assert_eq!(choices.len(), asked.shards.len());
                for shard in &asked.shards {
                    let choice = choices.iter().find(|choice| choice.shard == shard.id).unwrap();
                    let chosen = shard.copies.iter().find(|copy| copy.id == choice.copy);
                    prop_assert!(chosen.unwrap().fits);
                }
            }
            Decided::WaitUntil(at) => {
                prop_assert!(at <= wanted.latest_unix_ms);
                prop_assert!(too_old(&asked).into_iter().flatten().all(|end| at <= end));
            }
            Decided::Skip => {
                prop_assert_eq!(wanted.cause, Cause::Schedule);
                let due = asked.next_due_unix_ms.unwrap_or(u64::MAX);
                let ends = too_old(&asked).into_iter().map(|end| end.unwrap_or(0));
                prop_assert!(ends.into_iter().all(|end| due <= end));
            }
        }
    }

    #[test]
    fn what_waits_until_the_latest_time_passes_unless_the_newest_gets_too_old(
        asked in any_input(),
    ) {
        let Some(wanted) = &asked.demand else {
            return Ok(());
        };
        let ends = too_old(&asked).into_iter().flatten();
        let until = ends.fold(wanted.latest_unix_ms, u64::min);
        let said = |at| guard(&asked, &answer(Decided::WaitUntil(at), &[]));
        prop_assert_eq!(said(until), Ok(()));
        let rule = said(until + 1).unwrap_err().rule;
        let rules = [GuardRule::WaitBeyondLatest, GuardRule::WaitBeyondAge];
        prop_assert!(rules.contains(&rule));
    }
}
