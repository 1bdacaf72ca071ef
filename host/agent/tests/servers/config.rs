//! Configuration: live, at a restart, refused.

use hera_core::agent::{AgentStatus, Role, ServerState};

use crate::client::{Client as _, app, user};
use crate::engine::Engine;
use crate::pod::{Pod, is_running, server_pid};
use crate::wait::until;

on_both!(
    a_change_applies_live_to_the_same_server,
    what_needs_a_restart_is_told_and_in_force_after_it,
    what_needs_a_restart_and_is_refused_never_reaches_the_server,
    a_refused_value_is_told_and_the_last_good_one_stays,
    a_bad_value_in_the_first_configuration_is_set_aside_until_it_is_healed,
    a_bad_value_that_comes_while_the_server_is_down_falls_back_to_the_last_good_one,
    what_is_pushed_while_the_data_is_read_is_in_force_after_it,
    a_directive_that_goes_away_is_gone_after_a_restart,
);

const BASE: (&str, &str) = ("maxmemory-policy", "allkeys-lru");

/// A value as the server has it.
async fn value(pod: &Pod, name: &str) -> String {
    let root = crate::client::login(pod.port, "root").await.unwrap();
    let mut command = hera_redis::command("CONFIG");
    command.arg("GET").arg(name);
    let pair: Vec<String> = root.ask("CONFIG GET", &command).await.unwrap();
    pair[1].clone()
}

/// A pod that serves, whose user `root` may read the configuration.
async fn serving(engine: Engine, directives: &[(&str, &str)]) -> Pod {
    let mut pod = Pod::new(engine);
    pod.mount_config(1, directives);
    pod.serve().await;
    pod.push_users(2, &[app(), user("root", &["+@all", "~*"])])
        .await
        .unwrap();
    pod
}

async fn restart(pod: &mut Pod) -> AgentStatus {
    assert!(pod.terminate().await.success());
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until_primary().await
}

async fn a_change_applies_live_to_the_same_server(engine: Engine) {
    let mut pod = serving(engine, &[BASE]).await;
    let before = server_pid(&pod.status().await.unwrap());
    let wanted = [
        ("maxmemory-policy", "volatile-ttl"),
        ("maxmemory", "64mb"),
        ("save", "\"\""),
        ("client-output-buffer-limit", "pubsub 64mb 16mb 60"),
    ];
    let state = pod.push_config(2, &wanted).await.unwrap();
    assert_eq!(state.revision, 2);
    assert!(state.pending_restart.is_empty(), "{state:?}");
    assert!(state.rejected.is_empty(), "{state:?}");
    assert_eq!(value(&pod, "maxmemory-policy").await, "volatile-ttl");
    assert_eq!(value(&pod, "maxmemory").await, (64 << 20).to_string());
    assert_eq!(value(&pod, "save").await, "");
    let status = pod.status().await.unwrap();
    assert_eq!(server_pid(&status), before);
    assert_eq!(status.config, state);
    restart(&mut pod).await;
    assert_eq!(value(&pod, "maxmemory-policy").await, "volatile-ttl");
}

async fn what_needs_a_restart_is_told_and_in_force_after_it(engine: Engine) {
    let mut pod = serving(engine, &[BASE, ("databases", "16")]).await;
    let wanted = [BASE, ("databases", "3")];
    let state = pod.push_config(2, &wanted).await.unwrap();
    assert_eq!(state.pending_restart, ["databases"]);
    // Told again, also with another change.
    let state = pod.push_config(2, &wanted).await.unwrap();
    assert_eq!(state.pending_restart, ["databases"]);
    let both = [("maxmemory-policy", "noeviction"), ("databases", "3")];
    let state = pod.push_config(3, &both).await.unwrap();
    assert_eq!(state.pending_restart, ["databases"]);
    assert_eq!(value(&pod, "databases").await, "16");
    let status = restart(&mut pod).await;
    assert!(status.config.pending_restart.is_empty());
    assert_eq!(value(&pod, "databases").await, "3");
    // Back to what is in force: nothing to wait for.
    let state = pod.push_config(4, &[("databases", "4")]).await.unwrap();
    assert!(state.pending_restart.contains(&"databases".to_owned()));
    let state = pod.push_config(5, &both).await.unwrap();
    assert!(state.pending_restart.is_empty(), "{state:?}");
}

async fn what_needs_a_restart_and_is_refused_never_reaches_the_server(engine: Engine) {
    let mut pod = serving(engine, &[("databases", "5")]).await;
    for (revision, bad) in [(2, "nonsense"), (3, "-1")] {
        let wanted = [("databases", bad), ("nosuchdirective", "1")];
        let state = pod.push_config(revision, &wanted).await.unwrap();
        assert!(state.rejected.contains_key("databases"), "{state:?}");
        assert!(state.rejected.contains_key("nosuchdirective"), "{state:?}");
        assert!(state.pending_restart.is_empty(), "{state:?}");
    }
    let status = restart(&mut pod).await;
    assert_eq!(status.restarts, 0);
    assert!(status.config.rejected.contains_key("databases"));
    assert_eq!(value(&pod, "databases").await, "5");
}

async fn a_refused_value_is_told_and_the_last_good_one_stays(engine: Engine) {
    let mut pod = serving(engine, &[BASE]).await;
    let bad = [("maxmemory-policy", "nonsense"), ("maxmemory", "32mb")];
    let state = pod.push_config(2, &bad).await.unwrap();
    let words = &state.rejected["maxmemory-policy"];
    assert!(words.contains("must be one of"), "{words}");
    assert_eq!(state.rejected.len(), 1);
    assert_eq!(value(&pod, "maxmemory-policy").await, "allkeys-lru");
    assert_eq!(value(&pod, "maxmemory").await, (32 << 20).to_string());
    let status = restart(&mut pod).await;
    assert_eq!(status.restarts, 0);
    assert_eq!(status.config, state);
    assert_eq!(value(&pod, "maxmemory-policy").await, "allkeys-lru");
    let good = [("maxmemory-policy", "noeviction"), ("maxmemory", "32mb")];
    let state = pod.push_config(3, &good).await.unwrap();
    assert!(state.rejected.is_empty());
    assert_eq!(value(&pod, "maxmemory-policy").await, "noeviction");
}

async fn a_bad_value_in_the_first_configuration_is_set_aside_until_it_is_healed(engine: Engine) {
    let mut pod = Pod::new(engine);
    let bad = [
        ("maxmemory-policy", "nonsense"),
        ("databases", "many"),
        ("maxmemory", "32mb"),
    ];
    pod.mount_config(1, &bad);
    pod.serve().await;
    let status = pod.status().await.unwrap();
    assert_eq!(status.config.revision, 1);
    let words = &status.config.rejected["maxmemory-policy"];
    assert!(words.contains("must be one of"), "{words}");
    assert!(status.config.rejected.contains_key("databases"));
    assert_eq!(status.restarts, 2);
    let good = [("maxmemory-policy", "noeviction"), ("databases", "7")];
    let state = pod.push_config(2, &good).await.unwrap();
    assert!(state.rejected.is_empty());
    assert_eq!(state.pending_restart, ["databases", "maxmemory"]);
}

async fn a_bad_value_that_comes_while_the_server_is_down_falls_back_to_the_last_good_one(
    engine: Engine,
) {
    let pod = serving(engine, &[BASE]).await;
    // Crashes until it backs off for long enough.
    for _ in 0..4 {
        let pid = pod.kill_server().await;
        pod.until("it starts again", |status| {
            matches!(status.server, ServerState::BackOff { .. })
                || (is_running(status) && server_pid(status) != Some(pid))
        })
        .await;
        if matches!(
            pod.status().await.unwrap().server,
            ServerState::BackOff { .. }
        ) {
            let bad = [("maxmemory-policy", "nonsense"), ("maxmemory", "32mb")];
            pod.push_config(2, &bad).await.unwrap();
            break;
        }
    }
    let status = pod
        .until("it serves with the last good value", |status| {
            status.role == Role::Primary && status.config.revision == 2
        })
        .await;
    assert!(status.config.rejected.contains_key("maxmemory-policy"));
    assert_eq!(value(&pod, "maxmemory-policy").await, "allkeys-lru");
    assert_eq!(value(&pod, "maxmemory").await, (32 << 20).to_string());
}

/// Directives that make reading each key take 20 ms, with answers in between.
pub const SLOW: [(&str, &str); 2] = [
    ("key-load-delay", "20000"),
    ("loading-process-events-interval-bytes", "1024"),
];

async fn what_is_pushed_while_the_data_is_read_is_in_force_after_it(engine: Engine) {
    let mut pod = serving(engine, &[BASE]).await;
    let server = pod.app().await;
    let large = "x".repeat(4096);
    for number in 0..50 {
        server.set(&number.to_string(), &large).await.unwrap();
    }
    assert!(pod.terminate().await.success());
    pod.mount_config(2, &[BASE, SLOW[0], SLOW[1]]);
    pod.confirm_seconds = 0;
    pod.start().await;
    pod.until("it reads", |status| {
        matches!(status.server, ServerState::Loading { .. })
    })
    .await;
    let wanted = [("maxmemory-policy", "noeviction"), SLOW[0], SLOW[1]];
    let state = pod.push_config(3, &wanted).await.unwrap();
    assert_eq!(state.revision, 3);
    assert!(matches!(
        pod.status().await.unwrap().server,
        ServerState::Loading { .. }
    ));
    pod.until_primary().await;
    until("it is in force", async || {
        let value = value(&pod, "maxmemory-policy").await;
        if value == "noeviction" {
            Ok(())
        } else {
            Err(value)
        }
    })
    .await;
}

async fn a_directive_that_goes_away_is_gone_after_a_restart(engine: Engine) {
    let mut pod = serving(engine, &[BASE]).await;
    let state = pod.push_config(2, &[]).await.unwrap();
    assert_eq!(state.pending_restart, ["maxmemory-policy"]);
    let state = pod.push_config(3, &[("maxmemory", "32mb")]).await.unwrap();
    assert_eq!(state.pending_restart, ["maxmemory-policy"]);
    restart(&mut pod).await;
    assert_eq!(value(&pod, "maxmemory-policy").await, "noeviction");
}
