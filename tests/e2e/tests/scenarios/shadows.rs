//! A policy's life beside and after deciding: compared in the shadow, kept over a restart of the
//! operator, set aside when it keeps failing (issue 4).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::ShadowVerdict;
use hera_api::conditions::policy_healthy as reason;
use hera_tests_e2e::{Instance, Module, Scenario, Space, module, wait_for};
use serde_json::json;

use crate::policies::{RULES, may_delete, with_worker, worker_spec};

pub const ALL: &[Scenario] = scenarios![Together;
    a_policy_in_the_shadow_is_compared_and_changes_nothing,
    a_policy_that_keeps_failing_is_set_aside_until_it_changes,
];

pub const ALONE: &[Scenario] = scenarios![Alone;
    the_last_good_policy_decides_through_a_restart_of_the_operator,
];

const SOON: Duration = Duration::from_secs(20);

/// The decision log has both answers; nothing on the server changes with the shadow.
async fn a_policy_in_the_shadow_is_compared_and_changes_nothing(space: &Space<'_>) -> Result<()> {
    let (presets, strict) = tokio::try_join!(module("acl-presets"), module("acl-no-delete"))?;
    let (instance, login) = with_worker(space, &presets).await?;
    let rights = instance.rights().await?;
    let shadow = json!({"policies": {"acl": {"shadow": {"configMapRef": {"name": "other"}}}}});
    instance.patch_spec(shadow).await?;
    wait_shadow(&instance, None, ShadowVerdict::NotLoaded).await?;
    for (module, verdict) in [
        (&strict, ShadowVerdict::Differs),
        (&presets, ShadowVerdict::Same),
        (&module("panic").await?, ShadowVerdict::Faulty),
        (&module("beyond-spec").await?, ShadowVerdict::Faulty),
        (&strict, ShadowVerdict::Differs),
    ] {
        space.put_policy("other", module).await?;
        wait_shadow(&instance, Some(module), verdict).await?;
        let condition = instance.condition(reason::TYPE).await?;
        ensure!(condition.status == "True", "{condition:?}");
        ensure!(
            instance.rights().await? == rights,
            "{verdict:?}: rights changed"
        );
    }
    ensure!(
        may_delete(&mut login.connect().await?).await?,
        "DEL is denied"
    );

    let log = space
        .bed()
        .operator()
        .decisions(space.namespace(), "cache")
        .await?;
    let last = log.last().context("the decision log is empty")?;
    let at = |path: &str| last.pointer(path).and_then(|value| value.as_str());
    ensure!(at("/decision") == Some("acl"), "{last}");
    ensure!(at("/call/digest") == Some(&presets.digest), "{last}");
    ensure!(at("/shadow/digest") == Some(&strict.digest), "{last}");
    ensure!(
        !last.to_string().contains("of-the-worker"),
        "a password is in the log"
    );
    Ok(())
}

async fn wait_shadow(
    instance: &Instance<'_>,
    module: Option<&Module>,
    verdict: ShadowVerdict,
) -> Result<()> {
    wait_for(&format!("the shadow is {verdict:?}"), SOON, async || {
        let status = instance.status().await?;
        let policy = status.policies.first().context("no status.policies")?;
        let shadow = policy.shadow.as_ref().context("no shadow")?;
        let digest = module.map(|module| &module.digest);
        ensure!(
            shadow.verdict == verdict && shadow.digest.as_ref() == digest,
            "it is {shadow:?}"
        );
        Ok(())
    })
    .await
}

/// Three faults in a row; then it is not asked any more, and a better one decides at once.
async fn a_policy_that_keeps_failing_is_set_aside_until_it_changes(
    space: &Space<'_>,
) -> Result<()> {
    let (permissive, strict) = tokio::try_join!(module("acl-presets"), module("acl-no-delete"))?;
    let (instance, _) = with_worker(space, &permissive).await?;
    let rights = instance.rights().await?;
    space.put_policy(RULES, &module("panic").await?).await?;
    instance
        .wait_condition(reason::TYPE, "False", reason::TRAP)
        .await?;
    let words = instance
        .wait_condition(reason::TYPE, "False", reason::SET_ASIDE)
        .await?;
    ensure!(words.contains("Trap"), "the cause is not said: {words}");
    ensure!(instance.rights().await? == rights, "rights changed");

    let asked = space
        .bed()
        .operator()
        .decisions(space.namespace(), "cache")
        .await?;
    let faults = asked
        .iter()
        .filter(|decision| decision.pointer("/call/reason") == Some(&json!("Trap")))
        .count();
    ensure!(faults == 3, "it was asked {faults} times");
    space.put_policy(RULES, &strict).await?;
    instance.wait_policy(&strict.digest).await
}

/// Row: broken version pushed → the last good one stays, also through an operator restart.
async fn the_last_good_policy_decides_through_a_restart_of_the_operator(
    space: &Space<'_>,
) -> Result<()> {
    let strict = module("acl-no-delete").await?;
    let (instance, login) = with_worker(space, &strict).await?;
    space.put_policy(RULES, &module("garbage").await?).await?;
    instance
        .wait_condition(reason::TYPE, "False", reason::LOAD_FAILED)
        .await?;
    let operator = space.bed().operator();
    for pod in operator.pods().await? {
        operator
            .delete_pod(pod.metadata.name.as_deref().unwrap_or_default())
            .await?;
    }
    operator.wait_rolled_out(Duration::from_secs(60)).await?;
    operator.wait_leader(&[], Duration::from_secs(30)).await?;

    // A change that needs a decision: only the last good module gives it.
    let mut spec = worker_spec();
    if let Some(keys) = spec.pointer_mut("/users/0/keys") {
        *keys = json!(["app:*", "more:*"]);
    }
    instance.patch_spec(spec).await?;
    wait_for("the worker's new keys", SOON, async || {
        let _: Option<String> = login.ask(&["GET", "more:key"]).await?;
        Ok(())
    })
    .await?;
    ensure!(
        !may_delete(&mut login.connect().await?).await?,
        "DEL is allowed"
    );
    let status = instance.status().await?;
    let policy = status.policies.first().context("no status.policies")?;
    ensure!(policy.digest.as_ref() == Some(&strict.digest), "{policy:?}");
    ensure!(policy.error.is_some(), "{policy:?}");

    space.put_policy(RULES, &strict).await?;
    instance.wait_policy(&strict.digest).await
}
