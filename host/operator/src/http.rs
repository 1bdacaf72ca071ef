//! `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hera_http::serve::{OPEN, Plain};
use tokio::net::TcpListener;
use tracing::error;

use crate::metrics::Metrics;

/// Whether this replica can do its work; shown by `/readyz`.
#[derive(Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says whether it can.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Served {
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

/// Serves until `shutdown` completes.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Served { metrics, readiness });
    tokio::select! {
        () = hera_http::serve::serve(listener, Plain, routes, OPEN) => {}
        () = shutdown => {}
    }
}

async fn readyz(State(served): State<Served>) -> impl IntoResponse {
    if served.readiness.0.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        let why = "the custom resource definition is missing or older than this operator: \
                   kubectl apply -f deploy/crd/\n";
        (StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

async fn metrics_text(State(served): State<Served>) -> impl IntoResponse {
    match served.metrics.text() {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
            (StatusCode::OK, kind, text).into_response()
        }
        Err(error) => {
            error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
