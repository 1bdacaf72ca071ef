//! What a scraper asks, over plain HTTP: the server's figures and the agent's own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hera_core::agent::{AgentStatus, Role, ServerState, Space};
use hera_core::backup::CaptureState;
use hera_metrics::{Answers, CONTENT_TYPE, Exporter, Families, LatencyEvent, Slowest};
use hera_redis::{Error, Server, Timeouts, Value, command};
use tokio::sync::Mutex;
use tracing::debug;

use crate::agent::Agent;
use crate::fence::clock;

/// All questions of one scrape together, whatever the server does meanwhile; scrapers wait for ten seconds.
const PATIENCE: Duration = Duration::from_secs(2);
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(1),
    response: PATIENCE,
};

/// The route.
pub fn routes(agent: Arc<Agent>) -> Router {
    let scraper = Scraper {
        agent,
        state: Mutex::default(),
    };
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(Arc::new(scraper))
}

struct Scraper {
    agent: Arc<Agent>,
    state: Mutex<Kept>,
}

/// What is kept from scrape to scrape. The connection is none that anything else waits for.
#[derive(Default)]
struct Kept {
    exporter: Exporter,
    server: Option<Server>,
}

/// What a server answered.
struct Heard {
    info: String,
    cluster: Option<String>,
    slowest: Slowest,
    events: Vec<LatencyEvent>,
}

async fn scrape(State(scraper): State<Arc<Scraper>>) -> Response {
    // One at a time: a slow server collects no scrapes.
    let Ok(mut kept) = tokio::time::timeout(PATIENCE, scraper.state.lock()).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "a scrape is under way\n").into_response();
    };
    let started = Instant::now();
    let mut families = Families::default();
    let heard = tokio::time::timeout(PATIENCE, hear(&scraper.agent, &mut kept.server)).await;
    let failed = match &heard {
        Ok(Ok(heard)) => {
            kept.exporter.of_server(&heard.answers(), &mut families);
            None
        }
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("no answer in time".to_owned()),
    };
    if let Some(error) = &failed {
        debug!(error, "the server cannot be scraped");
    }
    let help = "1 if the server answered.";
    families.gauge("redis_up", help, &[], flag(failed.is_none()));
    let help = "1 if the server could not be asked.";
    let name = "redis_exporter_last_scrape_error";
    families.gauge(name, help, &[("err", "")], flag(failed.is_some()));
    let help = "How long the server took to answer.";
    let name = "redis_exporter_last_scrape_duration_seconds";
    families.gauge(name, help, &[], started.elapsed().as_secs_f64());
    add_own(&scraper.agent.board.status(), &mut families);
    if let Some(log) = scraper.agent.log.state() {
        add_log(&log, &mut families);
    }
    match families.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Asks by the connection that is kept, or by a new one: servers close those that are idle, if they are told to.
async fn hear(agent: &Agent, known: &mut Option<Server>) -> Result<Heard, Error> {
    if let Some(server) = known.take() {
        match ask(agent, &server).await {
            Err(error) if error.is_broken() => {}
            heard => {
                *known = heard.is_ok().then_some(server);
                return heard;
            }
        }
    }
    let server = agent.connect_for_metrics(TIMEOUTS).await?;
    let heard = ask(agent, &server).await?;
    *known = Some(server);
    Ok(heard)
}

/// Asks the server all that there are metrics of. Its user may ask just this: what is asked beyond goes into
/// [`crate::apply::metrics_user`] as well.
async fn ask(agent: &Agent, server: &Server) -> Result<Heard, Error> {
    let info = server.info(&["all"]).await?;
    let cluster = match agent.cluster.is_some() {
        true => {
            let mut question = command("CLUSTER");
            question.arg("INFO");
            unless_refused(server.ask("CLUSTER INFO", &question).await)?
        }
        false => None,
    };
    let slowest = unless_refused(slowest(server).await)?;
    let events = unless_refused(events(server).await)?;
    Ok(Heard {
        info,
        cluster,
        slowest: slowest.unwrap_or_default(),
        events: events.unwrap_or_default(),
    })
}

/// What a server refuses, as all but `INFO` while it reads its data, is not told; everything else is.
fn unless_refused<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(error) if error.is_answer() => {
            debug!(%error, "a question of a scrape has no answer");
            Ok(None)
        }
        other => other.map(Some),
    }
}

async fn slowest(server: &Server) -> Result<Slowest, Error> {
    let mut length = command("SLOWLOG");
    length.arg("LEN");
    let length = server.ask("SLOWLOG LEN", &length).await?;
    let mut last = command("SLOWLOG");
    last.arg("GET").arg(1);
    let last: Vec<Entry> = server.ask("SLOWLOG GET", &last).await?;
    let read = |entry: &Entry| Some((number(entry, 0)?, number(entry, 2)?));
    Ok(Slowest {
        length: Some(length),
        last: last.first().and_then(read),
    })
}

async fn events(server: &Server) -> Result<Vec<LatencyEvent>, Error> {
    let mut latest = command("LATENCY");
    latest.arg("LATEST");
    let latest: Vec<Entry> = server.ask("LATENCY LATEST", &latest).await?;
    let read = |entry: &Entry| {
        let name = match entry.first()? {
            Value::BulkString(name) => String::from_utf8_lossy(name).into_owned(),
            Value::SimpleString(name) => name.clone(),
            _ => return None,
        };
        Some(LatencyEvent {
            name,
            at: number(entry, 1)?,
            took_ms: number(entry, 2)?,
        })
    };
    Ok(latest.iter().filter_map(read).collect())
}

/// An entry of a list, to which later servers add parts.
type Entry = Vec<Value>;

fn number(entry: &Entry, at: usize) -> Option<u64> {
    match entry.get(at)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

impl Heard {
    fn answers(&self) -> Answers<'_> {
        Answers {
            info: &self.info,
            cluster: self.cluster.as_deref(),
            slowest: self.slowest,
            events: &self.events,
            now_ms: clock::unix_ms(),
        }
    }
}

/// What the agent itself knows.
fn add_own(status: &AgentStatus, families: &mut Families) {
    let runs = matches!(status.server, ServerState::Running { .. });
    for (name, help, value) in [
        (
            "hera_server_running",
            "1 while the server runs and its data is read.",
            runs,
        ),
        (
            "hera_server_primary",
            "1 while the server serves writes.",
            status.role == Role::Primary,
        ),
        (
            "hera_server_fenced",
            "1 while the server is kept down, as another leads or somebody wants it.",
            status.server == ServerState::Fenced,
        ),
        (
            "hera_server_hangs",
            "1 while the server answers nothing.",
            status.hangs,
        ),
        (
            "hera_volume_low",
            "1 while the volume has less room than the file that holds the data needs.",
            status.volume.space != Space::Enough,
        ),
        (
            "hera_writes_refused",
            "1 while the server takes no writes, or would take none as the primary, as it cannot save.",
            status.volume.refused_writes.is_some(),
        ),
    ] {
        families.gauge(name, help, &[], flag(value));
    }
    // Epochs and restarts are far below what a float holds exactly.
    let whole = |number: u64| u32::try_from(number).map_or(f64::INFINITY, f64::from);
    let help = "Epoch of the data.";
    families.gauge("hera_epoch", help, &[], whole(status.memory.epoch));
    let help = "How often the server was started again since the agent started.";
    families.counter(
        "hera_server_restarts_total",
        help,
        &[],
        whole(status.restarts),
    );
}

/// How far the log is that the agent keeps of its server.
fn add_log(log: &CaptureState, families: &mut Families) {
    let whole = |number: u64| u32::try_from(number).map_or(f64::INFINITY, f64::from);
    if let Some(covered) = log.covered_unix_ms {
        let help = "All that was acknowledged before is in the store of the log.";
        let name = "hera_backup_covered_timestamp_seconds";
        let seconds = Duration::from_millis(covered).as_secs_f64();
        families.gauge(name, help, &[], seconds);
    }
    let help = "What was read of the log and waits for the store.";
    let name = "hera_backup_queue_bytes";
    families.gauge(name, help, &[], whole(log.queue_bytes));
    let help = "How often the log began anew, with a gap before, since the agent started.";
    let name = "hera_backup_gaps_total";
    families.counter(name, help, &[], whole(log.gaps));
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
