//! An agent that follows a script: its server does at once what it is told.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use axum_server::tls_rustls::RustlsConfig;
use futures::stream;
use hera_core::acl::{AclSet, Categories};
use hera_core::agent::{
    AclState, AgentStatus, CONTROL_PORT, ClusterState, ConfigState, FenceState, HEARTBEAT_SECONDS,
    Link, LoginState, Members, Memory, News, Order, PATH_ACL, PATH_BACKUP, PATH_BACKUP_ORDERS,
    PATH_CLUSTER, PATH_COMMANDS, PATH_CONFIG, PATH_CONFIRM, PATH_EVENTS, PATH_FENCE, PATH_MEMBERS,
    PATH_ORDERS, PATH_POSITION, PROTOCOL, Position, Refusal, Request, Role, ServerConfig,
    ServerState, Volume,
};
use hera_core::backup::{BackupOrder, BackupState};
use hera_core::digest::sha256_hex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::backup::{self, Backups};
use super::manner::{Away, Manner, behave};
use super::recovering::{self, Recovery};
use super::ring::Seat;

const COMMANDS: &str = include_str!("../../../../core/testdata/categories-redis-7.0.json");

/// What the server of a pod is, as its agent tells it.
pub type Told = Arc<watch::Sender<AgentStatus>>;

/// What an agent says to whoever would end its server while that is busy, and how often it has said so; nothing, if it
/// obeys.
#[derive(Default)]
pub struct Refusing {
    pub words: Option<&'static str>,
    pub times: usize,
}

/// Shared with the one that answers.
pub type Refuses = Arc<Mutex<Refusing>>;

/// How many links of the server an order has ended.
pub type LinksEnded = Arc<AtomicUsize>;

/// An agent that serves until it is dropped.
pub struct Agent {
    pub told: Told,
    pub away: Away,
    pub refuses: Refuses,
    pub links_ended: LinksEnded,
    pub recovery: Recovery,
    pub backups: Backups,
    serving: JoinHandle<()>,
}

impl Agent {
    /// Starts one for a pod with this uid, with what a volume remembers.
    pub fn start(
        ip: IpAddr,
        uid: &str,
        memory: Memory,
        (certificate, key): (&[u8], &[u8]),
        manner: Manner,
        seat: Option<Seat>,
        recovery: Recovery,
    ) -> Self {
        let mut status = begins(uid, memory);
        recovery.begins(&mut status);
        let told = Arc::new(watch::channel(status).0);
        if let Some(seat) = &seat {
            seat.take(told.clone());
        }
        let (away, backups) = (Away::default(), Backups::default());
        let refuses = Refuses::default();
        let links_ended = LinksEnded::default();
        let app = Router::new()
            .route(PATH_EVENTS, get(events))
            .route(PATH_CONFIG, put(config))
            .route(PATH_ACL, put(acl))
            .route(PATH_MEMBERS, put(members))
            .route(PATH_ORDERS, post(order))
            .route(PATH_POSITION, get(position))
            .route(PATH_COMMANDS, get(commands))
            .route(PATH_FENCE, get(fence))
            .route(PATH_CONFIRM, post(confirm))
            .route(PATH_CLUSTER, get(cluster))
            .route(PATH_BACKUP, get(backup::state))
            .route(PATH_BACKUP_ORDERS, post(order_backup))
            .with_state(told.clone())
            .layer(Extension(seat))
            .layer(Extension(recovery.clone()))
            .layer(Extension(backups.clone()))
            .layer(Extension(refuses.clone()))
            .layer(Extension(links_ended.clone()))
            .layer(from_fn_with_state(
                (manner, told.clone(), away.clone()),
                behave,
            ));
        let tls = RustlsConfig::from_config(Arc::new(tls(certificate, key)));
        let address = SocketAddr::new(ip, CONTROL_PORT);
        let serving = tokio::spawn(async move {
            let server = axum_server::bind_rustls(address, tls);
            server.serve(app.into_make_service()).await.unwrap();
        });
        Self {
            told,
            away,
            refuses,
            links_ended,
            recovery,
            backups,
            serving,
        }
    }
}

/// An order about backups, or about the data with which the pod begins.
async fn order_backup(
    told: State<Told>,
    recovery: Extension<Recovery>,
    backups: Extension<Backups>,
    given: Json<Request<BackupOrder>>,
) -> Result<Json<BackupState>, (StatusCode, Json<Refusal>)> {
    match given.body {
        BackupOrder::Recover { .. } | BackupOrder::StartWithout => {
            recovering::obey(told, recovery, given).await
        }
        _ => backup::order(told, backups, given).await,
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn tls(certificate: &[u8], key: &[u8]) -> rustls::ServerConfig {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// Held, with its data read.
fn begins(uid: &str, memory: Memory) -> AgentStatus {
    AgentStatus {
        protocol: PROTOCOL,
        agent_version: "0.1.0".to_owned(),
        boot_id: format!("boot-of-{uid}"),
        pod_uid: uid.to_owned(),
        server: ServerState::Running {
            pid: 7,
            run_id: format!("run-of-{uid}"),
        },
        role: Role::Held,
        link: None,
        memory,
        members: Members::default(),
        leaving: false,
        hangs: false,
        engine: Some("redis".to_owned()),
        version: Some("7.2.4".to_owned()),
        term: 0,
        config: ConfigState::default(),
        acl: AclState::default(),
        restarts: 0,
        last_exit: None,
        waiting_for: None,
        volume: Volume::default(),
        led_to: None,
        forked_at: None,
        connections: None,
        script: None,
        login: None,
        recovery: None,
        capture: None,
        cluster: None,
    }
}

/// The status now and at each change, and an empty line when there is none for long.
async fn events(State(told): State<Told>) -> Response {
    let begin = (told.subscribe(), true);
    let lines = stream::unfold(begin, |(mut told, first)| async move {
        let heartbeat = Duration::from_secs(HEARTBEAT_SECONDS);
        let changed = match first {
            true => Ok(Ok(())),
            false => tokio::time::timeout(heartbeat, told.changed()).await,
        };
        let line = match changed {
            Ok(Ok(())) => {
                let status = told.borrow_and_update().clone();
                serde_json::to_string(&News::Status(Box::new(status))).unwrap() + "\n"
            }
            Ok(Err(_)) => return None,
            Err(_) => "\n".to_owned(),
        };
        Some((Ok::<_, Infallible>(Bytes::from(line)), (told, false)))
    });
    Response::new(Body::from_stream(lines))
}

async fn config(
    State(told): State<Told>,
    Json(pushed): Json<Request<ServerConfig>>,
) -> Json<ConfigState> {
    told.send_modify(|status| {
        status.term = pushed.term;
        status.config.revision = pushed.body.revision;
    });
    Json(told.borrow().config.clone())
}

async fn acl(State(told): State<Told>, Json(pushed): Json<Request<AclSet>>) -> Json<AclState> {
    told.send_modify(|status| {
        status.term = pushed.term;
        status.acl.revision = pushed.body.revision;
        status.acl.confirmed = true;
        // One that is filled and alone does so once it has users.
        let is_filled = status.recovery.is_some() && !recovering::holds(status);
        if is_filled && status.members.pods.len() == 1 && status.role != Role::Primary {
            leads(status, 1);
        }
    });
    Json(told.borrow().acl.clone())
}

/// A pod that is alone promotes itself.
async fn members(
    State(told): State<Told>,
    Json(pushed): Json<Request<Members>>,
) -> Json<AgentStatus> {
    told.send_modify(|status| {
        status.term = pushed.term;
        let alone = pushed.body.pods.len() == 1;
        status.members = pushed.body;
        if alone && status.role != Role::Primary && !recovering::holds(status) {
            let epoch = status.memory.epoch.max(1);
            leads(status, epoch);
        }
    });
    Json(told.borrow().clone())
}

async fn order(
    State(told): State<Told>,
    Extension(seat): Extension<Option<Seat>>,
    Extension(refuses): Extension<Refuses>,
    Extension(links_ended): Extension<LinksEnded>,
    Json(given): Json<Request<Order>>,
) -> Result<Json<AgentStatus>, (StatusCode, Json<Refusal>)> {
    let refused = refuses.lock().unwrap().words;
    if let (Some(words), Order::FenceBusy { .. }) = (refused, &given.body) {
        refuses.lock().unwrap().times += 1;
        let refusal = Refusal {
            message: words.to_owned(),
            term: None,
        };
        return Err((StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)));
    }
    if let (Some(seat), Order::Cluster { command }) = (&seat, &given.body) {
        seat.obey(command);
    }
    told.send_modify(|status| {
        let link = status.link.clone();
        status.term = given.term;
        match given.body {
            Order::Promote { epoch, .. } => leads(status, epoch),
            Order::Follow {
                epoch,
                primary_uid,
                host,
                port,
                lineage,
                password,
            } => {
                status.role = Role::Replica;
                status.login = Some(logs_in(password.as_bytes()));
                status.server = running(&status.pod_uid);
                status.link = Some(Link {
                    host,
                    port,
                    up: true,
                    syncing: false,
                    quiet: false,
                });
                status.memory.epoch = epoch;
                status.memory.primary_uid = primary_uid;
                status.memory.was_primary = false;
                status.memory.lineage = lineage;
            }
            Order::Fence { .. } | Order::FenceBusy { .. } => {
                status.role = Role::Unknown;
                status.link = None;
                status.script = None;
                status.server = ServerState::Fenced;
            }
            Order::Start => {
                status.role = Role::Held;
                status.server = running(&status.pod_uid);
            }
            Order::Promise { epoch } => {
                status.memory.promised_epoch = status.memory.promised_epoch.max(epoch);
            }
            Order::MarkLeft { left } => status.memory.left = Some(left),
            Order::Leave => status.server = ServerState::Stopping,
            Order::Pause { .. } | Order::Release | Order::Cluster { .. } => {}
        }
        if link.is_some() && status.link != link {
            links_ended.fetch_add(1, Ordering::SeqCst);
        }
    });
    Ok(Json(told.borrow().clone()))
}

/// Its server has this password for its primary.
pub fn logs_in(password: &[u8]) -> LoginState {
    LoginState {
        password_sha256: sha256_hex(password),
        in_force: true,
    }
}

pub fn running(uid: &str) -> ServerState {
    ServerState::Running {
        pid: 7,
        run_id: format!("run-of-{uid}"),
    }
}

fn leads(status: &mut AgentStatus, epoch: u64) {
    status.role = Role::Primary;
    status.link = None;
    status.login = None;
    status.server = running(&status.pod_uid);
    status.memory.epoch = epoch;
    status.memory.primary_uid.clone_from(&status.pod_uid);
    status.memory.was_primary = true;
}

async fn position(State(told): State<Told>) -> Json<Position> {
    let memory = &told.borrow().memory;
    Json(Position {
        token: 1,
        replication_id: "history".to_owned(),
        offset: memory.epoch,
        keys: memory.epoch,
        ..Position::default()
    })
}

/// What its server says of its cluster.
async fn cluster(Extension(seat): Extension<Option<Seat>>) -> Json<ClusterState> {
    Json(seat.map(|seat| seat.state()).unwrap_or_default())
}

async fn commands() -> Json<Categories> {
    Json(serde_json::from_str(COMMANDS).unwrap())
}

async fn fence() -> Json<FenceState> {
    Json(FenceState::default())
}

async fn confirm() -> Json<serde_json::Value> {
    Json(serde_json::json!({}))
}
