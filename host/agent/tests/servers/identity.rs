//! Mutual TLS: who may speak to an agent.

use hera_core::agent::{
    Order, PATH_ACL, PATH_BACKUP, PATH_BACKUP_ORDERS, PATH_CONFIG, PATH_CONFIRM, PATH_EVENTS,
    PATH_MEMBERS, PATH_ORDERS, PATH_POSITION, PATH_STATUS, PATH_VOUCH, Question, Request, Vouch,
};
use reqwest::StatusCode;

use crate::certificates::Authority;
use crate::client::{AGENT_NAME, Answer, OBJECT_NAMES, answer, http};
use crate::engine::Engine;
use crate::pod::Pod;
use crate::wait::until;

facts_on!(
    once,
    REDIS_7_0,
    only_who_has_a_certificate_of_the_same_authority_is_heard,
    a_peer_may_ask_whether_it_serves_and_nothing_else,
    certificates_replaced_in_place_are_used,
    certificates_that_are_not_usable_leave_the_old_ones
);

async fn only_who_has_a_certificate_of_the_same_authority_is_heard(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.start().await;
    let other = Authority::new();
    let (operator, agent) = (other.operator(), other.agent(AGENT_NAME));
    let (expired, over) = (other.expired_agent("x"), pod.authority.expired_operator());
    for identity in [
        None,
        Some(&operator),
        Some(&agent),
        Some(&expired),
        Some(&over),
    ] {
        let client = http(pod.authority.client(identity), AGENT_NAME, pod.control());
        for path in [PATH_STATUS, PATH_VOUCH] {
            let answer = client.get(pod.url(path)).send().await;
            assert!(answer.is_err(), "{answer:?}");
        }
    }
}

async fn a_peer_may_ask_whether_it_serves_and_nothing_else(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.start().await;
    let (peer, operator) = (pod.authority.agent(OBJECT_NAMES), pod.authority.operator());
    let as_peer = http(pod.authority.client(Some(&peer)), AGENT_NAME, pod.control());
    let question = Question {
        number: 1,
        pod_uid: "another".to_owned(),
        epoch: 1,
    };
    let vouch = async |client: &reqwest::Client| -> Answer<Vouch> {
        let vouch = client.post(pod.url(PATH_VOUCH));
        answer(vouch.header("hera-pod", &pod.uid).json(&question)).await
    };
    assert!(vouch(&as_peer).await.unwrap().confirmed);
    // Of the same authority, and of another object, in force or not.
    for other in [
        pod.authority.agent("*.x"),
        pod.authority.expired_agent("*.x"),
    ] {
        let other = http(
            pod.authority.client(Some(&other)),
            AGENT_NAME,
            pod.control(),
        );
        assert_eq!(vouch(&other).await.unwrap_err().0, StatusCode::FORBIDDEN);
    }
    let requests = |client: &reqwest::Client| {
        let order = Request {
            term: 9,
            body: Order::Fence { epoch: 9 },
        };
        [
            client.post(pod.url(PATH_ORDERS)).json(&order),
            client.put(pod.url(PATH_MEMBERS)),
            client.put(pod.url(PATH_CONFIG)),
            client.put(pod.url(PATH_ACL)),
            client.post(pod.url(PATH_CONFIRM)),
            client.get(pod.url(PATH_POSITION)),
            client.get(pod.url(PATH_STATUS)),
            client.get(pod.url(PATH_EVENTS)),
            client.get(pod.url(PATH_BACKUP)),
            client.post(pod.url(PATH_BACKUP_ORDERS)),
        ]
    };
    for request in requests(&as_peer) {
        let status = request.send().await.unwrap().status();
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    assert_eq!(pod.status().await.unwrap().term, 0);
    let as_operator = http(
        pod.authority.client(Some(&operator)),
        AGENT_NAME,
        pod.control(),
    );
    for request in requests(&as_operator) {
        let status = request.send().await.unwrap().status();
        assert_ne!(status, StatusCode::FORBIDDEN);
    }
}

const OTHER_NAME: &str = "renewed.agents.test";

async fn certificates_replaced_in_place_are_used(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.start().await;
    let boot = pod.status().await.unwrap().boot_id;
    let next = Authority::new();
    next.write(&pod.path("tls"), &next.agent(OTHER_NAME));
    let tls = next.client(Some(&next.operator()));
    let client = http(tls, OTHER_NAME, pod.control());
    let url = format!("https://{OTHER_NAME}:{}{PATH_STATUS}", pod.control().port());
    let status: serde_json::Value = until("the new ones are used", async || {
        let answer = client.get(&url).send().await;
        let answer = answer.map_err(|error| format!("{error:?}"))?;
        answer.json().await.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(status["bootId"], boot);
    assert!(
        pod.status().await.is_err(),
        "the old authority counts no more"
    );
}

async fn certificates_that_are_not_usable_leave_the_old_ones(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.start().await;
    std::fs::write(pod.path("tls/tls.crt"), "half a certif").unwrap();
    until("it is seen", async || {
        let log = pod.log();
        if log.contains("the old certificates stay") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    pod.status().await.unwrap();
}
