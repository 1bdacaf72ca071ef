//! Terms, revisions, owners, the stream of news, and one agent per folder.

use std::time::Duration;

use hera_core::agent::{AclState, ConfigState, PATH_ACL, PATH_CONFIG, Role};
use hera_core::term::END;
use reqwest::StatusCode;

use crate::client::{Answer, app, user};
use crate::engine::Engine;
use crate::news::News;
use crate::pod::{Pod, config, is_running, set};

const REFUSED: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

on_both!(
    an_old_term_is_refused_also_after_a_restart,
    what_is_no_term_is_refused_and_forgotten_and_no_other_is_lowered,
    what_is_older_or_anothers_is_refused,
    the_stream_tells_the_present_first_and_then_each_change,
    a_second_agent_on_a_folder_says_so_and_ends,
);
facts_on!(once, REDIS_7_0, an_idle_stream_beats);

async fn an_old_term_is_refused_also_after_a_restart(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.lone = false;
    pod.start().await;
    pod.until("the server answers", is_running).await;
    assert_eq!(pod.promote(7).await.unwrap().term, 7);
    for _ in 0..2 {
        let users: Answer<AclState> = pod.put(PATH_ACL, 6, set(1, &[app()])).await;
        let (status, refusal) = users.unwrap_err();
        assert_eq!((status, refusal.term), (StatusCode::CONFLICT, Some(7)));
        assert!(refusal.message.contains('7') && refusal.message.contains('6'));
        let (status, _) = pod.promote(6).await.unwrap_err();
        assert_eq!(status, StatusCode::CONFLICT);
        let change: Answer<ConfigState> = pod.put(PATH_CONFIG, 6, config(1, &[])).await;
        assert_eq!(change.unwrap_err().0, StatusCode::CONFLICT);

        assert!(pod.terminate().await.success());
        pod.start().await;
        let status = pod.until("the server answers", is_running).await;
        assert_eq!((status.term, status.role), (7, Role::Held));
    }
    let users: Answer<AclState> = pod.put(PATH_ACL, 8, set(1, &[app()])).await;
    assert!(users.unwrap().confirmed);
    assert_eq!(pod.status().await.unwrap().term, 8);
}

async fn what_is_no_term_is_refused_and_forgotten_and_no_other_is_lowered(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.lone = false;
    std::fs::create_dir(pod.path("data/.hera")).unwrap();
    let path = pod.path("data/.hera/state");
    let store = |term: u64| {
        let state = format!(r#"{{"term": {term}, "promotedTerm": {term}, "owner": "object"}}"#);
        std::fs::write(&path, state).unwrap();
    };
    let stored = || {
        let state = std::fs::read_to_string(&path).unwrap();
        serde_json::from_str::<serde_json::Value>(&state).unwrap()["term"].as_u64()
    };
    store(u64::MAX);
    pod.start().await;
    let status = pod.until("the server answers", is_running).await;
    assert_eq!(status.term, 0, "nobody is told of it");
    pod.promote(7).await.unwrap();
    assert_eq!(stored(), Some(7));

    for none in [END, u64::MAX - 1, u64::MAX] {
        let (status, refusal) = pod.promote(none).await.unwrap_err();
        assert_eq!((status, refusal.term), (REFUSED, None));
        let users: Answer<AclState> = pod.put(PATH_ACL, none, set(1, &[app()])).await;
        assert_eq!(users.unwrap_err().0, REFUSED);
        assert_eq!(stored(), Some(7));
    }

    assert!(pod.terminate().await.success());
    store(END - 1);
    pod.start().await;
    pod.until("the server answers", is_running).await;
    let (status, refusal) = pod.promote(8).await.unwrap_err();
    assert_eq!(
        (status, refusal.term),
        (StatusCode::CONFLICT, Some(END - 1))
    );
    assert_eq!(stored(), Some(END - 1));
}

async fn what_is_older_or_anothers_is_refused(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    pod.push_users(5, &[app()]).await.unwrap();
    let before = pod.status().await.unwrap();
    let refused = pod.push_users(4, &[]).await.unwrap_err();
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.1.message.contains("older"));
    let mut foreign = set(9, &[user("eve", &["+@all", "~*"])]);
    foreign.owner = "another".to_owned();
    let refused: Answer<AclState> = pod.put(PATH_ACL, 1, foreign).await;
    assert!(refused.unwrap_err().1.message.contains("another object"));
    assert_eq!(pod.status().await.unwrap(), before);

    pod.push_config(5, &[]).await.unwrap();
    let refused = pod.push_config(4, &[]).await.unwrap_err();
    assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY);
    let mut foreign = config(9, &[]);
    foreign.owner = "another".to_owned();
    let refused: Answer<ConfigState> = pod.put(PATH_CONFIG, 1, foreign).await;
    assert!(refused.unwrap_err().1.message.contains("another object"));
    assert_eq!(pod.status().await.unwrap().config.revision, 5);
}

async fn the_stream_tells_the_present_first_and_then_each_change(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let mut news = News::open(&pod).await;
    assert_eq!(news.status().await, pod.status().await.unwrap());
    pod.push_users(2, &[app()]).await.unwrap();
    news.until(|status| status.acl.revision == 2).await;
    pod.kill_server().await;
    let down = news.until(|status| status.last_exit.is_some()).await;
    assert_ne!(down.role, Role::Primary);
    let up = news.until(|status| status.role == Role::Primary).await;
    assert_eq!((up.restarts, up.last_exit), (1, down.last_exit));
}

async fn an_idle_stream_beats(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let mut news = News::open(&pod).await;
    news.until(|status| status.role == Role::Primary).await;
    assert_eq!(news.line().await, b"");
}

async fn a_second_agent_on_a_folder_says_so_and_ends(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.serve().await;
    let command = pod.command();
    let second = tokio::task::spawn_blocking(move || { command }.output().unwrap());
    let second = tokio::time::timeout(Duration::from_secs(10), second).await;
    let second = second.expect("it ends").unwrap();
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr);
    assert!(words.contains("another agent already runs"), "{words}");
    // The first does not notice.
    assert_eq!(pod.status().await.unwrap().role, Role::Primary);
    pod.app().await;
}
