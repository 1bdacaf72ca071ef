//! Servers that are alive and say no, and one that says nothing.

use std::time::Duration;

use hera_redis::{Answer, Error, Probe};
use nix::sys::signal::Signal;

use crate::on_all;
use crate::process::{Program, say, until};

on_all!(
    one_that_wants_a_login_says_so,
    one_that_reads_its_data_says_so,
    one_that_is_busy_says_so,
    one_that_holds_back_old_data_says_so,
    one_that_cannot_save_says_so,
    one_that_stands_still_is_silent,
    one_that_is_gone_is_unreachable,
);

async fn one_that_wants_a_login_says_so(program: Program) {
    let process = program.start(&["--requirepass", "secret"]).await;
    let server = process.connect().await;
    assert_eq!(server.ping().await.unwrap(), Answer::NoAuth);
    let probe = server.probe().await.unwrap();
    assert!(matches!(probe, Probe::Refused(Answer::NoAuth)), "{probe:?}");
    let wrong = process.login(Some(("default", "wr0ng"))).await.unwrap_err();
    assert!(wrong.is_answer() && !wrong.is_broken(), "{wrong:?}");
    assert!(!format!("{wrong:?} {wrong}").contains("wr0ng"));
    let right = process.login(Some(("default", "secret"))).await.unwrap();
    assert_eq!(right.ping().await.unwrap(), Answer::Pong);
}

async fn one_that_reads_its_data_says_so(program: Program) {
    // Not compressed: the server looks at its clients only every so many bytes.
    let process = program
        .start(&["--save", "", "--rdbcompression", "no"])
        .await;
    let server = process.connect().await;
    let large = "x".repeat(4096);
    for number in 0..30 {
        say(&server, &["SET", &number.to_string(), &large]).await;
    }
    say(&server, &["SAVE"]).await;
    let slow = [
        "--key-load-delay",
        "20000",
        "--loading-process-events-interval-bytes",
        "1024",
        "--requirepass",
        "secret",
    ];
    let process = program.start_in(process.kill(), &slow).await;
    // A login works meanwhile, and `INFO` too.
    let server = until("it lets in", async || {
        process.login(Some(("default", "secret"))).await.ok()
    })
    .await;
    assert_eq!(server.ping().await.unwrap(), Answer::Loading);
    match server.probe().await.unwrap() {
        Probe::Info(info) => assert!(info.loading),
        Probe::Refused(answer) => panic!("{answer:?}"),
    }
    let promotion = server.promote().await;
    assert!(promotion.unwrap_err().is_answer());
    until("it has read", async || {
        (server.ping().await.unwrap() == Answer::Pong).then_some(())
    })
    .await;
}

async fn one_that_is_busy_says_so(program: Program) {
    let process = program.start(&["--busy-reply-threshold", "20"]).await;
    let (script, server) = (process.connect().await, process.connect().await);
    let running = tokio::spawn(async move {
        let mut command = hera_redis::command("EVAL");
        command.arg("while true do end").arg(0);
        script
            .with_response_timeout(Duration::from_secs(20))
            .ask::<()>("EVAL", &command)
            .await
    });
    until("it is busy", async || {
        (server.ping().await.ok()? == Answer::Busy).then_some(())
    })
    .await;
    let probe = server.probe().await.unwrap();
    assert!(matches!(probe, Probe::Refused(Answer::Busy)), "{probe:?}");
    // A login works meanwhile.
    process.connect().await;
    say(&server, &["SCRIPT", "KILL"]).await;
    assert!(running.await.unwrap().unwrap_err().is_answer());
    assert_eq!(server.ping().await.unwrap(), Answer::Pong);
}

async fn one_that_holds_back_old_data_says_so(program: Program) {
    let held = [
        "--replicaof",
        "127.0.0.1 1",
        "--replica-serve-stale-data",
        "no",
    ];
    let process = program.start(&held).await;
    let server = process.connect().await;
    assert_eq!(server.ping().await.unwrap(), Answer::MasterDown);
    assert!(matches!(server.probe().await.unwrap(), Probe::Info(_)));
}

async fn one_that_cannot_save_says_so(program: Program) {
    let process = program.start(&["--save", "3600 1"]).await;
    let server = process.connect().await;
    std::fs::remove_dir_all(process.data("")).unwrap();
    server.save_in_background().await.unwrap();
    let answer = until("it says so", async || {
        let answer = server.ping().await.unwrap();
        (answer != Answer::Pong).then_some(answer)
    })
    .await;
    assert!(matches!(answer, Answer::Misconf(_)), "{answer:?}");
    match server.probe().await.unwrap() {
        Probe::Info(info) => assert!(!info.snapshot.last_ok),
        Probe::Refused(answer) => panic!("{answer:?}"),
    }
}

async fn one_that_stands_still_is_silent(program: Program) {
    let process = program.start(&[]).await;
    let server = process.connect().await;
    process.signal(Signal::SIGSTOP);
    let silent = server.ping().await.unwrap_err();
    assert!(matches!(silent, Error::Silent { .. }), "{silent:?}");
    assert!(!silent.is_answer() && !silent.is_broken());
    // Its socket takes a connection all the same; a login on it is as silent.
    let login = process.login(Some(("default", "any"))).await.unwrap_err();
    assert!(matches!(login, Error::Silent { .. }), "{login:?}");
    process.signal(Signal::SIGCONT);
    assert_eq!(server.ping().await.unwrap(), Answer::Pong);
}

async fn one_that_is_gone_is_unreachable(program: Program) {
    let mut process = program.start(&[]).await;
    let server = process.connect().await;
    process.signal(Signal::SIGKILL);
    process.ended().await;
    for error in [
        server.ping().await.unwrap_err(),
        process.try_connect().await.unwrap_err(),
    ] {
        assert!(error.is_broken() && !error.is_answer(), "{error:?}");
    }
}
