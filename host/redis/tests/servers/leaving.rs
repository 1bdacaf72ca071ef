//! How a server leaves.

use hera_redis::{Answer, Shutdown};

use crate::on_all;
use crate::process::{Program, say};

on_all!(
    it_saves_first_if_asked_to,
    it_saves_nothing_if_asked_not_to,
    it_does_as_configured,
    it_stays_if_it_cannot_save,
);

async fn leaves(program: Program, save: &str, how: Shutdown) -> bool {
    let mut process = program.start(&["--save", save]).await;
    let server = process.connect().await;
    say(&server, &["SET", "a", "1"]).await;
    server.shutdown(how).await.unwrap();
    assert!(process.ended().await.success());
    process.data("dump.rdb").exists()
}

async fn it_saves_first_if_asked_to(program: Program) {
    assert!(leaves(program, "", Shutdown::Save).await);
}

async fn it_saves_nothing_if_asked_not_to(program: Program) {
    assert!(!leaves(program, "3600 1", Shutdown::NoSave).await);
}

async fn it_does_as_configured(program: Program) {
    assert!(leaves(program, "3600 1", Shutdown::AsConfigured).await);
    assert!(!leaves(program, "", Shutdown::AsConfigured).await);
}

async fn it_stays_if_it_cannot_save(program: Program) {
    let process = program.start(&["--save", ""]).await;
    let server = process.connect().await;
    std::fs::remove_dir_all(process.data("")).unwrap();
    let refused = server.shutdown(Shutdown::Save).await.unwrap_err();
    assert!(refused.is_answer(), "{refused:?}");
    assert_eq!(server.ping().await.unwrap(), Answer::Pong);
}
