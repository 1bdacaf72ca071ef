//! A generated password is replaced while a client logs in all the time (issue 20).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::join;
use hera_tests_e2e::{Cluster, Login, Scenario, Space, is_wrong_login, wait_for};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::replicas::{address, wait_in_sync};

pub const ALL: &[Scenario] = scenarios![Few;
    a_generated_password_is_replaced_and_no_login_fails,
    a_generated_password_of_a_cluster_is_replaced_and_no_login_fails,
];

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
