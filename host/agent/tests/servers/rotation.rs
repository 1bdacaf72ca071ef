//! The password with which servers log in at each other is replaced: no link ends, one that is cut comes back with the
//! new one, and the former is refused.

use hera_core::acl::{AclUser, REPLICATION_USER, replication_user};
use hera_core::agent::{AgentStatus, LoginState, Order};
use hera_core::digest::sha256_hex;

use crate::client::{Client as _, app, login, login_with, replication, user};
use crate::cluster::Cluster;
use crate::engine::Engine;
use crate::group::{Group, is_linked};
use crate::pod::Pod;
use crate::wait::until;

on_all!(
    a_replica_takes_another_password_and_its_link_comes_back_with_it,
    servers_of_a_cluster_take_what_is_mounted_by_then,
);

/// What tests begin with.
const FORMER: &str = REPLICATION_USER;
const NEW: &str = "another-password";

/// The users of a server that lets replicas in with these passwords.
fn users(passwords: &[&str]) -> [AclUser; 3] {
    let hashes = passwords
        .iter()
        .map(|password| sha256_hex(password.as_bytes()));
    let replicas = AclUser {
        password_sha256: hashes.collect(),
        ..replication()
    };
    [app(), replicas, user("root", &["+@all", "~*", "&*"])]
}

/// The server of a pod logs in with this password, and with no other.
fn logs_in(status: &AgentStatus, password: &str) -> bool {
    status.login.as_ref().is_some_and(|login| {
        *login
            == LoginState {
                password_sha256: sha256_hex(password.as_bytes()),
                in_force: true,
            }
    })
}

async fn root(pod: &Pod, words: &[&str]) -> String {
    let server = login(pod.port, "root").await.unwrap();
    server.say(words).await.unwrap()
}

/// How often replicas of a server began to follow it.
async fn syncs(pod: &Pod) -> Vec<String> {
    let text = root(pod, &["INFO", "stats"]).await;
    let lines = text.lines().filter(|line| line.starts_with("sync_"));
    let lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
    assert!(!lines.is_empty(), "{text}");
    lines
}

/// Cuts the links of the replicas of a server, and awaits that one has come back.
async fn cut(pod: &Pod) {
    let before = syncs(pod).await;
    assert_eq!(root(pod, &["CLIENT", "KILL", "TYPE", "replica"]).await, "1");
    until("a replica comes back", async || {
        let now = syncs(pod).await;
        (now != before)
            .then_some(())
            .ok_or_else(|| format!("{now:?}"))
    })
    .await;
}

async fn a_replica_takes_another_password_and_its_link_comes_back_with_it(engine: Engine) {
    let mut group = Group::new(engine, 2);
    group.lead().await;
    let follows = group[1].status().await.unwrap();
    assert!(logs_in(&follows, FORMER));
    assert_eq!(group[0].status().await.unwrap().login, None, "it leads");
    for pod in &group.pods {
        pod.push_users(2, &users(&[FORMER, NEW])).await.unwrap();
    }
    let before = syncs(&group[0]).await;
    let mut order = group.following(0, 1);
    if let Order::Follow { password, .. } = &mut order {
        NEW.clone_into(password);
    }
    let told = group[1].order(1, order).await.unwrap();
    assert!(logs_in(&told, NEW) && is_linked(&told), "{told:?}");
    for pod in &group.pods {
        pod.push_users(3, &users(&[NEW])).await.unwrap();
    }
    group[0].app().await.set("a", "1").await.unwrap();
    group.until_has(1, "a", "1").await;
    assert_eq!(syncs(&group[0]).await, before, "the link is the same");

    cut(&group[0]).await;
    group.until_linked(1).await;
    group[0].app().await.set("b", "1").await.unwrap();
    group.until_has(1, "b", "1").await;
    for pod in &group.pods {
        let former = login_with(pod.port, REPLICATION_USER, FORMER).await;
        assert!(former.is_err(), "the former one is let in");
        let new = login_with(pod.port, REPLICATION_USER, NEW).await;
        assert!(new.is_ok(), "{:?}", new.err());
    }
    // Another server of the pod follows with what the agent was told.
    group[1].kill_server().await;
    group[0].app().await.set("c", "1").await.unwrap();
    group.until_has(1, "c", "1").await;
    assert!(logs_in(&group[1].status().await.unwrap(), NEW));
}

async fn servers_of_a_cluster_take_what_is_mounted_by_then(engine: Engine) {
    let cluster = Cluster::new(engine).await;
    let pods = &cluster.group.pods;
    let replica_has = async |keys: u64| {
        until("the replica has what is written", async || {
            let has = cluster.state(1).await.server.map(|server| server.keys);
            (has == Some(keys))
                .then_some(())
                .ok_or_else(|| format!("{has:?}"))
        })
        .await;
    };
    for pod in pods {
        // A primary as well: it may follow by itself, whenever another takes over.
        pod.until("it has what was mounted", |told| logs_in(told, FORMER))
            .await;
        pod.push_users(2, &users(&[FORMER, NEW])).await.unwrap();
    }
    let before = syncs(&pods[0]).await;
    for pod in pods {
        std::fs::write(pod.path("etc/login"), NEW).unwrap();
    }
    for pod in pods {
        pod.until("it has what is mounted", |told| logs_in(told, NEW))
            .await;
    }
    for pod in pods {
        pod.push_users(3, &users(&[NEW])).await.unwrap();
    }
    let app = pods[0].app().await;
    // Their slot is the first shard's.
    app.set("{3560}a", "1").await.unwrap();
    replica_has(1).await;
    assert_eq!(syncs(&pods[0]).await, before, "the link is the same");

    cut(&pods[0]).await;
    app.set("{3560}b", "1").await.unwrap();
    replica_has(2).await;
    // Who brings keys of slots logs in with it as well.
    for name in [replication_user(0).as_str(), "hera-migration"] {
        let former = login_with(pods[0].port, name, FORMER).await;
        assert!(former.is_err(), "{name}: the former one is let in");
        let new = login_with(pods[0].port, name, NEW).await;
        assert!(new.is_ok(), "{name}: {:?}", new.err());
    }
}
