//! Wires everything together and runs until it is told to stop.

use std::sync::Arc;

use anyhow::Context as _;
use futures::StreamExt as _;
use hera_kube::lease::{Elector, LeaseName};
use hera_kube::{Applier, Events, StatusWriter};
use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::agents::AgentPool;
use crate::args::Args;
use crate::authority::AuthorityCell;
use crate::controllers::redis_instance;
use crate::metrics::Metrics;
use crate::policies::{Journal, Policies};
use crate::shared::{Attempts, Shared};
use crate::watches::ReferenceWatches;
use crate::{crd, http, inspect};

const CONTROLLER: &str = "hera-operator";

/// Runs the operator until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start: no cluster, no port, no sandbox.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_default()
        .await
        .context("no Kubernetes cluster is configured")?;
    let metrics = Arc::new(Metrics::new()?);
    let readiness = http::Readiness::default();
    let stop = stop_signal()?;
    let stopped = |mut stop: watch::Receiver<bool>| async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };

    let listener = TcpListener::bind(args.http_address)
        .await
        .with_context(|| format!("cannot listen on {}", args.http_address))?;
    let server = tokio::spawn(http::serve(
        listener,
        metrics.clone(),
        readiness.clone(),
        stopped(stop.clone()),
    ));

    let journal = Arc::new(match &args.decision_log {
        Some(path) => Journal::with_file(path)
            .with_context(|| format!("cannot append to {}", path.display()))?,
        None => Journal::default(),
    });
    let listener = TcpListener::bind(args.inspect_address)
        .await
        .with_context(|| format!("cannot listen on {}", args.inspect_address))?;
    let inspection = tokio::spawn(inspect::serve(
        listener,
        journal.clone(),
        stopped(stop.clone()),
    ));

    let current = crd::wait_until_current(&client, |outdated| {
        readiness.set(!outdated);
        metrics.crd_outdated.set(i64::from(outdated));
    });
    tokio::select! {
        () = current => {}
        () = stopped(stop.clone()) => return Ok(()),
    }

    let identity = args
        .identity
        .clone()
        .unwrap_or_else(|| format!("{CONTROLLER}-{:08x}", rand::random::<u32>()));
    let lease = LeaseName {
        namespace: args.namespace.clone(),
        name: CONTROLLER.to_owned(),
    };
    let (elector, leadership) = Elector::new(client.clone(), lease, identity.clone());
    let (drained, until_drained) = watch::channel(false);
    let election = tokio::spawn(elector.run(stopped(until_drained)));

    let (wake, woken) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        client: client.clone(),
        applier: Applier::new(client.clone()),
        status: StatusWriter::new(client.clone()),
        events: Events::new(client.clone(), CONTROLLER, &identity),
        leadership: leadership.clone(),
        agents: AgentPool::new(wake.clone()),
        authority: AuthorityCell::default(),
        policies: Policies::new(
            client.clone(),
            args.namespace.clone(),
            metrics.clone(),
            journal,
            wake.clone(),
        )
        .await?,
        references: ReferenceWatches::new(client.clone(), wake, args.namespace.clone()),
        metrics: metrics.clone(),
        namespace: args.namespace.clone(),
        agent_image: args.agent_image.clone(),
        categories: std::sync::Mutex::default(),
        attempts: Attempts::default(),
    });

    let sweeping = {
        let shared = shared.clone();
        tokio::spawn(async move { shared.policies.sweep(&shared.leadership).await })
    };
    info!(%identity, namespace = args.namespace, "operator starts");
    redis_instance::run(shared, &args.watch_namespaces, woken, stopped(stop.clone()))
        .for_each(|()| std::future::ready(()))
        .await;

    sweeping.abort();
    // The Lease is given up only when nothing writes any more.
    let _ = drained.send(true);
    election.await?;
    server.await??;
    inspection.await??;
    info!("operator stopped");
    Ok(())
}

/// Turns true at SIGTERM or SIGINT.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = stop.send(true);
        stop.closed().await;
    });
    Ok(stopped)
}
