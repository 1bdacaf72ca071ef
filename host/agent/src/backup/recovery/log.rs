//! The log behind a base becomes a file that a server loads: piece after piece, up to an offset.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use futures::future::join_all;
use hera_core::backup::log::{Cutter, Load, PieceName, Stretch, select};
use hera_core::backup::{BaseManifest, Failure, FailureReason, Loads, check_piece};
use hera_store::Store;
use tracing::{info, warn};

use super::origin::{Origin, Whose};
use super::words::instant;
use super::{append_only, files, pieces};
use crate::backup::failed;
use crate::settings::Settings;

/// Bytes of the log that come at once, before they are packed: they are in memory. A piece that has more comes alone.
const LOT: u64 = 8 << 20;
/// Pieces that come at once.
const AT_ONCE: usize = 16;
/// Bytes that are cut and written at once.
const CHUNK: usize = 1 << 20;

/// Brings the log behind a base, up to `until`, for a server that `loads` this.
///
/// # Errors
/// Part of it is lost, does not come, or is of a server that this one cannot follow. What is there of the file is none
/// to use.
pub async fn bring(
    settings: &Settings,
    store: &Store,
    origin: &Origin,
    load: &Load,
    until: u64,
    loads: &[Loads],
) -> Result<(), Failure> {
    let mut writing = Writing::begin(&append_only::log(settings), &load.base, until, loads)?;
    let mut lost = Lost::default();
    for stretch in &load.stretches {
        while writing.cutter.at() < stretch.to {
            let lot = lot(stretch, writing.cutter.at(), &lost.pieces);
            if lot.is_empty() {
                return Err(lost.at(writing.cutter.at()));
            }
            let came = join_all(lot.iter().map(|name| pieces::whole(store, origin, name))).await;
            let came: Vec<Came> = lot
                .into_iter()
                .zip(came)
                .map(|(name, stored)| Came {
                    path: origin.path(&name),
                    name,
                    stored,
                })
                .collect();
            let (whose, to) = (origin.whose.clone(), stretch.to);
            let (next, damaged) = aside(move || writing.take(came, &whose, to)).await?;
            writing = next;
            if let Some((name, failure)) = damaged {
                warn!(why = %failure.message, "a piece of the log is not used");
                lost.is(name, failure);
            }
        }
    }
    let ends = writing.cutter.at();
    if ends < until {
        let words = format!("the log ends at offset {ends}, and is to lead to {until}");
        return Err(failed(FailureReason::Corrupt, words));
    }
    aside(move || writing.finish()).await
}

/// The next pieces behind `at`: as many as may be in memory.
fn lot(stretch: &Stretch, mut at: u64, damaged: &BTreeSet<PieceName>) -> Vec<PieceName> {
    let (mut lot, mut bytes) = (Vec::new(), 0_u64);
    while at < stretch.to && lot.len() < AT_ONCE {
        let Some(next) = stretch.next(at, damaged) else {
            break;
        };
        bytes = bytes.saturating_add(pieces::bytes(next));
        if bytes > LOT && !lot.is_empty() {
            break;
        }
        at = next.to;
        lot.push(next.clone());
    }
    lot
}

/// What computes for long, or waits for the volume, does so where nobody waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| {
        let words = format!("the log cannot be written to the volume: {error}");
        failed(FailureReason::Corrupt, words)
    })?
}

/// Pieces that are of no use.
#[derive(Default)]
struct Lost {
    pieces: BTreeSet<PieceName>,
    why: Vec<(PieceName, Failure)>,
}

impl Lost {
    fn is(&mut self, name: PieceName, failure: Failure) {
        self.pieces.insert(name.clone());
        self.why.push((name, failure));
    }

    /// Nothing else has the byte behind `at`.
    fn at(&self, at: u64) -> Failure {
        let mut why = self.why.iter().rev();
        let Some((name, failure)) = why.find(|(name, _)| (name.from..name.to).contains(&at)) else {
            let words = format!("the log has a gap behind offset {at}: take an instant before it");
            return failed(FailureReason::Corrupt, words);
        };
        let words = format!(
            "{}; the log from {} to {} is lost with it: take an instant before that, or one after the next base",
            failure.message,
            instant(name.t0),
            instant(name.t1)
        );
        failed(FailureReason::Corrupt, words)
    }
}

/// A piece, as it is stored.
struct Came {
    path: String,
    name: PieceName,
    stored: Result<Vec<u8>, Failure>,
}

/// The file.
struct Writing {
    file: File,
    cutter: Cutter,
    /// Bytes that stand before what comes out of the cutter.
    head: u64,
    loads: Vec<Loads>,
}

impl Writing {
    fn begin(
        path: &Path,
        base: &BaseManifest,
        until: u64,
        loads: &[Loads],
    ) -> Result<Self, Failure> {
        let head = select(base.stream_db);
        let mut file = File::create(path).map_err(|error| files::of_volume(&error))?;
        let written = file.write_all(&head);
        written.map_err(|error| files::of_volume(&error))?;
        Ok(Self {
            file,
            cutter: Cutter::new(base.offset, until),
            head: u64::try_from(head.len()).unwrap_or(u64::MAX),
            loads: loads.to_vec(),
        })
    }

    /// Takes what these pieces have of the bytes up to `to`. It ends at one that is of no use, and answers that.
    fn take(
        mut self,
        lot: Vec<Came>,
        whose: &Whose,
        to: u64,
    ) -> Result<(Self, Option<(PieceName, Failure)>), Failure> {
        for Came { path, name, stored } in lot {
            let came = stored.and_then(|stored| pieces::unpack(&path, &stored, &name, whose));
            match came {
                Ok((header, raw)) => {
                    let bytes = beyond(&raw, &name, self.cutter.at(), to);
                    if !bytes.is_empty() {
                        check_piece(&path, &header, &self.loads)?;
                    }
                    self.write(&path, bytes)?;
                }
                Err(failure) if failure.reason == FailureReason::Corrupt => {
                    return Ok((self, Some((name, failure))));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok((self, None))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = Vec::new();
        for part in bytes.chunks(CHUNK) {
            let cut = self.cutter.take(part, &mut out);
            cut.map_err(|error| failed(FailureReason::Corrupt, format!("{path}: {error}")))?;
            let written = self.file.write_all(&out);
            written.map_err(|error| files::of_volume(&error))?;
            out.clear();
        }
        Ok(())
    }

    /// All is there: what is too much goes, and the rest is made durable.
    fn finish(self) -> Result<(), Failure> {
        let bytes = self.head.saturating_add(self.cutter.whole());
        let finished = self.file.set_len(bytes).and_then(|()| self.file.sync_all());
        finished.map_err(|error| files::of_volume(&error))?;
        let commands = self.cutter.commands();
        info!(bytes, commands, "the log is on the volume");
        Ok(())
    }
}

/// What a piece has behind `at`, up to and with `to`.
fn beyond<'a>(raw: &'a [u8], name: &PieceName, at: u64, to: u64) -> &'a [u8] {
    let place = |offset: u64| {
        let place = usize::try_from(offset.saturating_sub(name.from));
        place.unwrap_or(usize::MAX).min(raw.len())
    };
    raw.get(place(at)..place(to)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use hera_core::backup::FORMAT;
    use hera_core::backup::log::{Evidence, Mark, PieceHeader, encode};
    use hera_core::digest::sha256_hex;

    use super::*;

    fn name(from: u64, to: u64) -> PieceName {
        PieceName {
            id: "a".repeat(40),
            from,
            to,
            t0: 1_796_000_000_000,
            t1: 1_796_000_002_000,
        }
    }

    fn stretch(pieces: Vec<PieceName>) -> Stretch {
        Stretch {
            id: "a".repeat(40),
            from: pieces.first().unwrap().from,
            to: pieces.last().unwrap().to,
            pieces,
        }
    }

    fn whose() -> Whose {
        Whose {
            uid: "u".to_owned(),
            shard: "0".to_owned(),
        }
    }

    fn base(offset: u64) -> BaseManifest {
        serde_json::from_value(serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.0.15",
            "magic": "REDIS0010", "replicationId": "a", "offset": offset, "streamDb": 3,
            "takenUnixMs": 9, "pod": "p-0", "role": "primary", "rawBytes": 5, "storedBytes": 5,
            "sha256": "", "crc64": "0", "usedMemory": 1, "path": "shop.cache/old/base/0/r-7"
        }))
        .unwrap()
    }

    fn loads() -> Vec<Loads> {
        vec![Loads {
            engine: "redis".to_owned(),
            up_to: (7, 2),
        }]
    }

    fn set(key: &str) -> String {
        format!("*3\r\n$3\r\nSET\r\n$1\r\n{key}\r\n$1\r\n1\r\n")
    }

    /// A piece of a stream that begins behind offset 0, as it comes.
    fn came(stream: &str, from: u64, to: u64) -> Came {
        let [first, last] = [from, to].map(|offset| usize::try_from(offset).unwrap());
        let raw = &stream.as_bytes()[first..last];
        let mark = Mark {
            offset: to,
            unix_ms: 5_000,
        };
        let header = PieceHeader {
            v: FORMAT,
            uid: "u".to_owned(),
            shard: "0".to_owned(),
            engine: "redis".to_owned(),
            version: "7.2.4".to_owned(),
            id: "a".repeat(40),
            from,
            to,
            evidence: Evidence {
                marks: vec![mark],
                ..Evidence::default()
            },
            raw_bytes: to - from,
            sha256: sha256_hex(raw),
        };
        let packed = zstd::encode_all(raw, 3).unwrap();
        Came {
            path: format!("log/{from}"),
            name: header.name(),
            stored: Ok(encode(&header, &packed)),
        }
    }

    fn length(text: &str) -> u64 {
        u64::try_from(text.len()).unwrap()
    }

    #[test]
    fn as_many_pieces_come_as_may_be_in_memory_and_a_large_one_comes_alone() {
        let small = |at: u64| name(at * 10, at * 10 + 10);
        let many = stretch((0..40).map(small).collect());
        let none = BTreeSet::new();
        assert_eq!(lot(&many, 0, &none).len(), AT_ONCE);
        assert_eq!(lot(&many, 395, &none), [small(39)]);
        let large = [name(0, 10), name(10, 20 + LOT), name(20 + LOT, 30 + LOT)];
        let large = stretch(large.to_vec());
        let sizes = |at| lot(&large, at, &none).len();
        assert_eq!((sizes(0), sizes(10), sizes(20 + LOT)), (1, 1, 1));
        let damaged = BTreeSet::from([name(10, 20 + LOT)]);
        assert!(lot(&large, 10, &damaged).is_empty());
    }

    #[test]
    fn what_is_loaded_is_whole_whatever_pieces_it_came_in() {
        let ping = "*1\r\n$4\r\nPING\r\n";
        let stream = format!("{}{ping}{}{}", set("a"), set("b"), set("c"));
        let ends = [
            length(&set("a")),
            length(&set("a")) + length(ping),
            length(&stream) - length(&set("c")),
            length(&stream),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // They overlap, and the last one has more than is wanted.
        let lot = vec![
            came(&stream, 0, ends[1]),
            came(&stream, ends[0], ends[2]),
            came(&stream, ends[1], ends[3]),
        ];
        let writing = Writing::begin(&path, &base(0), ends[2], &loads()).unwrap();
        let (writing, damaged) = writing.take(lot, &whose(), ends[2]).unwrap();
        assert_eq!((damaged, writing.cutter.at()), (None, ends[2]));
        writing.finish().unwrap();
        let loaded = std::fs::read_to_string(&path).unwrap();
        let select = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";
        assert_eq!(loaded, format!("{select}{}{}", set("a"), set("b")));
    }

    #[test]
    fn a_transaction_without_its_end_is_not_loaded() {
        let multi = "*1\r\n$5\r\nMULTI\r\n";
        let stream = format!("{}{multi}{}", set("a"), set("b"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let to = length(&stream);
        let writing = Writing::begin(&path, &base(0), to, &loads()).unwrap();
        let lot = vec![came(&stream, 0, to)];
        let (writing, _) = writing.take(lot, &whose(), to).unwrap();
        writing.finish().unwrap();
        let loaded = std::fs::read_to_string(&path).unwrap();
        assert!(loaded.ends_with(&set("a")), "{loaded}");
    }

    #[test]
    fn it_ends_before_a_damaged_piece_and_the_one_that_has_its_bytes_goes_on() {
        let stream = format!("{}{}", set("a"), set("b"));
        let (half, to) = (length(&set("a")), length(&stream));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let writing = Writing::begin(&path, &base(0), to, &loads()).unwrap();
        let mut second = came(&stream, half, to);
        let mut damaged = second.stored.unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        second.stored = Ok(damaged);
        let named = second.name.clone();
        let lot = vec![came(&stream, 0, half), second];
        let (writing, damaged) = writing.take(lot, &whose(), to).unwrap();
        assert_eq!(damaged.unwrap().0, named);
        assert_eq!(writing.cutter.at(), half);
        let lot = vec![came(&stream, 0, to)];
        let (writing, damaged) = writing.take(lot, &whose(), to).unwrap();
        assert_eq!((damaged, writing.cutter.at()), (None, to));
        writing.finish().unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with(&stream));
    }

    #[test]
    fn what_a_server_wrote_that_this_one_cannot_follow_is_refused_if_any_of_it_is_used() {
        let stream = format!("{}{}", set("a"), set("b"));
        let (half, to) = (length(&set("a")), length(&stream));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let old = [Loads {
            engine: "redis".to_owned(),
            up_to: (7, 0),
        }];
        let take = |until| {
            let writing = Writing::begin(&path, &base(half), until, &old).unwrap();
            writing.take(vec![came(&stream, 0, to)], &whose(), until)
        };
        assert!(take(half).is_ok(), "none of it");
        let failure = take(to).map(drop).unwrap_err();
        assert_eq!(failure.reason, FailureReason::VersionIncompatible);
        assert!(failure.message.contains("redis 7.2.4"), "{failure:?}");
    }

    #[test]
    fn bytes_that_are_lost_are_named_by_file_and_times() {
        let mut lost = Lost::default();
        let damaged = failed(FailureReason::Corrupt, "log/x is damaged");
        lost.is(name(10, 20), damaged);
        let words = lost.at(15).message;
        for word in [
            "log/x",
            "2026-11-30T00:53:20Z",
            "2026-11-30T00:53:22Z",
            "before",
        ] {
            assert!(words.contains(word), "{words}");
        }
        assert!(lost.at(20).message.contains("offset 20"));
    }
}
