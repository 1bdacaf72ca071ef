//! The words in which agents say why nothing came of a backup, a recovery or a log are those of the docs.

use std::collections::BTreeSet;
use std::fs;

use hera_api::conditions;
use hera_core::backup::FailureReason;

/// What else a recovery is refused for: the operator does not get as far as an agent.
const BY_THE_OPERATOR: &str = "NoStore";

/// Where a reason may be met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Backup,
    Recovery,
    Log,
}

fn met(reason: FailureReason) -> &'static [Met] {
    match reason {
        FailureReason::StoreUnreachable
        | FailureReason::CredentialsRefused
        | FailureReason::Corrupt => &[Met::Backup, Met::Recovery, Met::Log],
        FailureReason::PathOwned | FailureReason::NoCopyFits | FailureReason::ServerRefused => {
            &[Met::Backup, Met::Log]
        }
        FailureReason::NoHeadroom
        | FailureReason::SnapshotTooSlow
        | FailureReason::LostItsPod
        | FailureReason::Cancelled => &[Met::Backup],
        FailureReason::NoSuchBackup
        | FailureReason::TooSmall
        | FailureReason::DataPresent
        | FailureReason::VersionIncompatible
        | FailureReason::TimeNotCovered
        | FailureReason::SeveralSources => &[Met::Recovery],
        FailureReason::LogBehind => &[Met::Log],
    }
}

fn words(at: Met) -> BTreeSet<&'static str> {
    let all = FailureReason::ALL.into_iter();
    let there = all.filter(|reason| met(*reason).contains(&at));
    there.map(FailureReason::as_str).collect()
}

/// The reasons of a condition.
fn reasons(condition: &str) -> &'static [&'static str] {
    let mut all = conditions::ALL.iter();
    let (_, reasons) = all.find(|(kind, _)| *kind == condition).unwrap();
    reasons
}

/// The first words of the rows of docs/backup.md that begin with one.
fn documented(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split_once("` | "));
    // The table of refusals has three columns, that of copies two.
    let refusals = cells.filter(|(_, rest)| rest.contains(" | "));
    refusals.map(|(word, _)| word).collect()
}

#[test]
fn a_backup_of_which_nothing_came_and_a_log_in_trouble_say_why_in_a_word_of_their_condition() {
    let completed = reasons(conditions::completed::TYPE);
    for word in words(Met::Backup) {
        assert!(completed.contains(&word), "{word}");
    }
    let healthy = reasons(conditions::backup_healthy::TYPE);
    for word in words(Met::Log) {
        assert!(healthy.contains(&word), "{word}");
    }
}

#[test]
fn each_word_for_a_refused_recovery_has_a_row_in_the_docs_and_each_row_a_word() {
    let page = fs::read_to_string(crate::root().unwrap().join("docs/backup.md")).unwrap();
    let mut expected = words(Met::Recovery);
    expected.insert(BY_THE_OPERATOR);
    assert_eq!(documented(&page), expected);
}
