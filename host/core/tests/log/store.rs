//! What agents have stored.

use std::collections::{BTreeMap, BTreeSet};

use hera_core::backup::log::{
    Alive, Evidence, Index, Parent, PieceHeader, PieceName, Reached, decode, encode,
};
use hera_core::backup::retention::{Head, Heads, HeldBase};
use hera_core::backup::{BaseManifest, FORMAT};
use hera_core::digest::sha256_hex;

use crate::world::length;

#[derive(Clone, Debug, Default)]
pub struct Store {
    pieces: BTreeMap<PieceName, Vec<u8>>,
    pub parents: BTreeMap<String, Parent>,
    pub alive: Option<Alive>,
    pub bases: Vec<BaseManifest>,
    /// Up to where pieces of a history may be gone, as nothing needs them.
    pub swept: BTreeMap<String, u64>,
    made: u64,
}

/// So many pieces of a history are known of its beginning, and of its end.
const KNOWN: usize = 12;

/// A piece that is on its way.
#[derive(Clone, Debug)]
pub struct Piece(PieceHeader, Vec<u8>);

impl Piece {
    pub fn new(id: &str, from: u64, raw: Vec<u8>, evidence: Evidence) -> Self {
        let header = PieceHeader {
            v: FORMAT,
            uid: "u".to_owned(),
            shard: "0".to_owned(),
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            id: id.to_owned(),
            from,
            to: from + length(&raw),
            evidence,
            raw_bytes: length(&raw),
            sha256: sha256_hex(&raw),
        };
        Self(header, raw)
    }
}

impl Store {
    pub fn put(&mut self, piece: &Piece) {
        let Piece(header, raw) = piece;
        let stored = encode(header, raw);
        self.pieces.entry(header.name()).or_insert(stored);
    }

    /// What a piece has and says.
    pub fn get(&self, name: &PieceName) -> (Evidence, Vec<u8>) {
        let (header, raw) = decode(&self.pieces[name]).unwrap();
        header.check_name(name, "u", "0").unwrap();
        header.check(raw).unwrap();
        (header.evidence, raw.to_vec())
    }

    pub fn index(&self) -> Index {
        let pieces = self.pieces.keys().map(|name| {
            let read = PieceName::parse(&name.id, &name.file_name());
            read.unwrap()
        });
        let (bases, parents) = (self.bases.clone(), self.parents.clone());
        Index::new(bases, pieces, parents, self.alive.clone())
    }

    /// As an agent takes it: what is gone as nothing needs it counts as stored.
    pub fn reached(&self) -> BTreeMap<String, Reached> {
        let index = self.index();
        let histories = index.histories.into_iter();
        let reached = histories.map(|(id, history)| {
            let swept = self.swept.get(&id).copied().unwrap_or(0);
            let gone = swept.checked_sub(1).map(|from| PieceName {
                id: id.clone(),
                from,
                to: swept,
                t0: 0,
                t1: 0,
            });
            let left = history.pieces.iter().filter(|piece| piece.to > swept);
            let reached = Reached::new(left.chain(&gone), history.parent.as_ref());
            (id, reached)
        });
        reached.collect()
    }

    /// The pieces of a history, by their offsets.
    pub fn names(&self, id: &str) -> Vec<PieceName> {
        let names = self.pieces.keys().filter(|name| name.id == id);
        names.cloned().collect()
    }

    /// What all pieces say.
    pub fn headers(&self) -> BTreeMap<PieceName, Evidence> {
        let names = self.pieces.keys();
        names.map(|name| (name.clone(), self.get(name).0)).collect()
    }

    pub fn bytes(&self) -> u64 {
        self.pieces.keys().map(|name| name.to - name.from).sum()
    }

    pub fn delete(&mut self, name: &PieceName) {
        self.pieces.remove(name);
    }

    /// What an agent looks at before a sweep.
    pub fn heads(&self, server: Vec<String>) -> Heads {
        let ids = self.pieces.keys().map(|name| &name.id);
        let ids: BTreeSet<&String> = ids.chain(self.parents.keys()).collect();
        let head = |id: &String| {
            let names = self.names(id);
            let last = names.len().saturating_sub(KNOWN);
            let head = Head {
                first: names.iter().take(KNOWN).cloned().collect(),
                last: names[last..].to_vec(),
                parent: self.parents.get(id).cloned(),
            };
            (id.clone(), head)
        };
        Heads {
            histories: ids.into_iter().map(head).collect(),
            alive: self.alive.clone(),
            server,
        }
    }

    /// Its bases. Now and then one is no backup's.
    pub fn held(&self) -> Vec<HeldBase> {
        let held = |base: &BaseManifest| HeldBase {
            path: base.path.clone(),
            id: base.replication_id.clone(),
            offset: base.offset,
            taken_unix_ms: base.taken_unix_ms,
            backup: (!base.path.ends_with('7')).then(|| format!("of-{}", base.path)),
        };
        self.bases.iter().map(held).collect()
    }

    pub fn add_base(&mut self, id: &str, offset: u64, taken_unix_ms: u64) {
        self.made += 1;
        self.bases.push(BaseManifest {
            v: FORMAT,
            uid: "u".to_owned(),
            shard: "0".to_owned(),
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            magic: "REDIS0011".to_owned(),
            replication_id: id.to_owned(),
            offset,
            stream_db: 0,
            taken_unix_ms,
            pod: "p".to_owned(),
            role: "replica".to_owned(),
            raw_bytes: 0,
            stored_bytes: 0,
            sha256: String::new(),
            crc64: String::new(),
            used_memory: 0,
            path: format!("{id}-{offset}-{}", self.made),
        });
    }
}
