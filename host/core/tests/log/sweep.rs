//! What an agent deletes of what nothing needs.

use hera_core::backup::log::PieceName;
use hera_core::backup::retention::{Floor, Going, Needed};

use crate::dice::Dice;
use crate::store::Store;

/// Deletes what may go; of backups it leaves some, as policies do. It dies after so many files.
pub fn sweep(store: &mut Store, needed: &Needed, dice: &mut Dice, most: usize) {
    let mut sweep = Sweep { store, left: most };
    // What is left of it is looked at.
    let _died = sweep.run(needed, dice);
}

struct Sweep<'a> {
    store: &'a mut Store,
    left: usize,
}

impl Sweep<'_> {
    /// Another file goes; none if it dies before.
    fn file(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    fn run(&mut self, needed: &Needed, dice: &mut Dice) -> Option<()> {
        self.bases(needed, dice)?;
        for id in &needed.order {
            if !self.history(id, needed.floors[id], dice)? {
                break;
            }
        }
        Some(())
    }

    fn bases(&mut self, needed: &Needed, dice: &mut Dice) -> Option<()> {
        for base in self.store.held() {
            let stays = base.backup.is_some() && dice.in_a_hundred(20);
            if !stays && !needed.bases.contains(&base.path) {
                self.file()?;
                self.store.bases.retain(|other| other.path != base.path);
            }
        }
        Some(())
    }

    /// True if all of it is gone.
    fn history(&mut self, id: &str, floor: Floor, dice: &mut Dice) -> Option<bool> {
        let alive = self.store.alive.as_ref();
        if matches!(floor, Floor::Nothing { .. }) && alive.is_some_and(|alive| alive.id == id) {
            self.file()?;
            self.store.alive = None;
        }
        // Names come in pages.
        let page = [5, 10, 1_000][dice.below(3)];
        let mut known = page;
        loop {
            let names = self.store.names(id);
            let listed = &names[..names.len().min(known)];
            let are_all = listed.len() == names.len();
            let Going { pieces, is_whole } = floor.goes(listed, are_all);
            if pieces.is_empty() && !is_whole {
                if are_all || !floor.may_go_on(listed) {
                    return Some(false);
                }
                known += page;
                continue;
            }
            known = page;
            self.pieces(id, pieces, dice)?;
            if is_whole {
                self.file()?;
                self.store.parents.remove(id);
                self.store.swept.remove(id);
                return Some(true);
            }
        }
    }

    /// In any order, but the last one last.
    fn pieces(&mut self, id: &str, mut pieces: Vec<PieceName>, dice: &mut Dice) -> Option<()> {
        let ends = pieces.iter().map(|piece| piece.to);
        let swept = self.store.swept.entry(id.to_owned()).or_default();
        *swept = ends.chain([*swept]).max().unwrap();
        let last = pieces.pop();
        while !pieces.is_empty() {
            let piece = pieces.swap_remove(dice.below(pieces.len()));
            self.file()?;
            self.store.delete(&piece);
        }
        if let Some(last) = last {
            self.file()?;
            self.store.delete(&last);
        }
        Some(())
    }
}
