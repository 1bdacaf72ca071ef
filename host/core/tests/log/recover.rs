//! What somebody recovers from the store.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::backup::log::{
    AROUND_MS, Cut, Cutter, Evidence, Load, NotCovered, PieceName, Wanted, plan,
};

use crate::play::Game;

pub type Headers = BTreeMap<PieceName, Evidence>;

/// What becomes of it.
pub enum Recovered {
    /// There is nothing to recover.
    Nothing,
    Refused(NotCovered, Headers),
    Cut(Cut),
}

/// As an agent does: with more headers each time.
pub fn recover(game: &Game, unix_ms: Option<u64>) -> Recovered {
    let wanted = Wanted {
        unix_ms,
        branch: None,
    };
    let Ok(plan) = plan(&game.store.index(), &wanted) else {
        return Recovered::Nothing;
    };
    let mut headers = Headers::new();
    let mut refused = NotCovered::default();
    for around_ms in AROUND_MS {
        for name in plan.headers(around_ms) {
            let evidence = game.store.get(&name).0;
            headers.insert(name, evidence);
        }
        match plan.cut(&headers) {
            Ok(cut) => return Recovered::Cut(cut),
            Err(not_covered) => refused = not_covered,
        }
    }
    Recovered::Refused(refused, headers)
}

/// What a server has that loads it.
pub fn loaded(game: &Game, cut: &Cut, load: &Load) -> BTreeSet<u64> {
    let Load { base, stretches } = load;
    let mut cutter = Cutter::new(base.offset, cut.until);
    let mut file = Vec::new();
    let mut bytes = 0;
    for stretch in stretches {
        let mut at = stretch.from;
        assert_eq!(cutter.at(), at, "stretches go on from one another");
        while at < stretch.to {
            let piece = stretch.next(at, &BTreeSet::new()).unwrap();
            let to = piece.to.min(stretch.to);
            let raw = game.store.get(piece).1;
            let place = |offset: u64| usize::try_from(offset - piece.from).unwrap();
            cutter.take(&raw[place(at)..place(to)], &mut file).unwrap();
            bytes += to - at;
            at = to;
        }
    }
    assert_eq!(bytes, load.log_bytes());
    assert_eq!(cutter.is_over(), base.offset + bytes >= cut.until);
    file.truncate(usize::try_from(cutter.whole()).unwrap());
    let history = game.world.by_id(&base.replication_id);
    let mut content = game.world.content(history, base.offset);
    content.extend(numbers(&file));
    content
}

/// What the history has that the cut is in.
pub fn expected(game: &Game, cut: &Cut, load: &Load) -> BTreeSet<u64> {
    let last = load.stretches.last();
    let id = last.map_or(&load.base.replication_id, |stretch| &stretch.id);
    let history = game.world.by_id(id);
    // Between the two is nothing but noise.
    game.world.content(history, cut.until.max(load.base.offset))
}

/// The writes in a file that a server loads.
pub fn numbers(file: &[u8]) -> BTreeSet<u64> {
    let text = std::str::from_utf8(file).unwrap();
    let words: Vec<&str> = text.split("\r\n").collect();
    let count = |word: &str| words.iter().filter(|other| **other == word).count();
    assert_eq!(count("MULTI"), count("EXEC"), "whole transactions");
    assert_eq!(count("PING") + count("REPLCONF") + count("PUBLISH"), 0);
    let keys = words.iter().zip(words.iter().skip(2));
    let keys = keys.filter(|(word, _)| **word == "SET");
    keys.map(|(_, key)| key[1..].parse().unwrap()).collect()
}
