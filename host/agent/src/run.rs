//! Starts the parts, and ends them in order.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hera_http::serve::{CONTROL, OPEN, Plain, serve};
use nix::sys::prctl;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, watch};
use tracing::{error, info, warn};

use crate::agent::{Agent, Work};
use crate::apply::push_config;
use crate::backup::log;
use crate::backup::recovery::Recovery;
use crate::cluster;
use crate::control::status::Board;
use crate::control::{api, caller, metrics, orders, peers, probes, tls};
use crate::fence::watchdog::Fence;
use crate::role::leave;
use crate::server::reaper::Reaper;
use crate::server::{leftover, supervise};
use crate::settings::{Settings, without_ipv6};
use crate::state::state_file::StateFile;
use crate::state::{durable, files};

/// What was said last reaches those who listen within this time.
const LAST_WORD: Duration = Duration::from_millis(50);
/// What is left of the log is stored within this time after the server has stopped: the pod ends a little later.
const LOGGED: Duration = Duration::from_secs(6);

/// Copies this program into `folder`.
///
/// # Errors
/// When it cannot be read or written.
pub fn install(folder: &Path) -> io::Result<()> {
    let aside = folder.join("hera-agent.new");
    fs::copy(std::env::current_exe()?, &aside)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755))?;
    fs::rename(aside, folder.join("hera-agent"))
}

/// Runs until SIGTERM, and then until the server has stopped.
///
/// # Errors
/// When the agent cannot start.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    // The server runs as the same user, and the agent's password is in this memory.
    if let Err(error) = prctl::set_dumpable(false) {
        warn!(%error, "the server's user can read the agent's memory");
    }
    // What speaks to backup stores; a program that installed one before has its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    durable::folder(&settings.own())?;
    durable::folder(&settings.run)?;
    let _lock = durable::lock(&settings.own())?;
    let state_file = StateFile::open(settings.own().join("state"));
    // Nothing runs before that is noted, and the object says why.
    let held_by = state_file.change(|state| state.is_held_by(&settings.pod_uid), |_| {});
    let mut state = state_file.get();
    state.starts(&settings.object_uid);
    let held = files::best_config(&settings);
    let board = Board::new(&settings, &state);
    board.change(|status| {
        status.config.revision = held.config.revision;
        status.config.rejected.clone_from(&held.rejected);
    });
    if let Err(error) = &held_by {
        error!(%error, "who has the volume cannot be noted");
        board.writes_state(Some(error));
    }
    let acl = files::best_acl(&settings).map(|set| set.at_shard(settings.shard));
    leftover::end(&settings).await;
    // Told before anybody can ask.
    let recovery = Recovery::find(&settings, &state_file);
    board.change(|status| status.recovery = recovery.news());
    let down = orders::down_since_before(state.fenced);
    let fence = Arc::new(Fence::new(state.members.unwrap_or_default(), down)?);
    fence.start()?;
    let agent = Arc::new(Agent {
        board,
        state_file,
        fence,
        tokens: Default::default(),
        vouched: Default::default(),
        turns: Default::default(),
        offset: Default::default(),
        reaper: Reaper::start()?,
        gauge: Default::default(),
        room: Default::default(),
        recovery,
        work: Mutex::new(Work::new(held, acl)),
        configuring: Mutex::default(),
        settle: Notify::new(),
        look: Notify::new(),
        retry: Notify::new(),
        alone: Notify::new(),
        cluster: settings.shard.map(|_| Default::default()),
        backups: Default::default(),
        log: Default::default(),
        sweeps: Default::default(),
        load: Default::default(),
        asked: OnceLock::new(),
        stopping: watch::channel(false).0,
        password: password(),
        metrics_password: password(),
        settings,
    });

    let listener = listen(agent.settings.probes).await?;
    let routes = probes::routes(agent.clone());
    tokio::spawn(serve(listener, Plain, routes, OPEN));
    if agent.settings.serve_metrics {
        match listen(agent.settings.metrics).await {
            Ok(listener) => {
                let routes = metrics::routes(agent.clone());
                tokio::spawn(serve(listener, Plain, routes, OPEN));
            }
            // A sidecar may have the port, and data is served without metrics.
            Err(error) => error!(%error, "there are no metrics of this pod"),
        }
    }
    let tls = tls::load(&agent.settings.tls)?;
    let folder = agent.settings.tls.clone();
    let followed = tls.clone();
    tokio::spawn(async move { tls::follow(&folder, followed).await });
    let listener = listen(agent.settings.control).await?;
    let acceptor = caller::Acceptor::new(tls.server.subscribe());
    tokio::spawn(serve(
        listener,
        acceptor,
        api::routes(agent.clone()),
        CONTROL,
    ));
    let client = tls.client.subscribe();
    if let Some(cluster) = &agent.cluster {
        let _ = cluster.tls.set(client.clone());
    }
    tokio::spawn(peers::ask(agent.clone(), client.clone()));
    let logged = tokio::spawn(log::keep(agent.clone(), client.clone()));

    info!(version = env!("CARGO_PKG_VERSION"), pod = %agent.settings.pod_uid, "agent runs");
    tokio::spawn(push_config::keep(agent.clone()));
    let supervised = tokio::spawn(supervise::run(agent.clone()));
    tokio::pin!(supervised);
    let leaving = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("asked to end");
        let _ = agent.asked.set(Instant::now());
        match &agent.cluster {
            Some(cluster) => cluster::leave::hand_over(&agent, cluster, &client).await,
            None => leave::hand_over(&agent).await,
        }
    };
    tokio::select! {
        ended = &mut supervised => {
            ended?;
            anyhow::bail!("the server is not looked after any more");
        }
        () = leaving => {}
    }
    agent.stopping.send_replace(true);
    supervised.await?;
    if tokio::time::timeout(LOGGED, logged).await.is_err() {
        warn!("the log is not stored to its end");
    }
    // Who listens has the last word by then.
    tokio::time::sleep(LAST_WORD).await;
    Ok(())
}

/// Another with each start.
fn password() -> String {
    format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    )
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = match (TcpListener::bind(address).await, without_ipv6(address)) {
        (Err(_), Some(other)) => TcpListener::bind(other).await,
        (bound, _) => bound,
    };
    bound.with_context(|| format!("cannot listen on {address}"))
}
