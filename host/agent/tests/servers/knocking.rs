//! Clients that log in the moment that a server listens: many libraries give up for good at a wrong
//! password. Refused connections, and servers that load or wait for a primary, they bear.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hera_core::acl::{AclUser, Categories};
use hera_core::agent::{AgentStatus, PATH_COMMANDS, ServerState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{Client as _, answer, app, login, replication, user};
use crate::config::SLOW;
use crate::engine::Engine;
use crate::pod::{Pod, is_running};
use crate::wait::until;

on_all!(
    nobody_is_told_a_wrong_password_by_a_server_that_was_killed,
    nobody_is_told_a_wrong_password_by_the_first_server_of_a_pod,
    nobody_is_told_a_wrong_password_before_users_are_decided,
    nobody_is_told_a_wrong_password_after_the_agent_was_killed,
    a_user_that_the_server_refuses_shuts_nobody_else_out,
    who_sends_only_a_password_is_let_in_once_the_data_is_read,
    who_is_removed_while_the_data_is_read_is_out_at_once,
);

/// What servers answered to those who knocked, and how often: the code of an error, or that they are
/// let in.
type Told = BTreeMap<String, usize>;

struct Knocking {
    enough: Arc<AtomicBool>,
    knockers: Vec<JoinHandle<Told>>,
}

impl Knocking {
    /// Two clients for each login, one after the other without a pause.
    fn begin(port: u16, logins: &[&str]) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let knockers = logins.iter().chain(logins).map(|login| {
            let (login, enough) = ((*login).to_owned(), enough.clone());
            tokio::spawn(async move {
                let mut told = Told::new();
                while !enough.load(Ordering::Relaxed) {
                    match knock(port, &login).await {
                        Some(answer) => *told.entry(answer).or_default() += 1,
                        None => tokio::time::sleep(Duration::from_micros(200)).await,
                    }
                }
                told
            })
        });
        Self {
            knockers: knockers.collect(),
            enough,
        }
    }

    /// Nobody was told that his password is wrong or that he has to log in, and somebody was let in.
    async fn end_well(self) {
        self.enough.store(true, Ordering::Relaxed);
        let mut all = Told::new();
        for knocker in self.knockers {
            for (answer, times) in knocker.await.unwrap() {
                *all.entry(answer).or_default() += times;
            }
        }
        println!("FIGURE answers to those who knock: {all:?}");
        for bad in ["-WRONGPASS", "-NOAUTH", "-NOPERM"] {
            assert!(!all.contains_key(bad), "{all:?}");
        }
        assert!(all.get("let in").is_some_and(|times| *times > 0), "{all:?}");
    }
}

/// Logs in and asks something; answers `let in`, or the code of the first error.
async fn knock(port: u16, login: &str) -> Option<String> {
    let both = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let words = format!("AUTH {login}\r\nEXISTS a\r\n");
        stream.write_all(words.as_bytes()).await.ok()?;
        let mut text = String::new();
        let mut part = [0; 512];
        while text.matches("\r\n").count() < 2 {
            match stream.read(&mut part).await.ok()? {
                0 => return None,
                count => text.push_str(std::str::from_utf8(&part[..count]).unwrap()),
            }
        }
        let error = text.lines().find(|line| line.starts_with('-'));
        Some(match error {
            Some(line) => line.split(' ').next().unwrap().to_owned(),
            None => "let in".to_owned(),
        })
    };
    timeout(Duration::from_secs(2), both).await.ok()?
}

fn logs() -> [(&'static str, &'static str); 3] {
    crate::crash::DURABLE
}

async fn nobody_is_told_a_wrong_password_by_a_server_that_was_killed(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &logs());
    pod.serve().await;
    pod.push_users(2, &[app(), replication(), user("bob", &["+exists", "~*"])])
        .await
        .unwrap();
    let knocking = Knocking::begin(pod.port, &["app app", "bob bob"]);
    for _ in 0..3 {
        let pid = pod.kill_server().await;
        pod.until_primary_again(pid).await;
        pod.app().await;
    }
    knocking.end_well().await;
}

async fn nobody_is_told_a_wrong_password_by_the_first_server_of_a_pod(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_users(1, &[app(), replication()]);
    let knocking = Knocking::begin(pod.port, &["app app"]);
    pod.serve().await;
    pod.app().await;
    knocking.end_well().await;
}

/// As the first pod of an instance: rights are decided once its server tells which commands it has.
async fn nobody_is_told_a_wrong_password_before_users_are_decided(engine: Engine) {
    for mounted in [None, Some(replication())] {
        let mut pod = Pod::new(engine);
        if let Some(user) = mounted {
            pod.mount_users(1, &[user]);
        }
        let knocking = Knocking::begin(pod.port, &["app app"]);
        pod.start().await;
        pod.until("the server answers", is_running).await;
        // Not decided: confirmed all the same, as by an operator that cannot ask the policy.
        pod.push_users(1, &[replication()]).await.unwrap();
        let commands: Categories = answer(pod.http.get(pod.url(PATH_COMMANDS))).await.unwrap();
        assert!(commands["read"].contains("get"));
        pod.push_users(2, &[app(), replication()]).await.unwrap();
        pod.until_primary().await;
        pod.app().await;
        knocking.end_well().await;
    }
}

async fn nobody_is_told_a_wrong_password_after_the_agent_was_killed(engine: Engine) {
    let mut pod = Pod::new(engine);
    // What is mounted is older than what was pushed.
    pod.mount_users(1, &[replication()]);
    pod.serve().await;
    let set: [AclUser; 2] = [app(), replication()];
    pod.push_users(2, &set).await.unwrap();
    let knocking = Knocking::begin(pod.port, &["app app"]);
    pod.kill_agent();
    pod.start().await;
    pod.until("the server answers", is_running).await;
    pod.push_users(2, &set).await.unwrap();
    pod.until_primary().await;
    pod.app().await;
    knocking.end_well().await;
}

async fn a_user_that_the_server_refuses_shuts_nobody_else_out(engine: Engine) {
    let mut pod = Pod::new(engine);
    let set = [app(), user("bob", &["+nosuchcommand"])];
    pod.mount_users(1, &set);
    let knocking = Knocking::begin(pod.port, &["app app"]);
    pod.start().await;
    pod.until("the server answers", is_running).await;
    let state = pod.push_users(1, &set).await.unwrap();
    assert!(state.rejected.contains_key("bob"));
    pod.until_primary().await;
    for _ in 0..2 {
        let pid = pod.kill_server().await;
        let status = pod.until_primary_again(pid).await;
        assert!(status.acl.rejected.contains_key("bob"));
        pod.app().await;
    }
    knocking.end_well().await;
}

/// The server's own user must have every right while an append-only file is read.
async fn who_sends_only_a_password_is_let_in_once_the_data_is_read(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, &logs());
    pod.serve().await;
    let mut default = app();
    default.name = "default".to_owned();
    pod.push_users(2, &[app(), default]).await.unwrap();
    let before = pod.app().await;
    before.transaction(&["a", "b"]).await.unwrap();
    let knocking = Knocking::begin(pod.port, &["app", "app app"]);
    for _ in 0..2 {
        let pid = pod.kill_server().await;
        pod.until_primary_again(pid).await;
        let found = pod.app().await.get("b").await.unwrap();
        assert_eq!(found.as_deref(), Some("1"));
    }
    knocking.end_well().await;
}

async fn who_is_removed_while_the_data_is_read_is_out_at_once(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let bob = user("bob", &["+ping", "~*"]);
    pod.push_users(2, &[app(), bob]).await.unwrap();
    let server = pod.app().await;
    let large = "x".repeat(4096);
    for number in 0..200 {
        server.set(&number.to_string(), &large).await.unwrap();
    }
    assert!(pod.terminate().await.success());
    pod.mount_config(2, &SLOW);
    pod.start().await;
    let loads = |status: &AgentStatus| matches!(status.server, ServerState::Loading { .. });
    pod.until("the server reads its data", loads).await;
    let bobs = login(pod.port, "bob").await.unwrap();
    pod.push_users(3, &[app()]).await.unwrap();
    until("he is out", async || match login(pod.port, "bob").await {
        Err(error) if error.is_answer() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(bobs.say(&["PING"]).await.unwrap_err().is_broken());
    assert!(loads(&pod.status().await.unwrap()), "it still reads");
    // Others stay who they are.
    pod.app().await;
}
