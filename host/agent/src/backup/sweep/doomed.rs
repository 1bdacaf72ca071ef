//! What goes of backups and bases.

use std::collections::BTreeSet;

use hera_core::backup::SweepOrder;
use hera_core::backup::retention::Needed;

use super::inventory::{Backup, Folder, Inventory};

/// What no backup names may be one that is being made, for so many milliseconds.
const MADE_MS: u64 = 24 * 60 * 60 * 1_000;

/// What goes, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    /// Names of backups.
    pub backups: Vec<String>,
    /// Those that were named and are not in the store any more.
    pub gone: Vec<String>,
    /// Those that were named and stay.
    pub refused: Vec<String>,
    /// Folders of bases that are whole.
    pub bases: Vec<String>,
    /// Folders of bases that are not.
    pub unfinished: Vec<String>,
}

/// True for a backup that stays.
pub fn is_needed(backup: &Backup, needed: &Needed, order: &SweepOrder) -> bool {
    let is_of_it = |base: &String| needed.bases.contains(base);
    needed.backups.contains(&backup.id)
        || order.kept.contains(&backup.id)
        || backup.bases.iter().any(is_of_it)
}

/// What goes of what there is.
pub fn doomed(
    inventory: &Inventory,
    needed: &Needed,
    order: &SweepOrder,
    now_unix_ms: u64,
) -> Doomed {
    let named: BTreeSet<&String> = order.drop.iter().collect();
    if named.is_empty() {
        return Doomed::default();
    }
    let held: BTreeSet<&String> = inventory.backups.iter().map(|backup| &backup.id).collect();
    let mut doomed = Doomed {
        gone: named.difference(&held).map(|id| (*id).clone()).collect(),
        ..Doomed::default()
    };
    let mut dropped: BTreeSet<&String> = BTreeSet::new();
    let mut staying: BTreeSet<&String> = BTreeSet::new();
    for backup in &inventory.backups {
        let is_named = named.contains(&backup.id);
        if is_named && !is_needed(backup, needed, order) {
            doomed.backups.push(backup.id.clone());
            dropped.extend(&backup.bases);
            continue;
        }
        if is_named {
            doomed.refused.push(backup.id.clone());
        }
        staying.extend(&backup.bases);
    }

    let goes = |(path, folder): &(&String, &Folder)| {
        let stays = staying.contains(*path) || needed.bases.contains(*path);
        !stays && (dropped.contains(*path) || is_left_over(folder, now_unix_ms))
    };
    let mut goes: Vec<(&String, &Folder)> = inventory.bases.iter().filter(goes).collect();
    goes.sort_by_key(|(_, folder)| latest(folder));
    for (path, folder) in goes {
        let of = match folder.base {
            Some(_) => &mut doomed.bases,
            None => &mut doomed.unfinished,
        };
        of.push(path.clone());
    }
    doomed
}

/// Nobody makes a backup of it any more.
fn is_left_over(folder: &Folder, now_unix_ms: u64) -> bool {
    latest(folder).saturating_add(MADE_MS) < now_unix_ms
}

fn latest(folder: &Folder) -> u64 {
    let taken = folder.base.as_ref().map(|base| base.taken_unix_ms);
    folder.stored_unix_ms.max(taken.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use hera_core::backup::{Keep, OwnerFile, S3Access, StoreAccess};

    use super::super::inventory::Base;
    use super::*;

    const NOW: u64 = 100 * MADE_MS;

    fn order(drop: &[&str], kept: &[&str]) -> SweepOrder {
        let names = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        SweepOrder {
            id: "s-1".to_owned(),
            owner: OwnerFile {
                v: 1,
                cluster: "k".to_owned(),
                kind: "RedisInstance".to_owned(),
                namespace: "shop".to_owned(),
                name: "cache".to_owned(),
                uid: "u".to_owned(),
            },
            store: StoreAccess {
                name: "s3".to_owned(),
                s3: S3Access {
                    bucket: "b".to_owned(),
                    prefix: String::new(),
                    region: "r".to_owned(),
                    endpoint: None,
                    force_path_style: false,
                    ca: None,
                    access_key_id: "k".to_owned(),
                    secret_access_key: "s".to_owned(),
                },
            },
            keep: Keep::default(),
            kept: names(kept),
            drop: names(drop),
            trims: false,
            now_unix_ms: NOW,
        }
    }

    fn folder(is_whole: bool, stored_unix_ms: u64) -> Folder {
        Folder {
            base: is_whole.then(|| Base {
                id: "a".to_owned(),
                offset: 1,
                taken_unix_ms: stored_unix_ms,
                stored_bytes: 1,
            }),
            data_bytes: Some(1),
            stored_unix_ms,
        }
    }

    /// Backups, the oldest first, each with its base; and bases that no backup names.
    fn inventory(backups: &[&str], others: &[(&str, bool, u64)]) -> Inventory {
        let mut inventory = Inventory::default();
        for (at, id) in backups.iter().enumerate() {
            let instant_unix_ms = NOW - 1_000 + u64::try_from(at).unwrap();
            let base = format!("base-{id}");
            let whole = folder(true, instant_unix_ms);
            inventory.bases.insert(base.clone(), whole);
            inventory.backups.push(Backup {
                id: (*id).to_owned(),
                instant_unix_ms,
                bases: vec![base],
            });
        }
        for (path, is_whole, stored_unix_ms) in others {
            let folder = folder(*is_whole, *stored_unix_ms);
            inventory.bases.insert((*path).to_owned(), folder);
        }
        inventory
    }

    fn needed(bases: &[&str], backups: &[&str]) -> Needed {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        Needed {
            bases: names(bases),
            backups: names(backups),
            ..Needed::default()
        }
    }

    #[test]
    fn what_is_named_goes_with_its_base_and_what_is_needed_or_not_named_stays() {
        let there = inventory(&["a", "b", "c", "d", "e"], &[]);
        let needed = needed(&["base-d"], &["e"]);
        let order = order(&["e", "d", "c", "b", "x"], &["c"]);
        let goes = doomed(&there, &needed, &order, NOW);
        assert_eq!(goes.backups, ["b"]);
        assert_eq!(goes.refused, ["c", "d", "e"]);
        assert_eq!(goes.gone, ["x"]);
        assert_eq!(goes.bases, ["base-b"]);
        assert_eq!(goes.unfinished, Vec::<String>::new());
    }

    #[test]
    fn where_nothing_is_named_nothing_goes() {
        let there = inventory(&["a"], &[("left", true, 1), ("half", false, 1)]);
        let goes = doomed(&there, &needed(&[], &[]), &order(&[], &[]), NOW);
        assert_eq!(goes, Doomed::default());
    }

    #[test]
    fn what_no_backup_names_goes_once_nobody_can_be_making_one_of_it() {
        let young = NOW - MADE_MS;
        let there = inventory(
            &["a"],
            &[
                ("left", true, young - 1),
                ("half", false, young - 2),
                ("needed", true, 1),
                ("made", true, young),
                ("uploaded", false, young),
            ],
        );
        let goes = doomed(&there, &needed(&["needed"], &[]), &order(&["x"], &[]), NOW);
        assert_eq!(goes.bases, ["left"]);
        assert_eq!(goes.unfinished, ["half"]);
    }

    #[test]
    fn a_base_that_another_backup_names_too_stays() {
        let mut there = inventory(&["a", "b"], &[]);
        there.backups[1].bases = vec!["base-a".to_owned()];
        let goes = doomed(&there, &needed(&[], &[]), &order(&["a"], &[]), NOW);
        assert_eq!(
            (goes.backups, goes.bases),
            (vec!["a".to_owned()], Vec::new())
        );
    }

    #[test]
    fn of_a_backup_whose_base_lost_its_manifest_the_data_stays_as_long_as_it_is_named() {
        let mut there = inventory(&["a", "b"], &[]);
        there.bases.insert("base-a".to_owned(), folder(false, 1));
        let order_of = |drop| doomed(&there, &needed(&[], &[]), &order(&[drop], &[]), NOW);
        assert_eq!(order_of("x").unfinished, Vec::<String>::new());
        assert_eq!(order_of("a").unfinished, ["base-a"]);
    }
}
