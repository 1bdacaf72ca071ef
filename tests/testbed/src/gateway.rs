//! A store that speaks S3, on loopback: a bucket is a folder, and a file in it is a file.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hera_core::backup::{S3Access, StoreAccess};
use tempfile::TempDir;

use crate::layout::Layout;
use crate::programs;
use crate::run::{command, wait};

/// The key that it takes.
pub const ACCESS_KEY: &str = "hera-testbed-access";
/// The secret of that key.
pub const SECRET_KEY: &str = "hera-testbed-secret";
/// The region that it is in.
pub const REGION: &str = "us-east-1";
/// For a start on a machine that builds beside it.
const START: Duration = Duration::from_secs(30);
/// For an answer to the question whether it is there.
const ANSWER: Duration = Duration::from_secs(2);
/// Another program may take a port between the look and the start.
const STARTS: usize = 5;
/// Answers who asks whether it is there, without a key.
const HEALTH: &str = "/health";

/// A store that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Gateway {
    program: Child,
    address: SocketAddr,
    root: PathBuf,
    /// Removed after the program has ended; none if the folder is somebody else's.
    own: Option<TempDir>,
}

impl Gateway {
    /// A new one, without buckets, in a folder of its own that goes with it.
    ///
    /// # Errors
    /// When it cannot be built or does not answer.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut started = Self::start_in(&folder.path().join("root"))?;
        started.own = Some(folder);
        Ok(started)
    }

    /// The same, with its buckets in a folder, which is made if it is missing and stays.
    ///
    /// # Errors
    /// When it cannot be built or does not answer.
    pub fn start_in(root: &Path) -> Result<Self> {
        // What cannot be built is not tried again.
        program()?;
        let mut failed = anyhow!("no port is free");
        for _ in 0..STARTS {
            match Self::start_at(free_address()?, root) {
                Ok(started) => return Ok(started),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// One that listens there and has its buckets in a folder, which is made if it is missing and stays. What one
    /// before it kept in that folder is there.
    ///
    /// # Errors
    /// When it cannot be built or does not answer.
    pub fn start_at(address: SocketAddr, root: &Path) -> Result<Self> {
        let program = program()?;
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let log = root.with_extension("log");
        let out = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let program = command(&words(&program, address, root))?
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .context("the store does not start")?;
        let mut started = Self {
            program,
            address,
            root: root.to_path_buf(),
            own: None,
        };
        started.answers().with_context(|| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            format!("the store at {address} says: {}", said.trim())
        })?;
        Ok(started)
    }

    /// What a client is told of it: `http://` and its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The folder of its buckets: `<root>/<bucket>/<path of a file>`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a bucket.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn make_bucket(&self, name: &str) -> Result<()> {
        let folder = self.root.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))
    }

    /// How an agent reaches a bucket.
    pub fn access(&self, bucket: &str, prefix: &str) -> StoreAccess {
        access_at(&self.endpoint(), bucket, prefix)
    }

    /// Waits until it answers, or has ended.
    fn answers(&mut self) -> Result<()> {
        let mut ended = None;
        wait("an answer of the store", START, || {
            ended = self.program.try_wait()?;
            Ok(ended.is_some() || is_healthy(self.address)?)
        })?;
        match ended.or(self.program.try_wait()?) {
            Some(status) => bail!("it ended: {status}"),
            None => Ok(()),
        }
    }
}

/// How an agent reaches a bucket of a store at another address, such as that of a proxy.
pub fn access_at(endpoint: &str, bucket: &str, prefix: &str) -> StoreAccess {
    StoreAccess {
        name: "gateway".to_owned(),
        s3: S3Access {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            region: REGION.to_owned(),
            endpoint: Some(endpoint.to_owned()),
            force_path_style: true,
            ca: None,
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: SECRET_KEY.to_owned(),
        },
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // One that has ended already is no failure.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn program() -> Result<PathBuf> {
    let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).or_else(|_| Layout::here())?;
    programs::versitygw(&layout)
}

/// The words that start one: `env` becomes the program.
pub(crate) fn words(program: &Path, address: SocketAddr, root: &Path) -> Vec<String> {
    let keys = [
        format!("ROOT_ACCESS_KEY={ACCESS_KEY}"),
        format!("ROOT_SECRET_KEY={SECRET_KEY}"),
    ];
    let (program, root) = (program.display(), root.display());
    let mut words = vec!["env".to_owned()];
    words.extend(keys);
    words.extend([
        program.to_string(),
        "--port".to_owned(),
        address.to_string(),
    ]);
    words.extend(["--region", REGION, "--health", HEALTH, "--quiet", "posix"].map(str::to_owned));
    words.push(root.to_string());
    words
}

/// Whether one answers there.
pub(crate) fn is_healthy(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let asked = format!("GET {HEALTH} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(asked.as_bytes())?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(&status == b"HTTP/1.1 200")
}

/// A port of loopback that nothing uses: below the range from which the system gives ports to clients, and above those
/// that tests of servers take.
///
/// # Errors
/// When there is none.
fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 100)? * 25;
    for _ in 0..2500 {
        let port = 30_100 + (start + NEXT.fetch_add(1, Ordering::Relaxed) % 2500) % 2500;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}
