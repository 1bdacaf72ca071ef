//! What becomes of a `CONFIG SET`.

use hera_redis::ConfigSet;

use crate::on_all;
use crate::process::Program;

on_all!(
    what_can_change_live_does,
    what_is_fixed_or_unknown_waits_for_a_start,
    a_bad_value_is_refused_with_the_servers_words,
);

async fn what_can_change_live_does(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    for (name, value) in [
        ("maxmemory", "64mb"),
        ("maxmemory-policy", "allkeys-lru"),
        ("save", ""),
        ("save", "3600 1 300 100"),
        ("client-output-buffer-limit", "pubsub 64mb 16mb 60"),
        ("appendfsync", "always"),
        ("aof-timestamp-enabled", "yes"),
        ("repl-backlog-size", "1000000"),
        ("shutdown-timeout", "10"),
    ] {
        let outcome = server.config_set(name, value).await.unwrap();
        assert_eq!(outcome, ConfigSet::Applied, "{name}");
    }
}

async fn what_is_fixed_or_unknown_waits_for_a_start(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    for (name, value) in [
        ("databases", "3"),
        ("appendfilename", "x"),
        ("dir", "/tmp"),
        ("rename-command", "FLUSHALL x"),
        ("nosuchdirective", "1"),
    ] {
        let outcome = server.config_set(name, value).await.unwrap();
        assert_eq!(outcome, ConfigSet::NeedsRestart, "{name}");
    }
}

async fn a_bad_value_is_refused_with_the_servers_words(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    for (name, value, words) in [
        ("maxmemory", "much", "memory value"),
        ("maxmemory-policy", "nonsense", "must be one of"),
        ("appendonly", "maybe", "must be 'yes' or 'no'"),
        ("save", "nonsense", "save"),
    ] {
        match server.config_set(name, value).await.unwrap() {
            ConfigSet::Refused(said) => assert!(said.contains(words), "{name}: {said}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}
