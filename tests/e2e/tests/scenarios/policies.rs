//! ACL policies of the user's own, swapped while everything runs.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, policy_healthy};
use hera_tests_e2e::{Instance, Login, Module, Scenario, Space, is_denied, module, text, wait_for};
use jiff::Timestamp;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};

pub const ALL: &[Scenario] = scenarios![Together;
    a_swapped_policy_changes_rights_while_a_client_stays_connected,
    revoked_rights_stay_revoked_through_an_immediate_restart,
    a_revocation_in_the_spec_holds_whatever_the_policy_says,
    a_policy_that_decides_by_time_is_asked_again_then,
];

/// How soon a swapped policy must show on the live server (issue 3).
pub const EFFECTIVE: Duration = Duration::from_secs(2);
pub const RULES: &str = "rules";
const LONG: Duration = Duration::from_secs(60);

/// An instance with a user `worker`, whose rights the policy in the ConfigMap [`RULES`] decides.
pub fn worker_spec() -> Value {
    json!({
        "users": [{
            "name": "worker", "preset": "ReadWrite", "keys": ["app:*"],
            "passwordSecretRef": {"name": "worker"},
        }],
        "policies": {"acl": {"configMapRef": {"name": RULES}}},
    })
}

/// Makes that instance, with a policy that denies nothing.
pub async fn with_worker<'a>(
    space: &'a Space<'_>,
    permissive: &Module,
) -> Result<(Instance<'a>, Login)> {
    space
        .put_secret("worker", &[("password", "of-the-worker")])
        .await?;
    space.put_policy(RULES, permissive).await?;
    let instance = space.ready("cache", worker_spec()).await?;
    instance.wait_policy(&permissive.digest).await?;
    let login = Login::new(&instance.cluster_ip().await?, "worker", "of-the-worker");
    Ok((instance, login))
}

/// True if DEL is allowed to whoever is connected.
pub async fn may_delete(client: &mut MultiplexedConnection) -> Result<bool> {
    match text(client, &["DEL", "app:key"]).await {
        Ok(_) => Ok(true),
        Err(error) if is_denied(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Puts another module in the ConfigMap; gives how long it took to show on the server.
pub async fn swap(
    space: &Space<'_>,
    client: &mut MultiplexedConnection,
    module: &Module,
    deletes: bool,
) -> Result<Duration> {
    ensure!(
        may_delete(client).await? != deletes,
        "it shows before the swap"
    );
    let start = Instant::now();
    space.put_policy(RULES, module).await?;
    wait_for(
        "the swapped policy shows",
        Duration::from_secs(20),
        async || {
            ensure!(
                may_delete(client).await? == deletes,
                "DEL allowed: {}",
                !deletes
            );
            Ok(())
        },
    )
    .await?;
    Ok(start.elapsed())
}

/// Row: a hot-swapped ACL policy changes a user's rights on the live server within 2 s while a
/// client keeps its connection. Seen active by its digest before its behaviour counts.
async fn a_swapped_policy_changes_rights_while_a_client_stays_connected(
    space: &Space<'_>,
) -> Result<()> {
    let (permissive, strict) = tokio::try_join!(module("acl-presets"), module("acl-no-delete"))?;
    let (instance, login) = with_worker(space, &permissive).await?;
    let run_id = instance.run_id().await?;
    let mut client = login.connect().await?;
    let id = text(&mut client, &["CLIENT", "ID"]).await?;
    for (module, deletes) in [(&strict, false), (&permissive, true), (&strict, false)] {
        let took = swap(space, &mut client, module, deletes).await?;
        instance.wait_policy(&module.digest).await?;
        ensure!(
            may_delete(&mut client).await? == deletes,
            "it shows no more"
        );
        ensure!(took <= EFFECTIVE, "it took {} ms", took.as_millis());
        ensure!(
            text(&mut client, &["CLIENT", "ID"]).await? == id,
            "the connection is another"
        );
        text(&mut client, &["SET", "app:key", "value"]).await?;
    }
    space.wait_event("cache", "PolicyChanged").await?;
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    let status = instance.status().await?;
    let policy = status.policies.first().context("no status.policies")?;
    let source = policy.source.as_ref().map(ToString::to_string);
    ensure!(source.as_deref() == Some("configMap rules"), "{policy:?}");

    // Its settings belong to it: another command is denied instead.
    let settings = json!({"policies": {"acl": {"settings": {"deny": ["incr"]}}}});
    instance.patch_spec(settings).await?;
    wait_for("the settings show", EFFECTIVE * 5, async || {
        ensure!(may_delete(&mut client).await?, "DEL is still denied");
        Ok(())
    })
    .await?;
    let answer = text(&mut client, &["INCR", "app:count"]).await;
    ensure!(
        answer.err().is_some_and(|error| is_denied(&error)),
        "INCR is allowed"
    );
    ensure!(
        text(&mut client, &["CLIENT", "ID"]).await? == id,
        "the connection is another"
    );

    // Without a policy of its own the built-in decides.
    instance.patch_spec(json!({"policies": null})).await?;
    instance
        .wait_condition(policy_healthy::TYPE, "True", policy_healthy::BUILTIN)
        .await?;
    wait_for("the built-in's rights", EFFECTIVE * 5, async || {
        text(&mut client, &["INCR", "app:count"]).await?;
        Ok(())
    })
    .await
}

/// Row: revoked rights stay revoked through an immediate pod restart: from the first answer of the
/// new pod on, at its own address, DEL is never allowed.
async fn revoked_rights_stay_revoked_through_an_immediate_restart(space: &Space<'_>) -> Result<()> {
    let (permissive, strict) = tokio::try_join!(module("acl-presets"), module("acl-no-delete"))?;
    let (instance, login) = with_worker(space, &permissive).await?;
    for at_once in [true, false] {
        space.put_policy(RULES, &permissive).await?;
        instance.wait_policy(&permissive.digest).await?;
        let mut client = login.connect().await?;
        ensure!(
            may_delete(&mut client).await?,
            "DEL is not allowed at first"
        );
        let uid = instance.pod_uid().await?;

        swap(space, &mut client, &strict, false).await?;
        instance.delete_pod(at_once).await?;
        let mut answers = 0;
        wait_for(
            "enough answers of the new pod",
            Duration::from_secs(60),
            async || {
                let pod = instance.pod().await?;
                ensure!(
                    pod.metadata.uid.as_deref() != Some(uid.as_str()),
                    "it is the old pod"
                );
                let direct = login.at(&instance.pod_ip().await?);
                let limit = Duration::from_millis(500);
                let mut client = direct.connect_within(limit, limit).await?;
                while answers < 200 {
                    if may_delete(&mut client).await? {
                        // Not an error of the probe, which would only be tried again.
                        answers = usize::MAX;
                        return Ok(());
                    }
                    answers += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Ok(())
            },
        )
        .await?;
        ensure!(answers != usize::MAX, "the new pod allows what was revoked");
        instance.wait_settled().await?;
        ensure!(!may_delete(&mut login.connect().await?).await?);
    }
    Ok(())
}

/// What is said to who may not: the server's own words, not those for a wrong password.
async fn ensure_denied(client: &mut MultiplexedConnection, words: &[&str]) -> Result<()> {
    let answer = text(client, words).await;
    ensure!(
        answer.as_ref().err().is_some_and(is_denied),
        "{words:?} is answered {answer:?}"
    );
    Ok(())
}

/// A policy goes beyond a spec that was narrowed: what the spec takes away is gone at once, on a
/// connection that lasts and through a new pod, and the condition names who waits for a decision.
async fn a_revocation_in_the_spec_holds_whatever_the_policy_says(space: &Space<'_>) -> Result<()> {
    let (permissive, writes) = tokio::try_join!(module("acl-presets"), module("adds-set"))?;
    let (instance, login) = with_worker(space, &writes).await?;
    let mut client = login.connect().await?;
    text(&mut client, &["SET", "app:key", "value"]).await?;

    let mut narrowed = worker_spec();
    narrowed["users"][0]["preset"] = json!("ReadOnly");
    instance.patch_spec(narrowed).await?;
    let start = Instant::now();
    wait_for("the revocation shows", EFFECTIVE * 5, async || {
        ensure_denied(&mut client, &["SET", "app:key", "value"]).await
    })
    .await?;
    let took = start.elapsed();
    ensure!(took <= EFFECTIVE, "it took {} ms", took.as_millis());
    ensure_denied(&mut client, &["DEL", "app:key"]).await?;
    ensure!(text(&mut client, &["GET", "app:key"]).await? == "value");
    instance
        .wait_condition(policy_healthy::TYPE, "False", policy_healthy::GUARD_REFUSED)
        .await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::RIGHTS_UNDECIDED)
        .await?;
    ensure!(words.contains("worker"), "{words}");

    let run_id = instance.run_id().await?;
    instance.delete_pod(true).await?;
    let mut client = wait_for("the new pod", LONG, async || {
        ensure!(instance.run_id().await? != run_id, "it is the old one");
        Ok(login.connect().await?)
    })
    .await?;
    ensure_denied(&mut client, &["SET", "app:key", "value"]).await?;
    ensure!(text(&mut client, &["GET", "app:key"]).await? == "value");

    space.put_policy(RULES, &permissive).await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    ensure_denied(&mut client, &["SET", "app:key", "value"]).await
}

/// Nothing changes but the clock: writing ends when the policy said that it would. A person may ask
/// at any time, and sees the decision.
async fn a_policy_that_decides_by_time_is_asked_again_then(space: &Space<'_>) -> Result<()> {
    let (permissive, hours) = tokio::try_join!(module("acl-presets"), module("acl-write-hours"))?;
    let (instance, login) = with_worker(space, &permissive).await?;
    let mut client = login.connect().await?;
    let minute = Timestamp::now().as_second() / 60;
    let of_day = |minute: i64| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
    // It is asked again a minute after it was asked at the soonest.
    let end = minute + 2;
    let settings = json!({"users": ["worker"], "from": of_day(minute - 60), "to": of_day(end)});
    space.put_policy("hours", &hours).await?;
    let acl = json!({"configMapRef": {"name": "hours"}, "settings": settings});
    instance
        .patch_spec(json!({"policies": {"acl": acl}}))
        .await?;
    instance.wait_policy(&hours.digest).await?;
    text(&mut client, &["SET", "app:key", "value"]).await?;

    let asked = space
        .hera(&["policy", "ask", "cache"])
        .await?
        .with_code(0)?;
    let until = Timestamp::from_second(end * 60)?.to_string();
    ensure!(asked.contains(&until), "not until {until}: {asked}");

    wait_for("the end of the hours", 2 * LONG, async || {
        ensure_denied(&mut client, &["SET", "app:key", "value"]).await
    })
    .await?;
    let late = Timestamp::now().as_millisecond() - end * 60_000;
    space.bed().figures.note(
        "a policy that decides by time: rights change after the time that it named",
        format!("{late} ms"),
    );
    ensure!((0..5_000).contains(&late), "{late} ms after the time");
    ensure!(text(&mut client, &["GET", "app:key"]).await? == "value");
    Ok(())
}
