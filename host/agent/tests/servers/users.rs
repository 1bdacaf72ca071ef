//! Users, brought to a server that runs.

use std::time::Duration;

use hera_core::agent::AclState;
use hera_redis::{Credentials, Session};
use tokio::net::TcpStream;

use crate::client::{Client as _, app, login, login_with, user};
use crate::engine::Engine;
use crate::pod::{Pod, is_running};

on_both!(
    a_push_changes_rights_under_a_living_connection,
    a_removed_user_is_out_and_stays_out,
    a_refused_user_is_told_and_the_others_apply,
    what_somebody_changed_by_hand_is_put_back,
    what_somebody_changes_by_hand_is_seen_and_told,
    a_new_password_replaces_the_old,
    monitor_goes_on_over_another_password_and_ends_with_the_right,
    monitor_of_the_servers_own_user_ends_with_the_right,
    closing_the_servers_own_user_goes_on_where_it_broke_off,
    users_refused_by_a_server_started_again_get_nothing_more,
);

async fn id(server: &hera_redis::Server) -> String {
    let id: i64 = server
        .ask("CLIENT ID", hera_redis::command("CLIENT").arg("ID"))
        .await
        .unwrap();
    id.to_string()
}

async fn a_push_changes_rights_under_a_living_connection(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let before = user("bob", &["+get", "+set", "+client|id", "~*"]);
    pod.push_users(2, &[app(), before]).await.unwrap();
    let (bob, unchanged) = (login(pod.port, "bob").await.unwrap(), pod.app().await);
    bob.set("a", "1").await.unwrap();
    let ids = (id(&bob).await, id(&unchanged).await);

    let after = user("bob", &["+get", "+client|id", "~*"]);
    let state = pod.push_users(3, &[app(), after]).await.unwrap();
    let expected = AclState {
        revision: 3,
        confirmed: true,
        rejected: Default::default(),
        put_right: Default::default(),
    };
    assert_eq!(state, expected);
    assert!(bob.set("a", "2").await.is_err());
    assert_eq!(bob.get("a").await.unwrap().as_deref(), Some("1"));
    assert_eq!((id(&bob).await, id(&unchanged).await), ids);
}

async fn a_removed_user_is_out_and_stays_out(engine: Engine) {
    let mut pod = Pod::new(engine);
    let bob = user("bob", &["+@all", "~*"]);
    pod.mount_users(1, &[app(), bob.clone()]);
    pod.serve().await;
    pod.push_users(2, &[app(), bob]).await.unwrap();
    let connection = login(pod.port, "bob").await.unwrap();
    pod.push_users(3, &[app()]).await.unwrap();
    assert!(connection.get("a").await.unwrap_err().is_broken());
    assert!(login(pod.port, "bob").await.is_err());

    let pid = pod.kill_server().await;
    pod.until_primary_again(pid).await;
    pod.app().await;
    assert!(login(pod.port, "bob").await.is_err());

    // What is mounted is older than what was pushed.
    assert!(pod.terminate().await.success());
    pod.confirm_seconds = 0;
    pod.start().await;
    assert_eq!(pod.until_primary().await.acl.revision, 3);
    pod.app().await;
    assert!(login(pod.port, "bob").await.is_err());
}

async fn a_refused_user_is_told_and_the_others_apply(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let odd = user("odd", &["+nosuchcommand", "~*"]);
    let bad_name = user("two words", &["+get", "~*"]);
    let bob = user("bob", &["+get", "~*"]);
    let users = [app(), odd, bad_name, bob];
    let state = pod.push_users(2, &users).await.unwrap();
    assert_eq!(state.revision, 2);
    let words = &state.rejected["odd"];
    assert!(words.contains("nosuchcommand"), "{words}");
    assert!(state.rejected.contains_key("two words"));
    assert_eq!(state.rejected.len(), 2);
    login(pod.port, "bob")
        .await
        .unwrap()
        .get("a")
        .await
        .unwrap();
    assert!(login(pod.port, "odd").await.is_err());
    assert_eq!(pod.status().await.unwrap().acl, state);
}

async fn what_somebody_changed_by_hand_is_put_back(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let bob = user("bob", &["+get", "~*"]);
    let root = user("root", &["+@all", "~*"]);
    let users = [app(), bob, root];
    pod.push_users(2, &users).await.unwrap();
    let hand = login(pod.port, "root").await.unwrap();
    for (name, rule) in [("eve", "nopass"), ("hera-eve", "nopass"), ("bob", "+set")] {
        hand.say(&["ACL", "SETUSER", name, "on", rule, "+@all", "~*"])
            .await
            .unwrap();
    }
    hand.say(&["ACL", "SETUSER", "default", "on", "nopass"])
        .await
        .unwrap();
    let eve = login(pod.port, "eve").await.unwrap();
    pod.push_users(3, &users).await.unwrap();
    assert!(eve.get("a").await.unwrap_err().is_broken());
    for (name, password) in [("eve", "x"), ("hera-eve", "x"), ("default", "")] {
        assert!(
            login_with(pod.port, name, password).await.is_err(),
            "{name}"
        );
    }
    let bob = login(pod.port, "bob").await.unwrap();
    assert!(bob.set("a", "1").await.is_err());
    // Its own connection was left alone.
    hand.say(&["ACL", "WHOAMI"]).await.unwrap();
}

/// Nobody pushes anything: the agent looks by itself.
async fn what_somebody_changes_by_hand_is_seen_and_told(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    pod.push_users(2, &[app(), user("root", &["+@all", "~*"])])
        .await
        .unwrap();
    let hand = login(pod.port, "root").await.unwrap();
    hand.say(&["ACL", "SETUSER", "eve", "on", "nopass", "+@all", "~*"])
        .await
        .unwrap();
    let told = pod
        .until("it is told", |status| !status.acl.put_right.is_empty())
        .await;
    assert_eq!(told.acl.put_right, ["eve".to_owned()].into());
    assert!(login_with(pod.port, "eve", "x").await.is_err());

    // Also those of the server and of the agent, and one whose name is no text.
    let mut odd = hera_redis::command("ACL");
    odd.arg(b"SETUSER")
        .arg(b"\xffeve")
        .arg(&["on", "nopass", "+@all", "~*"]);
    hand.ask::<()>("ACL SETUSER", &odd).await.unwrap();
    hand.say(&["ACL", "SETUSER", "default", "on", "nopass"])
        .await
        .unwrap();
    hand.say(&["ACL", "SETUSER", "hera-agent", ">x"])
        .await
        .unwrap();
    hand.say(&["ACL", "SETUSER", "hera-metrics", ">x", "+get", "~*"])
        .await
        .unwrap();
    let told = pod
        .until("all are told", |status| status.acl.put_right.len() == 5)
        .await;
    let names = [
        "default",
        "eve",
        "hera-agent",
        "hera-metrics",
        "\u{fffd}eve",
    ];
    let names = names.map(str::to_owned);
    assert_eq!(told.acl.put_right, names.into());
    assert!(login_with(pod.port, "default", "").await.is_err());
    for own in ["hera-agent", "hera-metrics"] {
        assert!(login_with(pod.port, own, "x").await.is_err(), "{own}");
    }
    let users = hera_redis::command("ACL").arg("USERS").clone();
    let users: Vec<Vec<u8>> = hand.ask("ACL USERS", &users).await.unwrap();
    assert!(!users.contains(&b"\xffeve".to_vec()));
}

async fn a_new_password_replaces_the_old(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let mut changed = app();
    changed.password_sha256 = user("other", &[]).password_sha256;
    pod.push_users(2, &[changed]).await.unwrap();
    login_with(pod.port, "app", "other").await.unwrap();
    assert!(login(pod.port, "app").await.is_err());
}

/// A connection on which `MONITOR` runs, of a user whose password is its name.
async fn monitor(port: u16, name: &str) -> Session<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut session = Session::new(stream, "server");
    session.log_in(&Credentials::new(name, name)).await.unwrap();
    session.ask(&["MONITOR"]).await.unwrap();
    session
}

async fn ends(mut session: Session<TcpStream>) {
    // What it was sent before is still there to be read.
    let ended = async { while session.next().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), ended)
        .await
        .expect("MONITOR goes on");
}

async fn monitor_goes_on_over_another_password_and_ends_with_the_right(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let mut watcher = user("watcher", &["+@all", "~*", "&*"]);
    pod.push_users(2, &[app(), watcher.clone()]).await.unwrap();
    let mut session = monitor(pod.port, "watcher").await;
    watcher.password_sha256 = user("other", &[]).password_sha256;
    pod.push_users(3, &[app(), watcher]).await.unwrap();
    login_with(pod.port, "watcher", "other").await.unwrap();
    let seen = async {
        pod.app().await.set("after", "1").await.unwrap();
        while !format!("{:?}", session.next().await.unwrap()).contains("after") {}
    };
    tokio::time::timeout(Duration::from_secs(5), seen)
        .await
        .expect("MONITOR shows nothing");

    let mut lowered = user("watcher", &["+get", "~*"]);
    lowered.password_sha256 = user("other", &[]).password_sha256;
    pod.push_users(4, &[app(), lowered]).await.unwrap();
    ends(session).await;
}

async fn monitor_of_the_servers_own_user_ends_with_the_right(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let default = user("default", &["+@all", "~*", "&*"]);
    pod.push_users(2, &[app(), default]).await.unwrap();
    let session = monitor(pod.port, "default").await;
    let lowered = user("default", &["+get", "~*"]);
    pod.push_users(3, &[app(), lowered]).await.unwrap();
    ends(session).await;
}

async fn closing_the_servers_own_user_goes_on_where_it_broke_off(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let default = user("default", &["+@all", "~*", "&*"]);
    let hand = user("hand", &["+@all", "~*", "&*"]);
    pod.push_users(2, &[app(), default, hand.clone()])
        .await
        .unwrap();
    let session = monitor(pod.port, "default").await;
    // As it is between its first step and the end of its connections.
    let by_hand = login(pod.port, "hand").await.unwrap();
    by_hand
        .say(&["ACL", "SETUSER", "default", "reset", "resetchannels", "off"])
        .await
        .unwrap();
    pod.push_users(3, &[app(), hand]).await.unwrap();
    ends(session).await;
}

async fn users_refused_by_a_server_started_again_get_nothing_more(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let (bob, wrong) = (
        user("bob", &["+get", "~*"]),
        user("bob", &["+get", "+nosuchcommand", "~*"]),
    );
    pod.push_users(2, &[app(), bob]).await.unwrap();
    let state = pod.push_users(3, &[app(), wrong]).await.unwrap();
    assert!(state.rejected.contains_key("bob"));
    // Those it had stay, until the server is another.
    login(pod.port, "bob")
        .await
        .unwrap()
        .get("a")
        .await
        .unwrap();
    let pid = pod.kill_server().await;
    let status = pod.until_primary_again(pid).await;
    assert!(is_running(&status) && status.acl.confirmed);
    assert!(status.acl.rejected.contains_key("bob"));
    assert!(login(pod.port, "bob").await.is_err());
    pod.app().await;
}
