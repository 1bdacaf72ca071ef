//! `/decisions` and `/decisions/<namespace>/<name>`: what policies decided, to whoever may forward a port to this pod.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::policies::Journal;

/// Serves until `shutdown` completes.
///
/// # Errors
/// When the server ends by itself.
pub async fn serve(
    listener: TcpListener,
    journal: Arc<Journal>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/decisions", get(all))
        .route("/decisions/{namespace}/{name}", get(about))
        .with_state(journal);
    axum::serve(listener, routes)
        .with_graceful_shutdown(shutdown)
        .await
}

async fn all(State(journal): State<Arc<Journal>>) -> impl IntoResponse {
    lines(journal.lines(None))
}

async fn about(
    State(journal): State<Arc<Journal>>,
    Path((namespace, name)): Path<(String, String)>,
) -> impl IntoResponse {
    lines(journal.lines(Some((&namespace, &name))))
}

fn lines(lines: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/x-ndjson")], lines)
}
