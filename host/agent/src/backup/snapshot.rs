//! A snapshot of the server, from its socket into the store.

use hera_core::agent::Role;
use hera_core::backup::{
    BaseManifest, FORMAT, Failure, FailureReason, OwnerFile, Paths, StoreAccess,
};
use hera_redis::{Engine, Probe, Server, ServerInfo};
use hera_store::{Store, Upload};
use tokio::sync::mpsc;

use super::job::Job;
use super::line::LinkError;
use super::link::Link;
use super::memory::Memory;
use super::pack::{Packed, Packer, unpacked};
use super::{failed, files, headroom};
use crate::agent::Agent;
use crate::fence::clock;
use crate::role::look::short;

/// Chunks that are read before they are packed: 2 MiB at most.
const QUEUE: usize = 8;

/// What is ordered.
pub struct Wanted {
    /// Names the run.
    pub run: String,
    /// The shard.
    pub shard: String,
    /// Whose path it is.
    pub owner: OwnerFile,
    /// Where to.
    pub store: StoreAccess,
}

/// Reads the server's dataset and stores it.
///
/// # Errors
/// Why not: nothing of it is a base then.
pub async fn take(agent: &Agent, job: &Job, wanted: &Wanted) -> Result<Box<BaseManifest>, Failure> {
    let store = Store::open(&wanted.store)?;
    files::claim(&store, &wanted.owner).await?;
    job.goes_on()?;
    let server = agent
        .connect(short())
        .await
        .map_err(|error| silent(&error))?;
    let info = look(&server).await?;
    let memory = Memory::of(&agent.settings.cgroup);
    let role = headroom::may_start(&info, memory)?;

    let version = (info.engine == Engine::Valkey).then_some(info.version.as_str());
    let socket = agent.settings.socket();
    let linking = Link::open(&socket, &agent.password, version);
    let (link, place) = linking.await.map_err(|error| of_link(&error))?;
    let taken_unix_ms = clock::unix_ms();
    let paths = files::paths(&wanted.owner);
    let path = paths.base(&wanted.shard, &wanted.run, place.offset);

    let data = Paths::data(&path);
    let mut upload = None;
    let stored = tokio::select! {
        stored = store_all(link, &store, &data, &mut upload, job) => stored,
        failure = job.until_cancelled() => Err(failure),
        () = agent.until_stopping() => Err(failed(FailureReason::LostItsPod, "the pod ends")),
        failure = headroom::until_it_hurts(agent, job, &server, role, info.used_memory) => Err(failure),
    };
    let packed = match (stored, upload) {
        (Ok(packed), Some(upload)) => {
            upload.finish().await?;
            packed
        }
        (stored, upload) => {
            if let Some(upload) = upload {
                upload.abort().await;
            }
            stored?
        }
    };
    // Until here it is no base.
    job.goes_on()?;
    let base = Box::new(BaseManifest {
        v: FORMAT,
        uid: wanted.owner.uid.clone(),
        shard: wanted.shard.clone(),
        engine: info.engine.as_str().to_owned(),
        version: info.version.clone(),
        magic: packed.head.magic,
        replication_id: place.replication_id,
        offset: place.offset,
        stream_db: packed.head.stream_db,
        taken_unix_ms,
        pod: agent.settings.pod_name.clone(),
        role: match role {
            Role::Primary => "primary".to_owned(),
            _ => "replica".to_owned(),
        },
        raw_bytes: packed.raw_bytes,
        stored_bytes: packed.stored_bytes,
        sha256: packed.sha256,
        crc64: packed.crc64,
        used_memory: info.used_memory,
        path,
    });
    files::write_base(&store, &base).await?;
    Ok(base)
}

async fn look(server: &Server) -> Result<Box<ServerInfo>, Failure> {
    match server.probe().await {
        Ok(Probe::Info(info)) => Ok(info),
        Ok(Probe::Refused(answer)) => {
            let words = format!("the server cannot be read now: it answers {answer:?}");
            Err(failed(FailureReason::NoCopyFits, words))
        }
        Err(error) => Err(silent(&error)),
    }
}

/// All of the dataset is read, and all but the end of it is in the store. The link is closed as soon as it was read: a
/// server that waits for nobody ends its child.
async fn store_all(
    link: Link,
    store: &Store,
    path: &str,
    upload: &mut Option<Upload>,
    job: &Job,
) -> Result<Packed, Failure> {
    let upload = upload.insert(store.upload(path).await?);
    let (sender, receiver) = mpsc::channel(QUEUE);
    let reading = read(link, sender, job);
    let storing = pack(receiver, upload, job);
    let ((), packed) = tokio::try_join!(reading, storing)?;
    Ok(packed)
}

async fn read(mut link: Link, chunks: mpsc::Sender<Vec<u8>>, job: &Job) -> Result<(), Failure> {
    while let Some(chunk) = link.next().await.map_err(|error| of_link(&error))? {
        job.reads(chunk.len());
        // Who takes it no more tells why.
        if chunks.send(chunk).await.is_err() {
            return Ok(());
        }
    }
    job.note_all();
    Ok(())
}

async fn pack(
    mut chunks: mpsc::Receiver<Vec<u8>>,
    upload: &mut Upload,
    job: &Job,
) -> Result<Packed, Failure> {
    let mut packer = Packer::new().map_err(|error| unpacked(&error))?;
    let mut batch = Vec::new();
    while chunks.recv_many(&mut batch, QUEUE).await > 0 {
        let taken = std::mem::take(&mut batch);
        let (next, parts) = aside(move || {
            let mut parts = Vec::new();
            for chunk in &taken {
                parts.extend(packer.pack(chunk).map_err(|error| unpacked(&error))?);
            }
            Ok((packer, parts))
        })
        .await?;
        packer = next;
        put(upload, parts, job).await?;
    }
    let (packed, parts) = aside(move || packer.finish()).await?;
    put(upload, parts, job).await?;
    Ok(packed)
}

async fn put(upload: &mut Upload, parts: Vec<Vec<u8>>, job: &Job) -> Result<(), Failure> {
    for part in parts {
        let bytes = part.len();
        job.waits_for_store(upload.part(part)).await?;
        job.stores(bytes);
    }
    Ok(())
}

/// What computes for long does so where nobody waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| unpacked(&error))?
}

/// The server does not answer.
pub fn silent(error: &hera_redis::Error) -> Failure {
    let words = format!("the server cannot be read now: {error}");
    failed(FailureReason::NoCopyFits, words)
}

fn of_link(error: &LinkError) -> Failure {
    match error.is_not_now() {
        true => failed(FailureReason::NoCopyFits, error.to_string()),
        false => failed(FailureReason::ServerRefused, error.to_string()),
    }
}
