//! What the kubelet is told.

use hera_core::agent::{Role, ServerState};
use nix::sys::signal::{Signal, kill};

use crate::client::{Client as _, app};
use crate::config::SLOW;
use crate::engine::Engine;
use crate::pod::{Pod, is_running, to_pid};

on_both!(
    a_held_server_is_alive_and_not_ready,
    a_server_that_reads_its_data_is_alive_and_not_ready,
    a_server_that_stands_still_for_a_moment_is_alive,
);

async fn probes(pod: &Pod) -> [u16; 3] {
    [
        pod.probe("/livez").await,
        pod.probe("/readyz").await,
        pod.probe("/startupz").await,
    ]
}

async fn a_held_server_is_alive_and_not_ready(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.start().await;
    pod.until("it is held", |status| {
        is_running(status) && status.role == Role::Held
    })
    .await;
    assert_eq!(probes(&pod).await, [200, 503, 200]);
    pod.push_users(1, &[app()]).await.unwrap();
    pod.until_primary().await;
    assert_eq!(probes(&pod).await, [200, 200, 200]);
}

async fn a_server_that_reads_its_data_is_alive_and_not_ready(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let server = pod.app().await;
    let large = "x".repeat(4096);
    for number in 0..50 {
        server.set(&number.to_string(), &large).await.unwrap();
    }
    assert!(pod.terminate().await.success());
    pod.mount_config(2, &SLOW);
    pod.confirm_seconds = 0;
    pod.start().await;
    let status = pod
        .until("it reads", |status| {
            matches!(status.server, ServerState::Loading { .. })
        })
        .await;
    assert_eq!(probes(&pod).await, [200, 503, 200]);
    assert!(status.waiting_for.unwrap().contains("reads its data"));
    pod.until_primary().await;
    assert_eq!(probes(&pod).await, [200, 200, 200]);
}

async fn a_server_that_stands_still_for_a_moment_is_alive(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let status = pod.status().await.unwrap();
    let pid = to_pid(crate::pod::server_pid(&status).unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    assert_eq!(probes(&pod).await, [200, 200, 200]);
    kill(pid, Signal::SIGCONT).unwrap();
    pod.app().await.set("a", "1").await.unwrap();
}
