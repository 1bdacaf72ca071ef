//! What was read goes to the store: packed, two files at a time, and tried for ever.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use hera_core::backup::log::{HEADER_AT, Mark, PieceHeader, decode, head, header_end};
use hera_core::backup::{FORMAT, Failure, FailureReason};
use hera_core::digest::sha256_hex;
use hera_store::{Created, Store, StoreError};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};
use zstd::stream::write::Encoder;
use zstd::zstd_safe::compress_bound;

use super::job::Job;
use super::queue::{Begin, Item};
use super::reading::Piece;
use super::stored::{FEW, Since, parent};
use crate::backup::pack::unpacked;
use crate::backup::{failed, files};

/// Files on their way: each is in memory until the store has it.
const IN_FLIGHT: usize = 2;
/// Packs to a fifth what is text, at a hundred MB a second.
const LEVEL: i32 = 3;
/// What is larger goes in parts of this.
const PART: usize = 8 << 20;
/// Between two tries.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

/// A piece as it is stored.
struct Packed {
    path: String,
    sha256: String,
    bytes: Vec<u8>,
}

/// A piece on its way.
struct Sent {
    number: u64,
    id: String,
    to: u64,
    look: Option<Mark>,
    is_stored: bool,
}

/// Pieces of which the store does not have all before them, in their order.
#[derive(Default)]
struct Way {
    sent: VecDeque<Sent>,
    count: u64,
}

impl Way {
    /// False while the store has as many behind one that it does not take: who goes on from what it has is to see that
    /// one missing.
    fn has_room(&self) -> bool {
        self.sent.len() < FEW
    }

    /// Another one; its number.
    fn begin(&mut self, id: String, to: u64, look: Option<Mark>) -> u64 {
        self.count += 1;
        self.sent.push_back(Sent {
            number: self.count,
            id,
            to,
            look,
            is_stored: false,
        });
        self.count
    }

    /// The store has one; those that it has now with all before them.
    fn arrives(&mut self, number: u64) -> Vec<Sent> {
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.number == number) {
            sent.is_stored = true;
        }
        let missing = self.sent.iter().position(|sent| !sent.is_stored);
        let whole = missing.unwrap_or(self.sent.len());
        self.sent.drain(..whole).collect()
    }
}

/// Stores what comes, without end. It returns by a fault of this agent's only.
pub async fn run(job: Arc<Job>, mut items: mpsc::UnboundedReceiver<Item>) {
    let mut uploads = Uploads {
        job,
        tasks: JoinSet::new(),
        way: Way::default(),
    };
    loop {
        let may_take = uploads.tasks.len() < IN_FLIGHT && uploads.way.has_room();
        let goes_on = tokio::select! {
            item = items.recv(), if may_take => match item {
                Some(item) => uploads.take(item).await,
                None => false,
            },
            Some(done) = uploads.tasks.join_next() => uploads.arrived(done),
        };
        if !goes_on {
            return;
        }
    }
}

struct Uploads {
    job: Arc<Job>,
    tasks: JoinSet<(u64, usize)>,
    way: Way,
}

impl Uploads {
    /// False by a fault of this agent's.
    async fn take(&mut self, item: Item) -> bool {
        match item {
            Item::Piece(piece) => self.send(piece).await,
            Item::Begin(begin) => {
                if !self.until_stored().await {
                    return false;
                }
                until_begun(&self.job, &begin).await;
                self.job.told().stores(&begin.id, begin.at, None);
                self.job.queue.stores(0);
                true
            }
            Item::Alive(alive) => {
                if !self.until_stored().await {
                    return false;
                }
                let path = self.job.alive();
                // The next one comes in a minute.
                let told = put(&self.job.store(), &path, &alive).await;
                tell(&self.job, &told);
                self.job.queue.stores(0);
                true
            }
        }
    }

    async fn send(&mut self, piece: Piece) -> bool {
        let raw = piece.raw.len();
        let look = piece.evidence.looks.last().copied();
        let (id, to) = (piece.id.clone(), piece.to);
        let about = self.job.clone();
        let packed = tokio::task::spawn_blocking(move || pack(&about, piece)).await;
        let packed = match packed {
            Ok(Ok(packed)) => packed,
            Ok(Err(error)) => return fault(&error),
            Err(error) => return fault(&error),
        };
        let bytes = packed.bytes.len();
        self.job.queue.packs(raw, bytes);
        let number = self.way.begin(id, to, look);
        let job = self.job.clone();
        self.tasks.spawn(Box::pin(async move {
            until_stored(&job, &packed).await;
            (number, bytes)
        }));
        true
    }

    /// Completes once the store has all that is on its way.
    async fn until_stored(&mut self) -> bool {
        while let Some(done) = self.tasks.join_next().await {
            if !self.arrived(done) {
                return false;
            }
        }
        true
    }

    fn arrived(&mut self, done: Result<(u64, usize), tokio::task::JoinError>) -> bool {
        let (number, bytes) = match done {
            Ok(done) => done,
            Err(error) => return fault(&error),
        };
        self.job.queue.stores(bytes);
        for sent in self.way.arrives(number) {
            self.job.told().stores(&sent.id, sent.to, sent.look);
            self.job.queue.reaches();
        }
        true
    }
}

/// What the agent cannot do: the log is read anew from where the store has it.
fn fault(error: &dyn std::fmt::Display) -> bool {
    warn!(%error, "the log cannot be packed or sent");
    false
}

fn pack(job: &Job, piece: Piece) -> io::Result<Packed> {
    let order = job.order();
    let header = PieceHeader {
        v: FORMAT,
        uid: order.owner.uid.clone(),
        shard: order.shard.clone(),
        engine: piece.program.engine,
        version: piece.program.version,
        id: piece.id,
        from: piece.from,
        to: piece.to,
        evidence: piece.evidence,
        raw_bytes: u64::try_from(piece.raw.len()).unwrap_or(u64::MAX),
        sha256: sha256_hex(&piece.raw),
    };
    Ok(Packed {
        path: format!(
            "{}/{}/{}",
            job.folder(),
            header.id,
            header.name().file_name()
        ),
        bytes: packed_behind(head(&header), piece.raw)?,
        sha256: header.sha256,
    })
}

/// What stands before the packed bytes, and they: nothing large is copied.
fn packed_behind(mut bytes: Vec<u8>, raw: Vec<u8>) -> io::Result<Vec<u8>> {
    bytes.reserve_exact(compress_bound(raw.len()));
    let mut encoder = Encoder::new(bytes, LEVEL)?;
    encoder.set_pledged_src_size(u64::try_from(raw.len()).ok())?;
    encoder.write_all(&raw)?;
    let mut bytes = encoder.finish()?;
    drop(raw);
    bytes.shrink_to_fit();
    Ok(bytes)
}

async fn until_stored(job: &Job, piece: &Packed) {
    let mut pause = FIRST;
    loop {
        let store = job.store();
        let stored = create(&store, piece).await;
        tell(job, &stored);
        if stored.is_ok() {
            return;
        }
        wait(job, &mut pause).await;
    }
}

async fn until_begun(job: &Job, begin: &Begin) {
    let mut pause = FIRST;
    loop {
        let begun = note(&job.store(), job.folder(), begin).await;
        tell(job, &begun);
        if begun.is_ok() {
            return;
        }
        wait(job, &mut pause).await;
    }
}

/// Each time longer; not after the store's key was changed.
async fn wait(job: &Job, pause: &mut Duration) {
    tokio::select! {
        () = tokio::time::sleep(*pause) => *pause = (*pause * 2).min(LONGEST),
        () = job.until_another_key() => *pause = FIRST,
    }
}

fn tell(job: &Job, done: &Result<(), Failure>) {
    match done {
        Ok(()) => job.told().store_heals(),
        Err(failure) => {
            debug!(reason = failure.reason.as_str(), why = %failure.message, "the log is not stored");
            job.told().store_fails(failure.clone());
        }
    }
    job.told().publish(&job.agent.board);
}

/// What is to be there before the pieces. A parent that another agent noted counts.
async fn note(store: &Store, folder: &str, begin: &Begin) -> Result<(), Failure> {
    if let Some(since) = &begin.since {
        put(store, &Since::path(folder), since).await?;
    }
    if let Some(noted) = &begin.parent {
        let path = parent(folder, &begin.id);
        files::write_once(store, &path, noted).await?;
    }
    Ok(())
}

async fn put(store: &Store, path: &str, file: &impl Serialize) -> Result<(), Failure> {
    let content = serde_json::to_vec(file).map_err(|error| unpacked(&error))?;
    Ok(store.put(path, content).await?)
}

/// Makes the file of a piece, or finds that it is there.
async fn create(store: &Store, piece: &Packed) -> Result<(), Failure> {
    if piece.bytes.len() <= PART {
        let made = store.create(&piece.path, piece.bytes.clone()).await?;
        return match made {
            Created::New => Ok(()),
            Created::Exists => is_same(store, piece).await,
        };
    }
    // Parts replace what is there.
    if store.size(&piece.path).await?.is_some() {
        return is_same(store, piece).await;
    }
    Ok(send_parts(store, piece).await?)
}

async fn send_parts(store: &Store, piece: &Packed) -> Result<(), StoreError> {
    let mut upload = store.upload(&piece.path).await?;
    for part in piece.bytes.chunks(PART) {
        if let Err(error) = upload.part(part.to_vec()).await {
            upload.abort().await;
            return Err(error);
        }
    }
    upload.finish().await
}

/// Whether what is there has the same bytes of the stream: who read them at another time has other times.
async fn is_same(store: &Store, piece: &Packed) -> Result<(), Failure> {
    let path = &piece.path;
    let other = || {
        let words = format!(
            "{path} is there already and has another content: remove it, or give the store a prefix of its own"
        );
        failed(FailureReason::PathOwned, words)
    };
    let end = u64::try_from(HEADER_AT).unwrap_or(u64::MAX);
    let start = store.get_range(path, 0..end).await?;
    let end = header_end(&start).map_err(|_| other())?;
    let end = u64::try_from(end).unwrap_or(u64::MAX);
    let head = store.get_range(path, 0..end).await?;
    match decode(&head) {
        Ok((header, _)) if header.sha256 == piece.sha256 => Ok(()),
        _ => Err(other()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packed_bytes_stand_behind_the_header() {
        let raw = vec![7; 3 << 20];
        let bytes = packed_behind(b"header".to_vec(), raw.clone()).unwrap();
        let (header, packed) = bytes.split_at(6);
        assert_eq!(header, b"header");
        assert!(zstd::decode_all(packed).unwrap() == raw);
    }

    #[test]
    fn few_are_stored_behind_one_that_the_store_does_not_take() {
        let mut way = Way::default();
        let send = |way: &mut Way, to| way.begin("a".to_owned(), to, None);
        let stuck = send(&mut way, 10);
        for to in [20, 30, 40] {
            assert!(way.has_room());
            let next = send(&mut way, to);
            assert!(way.arrives(next).is_empty(), "one before it is missing");
        }
        assert!(!way.has_room());
        let ends: Vec<u64> = way.arrives(stuck).iter().map(|sent| sent.to).collect();
        assert_eq!(ends, [10, 20, 30, 40]);
        assert!(way.has_room());
    }
}
