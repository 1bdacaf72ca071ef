//! A server process of its own for each test.

use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use hera_redis::{Address, Credentials, Error, Server, Timeouts};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(20);

/// An engine and a version.
#[derive(Clone, Copy, Debug)]
pub struct Program(pub &'static str, pub &'static str);

/// A server on a socket.
pub struct Process {
    pub folder: TempDir,
    child: Child,
}

impl Program {
    /// Starts it with `arguments`, such as `--save 60 1`; completes when it answers anything.
    pub async fn start(self, arguments: &[&str]) -> Process {
        let folder = tempfile::tempdir().unwrap();
        self.start_in(folder, arguments).await
    }

    /// The same over data that is there.
    pub async fn start_in(self, folder: TempDir, arguments: &[&str]) -> Process {
        std::fs::create_dir_all(folder.path().join("data")).unwrap();
        let child = Command::new(hera_testbed::servers::path(self.0, self.1).unwrap())
            .args(["--port", "0", "--unixsocket"])
            .arg(folder.path().join("socket"))
            .arg("--dir")
            .arg(folder.path().join("data"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process { folder, child };
        until("it listens", async || match process.try_connect().await {
            Err(Error::Unreachable { .. }) => None,
            _ => Some(()),
        })
        .await;
        process
    }
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    pub async fn try_connect(&self) -> Result<Server, Error> {
        self.login(None).await
    }

    pub async fn login(&self, who: Option<(&str, &str)>) -> Result<Server, Error> {
        let address = Address::unix(self.folder.path().join("socket"));
        let credentials = who.map(|(name, password)| Credentials::new(name, password));
        let timeouts = Timeouts {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(1),
        };
        Server::connect(&address, credentials.as_ref(), timeouts).await
    }

    pub async fn connect(&self) -> Server {
        self.try_connect().await.unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap());
        kill(pid, signal).unwrap();
    }

    pub async fn ended(&mut self) -> ExitStatus {
        until("it ends", async || self.child.try_wait().unwrap()).await
    }

    /// Ends it; its data stays.
    pub fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Sends words and wants no error.
pub async fn say(server: &Server, words: &[&str]) {
    let mut command = hera_redis::command(words[0]);
    command.arg(&words[1..]);
    server.ask::<()>(words[0], &command).await.unwrap();
}
