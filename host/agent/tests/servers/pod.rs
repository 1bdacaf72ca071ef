//! A pod without Kubernetes: folders, certificates, ports, and the agent as a process.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use hera_core::acl::{AclSet, AclUser};
use hera_core::agent::{
    AclState, AgentStatus, ConfigState, Members, Order, PATH_ACL, PATH_CONFIG, PATH_MEMBERS,
    PATH_ORDERS, PATH_POSITION, PATH_STATUS, Peer, Position, Role, ServerConfig, ServerState,
};
use hera_redis::Server;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::client::{AGENT_NAME, Answer, OBJECT_NAMES, answer, app, http, login, send};
use crate::engine::Engine;
use crate::wait::until;

pub const OWNER: &str = "object";

/// A pod.
pub struct Pod {
    pub engine: Engine,
    pub root: TempDir,
    pub authority: Arc<Authority>,
    pub http: reqwest::Client,
    /// Address of the server.
    pub ip: String,
    pub port: u16,
    pub uid: String,
    pub lone: bool,
    pub confirm_seconds: u64,
    /// More of the command line.
    pub more: Vec<String>,
    name: String,
    control: SocketAddr,
    probes: SocketAddr,
    metrics: SocketAddr,
    agent: Option<Child>,
}

impl Pod {
    /// A lone pod without data and without users, not started.
    pub fn new(engine: Engine) -> Self {
        let control = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self::with(
            engine,
            Arc::new(Authority::new()),
            "pod",
            AGENT_NAME,
            control,
        )
    }

    /// A pod without data and without users, not started.
    pub fn with(
        engine: Engine,
        authority: Arc<Authority>,
        uid: &str,
        name: &str,
        control: SocketAddr,
    ) -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["data", "run", "scratch", "etc"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        authority.write(&root.path().join("tls"), &authority.agent(OBJECT_NAMES));
        let tls = authority.client(Some(&authority.operator()));
        Self {
            engine,
            http: http(tls, name, control),
            root,
            authority,
            ip: "127.0.0.1".to_owned(),
            port: free_port(),
            uid: uid.to_owned(),
            lone: true,
            confirm_seconds: 600,
            more: Vec::new(),
            name: name.to_owned(),
            control,
            probes: SocketAddr::from(([127, 0, 0, 1], free_port())),
            metrics: SocketAddr::from(([127, 0, 0, 1], free_port())),
            agent: None,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Under which its agent is reached.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the probes listen.
    pub fn probes(&self) -> SocketAddr {
        self.probes
    }

    /// Where the control API listens.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// What is mounted as the configuration.
    pub fn mount_config(&self, revision: u64, directives: &[(&str, &str)]) {
        let text = serde_json::to_vec(&config(revision, directives)).unwrap();
        fs::write(self.path("etc/server.json"), text).unwrap();
    }

    /// What is mounted as the users.
    pub fn mount_users(&self, revision: u64, users: &[AclUser]) {
        let text = serde_json::to_vec(&set(revision, users)).unwrap();
        fs::write(self.path("etc/acl.json"), text).unwrap();
    }

    /// The agent's command line.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hera-agent"));
        command
            .arg("run")
            .arg("--server")
            .arg(self.engine.program());
        for folder in ["data", "run", "scratch", "tls"] {
            command.arg(format!("--{folder}")).arg(self.path(folder));
        }
        command
            .args(["--engine", self.engine.name])
            .args(["--object-uid", OWNER, "--pod-uid", &self.uid])
            .args(["--bind", &self.ip, "--port", &self.port.to_string()])
            .args(["--lone", &self.lone.to_string()])
            .args(["--confirm-seconds", &self.confirm_seconds.to_string()])
            .args(["--control", &self.control.to_string()])
            .args(["--server-name", &self.name])
            .args(["--probes", &self.probes.to_string()])
            .args(["--metrics", &self.metrics.to_string()])
            .arg("--config")
            .arg(self.path("etc/server.json"))
            .arg("--acl")
            .arg(self.path("etc/acl.json"))
            .args(&self.more)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null());
        command
    }

    /// Starts the agent; completes when it answers.
    pub async fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = self.command();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.agent = Some(command.spawn().unwrap());
        self.until("the agent answers", |_| true).await;
    }

    /// Starts it, confirms the application's user as revision 1, and awaits that it serves.
    pub async fn serve(&mut self) {
        self.start().await;
        self.until("the server answers", is_running).await;
        self.push_users(1, &[app()]).await.unwrap();
        self.until_primary().await;
    }

    /// The status, if the agent answers.
    pub async fn status(&self) -> Result<AgentStatus, String> {
        let request = self.http.get(self.url(PATH_STATUS));
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        answer.json().await.map_err(|error| error.to_string())
    }

    /// Awaits a status.
    pub async fn until(&self, what: &str, is: impl Fn(&AgentStatus) -> bool) -> AgentStatus {
        until(what, async || {
            let status = self.status().await?;
            if is(&status) {
                Ok(status)
            } else {
                Err(format!("{status:#?}"))
            }
        })
        .await
    }

    pub async fn until_primary(&self) -> AgentStatus {
        self.until("the server serves", |status| status.role == Role::Primary)
            .await
    }

    /// Awaits another server process than `pid` that serves.
    pub async fn until_primary_again(&self, pid: u32) -> AgentStatus {
        self.until("another server serves", |status| {
            status.role == Role::Primary && server_pid(status).is_some_and(|now| now != pid)
        })
        .await
    }

    pub async fn push_users(&self, revision: u64, users: &[AclUser]) -> Answer<AclState> {
        self.put(PATH_ACL, 1, set(revision, users)).await
    }

    pub async fn push_config(&self, revision: u64, all: &[(&str, &str)]) -> Answer<ConfigState> {
        self.put(PATH_CONFIG, 1, config(revision, all)).await
    }

    pub async fn put<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        term: u64,
        body: impl serde::Serialize,
    ) -> Answer<T> {
        send(self.http.put(self.url(path)), term, body).await
    }

    pub async fn order(&self, term: u64, order: Order) -> Answer<AgentStatus> {
        send(self.http.post(self.url(PATH_ORDERS)), term, order).await
    }

    /// Promotes it, for the next epoch that it may have.
    pub async fn promote(&self, term: u64) -> Answer<AgentStatus> {
        let memory = self.status().await.unwrap().memory;
        self.promote_for(term, memory.epoch.max(memory.promised_epoch) + 1)
            .await
    }

    pub async fn promote_for(&self, term: u64, epoch: u64) -> Answer<AgentStatus> {
        let token = self.position().await.unwrap().token;
        self.order(term, Order::Promote { epoch, token }).await
    }

    pub async fn position(&self) -> Answer<Position> {
        answer(self.http.get(self.url(PATH_POSITION))).await
    }

    pub async fn push_members(&self, term: u64, members: &Members) -> Answer<AgentStatus> {
        self.put(PATH_MEMBERS, term, members).await
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.name, self.control.port())
    }

    /// As its peers know it.
    pub fn peer(&self) -> Peer {
        Peer {
            pod_uid: self.uid.clone(),
            server_name: self.name.clone(),
            ip: Some(self.control.ip().to_string()),
        }
    }

    pub fn agent_pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    /// Status code of a probe.
    pub async fn probe(&self, path: &str) -> u16 {
        let answer = ask(self.probes, path).await;
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// What a scraper gets.
    pub async fn scrape(&self) -> String {
        let answer = ask(self.metrics, "/metrics").await;
        assert_eq!(answer.split(' ').nth(1), Some("200"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// True if somebody listens for scrapes.
    pub async fn serves_metrics(&self) -> bool {
        tokio::net::TcpStream::connect(self.metrics).await.is_ok()
    }

    /// A connection of the application.
    pub async fn app(&self) -> Server {
        login(self.port, "app").await.unwrap()
    }

    /// Kills the server; answers its process id.
    pub async fn kill_server(&self) -> u32 {
        let status = self.status().await.unwrap();
        let pid = server_pid(&status).expect("a server runs");
        end(pid);
        pid
    }

    /// Kills the agent, and only it.
    pub fn kill_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// Ends the pod as the kubelet does.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended().await
    }

    /// Asks the pod to end.
    pub fn ask_to_end(&self) {
        kill(to_pid(self.agent_pid()), Signal::SIGTERM).unwrap();
    }

    /// Awaits its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().unwrap();
        until("the agent ends", async || {
            let ended = agent.try_wait().unwrap();
            ended.ok_or_else(|| "it runs".to_owned())
        })
        .await
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        let record = fs::read(self.path("run/server.pid")).unwrap_or_default();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
        // A server gives itself another command line: by when it started it is known.
        if let Some(pid) = record["pid"].as_u64()
            && record["started"].as_u64().is_some()
            && started(pid) == record["started"].as_u64()
        {
            let _ = killpg(to_pid(u32::try_from(pid).unwrap()), Signal::SIGKILL);
        }
        if std::thread::panicking() {
            eprintln!("--- the agent's log\n{}", self.log());
        }
    }
}

/// When a process started, in ticks since the machine did.
fn started(pid: u64) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// A configuration whose directives all come from the spec.
pub fn config(revision: u64, directives: &[(&str, &str)]) -> ServerConfig {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let directives: BTreeMap<_, _> = directives.iter().map(pair).collect();
    ServerConfig {
        owner: OWNER.to_owned(),
        revision,
        from_spec: directives.keys().cloned().collect(),
        directives,
    }
}

pub fn set(revision: u64, users: &[AclUser]) -> AclSet {
    AclSet {
        owner: OWNER.to_owned(),
        revision,
        app: "app".to_owned(),
        users: users.to_vec(),
        undecided: BTreeSet::new(),
    }
}

pub fn is_running(status: &AgentStatus) -> bool {
    matches!(status.server, ServerState::Running { .. })
}

pub fn server_pid(status: &AgentStatus) -> Option<u32> {
    match status.server {
        ServerState::Running { pid, .. } | ServerState::Loading { pid } => Some(pid),
        _ => None,
    }
}

/// True if the process runs; one that ended and that nobody waited for does not.
pub fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Kills a process.
pub fn end(pid: u32) {
    kill(to_pid(pid), Signal::SIGKILL).unwrap();
}

pub fn to_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

/// Below the range from which the system gives ports to clients; so is the port of its bus, which is 10 000
/// higher, and that is nobody's port.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let start = u16::try_from(std::process::id() % 100).unwrap() * 90;
        let port = 11_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The whole answer to a request over plain HTTP.
async fn ask(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // HTTP/1.0, so that the answer comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nHost: pod\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
