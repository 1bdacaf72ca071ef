//! The control API: HTTPS, for the operator alone.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use futures::stream;
use hera_core::acl::AclSet;
use hera_core::agent::{
    AgentStatus, HEARTBEAT_SECONDS, Order, PATH_ACL, PATH_CONFIG, PATH_EVENTS, PATH_ORDERS,
    PATH_STATUS, Refusal, Request, ServerConfig,
};
use tokio::sync::watch;

use crate::agent::{Agent, Work};
use crate::{look, push_acl, push_config};

/// The routes.
pub fn routes(agent: Arc<Agent>) -> Router {
    Router::new()
        .route(PATH_STATUS, get(status))
        .route(PATH_EVENTS, get(events))
        .route(PATH_ORDERS, post(order))
        .route(PATH_CONFIG, put(config))
        .route(PATH_ACL, put(acl))
        .with_state(agent)
}

async fn status(State(agent): State<Arc<Agent>>) -> Json<AgentStatus> {
    Json(agent.board.status())
}

/// One line for each change, and an empty one when nothing changes for long.
async fn events(State(agent): State<Arc<Agent>>) -> Response {
    let news = agent.board.watch();
    let lines = stream::unfold((news, true), |(mut news, first)| async move {
        let line = if first {
            line(&mut news)
        } else {
            next_line(&mut news).await?
        };
        Some((Ok::<_, Infallible>(line), (news, false)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(lines)).into_response()
}

async fn next_line(news: &mut watch::Receiver<AgentStatus>) -> Option<Bytes> {
    let heartbeat = Duration::from_secs(HEARTBEAT_SECONDS);
    match tokio::time::timeout(heartbeat, news.changed()).await {
        Ok(Ok(())) => Some(line(news)),
        Ok(Err(_)) => None,
        Err(_) => Some(Bytes::from_static(b"\n")),
    }
}

fn line(news: &mut watch::Receiver<AgentStatus>) -> Bytes {
    let status = news.borrow_and_update();
    let mut text = serde_json::to_vec(&*status).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

async fn config(
    State(agent): State<Arc<Agent>>,
    Json(request): Json<Request<ServerConfig>>,
) -> Response {
    to_its_end(async move {
        let _turn = agent.configuring.lock().await;
        if let Err(refused) = check_term(&agent, &mut *agent.work.lock().await, request.term) {
            return refused;
        }
        answer(push_config::push(&agent, request.body).await)
    })
    .await
}

async fn acl(State(agent): State<Arc<Agent>>, Json(request): Json<Request<AclSet>>) -> Response {
    to_its_end(async move {
        let mut work = agent.work.lock().await;
        if let Err(refused) = check_term(&agent, &mut work, request.term) {
            return refused;
        }
        answer(push_acl::push(&agent, &mut work, request.body).await)
    })
    .await
}

async fn order(State(agent): State<Arc<Agent>>, Json(request): Json<Request<Order>>) -> Response {
    to_its_end(async move {
        let mut work = agent.work.lock().await;
        if let Err(refused) = check_term(&agent, &mut work, request.term) {
            return refused;
        }
        match request.body {
            Order::Promote => promote(&agent, &mut work).await,
        }
    })
    .await
}

async fn promote(agent: &Agent, work: &mut Work) -> Response {
    let unavailable = |words| refusal(StatusCode::SERVICE_UNAVAILABLE, words, None);
    let Some(server) = work.server.clone() else {
        return unavailable("the server does not run");
    };
    if look::promote(agent, work, &server).await {
        Json(agent.board.status()).into_response()
    } else {
        unavailable("the server was not promoted: see the agent's log")
    }
}

/// What was begun is done to its end, also when the operator hangs up.
async fn to_its_end(work: impl Future<Output = Response> + Send + 'static) -> Response {
    match tokio::spawn(work).await {
        Ok(response) => response,
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), None),
    }
}

/// Notes a new term, durably, and refuses an older one.
#[allow(clippy::result_large_err, reason = "a refusal is the answer itself")]
fn check_term(agent: &Agent, work: &mut Work, term: u64) -> Result<(), Response> {
    let seen = work.keeper.get().term;
    if term < seen {
        let words = format!("term {seen} was seen, {term} is older");
        return Err(refusal(StatusCode::CONFLICT, &words, Some(seen)));
    }
    work.keeper
        .change(|state| state.term = term)
        .map_err(|error| refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string(), None))?;
    agent.board.change(|status| status.term = term);
    Ok(())
}

fn answer<T: serde::Serialize>(result: Result<T, String>) -> Response {
    match result {
        Ok(body) => Json(body).into_response(),
        Err(words) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &words, None),
    }
}

fn refusal(status: StatusCode, words: &str, term: Option<u64>) -> Response {
    (
        status,
        Json(Refusal {
            message: words.to_owned(),
            term,
        }),
    )
        .into_response()
}
