//! Who serves, and from when on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hera_core::agent::Role;
use hera_redis::Error;
use tokio::time::Instant;

use crate::client::{Client as _, app, login};
use crate::engine::Engine;
use crate::pod::{Pod, is_running};
use crate::wait::until;

on_both!(
    nothing_is_served_before_the_promotion,
    a_lone_pod_serves_at_the_operators_word,
    a_lone_pod_serves_by_itself_when_the_operator_is_away,
    a_pod_with_others_never_promotes_itself,
);

/// Writes and reads all the time; counts what was served and what was refused.
#[derive(Default)]
struct Prober {
    served: AtomicUsize,
    refused: AtomicUsize,
}

impl Prober {
    async fn run(&self, port: u16) {
        loop {
            if let Ok(server) = login(port, "app").await {
                while let Some(served) = Self::once(&server).await {
                    let count = if served { &self.served } else { &self.refused };
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn once(server: &hera_redis::Server) -> Option<bool> {
        let write = server.set("probe", "1").await;
        let read = server.get("old").await;
        let broken = |error: Option<&Error>| error.is_some_and(Error::is_broken);
        if broken(write.as_ref().err()) || broken(read.as_ref().err()) {
            return None;
        }
        Some(write.is_ok() || read.is_ok())
    }
}

async fn nothing_is_served_before_the_promotion(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    pod.app().await.set("old", "1").await.unwrap();
    assert!(pod.terminate().await.success());

    pod.lone = false;
    pod.mount_users(2, &[app()]);
    let prober = Arc::new(Prober::default());
    let probing = {
        let (prober, port) = (prober.clone(), pod.port);
        tokio::spawn(async move { prober.run(port).await })
    };
    pod.start().await;
    pod.until("users are in force", |status| {
        is_running(status) && status.acl.revision == 2
    })
    .await;
    let refused = || prober.refused.load(Ordering::SeqCst);
    until("the prober is refused", async || match refused() {
        0..10 => Err(refused().to_string()),
        _ => Ok(()),
    })
    .await;
    assert_eq!(prober.served.load(Ordering::SeqCst), 0);
    assert_eq!(pod.promote(1).await.unwrap().role, Role::Primary);
    until("the prober is served", async || {
        match prober.served.load(Ordering::SeqCst) {
            0 => Err("refused".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    probing.abort();
}

async fn a_lone_pod_serves_at_the_operators_word(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_users(1, &[app()]);
    pod.start().await;
    let held = pod
        .until("it waits", |status| {
            status
                .waiting_for
                .as_deref()
                .is_some_and(|what| what.contains("confirms"))
        })
        .await;
    assert_eq!(held.role, Role::Held);
    assert!(!held.acl.confirmed);
    assert_eq!(held.acl.revision, 1);
    assert_eq!(held.engine.as_deref(), Some(engine.name));
    assert!(held.version.unwrap().starts_with(engine.version));
    // The same revision is the confirmation.
    assert!(pod.push_users(1, &[app()]).await.unwrap().confirmed);
    assert_eq!(pod.until_primary().await.waiting_for, None);
    pod.app().await.set("a", "1").await.unwrap();
}

async fn a_lone_pod_serves_by_itself_when_the_operator_is_away(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.confirm_seconds = 1;
    pod.mount_users(1, &[app()]);
    let since = Instant::now();
    pod.start().await;
    let status = pod.until_primary().await;
    assert!(since.elapsed() >= Duration::from_secs(1));
    assert!(!status.acl.confirmed);
    pod.app().await.set("a", "1").await.unwrap();
}

async fn a_pod_with_others_never_promotes_itself(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.lone = false;
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until("the server answers", is_running).await;
    pod.push_users(1, &[app()]).await.unwrap();
    let since = Instant::now();
    // Nothing comes that could be awaited.
    while since.elapsed() < Duration::from_secs(1) {
        let status = pod.status().await.unwrap();
        assert_eq!(status.role, Role::Held);
        assert!(status.waiting_for.is_some());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(pod.promote(1).await.unwrap().role, Role::Primary);
    pod.app().await.set("a", "1").await.unwrap();
}
