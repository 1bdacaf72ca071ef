//! What agents have stored.

use std::collections::BTreeMap;

use hera_core::backup::log::{
    Alive, Evidence, Index, Parent, PieceHeader, PieceName, Reached, decode, encode,
};
use hera_core::backup::{BaseManifest, FORMAT};
use hera_core::digest::sha256_hex;

use crate::world::length;

#[derive(Clone, Debug, Default)]
pub struct Store {
    pieces: BTreeMap<PieceName, Vec<u8>>,
    pub parents: BTreeMap<String, Parent>,
    pub alive: Option<Alive>,
    pub bases: Vec<BaseManifest>,
}

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

    pub fn reached(&self) -> BTreeMap<String, Reached> {
        let index = self.index();
        let histories = index.histories.into_iter();
        let reached = histories
            .map(|(id, history)| (id, Reached::new(&history.pieces, history.parent.as_ref())));
        reached.collect()
    }

    pub fn add_base(&mut self, id: &str, offset: u64, taken_unix_ms: u64) {
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
            path: format!("{id}-{offset}"),
        });
    }
}
