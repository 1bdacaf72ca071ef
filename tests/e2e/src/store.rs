//! A store for backups that pods reach, and what lies on the way to it.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_testbed::gateway::{ACCESS_KEY, Gateway, SECRET_KEY};
use hera_testbed::names::HOST_IP;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::{Space, wait_for};

const BUCKET: &str = "backups";
const PREFIX: &str = "redis";
/// What the store keeps of uploads that are not finished.
const UNFINISHED: &str = ".sgwtmp";
/// Until something is on the way that is held up.
const HELD: Duration = Duration::from_secs(60);
const CHUNK: usize = 16 << 10;

/// A store of its own for a scenario. It ends when it is dropped.
pub struct Store {
    /// None while it is down.
    gateway: Option<Gateway>,
    address: SocketAddr,
    relay: Relay,
    /// Goes after what is kept in it has ended.
    folder: TempDir,
}

impl Store {
    /// Starts one, with a bucket. `make check` has built its program; else it is built here, which takes minutes.
    ///
    /// # Errors
    /// When it does not start, or there is no testbed whose pods could reach it.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().join("root");
        let gateway = tokio::task::spawn_blocking(move || Gateway::start_in(&root)).await??;
        gateway.make_bucket(BUCKET)?;
        let address = gateway.address();
        Ok(Self {
            gateway: Some(gateway),
            address,
            relay: Relay::start(address).await?,
            folder,
        })
    }

    /// Makes a RedisBackupStore of this name in a namespace, and the Secret with its keys.
    ///
    /// # Errors
    /// When they are refused.
    pub async fn offer(&self, space: &Space<'_>, name: &str) -> Result<()> {
        put_key(space, name, SECRET_KEY).await?;
        let key = |key: &str| json!({"name": name, "key": key});
        let store = json!({
            "apiVersion": "cache.hera.io/v1alpha1",
            "kind": "RedisBackupStore",
            "metadata": {"name": name},
            "spec": {"s3": {
                "bucket": BUCKET,
                "prefix": PREFIX,
                "endpoint": format!("http://{}", self.relay.address),
                "accessKeyIdRef": key("id"),
                "secretAccessKeyRef": key("secret"),
            }},
        });
        space.apply(&store.to_string()).await.map(drop)
    }

    /// Kills it: what is under way breaks, and nothing answers any more.
    pub fn stop(&mut self) {
        self.gateway = None;
    }

    /// Starts it again, with what it had.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        self.gateway = Some(started(self.address, self.root()).await?);
        Ok(())
    }

    /// Lets so many bytes more pass, to it and from it, and nothing behind them. An agent waits half a minute at most.
    pub fn hold_after(&self, bytes: u64) {
        let passed = self.relay.passed.load(Ordering::Relaxed);
        self.relay.limit.send_replace(passed.saturating_add(bytes));
    }

    /// Waits until something is held up.
    ///
    /// # Errors
    /// After a while.
    pub async fn wait_held(&self) -> Result<()> {
        wait_for("the way to the store is held up", HELD, async || {
            let passed = self.relay.passed.load(Ordering::Relaxed);
            let limit = *self.relay.limit.borrow();
            ensure!(passed >= limit, "{passed} of {limit} bytes have passed");
            Ok(())
        })
        .await
    }

    /// Lets everything pass again.
    pub fn release(&self) {
        self.relay.limit.send_replace(u64::MAX);
    }

    /// The paths of the files that it has, below its prefix.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn files(&self) -> Result<BTreeSet<String>> {
        let top = self.root().join(BUCKET).join(PREFIX);
        let mut found = BTreeSet::new();
        if top.is_dir() {
            collect(&top, &top, &mut found)?;
        }
        Ok(found)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }
}

/// The Secret of a RedisBackupStore, with this secret of its access key.
///
/// # Errors
/// When it is refused.
pub async fn put_key(space: &Space<'_>, name: &str, secret: &str) -> Result<()> {
    let data = [("id", ACCESS_KEY), ("secret", secret)];
    space.put_secret(name, &data).await
}

/// The secret that a [`Store`] takes.
pub const STORE_SECRET: &str = SECRET_KEY;

async fn started(address: SocketAddr, root: PathBuf) -> Result<Gateway> {
    tokio::task::spawn_blocking(move || Gateway::start_at(address, &root)).await?
}

fn collect(top: &Path, folder: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with(UNFINISHED) {
            continue;
        }
        match path.is_dir() {
            true => collect(top, &path, found)?,
            false => {
                let below = path.strip_prefix(top)?;
                found.insert(below.display().to_string());
            }
        }
    }
    Ok(())
}

/// Where pods reach what listens on this machine's loopback.
struct Relay {
    address: SocketAddr,
    /// Bytes that may pass in all.
    limit: watch::Sender<u64>,
    /// Bytes that have.
    passed: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((HOST_IP, 0));
        let listener = listener
            .await
            .with_context(|| format!("no testbed has the address {HOST_IP}"))?;
        let (limit, gate) = watch::channel(u64::MAX);
        let address = listener.local_addr()?;
        let passed = Arc::<AtomicU64>::default();
        let way = Way {
            gate,
            passed: passed.clone(),
        };
        Ok(Self {
            address,
            limit,
            passed,
            task: tokio::spawn(accept(listener, to, way)),
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Way {
    gate: watch::Receiver<u64>,
    passed: Arc<AtomicU64>,
}

/// Its connections end with it.
async fn accept(listener: TcpListener, to: SocketAddr, way: Way) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let way = way.clone();
        connections.spawn(async move {
            // Who is not let in learns it as from a store that is down.
            let server = TcpStream::connect(to).await?;
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::try_join!(
                pass(from_client, to_server, way.clone()),
                pass(from_server, to_client, way),
            )?;
            anyhow::Ok(())
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Way) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return Ok(to.shutdown().await?);
        }
        let Way { gate, passed } = &mut way;
        gate.wait_for(|limit| passed.load(Ordering::Relaxed) < *limit)
            .await?;
        to.write_all(chunk.get(..count).unwrap_or_default()).await?;
        passed.fetch_add(u64::try_from(count)?, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finished_files_count() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/b.json", ".sgwtmp/multipart/part"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut found = BTreeSet::new();
        collect(folder.path(), folder.path(), &mut found).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a/b.json"]);
    }
}
