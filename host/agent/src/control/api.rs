//! The control API: HTTPS, for the operator; and for peers, which ask whether they may serve.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router, middleware};
use hera_core::acl::{AclSet, Categories};
use hera_core::agent::{
    AgentStatus, ClusterState, Confirmation, FenceState, Look, Members, NOT_GONE_YET, Order,
    PATH_ACL, PATH_BACKUP, PATH_BACKUP_ORDERS, PATH_CLUSTER, PATH_COMMANDS, PATH_CONFIG,
    PATH_CONFIRM, PATH_EVENTS, PATH_FENCE, PATH_LOOK, PATH_MEMBERS, PATH_ORDERS, PATH_POSITION,
    PATH_SLOT, PATH_STATUS, PATH_TAKE_OVER, PATH_VOUCH, Position, Question, Request, ServerConfig,
    ServerState, SlotStep, TakeOver, Vouch,
};
use hera_core::backup::{BackupOrder, BackupState};
use hera_core::fence::vouches;
use hera_core::term;
use hera_redis::Probe;
use serde::Serialize;

use crate::agent::Agent;
use crate::apply::{push_acl, push_config};
use crate::backup;
use crate::cluster;
use crate::control::answer::Refused;
use crate::control::caller::Caller;
use crate::control::{caller, events, orders};
use crate::role::members;
use crate::role::settle::leads_to;

/// A killed process is gone at once, unless the kernel holds it. The operator waits for five seconds for an answer.
const DOWN_LIMIT: Duration = Duration::from_secs(3);

/// Uid of the pod that a peer means to ask: its address may be another pod's by now.
pub const ASKED_POD: &str = "hera-pod";

type Answer<T> = Result<Json<T>, Refused>;

/// The routes.
pub fn routes(agent: Arc<Agent>) -> Router {
    Router::new()
        .route(PATH_STATUS, get(status))
        .route(PATH_EVENTS, get(events::events))
        .route(PATH_ORDERS, post(order))
        .route(PATH_CONFIG, put(config))
        .route(PATH_ACL, put(acl))
        .route(PATH_MEMBERS, put(members))
        .route(PATH_POSITION, get(position))
        .route(PATH_COMMANDS, get(commands))
        .route(PATH_FENCE, get(fence))
        .route(PATH_CLUSTER, get(cluster))
        .route(PATH_BACKUP, get(backups))
        .route(PATH_BACKUP_ORDERS, post(order_backup))
        .route(PATH_CONFIRM, post(confirm))
        .route_layer(middleware::from_fn(caller::operator_only))
        .route(PATH_VOUCH, post(vouch))
        .route(PATH_LOOK, post(look))
        .route(PATH_TAKE_OVER, post(take_over))
        .route(PATH_SLOT, post(take_slot))
        .with_state(agent)
}

async fn status(State(agent): State<Arc<Agent>>) -> Json<AgentStatus> {
    Json(agent.board.status())
}

async fn config(
    State(agent): State<Arc<Agent>>,
    Json(request): Json<Request<ServerConfig>>,
) -> Response {
    to_its_end(async move {
        let _turn = agent.configuring.lock().await;
        {
            let _work = agent.work.lock().await;
            check_term(&agent, request.term)?;
        }
        let pushed = push_config::push(&agent, request.body).await;
        pushed.map(Json).map_err(Refused::wrong)
    })
    .await
}

async fn acl(State(agent): State<Arc<Agent>>, Json(request): Json<Request<AclSet>>) -> Response {
    to_its_end(async move {
        let mut work = agent.work.lock().await;
        check_term(&agent, request.term)?;
        let pushed = push_acl::push(&agent, &mut work, request.body).await;
        pushed.map(Json).map_err(Refused::wrong)
    })
    .await
}

async fn members(
    State(agent): State<Arc<Agent>>,
    Json(request): Json<Request<Members>>,
) -> Response {
    to_its_end(async move {
        let _work = agent.work.lock().await;
        check_term(&agent, request.term)?;
        members::push(&agent, request.body)?;
        Ok(Json(agent.board.status()))
    })
    .await
}

async fn order(State(agent): State<Arc<Agent>>, Json(request): Json<Request<Order>>) -> Response {
    to_its_end(async move {
        let goes_down = matches!(request.body, Order::Fence { .. } | Order::FenceBusy { .. });
        {
            let mut work = agent.work.lock().await;
            check_term(&agent, request.term)?;
            orders::carry_out(&agent, &mut work, request.body).await?;
        }
        let mut news = agent.board.watch();
        let down = news.wait_for(|status| status.server == ServerState::Fenced);
        if goes_down && tokio::time::timeout(DOWN_LIMIT, down).await.is_err() {
            return Err(Refused::later(NOT_GONE_YET));
        }
        Ok(Json(agent.board.status()))
    })
    .await
}

async fn position(State(agent): State<Arc<Agent>>) -> Answer<Position> {
    let Some(token) = agent.token() else {
        return Err(Refused::wrong("the pod ends"));
    };
    let (server, files) = {
        let work = agent.work.lock().await;
        (work.server.clone(), work.files)
    };
    let silent = || Refused::later("the server does not tell its position now");
    match server.ok_or_else(silent)?.probe().await? {
        Probe::Info(info) if !info.loading => {
            agent.work.lock().await.leads_to = leads_to(&info);
            Ok(Json(Position {
                token,
                replication_id: info.replication.replid.clone(),
                offset: info.replication.offset,
                keys: info.keys,
                bytes: files.bytes,
                written_unix_ms: files.written_unix_ms,
            }))
        }
        _ => Err(silent()),
    }
}

async fn commands(State(agent): State<Arc<Agent>>) -> Answer<Categories> {
    let server = agent.work.lock().await.server.clone();
    let silent = || Refused::later("the server does not tell its commands now");
    Ok(Json(server.ok_or_else(silent)?.categories().await?))
}

async fn cluster(State(agent): State<Arc<Agent>>) -> Answer<ClusterState> {
    let cluster = cluster::orders::of(&agent)?;
    Ok(Json(cluster::state::told(&agent, cluster).await))
}

async fn backups(State(agent): State<Arc<Agent>>) -> Json<BackupState> {
    Json(backup::orders::state(&agent))
}

async fn order_backup(
    State(agent): State<Arc<Agent>>,
    Json(request): Json<Request<BackupOrder>>,
) -> Response {
    to_its_end(async move {
        let _work = agent.work.lock().await;
        check_term(&agent, request.term)?;
        backup::orders::carry_out(&agent, request.body)?;
        Ok(Json(backup::orders::state(&agent)))
    })
    .await
}

async fn take_over(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Json(asked): Json<TakeOver>,
) -> Answer<()> {
    if !is_meant(&agent, &headers) {
        return Err(Refused::wrong("another pod is meant"));
    }
    of_same_object(&agent, &caller)?;
    cluster::leave::take_over(&agent, &asked).await?;
    Ok(Json(()))
}

/// The one that is meant is named by its server's id.
async fn take_slot(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
    Json(asked): Json<SlotStep>,
) -> Response {
    if let Err(refused) = of_same_object(&agent, &caller) {
        return refused.into_response();
    }
    to_its_end(async move {
        let taken = cluster::moving::step::take(&agent, &asked).await;
        taken.map(Json)
    })
    .await
}

/// Any agent's certificate is of the same authority; only those of this agent's object are good for its name.
fn of_same_object(agent: &Agent, caller: &Caller) -> Result<(), Refused> {
    match caller.is_good_for(&agent.settings.server_name) {
        true => Ok(()),
        false => {
            let words = "this is for agents of the same object alone";
            Err(Refused::new(StatusCode::FORBIDDEN, words))
        }
    }
}

/// A peer says which pod it means: an address may be another's by now.
fn is_meant(agent: &Agent, headers: &HeaderMap) -> bool {
    let meant = headers.get(ASKED_POD);
    meant.is_some_and(|pod| pod.as_bytes() == agent.settings.pod_uid.as_bytes())
}

async fn fence(State(agent): State<Arc<Agent>>) -> Json<FenceState> {
    Json(agent.fence.state())
}

async fn confirm(
    State(agent): State<Arc<Agent>>,
    Json(request): Json<Request<Confirmation>>,
) -> Answer<AgentStatus> {
    check_term(&agent, request.term)?;
    let Confirmation { number, epoch } = request.body;
    agent.fence.confirmed_by_operator(number, epoch);
    Ok(Json(agent.board.status()))
}

async fn vouch(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Json(question): Json<Question>,
) -> Answer<Vouch> {
    of_same_object(&agent, &caller)?;
    // Noted first: a promise that is written down from now on sees it, and one that is being written
    // is waited for.
    agent.vouched.note();
    let state = agent.state_file.get();
    let confirmed =
        is_meant(&agent, &headers) && vouches(&question, state.promised_epoch, state.known());
    Ok(Json(Vouch { confirmed }))
}

async fn look(
    State(agent): State<Arc<Agent>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Answer<Look> {
    of_same_object(&agent, &caller)?;
    if !is_meant(&agent, &headers) {
        return Err(Refused::wrong("another pod is meant"));
    }
    Ok(Json(backup::log::look(&agent).await?))
}

/// What was begun is done to its end, also when the operator hangs up.
async fn to_its_end<T: Serialize + Send + 'static>(
    work: impl Future<Output = Answer<T>> + Send + 'static,
) -> Response {
    match tokio::spawn(work).await {
        Ok(answer) => answer.into_response(),
        Err(error) => {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

/// Notes a new term, durably, and refuses an older one, and what is none. Who then changes something
/// holds the work from before: no later leader's change comes in between.
fn check_term(agent: &Agent, term: u64) -> Result<(), Refused> {
    if !term::is_term(term) {
        return Err(Refused::no_term(term));
    }
    let seen = agent.state_file.get().seen_term();
    if term < seen {
        return Err(Refused::old_term(term, seen));
    }
    Ok(agent.note(|state| state.hears(term))?)
}
