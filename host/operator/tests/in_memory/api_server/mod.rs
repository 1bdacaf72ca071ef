//! An API server in memory, spoken to over HTTP on loopback, and the operator's own program against it.
//!
//! It keeps objects, versions them, watches, patches and collects what an owner leaves behind. It runs no
//! controllers, admission or scheduling: a test puts what they would have made, and says what is refused.
//! Server-side apply is simplified: lists are replaced as a whole.
#![allow(dead_code, unused_imports, reason = "each test uses its part")]

mod http;
mod program;
mod store;

use std::sync::Arc;

use serde_json::Value;

pub use program::{CLUSTERS, HOME, Operator, SHOP};
pub use store::{Answer, Request, Store};

/// Waits until `check` answers something; what it answered last otherwise is lost, so `what` names it.
pub async fn wait_for<T>(what: &str, check: impl FnMut() -> Option<T>) -> T {
    wait_within(std::time::Duration::from_secs(20), what, check).await
}

/// The same of what takes long by itself.
pub async fn wait_within<T>(
    limit: std::time::Duration,
    what: &str,
    mut check: impl FnMut() -> Option<T>,
) -> T {
    let found = tokio::time::timeout(limit, async {
        loop {
            if let Some(found) = check() {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    match found.await {
        Ok(found) => found,
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}

/// A condition of an object.
pub fn condition(object: &Value, type_: &str) -> Option<Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let mut conditions = conditions.iter();
    conditions.find(|c| c["type"] == type_).cloned()
}

/// The server, on a port of its own.
pub struct ApiServer {
    pub store: Arc<Store>,
    pub url: String,
    serving: tokio::task::JoinHandle<()>,
}

impl ApiServer {
    pub async fn start() -> Self {
        let store = Arc::new(Store::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(http::serve(listener, store.clone()));
        Self {
            store,
            url,
            serving,
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
