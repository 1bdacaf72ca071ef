//! Wires everything together and runs until it is told to stop.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use hera_api::{Kind, RedisBackup, RedisBackupStore, RedisCluster, RedisInstance};
use hera_kube::lease::{Elector, LeaseName};
use hera_kube::{Applier, Events, StatusWriter};
use hera_render::ControlSources;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, CustomResourceExt as _};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::watch;
use tracing::info;

use crate::agents::{AgentPool, Identities};
use crate::args::Args;
use crate::authority::AuthorityCell;
use crate::backoff::Backoff;
use crate::controllers::pods::zones::Zones;
use crate::controllers::{backups, driver, redis_cluster, redis_instance};
use crate::inspect::Inspected;
use crate::last_seen::LastSeen;
use crate::leaders::Leaders;
use crate::metrics::Metrics;
use crate::object::ObjectKey;
use crate::policies::{Journal, Policies};
use crate::shared::Shared;
use crate::watches::ReferenceWatches;
use crate::{crd, http, inspect};

const CONTROLLER: &str = "hera-operator";
/// The operator's container in its own pod.
const CONTAINER: &str = "operator";

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

    let listener = listen(args.http_address).await?;
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
    let listener = listen(args.inspect_address).await?;
    let inspected = Inspected {
        journal: journal.clone(),
        shared: Arc::new(OnceLock::new()),
    };
    let inspection = tokio::spawn(inspect::serve(
        listener,
        inspected.clone(),
        stopped(stop.clone()),
    ));

    metrics.crd_outdated.set(1);
    let instances = RedisInstance::crd();
    let current = crd::wait_until_current(&client, &instances);
    tokio::select! {
        () = current => {}
        () = stopped(stop.clone()) => return Ok(()),
    }

    let agent_image = agent_image(&args, &client).await?;
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
    let leaders = Arc::new(Leaders::default());
    let shared = Arc::new(Shared {
        client: client.clone(),
        applier: Applier::new(client.clone()),
        status: StatusWriter::new(client.clone()),
        cluster_status: StatusWriter::new(client.clone()),
        clusters: redis_cluster::Clusters::default(),
        zones: Zones::default(),
        events: Events::new(client.clone(), CONTROLLER, &identity),
        leadership: leadership.clone(),
        agents: AgentPool::new(wake.clone(), leadership.clone(), leaders.clone()),
        leaders,
        identities: Identities::default(),
        last_seen: LastSeen::default(),
        authority: AuthorityCell::default(),
        policies: Policies::new(
            client.clone(),
            args.namespace.clone(),
            metrics.clone(),
            journal,
            args.watch_namespaces.clone(),
            wake.clone(),
        )
        .await?,
        references: ReferenceWatches::new(client.clone(), wake, args.namespace.clone()),
        metrics: metrics.clone(),
        namespace: args.namespace.clone(),
        control_sources: ControlSources {
            namespace: args.namespace.clone(),
            ranges: args.control_peers.ranges(),
        },
        agent_image,
        tables: Default::default(),
        backoff: Backoff::default(),
        handovers: Backoff::default(),
        epochs: Backoff::default(),
        recoveries: Default::default(),
        logs: Default::default(),
        backups: Default::default(),
        looks: Default::default(),
        owners: Default::default(),
        turns: Arc::default(),
        deletions: redis_instance::Deletions::default(),
    });

    let _ = inspected.shared.set(shared.clone());
    let sweeping = {
        let shared = shared.clone();
        tokio::spawn(async move { shared.policies.sweep(&shared.leadership).await })
    };
    let asking = {
        let shared = shared.clone();
        tokio::spawn(async move { shared.policies.ask_again(&shared.leadership).await })
    };
    let timing = {
        let shared = shared.clone();
        tokio::spawn(async move { shared.leaders.keep_time().await })
    };
    let retaining = tokio::spawn(backups::retention::serve(shared.clone()));
    info!(%identity, namespace = args.namespace, "operator starts");
    let (instances, clusters) = by_kind(woken);
    let namespaces = &args.watch_namespaces;
    // Instances wait for no definition but theirs.
    let definition = RedisCluster::crd();
    let known = async {
        tokio::select! {
            () = crd::wait_until_current(&client, &definition) => {
                metrics.crd_outdated.set(0);
                readiness.set(true);
            }
            () = stopped(stop.clone()) => {}
        }
        driver::run::<RedisCluster>(shared.clone(), namespaces, clusters, &stop)
    };
    // Nor does anybody wait for those of backups.
    let definitions = [RedisBackup::crd(), RedisBackupStore::crd()];
    let backups = async {
        let current = definitions.each_ref();
        let current = current.map(|wanted| crd::wait_until_current(&client, wanted));
        tokio::select! {
            _ = join_all(current) => {}
            () = stopped(stop.clone()) => {}
        }
        backups::run(shared.clone(), namespaces, &stop)
    };
    let objects = stream::select(
        driver::run::<RedisInstance>(shared.clone(), namespaces, instances, &stop),
        stream::once(known).flatten(),
    );
    stream::select(objects, stream::once(backups).flatten())
        .for_each(|()| std::future::ready(()))
        .await;

    sweeping.abort();
    asking.abort();
    timing.abort();
    retaining.abort();
    // The Lease is given up only when nothing writes any more.
    let _ = drained.send(true);
    election.await?;
    server.await?;
    inspection.await?;
    info!("operator stopped");
    Ok(())
}

/// News of objects, for the controller of each kind.
fn by_kind(
    mut woken: UnboundedReceiver<ObjectKey>,
) -> (UnboundedReceiver<ObjectKey>, UnboundedReceiver<ObjectKey>) {
    let (to_instances, instances) = mpsc::unbounded_channel();
    let (to_clusters, clusters) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(object) = woken.recv().await {
            // Nobody listens any more when the operator ends.
            let _ = match object.kind {
                Kind::RedisInstance => to_instances.send(object),
                Kind::RedisCluster => to_clusters.send(object),
            };
        }
    });
    (instances, clusters)
}

/// Every IPv6 address stands for every address of a node, and for every IPv4 address where a node has
/// no IPv6.
async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        Err(_) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    bound.with_context(|| format!("cannot listen on {address}"))
}

/// The agent lies in the operator's own image.
async fn agent_image(args: &Args, client: &Client) -> anyhow::Result<String> {
    if let Some(image) = &args.agent_image {
        return Ok(image.clone());
    }
    let name = args
        .identity
        .as_ref()
        .context("outside a pod the agent's image must be named: set HERA_AGENT_IMAGE")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &args.namespace);
    let pod = pods.get(name).await.context("reading this pod")?;
    let containers = pod.spec.map(|spec| spec.containers).unwrap_or_default();
    let own = containers
        .into_iter()
        .find(|container| container.name == CONTAINER);
    own.and_then(|container| container.image)
        .with_context(|| format!("this pod has no container {CONTAINER}: set HERA_AGENT_IMAGE"))
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
