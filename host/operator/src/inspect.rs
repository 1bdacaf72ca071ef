//! What the operator knows, to whoever may forward a port to this pod: `/decisions` and
//! `/decisions/<namespace>/<name>`, what policies decided; `/instances/<namespace>/<name>` and
//! `/clusters/<namespace>/<name>`, an object as the leader sees it.

use std::sync::{Arc, OnceLock};

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hera_http::serve::{OPEN, Plain};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::last_seen::{self, NoView};
use crate::object::ObjectKey;
use crate::policies::Journal;
use crate::shared::Shared;

/// What is served.
#[derive(Clone)]
pub struct Inspected {
    /// Decisions.
    pub journal: Arc<Journal>,
    /// Everything else, once the operator has started.
    pub shared: Arc<OnceLock<Arc<Shared>>>,
}

/// Serves until `shutdown` completes.
pub async fn serve(
    listener: TcpListener,
    inspected: Inspected,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let routes = Router::new()
        .route("/decisions", get(all))
        .route("/decisions/{namespace}/{name}", get(about))
        .route("/instances/{namespace}/{name}", get(instance))
        .route("/clusters/{namespace}/{name}", get(cluster))
        .with_state(inspected);
    tokio::select! {
        () = hera_http::serve::serve(listener, Plain, routes, OPEN) => {}
        () = shutdown => {}
    }
}

async fn all(State(inspected): State<Inspected>) -> impl IntoResponse {
    lines(inspected.journal.lines(None))
}

async fn about(
    State(inspected): State<Inspected>,
    Path((namespace, name)): Path<(String, String)>,
) -> impl IntoResponse {
    lines(inspected.journal.lines(Some((&namespace, &name))))
}

fn lines(lines: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], lines)
}

async fn instance(
    State(inspected): State<Inspected>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let Some(shared) = inspected.shared.get() else {
        return not_started();
    };
    seen(last_seen::view(shared, &ObjectKey::instance(&namespace, &name)).await)
}

async fn cluster(
    State(inspected): State<Inspected>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let Some(shared) = inspected.shared.get() else {
        return not_started();
    };
    seen(last_seen::cluster::view(shared, &ObjectKey::cluster(&namespace, &name)).await)
}

fn not_started() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "it starts").into_response()
}

fn seen<V: Serialize>(view: Result<V, NoView>) -> Response {
    match view {
        Ok(view) => Json(view).into_response(),
        Err(NoView::Standby) => {
            let words = "it does not lead any more";
            (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
        }
        Err(NoView::Unknown) => {
            let words = "it has not looked at the object yet";
            (StatusCode::NOT_FOUND, words).into_response()
        }
    }
}
