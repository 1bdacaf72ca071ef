//! Mutual TLS: who may speak to an agent.

use hera_core::agent::PATH_STATUS;

use crate::certificates::Authority;
use crate::client::{AGENT_NAME, http};
use crate::engine::Engine;
use crate::pod::Pod;
use crate::wait::until;

facts_on!(
    once,
    REDIS_7_0,
    only_an_operator_of_the_same_authority_is_heard,
    certificates_replaced_in_place_are_used,
    certificates_that_are_not_usable_leave_the_old_ones
);

async fn only_an_operator_of_the_same_authority_is_heard(engine: Engine) {
    let mut pod = Pod::new(engine);
    pod.start().await;
    let ours = &pod.authority;
    let other = Authority::new().operator();
    let agent = ours.agent(AGENT_NAME);
    for identity in [None, Some(&other), Some(&agent)] {
        let client = http(ours.client(identity), AGENT_NAME, pod.control());
        let answer = client.get(pod.url(PATH_STATUS)).send().await;
        assert!(answer.is_err(), "{answer:?}");
    }
    let operator = ours.operator();
    let client = http(ours.client(Some(&operator)), AGENT_NAME, pod.control());
    client.get(pod.url(PATH_STATUS)).send().await.unwrap();
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
