use hera_core::backup::Source;
use hera_core::backup::decision::{
    BackupAnswer, BackupInput, Cause, Choice, Copy, CopyRole, Decided, Demand, GuardRule, Limits,
    Past, ShardCopies, guard,
};

const DOCS: &str = include_str!("../../../../docs/guards.md");
const TESTS: &str = include_str!("guard.rs");

pub const HOUR: u64 = 3_600_000;
pub const NOW: u64 = 1_000 * HOUR;

pub fn copy(id: u32, role: CopyRole) -> Copy {
    Copy {
        id,
        role,
        fits: true,
        used_bytes: None,
        free_bytes: None,
        ops_per_second: None,
        usual_ops_per_second: None,
        zone: String::new(),
        keeps_log: false,
        read_last: false,
    }
}

pub fn shard(id: u32) -> ShardCopies {
    ShardCopies {
        id,
        copies: vec![copy(0, CopyRole::Primary), copy(1, CopyRole::Replica)],
        base_unix_ms: Some(NOW - 20 * HOUR),
        log_bytes: 0,
        replay_seconds: 0,
    }
}

pub fn demand(cause: Cause) -> Demand {
    Demand {
        name: "cache-20260101-0300".to_owned(),
        cause,
        schedule: String::new(),
        since_unix_ms: NOW,
        latest_unix_ms: NOW + 2 * HOUR,
    }
}

/// A schedule wants a backup of two shards; the newest is of 20 hours ago, and may be of 26.
pub fn input() -> BackupInput {
    let past = |id: &str, needed| Past {
        id: id.to_owned(),
        instant_unix_ms: NOW - 20 * HOUR,
        stored_bytes: 1,
        cause: Cause::Schedule,
        needed,
    };
    BackupInput {
        demand: Some(demand(Cause::Schedule)),
        others: vec![],
        next_due_unix_ms: Some(NOW + 6 * HOUR),
        shards: vec![shard(0), shard(1)],
        history: vec![past("new", true), past("old", false)],
        log_kept: true,
        limits: Limits {
            source: Source::PreferReplica,
            max_age_seconds: Some(26 * HOUR / 1_000),
            keep_seconds: None,
            keep_last: 1,
        },
    }
}

pub fn start(choices: &[(u32, u32)]) -> Decided {
    let choice = |&(shard, copy): &(u32, u32)| Choice { shard, copy };
    Decided::Start(choices.iter().map(choice).collect())
}

pub fn answer(next: Decided, drop: &[&str]) -> BackupAnswer {
    BackupAnswer {
        next,
        drop: drop.iter().map(|id| (*id).to_owned()).collect(),
        reason: String::new(),
    }
}

/// The rule that this breaks.
fn broken(input: &BackupInput, next: Decided) -> Option<GuardRule> {
    guard(input, &answer(next, &[]))
        .err()
        .map(|found| found.rule)
}

fn dropping(drop: &[&str]) -> Option<GuardRule> {
    let answer = answer(start(&[(0, 1), (1, 1)]), drop);
    guard(&input(), &answer).err().map(|found| found.rule)
}

#[test]
fn what_breaks_no_rule_passes() {
    let input = input();
    for next in [
        start(&[(0, 1), (1, 0)]),
        start(&[(1, 1), (0, 1)]),
        Decided::WaitUntil(NOW + 2 * HOUR),
        Decided::WaitUntil(0),
        Decided::Skip,
    ] {
        assert_eq!(broken(&input, next), None);
    }
    assert_eq!(dropping(&["old"]), None);
    assert_eq!(dropping(&["old", "old"]), None);
}

#[test]
fn every_shard_once_is_held() {
    let rule = Some(GuardRule::EveryShardOnce);
    for choices in [
        &[][..],
        &[(0, 1)],
        &[(0, 1), (0, 1)],
        &[(0, 1), (1, 1), (0, 0)],
        &[(0, 1), (1, 1), (2, 1)],
    ] {
        assert_eq!(broken(&input(), start(choices)), rule, "{choices:?}");
    }
}

#[test]
fn unknown_copy_is_refused() {
    let found = broken(&input(), start(&[(0, 1), (1, 2)]));
    assert_eq!(found, Some(GuardRule::UnknownCopy));
}

#[test]
fn copy_unfit_is_refused() {
    let rule = Some(GuardRule::CopyUnfit);
    let mut unfit = input();
    unfit.shards[1].copies[1].fits = false;
    assert_eq!(broken(&unfit, start(&[(0, 1), (1, 1)])), rule);
    let mut input = input();
    for (source, other) in [(Source::Replica, 0), (Source::Primary, 1)] {
        input.limits.source = source;
        let of_source = 1 - other;
        let found = broken(&input, start(&[(0, of_source), (1, other)]));
        assert_eq!(found, rule, "{source:?}");
        let found = broken(&input, start(&[(0, of_source), (1, of_source)]));
        assert_eq!(found, None, "{source:?}");
    }
}

#[test]
fn wait_beyond_latest_is_refused() {
    for unix_ms in [NOW + 2 * HOUR + 1, u64::MAX] {
        let found = broken(&input(), Decided::WaitUntil(unix_ms));
        assert_eq!(found, Some(GuardRule::WaitBeyondLatest));
    }
}

#[test]
fn wait_beyond_age_is_refused() {
    let mut input = input();
    // Of any shard.
    input.shards[1].base_unix_ms = Some(NOW - 25 * HOUR);
    let wait = |input: &BackupInput, unix_ms| broken(input, Decided::WaitUntil(unix_ms));
    assert_eq!(wait(&input, NOW + HOUR), None);
    let rule = Some(GuardRule::WaitBeyondAge);
    assert_eq!(wait(&input, NOW + HOUR + 1), rule);
    // Without any it cannot get older.
    input.shards[1].base_unix_ms = None;
    assert_eq!(wait(&input, NOW + 2 * HOUR), None);
    input.shards[1].base_unix_ms = Some(0);
    input.limits.max_age_seconds = None;
    assert_eq!(wait(&input, NOW + 2 * HOUR), None);
}

#[test]
fn skip_beyond_age_is_refused() {
    let skips = |due, base, age: Option<u64>| {
        let mut input = input();
        input.next_due_unix_ms = due;
        input.shards[1].base_unix_ms = base;
        input.limits.max_age_seconds = age.map(|hours| hours * HOUR / 1_000);
        broken(&input, Decided::Skip)
    };
    let (due, base) = (Some(NOW + 6 * HOUR), Some(NOW - 20 * HOUR));
    assert_eq!(skips(due, base, Some(26)), None);
    assert_eq!(skips(None, None, None), None);
    let rule = Some(GuardRule::SkipBeyondAge);
    assert_eq!(skips(due, base, Some(25)), rule);
    assert_eq!(skips(Some(NOW + 6 * HOUR + 1), base, Some(26)), rule);
    assert_eq!(skips(None, base, Some(26)), rule);
    assert_eq!(skips(due, None, Some(26)), rule);
}

#[test]
fn skip_not_allowed_is_refused() {
    for cause in [Cause::Person, Cause::Age, Cause::Replay, Cause::Gap] {
        let mut input = input();
        input.limits.max_age_seconds = None;
        input.demand = Some(demand(cause));
        let found = broken(&input, Decided::Skip);
        assert_eq!(found, Some(GuardRule::SkipNotAllowed), "{cause:?}");
    }
}

#[test]
fn nothing_demanded_is_refused() {
    let mut input = input();
    input.demand = None;
    let rule = Some(GuardRule::NothingDemanded);
    assert_eq!(broken(&input, start(&[(0, 1), (1, 1)])), rule);
    assert_eq!(broken(&input, Decided::WaitUntil(NOW)), rule);
    assert_eq!(broken(&input, Decided::Skip), None);
}

#[test]
fn drop_needed_is_refused() {
    assert_eq!(dropping(&["old", "new"]), Some(GuardRule::DropNeeded));
}

#[test]
fn drop_unknown_is_refused() {
    assert_eq!(dropping(&["old", "../x"]), Some(GuardRule::DropUnknown));
    let next = start(&[(0, 1), (1, 1)]);
    let found = guard(&input(), &answer(next, &["old", "../x"])).unwrap_err();
    let told = "drop-unknown: no. 2 of those that are to go is no backup";
    assert_eq!(found.to_string(), told);
}

/// The first cell, and the last: a rule and its test.
fn documented() -> Vec<(&'static str, &'static str)> {
    let rows = DOCS
        .lines()
        .skip_while(|line| !line.starts_with("## `backup`"))
        .skip_while(|line| !line.starts_with("| rule |"))
        .skip(2);
    let cells = rows.map_while(|row| row.strip_prefix("| `")?.strip_suffix("` |"));
    cells
        .map(|row| {
            (
                row.split('`').next().unwrap(),
                row.rsplit('`').next().unwrap(),
            )
        })
        .collect()
}

#[test]
fn every_rule_has_a_row_in_the_docs_and_every_row_a_rule_and_a_test() {
    let rows: Vec<_> = documented().into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rows, GuardRule::ALL.map(GuardRule::name));
    for (rule, test) in documented() {
        assert!(TESTS.contains(&format!("fn {test}()")), "{rule}: {test}");
    }
}
