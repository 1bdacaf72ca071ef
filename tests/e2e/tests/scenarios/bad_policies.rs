//! Policies that do not do what they should: said, and nobody's rights change.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{policy_healthy as reason, ready};
use hera_tests_e2e::{Instance, Module, Scenario, Space, module, oversized, wait_for};
use serde_json::json;

use crate::policies::{RULES, may_delete, with_worker};

pub const ALL: &[Scenario] = scenarios![Together;
    a_bad_policy_changes_nobodys_rights,
    a_policy_that_cannot_be_found_changes_nobodys_rights,
    without_any_good_policy_nobody_gets_rights,
];

/// Row: policy: endless loop, garbage bytes, wrong world, WASI imports, too large, a grant beyond
/// the spec, a system user; and keys beyond the spec, a crash, memory without end. Each is said
/// with its reason, in the status, the condition and an Event; all rights on the server stay as
/// they are, byte for byte; a good one heals it.
async fn a_bad_policy_changes_nobodys_rights(space: &Space<'_>) -> Result<()> {
    let good = module("acl-no-delete").await?;
    let (instance, login) = with_worker(space, &good).await?;
    let mut client = login.connect().await?;
    ensure!(
        !may_delete(&mut client).await?,
        "the good policy is not in force"
    );
    let rights = instance.rights().await?;
    let run_id = instance.run_id().await?;
    let bad = [
        ("garbage", reason::LOAD_FAILED),
        ("wrong-world", reason::LOAD_FAILED),
        ("wasi", reason::LOAD_FAILED),
        ("wasi-core", reason::LOAD_FAILED),
        ("too-large", reason::LOAD_FAILED),
        ("endless-loop", reason::OUT_OF_FUEL),
        ("panic", reason::TRAP),
        ("memory-hog", reason::OUT_OF_MEMORY),
        ("beyond-spec", reason::GUARD_REFUSED),
        ("wider-keys", reason::GUARD_REFUSED),
        ("system-user", reason::GUARD_REFUSED),
        ("refuse", reason::POLICY_ERROR),
        ("slow-to-compile", reason::LOAD_FAILED),
        ("recursion", reason::TRAP),
        ("one-grow", reason::OUT_OF_MEMORY),
        ("page-grower", reason::OUT_OF_MEMORY),
        ("huge-list", reason::INVALID_OUTPUT),
        ("log-strings", reason::TRAP),
        ("unknown-user", reason::GUARD_REFUSED),
        ("nopass", reason::GUARD_REFUSED),
    ];
    for (name, reason) in bad {
        let module = if name == "too-large" {
            oversized(&good)
        } else {
            module(name).await?
        };
        space.put_policy(RULES, &module).await?;
        said(space, &instance, reason)
            .await
            .with_context(|| name.to_owned())?;
        ensure!(instance.rights().await? == rights, "{name}: rights changed");
        ensure!(!may_delete(&mut client).await?, "{name}: DEL is allowed");
        let serves = instance.condition(ready::TYPE).await?;
        ensure!(
            serves.status == "True",
            "{name}: Ready={} {}",
            serves.status,
            serves.reason
        );

        space.put_policy(RULES, &good).await?;
        let healed = instance.wait_policy(&good.digest).await;
        healed.with_context(|| format!("healing after {name}"))?;
    }
    ensure!(
        instance.rights().await? == rights,
        "rights changed after all"
    );
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    Ok(())
}

async fn said(space: &Space<'_>, instance: &Instance<'_>, reason: &str) -> Result<()> {
    let words = instance
        .wait_condition(reason_type(), "False", reason)
        .await?;
    ensure!(!words.is_empty(), "the condition has no message");
    let status = instance.status().await?;
    let error = status
        .policies
        .first()
        .and_then(|policy| policy.error.clone());
    ensure!(
        error.is_some_and(|error| error.contains(reason)),
        "{:?}",
        status.policies
    );
    space.wait_event("cache", reason).await?;
    Ok(())
}

fn reason_type() -> &'static str {
    reason::TYPE
}

/// Row: missing ConfigMap; and a missing key, another digest than the pinned one, bad settings.
async fn a_policy_that_cannot_be_found_changes_nobodys_rights(space: &Space<'_>) -> Result<()> {
    let good = module("acl-no-delete").await?;
    let (instance, login) = with_worker(space, &good).await?;
    let rights = instance.rights().await?;
    let acl = |source: serde_json::Value| json!({"policies": {"acl": source}});
    let other = Module {
        digest: format!("sha256:{}", "0".repeat(64)),
        ..good.clone()
    };
    let bad = [
        (
            json!({"configMapRef": {"name": "nowhere"}}),
            reason::CONFIG_MAP_MISSING,
        ),
        (
            json!({"configMapRef": {"name": RULES, "key": "other.wasm"}}),
            reason::KEY_MISSING,
        ),
        (
            json!({"configMapRef": {"key": "policy.wasm", "digest": other.digest}}),
            reason::DIGEST_MISMATCH,
        ),
        (
            json!({"configMapRef": {"digest": null}, "settings": {"deny": ["+del"]}}),
            reason::SETTINGS_INVALID,
        ),
    ];
    for (source, reason) in bad {
        instance.patch_spec(acl(source)).await?;
        said(space, &instance, reason).await?;
        ensure!(
            instance.rights().await? == rights,
            "{reason}: rights changed"
        );
    }
    instance.patch_spec(acl(json!({"settings": null}))).await?;
    instance.wait_policy(&good.digest).await?;

    space
        .bed()
        .kubectl(&["-n", space.namespace(), "delete", "configmap", RULES])
        .await?;
    said(space, &instance, reason::CONFIG_MAP_MISSING).await?;
    ensure!(
        instance.rights().await? == rights,
        "rights changed with the ConfigMap gone"
    );
    ensure!(!may_delete(&mut login.connect().await?).await?);

    // Rights survive a restart while nobody can decide on them.
    let run_id = instance.run_id().await?;
    instance.delete_pod(false).await?;
    wait_for(
        "another run of the server",
        Duration::from_secs(60),
        async || {
            ensure!(instance.run_id().await? != run_id, "it is the old one");
            Ok(())
        },
    )
    .await?;
    wait_for(
        "the worker is let in",
        Duration::from_secs(20),
        async || {
            ensure!(
                !may_delete(&mut login.connect().await?).await?,
                "DEL is allowed"
            );
            Ok(())
        },
    )
    .await?;
    space.put_policy(RULES, &good).await?;
    instance.wait_policy(&good.digest).await?;
    ensure!(
        instance.rights().await? == rights,
        "rights changed after all"
    );
    Ok(())
}

/// Never fail open (design §4): a user who has no rights yet gets none from a policy that fails,
/// the application user included; once it is good, everything comes.
async fn without_any_good_policy_nobody_gets_rights(space: &Space<'_>) -> Result<()> {
    space
        .put_policy(RULES, &module("endless-loop").await?)
        .await?;
    let spec = json!({"policies": {"acl": {"configMapRef": {"name": RULES}}}});
    let instance = space.make("cache", spec).await?;
    instance
        .wait_condition(reason::TYPE, "False", reason::OUT_OF_FUEL)
        .await?;
    instance
        .wait_condition(ready::TYPE, "False", ready::WAITING_FOR_USERS)
        .await?;
    let app = instance.app().await?;
    let direct = app.at(&instance.pod_ip().await?);
    ensure!(
        direct.connect().await.is_err(),
        "the application user is let in"
    );

    let good = module("acl-presets").await?;
    space.put_policy(RULES, &good).await?;
    instance.wait_settled().await?;
    instance.wait_policy(&good.digest).await?;
    let _: String = app.ask(&["SET", "key", "value"]).await?;
    Ok(())
}
