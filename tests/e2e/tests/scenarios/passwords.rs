//! A generated password is replaced while a client logs in all the time, and that of replication while all stay in sync
//! (issue 20).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::join;
use hera_tests_e2e::{Cluster, Login, Scenario, Space, is_wrong_login, wait_for};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::replicas::{address, wait_in_sync, wait_other_primary};

pub const ALL: &[Scenario] = scenarios![Few;
    a_generated_password_is_replaced_and_no_login_fails,
    a_generated_password_of_a_cluster_is_replaced_and_no_login_fails,
    the_password_of_replication_is_replaced_and_pods_follow_with_it,
    the_password_of_replication_of_a_cluster_is_replaced_and_pods_start_with_it,
];

/// The kubelet brings what a pod mounts after a minute or two.
const KUBELET: Duration = Duration::from_secs(180);
const SOME: Duration = Duration::from_secs(60);
/// Between two logins: fifty a second.
const LOGIN: Duration = Duration::from_millis(20);
/// Logins before the password is replaced, and after the Secret shows another.
const ENOUGH: usize = 50;

async fn a_generated_password_is_replaced_and_no_login_fails(space: &Space<'_>) -> Result<()> {
    let spec = json!({"replicas": 3, "auth": {"overlap": "2s"}});
    let instance = space.ready("cache", spec).await?;
    wait_in_sync(&instance, 3).await?;
    let mut pods = Vec::new();
    for ordinal in 0..3 {
        pods.push(instance.pod_of(ordinal).await?);
    }
    is_replaced_under_load(space, "cache", &instance.app().await?, &pods).await
}

async fn a_generated_password_of_a_cluster_is_replaced_and_no_login_fails(
    space: &Space<'_>,
) -> Result<()> {
    let spec = json!({"masters": 3, "replicasPerMaster": 1, "auth": {"overlap": "2s"}});
    let cluster = Cluster::ready(space, "cart", spec).await?;
    let (app, pods) = (cluster.app().await?, cluster.pods().await?);
    is_replaced_under_load(space, "cart", &app, &pods).await
}

async fn the_password_of_replication_is_replaced_and_pods_follow_with_it(
    space: &Space<'_>,
) -> Result<()> {
    let instance = space.ready("cache", json!({"replicas": 3})).await?;
    wait_in_sync(&instance, 3).await?;
    is_replaced_among_servers(space, "cache").await?;
    wait_in_sync(&instance, 3).await?;
    // Each pod is another, and follows with the new one.
    let old = instance.status().await?.primary.context("none")?;
    space.hera(&["restart", "cache"]).await?.with_code(0)?;
    wait_other_primary(&instance, &old).await?;
    wait_in_sync(&instance, 3).await
}

async fn the_password_of_replication_of_a_cluster_is_replaced_and_pods_start_with_it(
    space: &Space<'_>,
) -> Result<()> {
    let spec = json!({"masters": 3, "replicasPerMaster": 1});
    let cluster = Cluster::ready(space, "cart", spec).await?;
    is_replaced_among_servers(space, "cart").await?;
    cluster.wait_settled().await?;
    cluster.delete_all_pods().await?;
    cluster.wait_settled().await
}

/// Has the password of replication replaced, and awaits that the former one is gone.
async fn is_replaced_among_servers(space: &Space<'_>, name: &str) -> Result<()> {
    let secret = format!("{name}-system");
    let before = space.secret(&secret, "replication-password").await?;
    let asked = space.hera(&["rotate", name, "--replication"]).await?;
    asked.with_code(0)?;
    wait_for("the former password is gone", KUBELET, async || {
        let shown = space.secret(&secret, "replication-password").await?;
        let written = space.secret(&secret, "replication-rotation").await?;
        let written: serde_json::Value = serde_json::from_str(&written)?;
        let phase = &written["phase"]["name"];
        ensure!(shown != before && phase == "settled", "it is {phase}");
        Ok(())
    })
    .await
}

/// Has the password replaced while a client logs in fifty times a second with what the Secret shows, in turn at
/// each pod; then the old one is refused by each.
async fn is_replaced_under_load(
    space: &Space<'_>,
    name: &str,
    app: &Login,
    pods: &[Pod],
) -> Result<()> {
    let servers = pods
        .iter()
        .map(|pod| Ok(app.at(&address(pod)?)))
        .collect::<Result<Vec<_>>>()?;
    let secret = format!("{name}-app");
    let stop = AtomicBool::new(false);
    let logins = Logins::default();
    let client = async {
        let mut every = tokio::time::interval(LOGIN);
        every.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for server in servers.iter().cycle() {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            every.tick().await;
            let password = space.secret(&secret, "password").await?;
            let login = server.with_password(&password);
            let pong: String = login
                .ask(&["PING"])
                .await
                .with_context(|| format!("at {} after {} logins", login.host, logins.count()))?;
            ensure!(pong == "PONG", "{pong}");
            logins.note();
        }
        anyhow::Ok(())
    };
    let rotation = async {
        let done = rotate(space, name, &servers, &logins).await;
        stop.store(true, Ordering::SeqCst);
        done
    };
    let start = Instant::now();
    let (client, rotation) = join(client, rotation).await;
    client.context("a login failed")?;
    rotation?;
    let (count, seconds) = (logins.count(), start.elapsed().as_secs_f64());
    println!("{count} logins in {seconds:.1} s, none of which failed");
    Ok(())
}

/// Asks for another password, and waits until the old one is refused.
async fn rotate(space: &Space<'_>, name: &str, servers: &[Login], logins: &Logins) -> Result<()> {
    logins.wait_for_more(ENOUGH).await?;
    let said = space.hera(&["rotate", name]).await?.with_code(0)?;
    ensure!(said.contains("asked:"), "{said}");
    let secret = format!("{name}-app");
    wait_for("the Secret shows another", SOME, async || {
        let shown = space.secret(&secret, "password").await?;
        ensure!(
            servers.iter().all(|old| old.password != shown),
            "it does not"
        );
        let uri = space.secret(&secret, "uri").await?;
        ensure!(
            uri.contains(&format!(":{shown}@")),
            "the uri has the old one"
        );
        Ok(())
    })
    .await?;
    logins.wait_for_more(ENOUGH).await?;
    for old in servers {
        wait_for("the old one is refused", SOME, async || {
            let refused = old.connect().await;
            ensure!(
                refused.err().is_some_and(|error| is_wrong_login(&error)),
                "{} lets it in",
                old.host
            );
            Ok(())
        })
        .await?;
    }
    logins.wait_for_more(ENOUGH).await
}

/// Logins that succeeded.
#[derive(Default)]
struct Logins(std::sync::atomic::AtomicUsize);

impl Logins {
    fn note(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    async fn wait_for_more(&self, more: usize) -> Result<()> {
        let enough = self.count() + more;
        wait_for("logins go on", SOME, async || {
            ensure!(self.count() >= enough, "{} of {enough}", self.count());
            Ok(())
        })
        .await
    }
}
