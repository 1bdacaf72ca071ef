//! What the ceilings of users with limited keys rest on (`host/core/src/acl/limits.rs`).

use std::time::Duration;

use hera_core::acl::AclUser;
use hera_core::digest::sha256_hex;
use hera_redis::{Credentials, Error, Probe, Server, Session, Value};
use tokio::net::UnixStream;

use crate::on_all;
use crate::process::{Process, Program, say};

on_all!(
    what_is_within_limits_is_held_to_the_users_own_keys,
    a_library_that_one_user_replaces_runs_with_the_rights_of_another,
    the_slowlog_shows_what_others_write_and_no_password,
    monitor_ends_with_the_rights_of_its_user,
    what_scripts_call_their_errors_hides_nothing,
);
crate::facts_on!(
    redis_6_2,
    "redis",
    "6.2",
    before_7_0_sort_reads_keys_that_nobody_allowed,
    the_slowlog_shows_what_others_write_and_no_password,
    monitor_ends_with_the_rights_of_its_user,
);

fn user(commands: &str) -> AclUser {
    let rules = ["-@all", commands, "~app:*", "&news:*"].map(str::to_owned);
    AclUser {
        name: "ops".to_owned(),
        password_sha256: vec![sha256_hex(b"secret")],
        rules: rules.into(),
    }
}

/// The server as its operator, and as a user of `app:*` who may run everything.
async fn with_limited_user(process: &Process) -> (Server, Server) {
    let operator = process.connect().await;
    operator.set_user(&user("+@all")).await.unwrap();
    say(&operator, &["SET", "other:1", "treasure"]).await;
    say(&operator, &["RPUSH", "app:list", "1"]).await;
    say(&operator, &["PFADD", "other:log", "1"]).await;
    let limited = process.login(Some(("ops", "secret"))).await.unwrap();
    (operator, limited)
}

async fn ask(server: &Server, words: &[&str]) -> Result<Value, Error> {
    let mut command = hera_redis::command(words[0]);
    command.arg(&words[1..]);
    server.ask(words[0], &command).await
}

async fn what_is_within_limits_is_held_to_the_users_own_keys(program: Program) {
    let process = program.start(&[]).await;
    let (_, limited) = with_limited_user(&process).await;
    for words in [
        "RESTORE other:2 0 x",
        "RESTORE-ASKING other:2 0 x",
        "MIGRATE 127.0.0.1 1 other:1 0 10",
        "MIGRATE 127.0.0.1 1 {} 0 10 KEYS app:list other:1",
        "MIGRATE 127.0.0.1 1 {} 0 10 AUTH KEYS KEYS other:1",
        "MIGRATE 127.0.0.1 1 {} 0 10 AUTH2 KEYS app:list KEYS other:1",
        "PFDEBUG ENCODING other:log",
        "SORT app:list BY nosort GET other:*",
        "SORT app:list BY other:*",
        "SORT_RO app:list BY nosort GET other:*",
        "SORT app:list STORE other:2",
    ] {
        let words: Vec<&str> = words
            .split(' ')
            .map(|word| if word == "{}" { "" } else { word })
            .collect();
        match ask(&limited, &words).await.unwrap_err() {
            Error::Refused { code, message, .. } => {
                let denied = code == "NOPERM" || message.contains("insufficient ACL permissions");
                assert!(denied, "{words:?}: {code} {message}");
            }
            error => panic!("{words:?}: {error}"),
        }
    }
}

async fn before_7_0_sort_reads_keys_that_nobody_allowed(program: Program) {
    let process = program.start(&[]).await;
    let (_, limited) = with_limited_user(&process).await;
    let sort = ["SORT", "app:list", "BY", "nosort", "GET", "other:*"];
    let shown = ask(&limited, &sort).await.unwrap();
    assert!(format!("{shown:?}").contains("treasure"), "{shown:?}");
}

async fn a_library_that_one_user_replaces_runs_with_the_rights_of_another(program: Program) {
    let process = program.start(&[]).await;
    let (operator, limited) = with_limited_user(&process).await;
    let library = |body: &str| {
        format!("#!lua name=shared\nredis.register_function('shared', function() {body} end)")
    };
    let honest = library("return 'honest'");
    ask(&operator, &["FUNCTION", "LOAD", &honest])
        .await
        .unwrap();
    let mine = library("return redis.call('GET', 'other:1')");
    let replaced = ["FUNCTION", "LOAD", "REPLACE", mine.as_str()];
    ask(&limited, &replaced).await.unwrap();
    let call = ["FCALL", "shared", "0"];
    ask(&limited, &call).await.unwrap_err();
    let got = ask(&operator, &call).await.unwrap();
    assert!(format!("{got:?}").contains("treasure"), "{got:?}");
}

async fn the_slowlog_shows_what_others_write_and_no_password(program: Program) {
    let process = program.start(&["--slowlog-log-slower-than", "0"]).await;
    let (operator, limited) = with_limited_user(&process).await;
    let hash = sha256_hex(b"password-1");
    let rule = format!("#{hash}");
    for words in [
        &["ACL", "SETUSER", "bob", rule.as_str()][..],
        &["ACL", "SETUSER", "bob", ">password-2"],
        &["CONFIG", "SET", "masterauth", "password-3"],
    ] {
        say(&operator, words).await;
    }
    for words in [
        &["AUTH", "bob", "password-4"][..],
        &["HELLO", "3", "AUTH", "bob", "password-5"],
    ] {
        ask(&operator, words).await.unwrap_err();
    }
    let shown = ask(&limited, &["SLOWLOG", "GET", "100"]).await.unwrap();
    let shown = format!("{shown:?}");
    assert!(shown.contains("treasure"), "{shown}");
    assert!(
        !shown.contains("password-") && !shown.contains(&hash),
        "{shown}"
    );
}

async fn monitor_ends_with_the_rights_of_its_user(program: Program) {
    let process = program.start(&[]).await;
    let (operator, limited) = with_limited_user(&process).await;
    let stream = UnixStream::connect(process.folder.path().join("socket"));
    let mut session = Session::new(stream.await.unwrap(), "socket");
    session
        .log_in(&Credentials::new("ops", "secret"))
        .await
        .unwrap();
    session.ask(&["MONITOR"]).await.unwrap();
    operator.set_user(&user("+ping")).await.unwrap();
    let changed = ["ops"].into_iter().collect();
    operator.end_streams_of(&changed).await.unwrap();
    // What it was sent before is still there to be read.
    let ended = async { while session.next().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), ended)
        .await
        .expect("MONITOR goes on");
    ask(&limited, &["PING"]).await.unwrap();
}

/// Each kind of error is a field of INFO.
async fn what_scripts_call_their_errors_hides_nothing(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    let odd = "return redis.error_reply('\\255\\254 x')";
    // What the server says then is no text, and closes nothing that matters here.
    let _ = ask(&process.connect().await, &["EVAL", odd, "0"]).await;
    let Probe::Info(_) = server.probe().await.unwrap() else {
        panic!("it tells nothing of itself");
    };
    for number in 0..100 {
        let named = format!("return redis.error_reply('E{number} x')");
        assert!(ask(&server, &["EVAL", &named, "0"]).await.is_err());
    }
    let kinds = async || match server.probe().await.unwrap() {
        Probe::Info(info) => info.error_kinds,
        Probe::Refused(answer) => panic!("{answer:?}"),
    };
    assert!(kinds().await >= 100);
    server.forget_statistics().await.unwrap();
    assert_eq!(kinds().await, 0);
}
