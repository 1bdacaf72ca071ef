//! Where policies come from, and who is touched when one of them changes (issue 4).

use std::time::Duration;

use anyhow::{Result, ensure};
use hera_api::conditions::policy_healthy as reason;
use hera_api::{PolicyOriginKind, PolicyStatus};
use hera_tests_e2e::{Instance, Module, Scenario, Space, manifest, module, wait_for};
use serde_json::json;

use crate::policies::{RULES, may_delete, with_worker, worker_spec};

pub const ALL: &[Scenario] = scenarios![Together;
    a_module_in_the_wrong_place_is_said_with_where_it_belongs,
    a_swap_touches_only_who_uses_the_module,
];

/// They concern every object.
pub const ALONE: &[Scenario] = scenarios![Alone;
    a_default_policy_decides_where_no_other_is_named_and_two_of_them_do_not,
];

fn is_of(policy: &PolicyStatus, kind: PolicyOriginKind) -> bool {
    policy
        .source
        .as_ref()
        .is_some_and(|source| source.kind == kind)
}

const SOON: Duration = Duration::from_secs(20);

/// Bad input, each with a clear message where the author looks.
async fn a_module_in_the_wrong_place_is_said_with_where_it_belongs(
    space: &Space<'_>,
) -> Result<()> {
    let good = module("acl-no-delete").await?;
    let (instance, login) = with_worker(space, &good).await?;
    let mut client = login.connect().await?;
    let map = |content: serde_json::Value| {
        let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "odd"}});
        if let (Some(map), Some(content)) = (map.as_object_mut(), content.as_object()) {
            map.extend(content.clone());
        }
        map.to_string()
    };
    let bytes = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
    let plain = wat::parse_str(r#"(module (func (export "decide")))"#)?;
    let plain = json!(k8s_openapi::ByteString(plain));
    let point = json!({"policies": {"acl": {"configMapRef": {"name": "odd"}}}});
    space.apply(&map(json!({}))).await?;
    instance.patch_spec(point).await?;
    for (content, kind, words) in [
        (json!({}), reason::KEY_MISSING, "no key policy.wasm"),
        (
            json!({"data": {"policy.wasm": "text"}}),
            reason::KEY_MISSING,
            "put the module under binaryData",
        ),
        (
            json!({"binaryData": {"other.wasm": bytes("x")}}),
            reason::KEY_MISSING,
            "but other.wasm: name it in configMapRef.key",
        ),
        (
            json!({"binaryData": {"policy.wasm": plain}}),
            reason::LOAD_FAILED,
            "NoWorld",
        ),
    ] {
        let bed = space.bed();
        let namespace = space.namespace();
        bed.kubectl(&["-n", namespace, "delete", "configmap", "odd"])
            .await?;
        space.apply(&map(content)).await?;
        wait_for(words, SOON, async || {
            let condition = instance.condition(reason::TYPE).await?;
            ensure!(
                condition.reason == kind && condition.message.contains(words),
                "it is {condition:?}"
            );
            Ok(())
        })
        .await?;
        ensure!(!may_delete(&mut client).await?, "{words}: DEL is allowed");
    }
    // What the schema can know.
    let mut spec = worker_spec();
    if let Some(acl) = spec.pointer_mut("/policies/acl") {
        acl["settings"] = json!(["del"]);
    }
    let said = space.apply_refused(&manifest("cache", spec)).await?;
    ensure!(said.contains("settings"), "{said}");

    instance
        .patch_spec(json!({"policies": {"acl": {"configMapRef": {"name": RULES}}}}))
        .await?;
    instance.wait_policy(&good.digest).await
}

/// Three objects, two modules: a swap of one shows at those that use it, and no other is written to.
async fn a_swap_touches_only_who_uses_the_module(space: &Space<'_>) -> Result<()> {
    let (permissive, strict) = tokio::try_join!(module("acl-presets"), module("acl-no-delete"))?;
    for name in ["shared", "own"] {
        space.put_policy(name, &permissive).await?;
    }
    let uses = |name: &str| json!({"policies": {"acl": {"configMapRef": {"name": name}}}});
    let one = space.make("one", uses("shared")).await?;
    let two = space.make("two", uses("shared")).await?;
    let three = space.make("three", uses("own")).await?;
    for instance in [&one, &two, &three] {
        instance.wait_settled().await?;
        instance.wait_policy(&permissive.digest).await?;
    }
    let before = three.wait_quiet(Duration::from_secs(2)).await?;
    let version = three.get().await?.metadata.resource_version;
    space.put_policy("shared", &strict).await?;
    for instance in [&one, &two] {
        instance.wait_policy(&strict.digest).await?;
    }
    before.ensure_untouched(&three.children().await?)?;
    ensure!(
        three.get().await?.metadata.resource_version == version,
        "the object with the other module was written to"
    );
    Ok(())
}

/// The operator's own default: used where an object names none; two of them are none, and said.
async fn a_default_policy_decides_where_no_other_is_named_and_two_of_them_do_not(
    space: &Space<'_>,
) -> Result<()> {
    let (permissive, strict) = tokio::try_join!(module("acl-presets"), module("acl-no-delete"))?;
    let (named, login) = with_worker(space, &permissive).await?;
    let plain = space.ready("plain", json!({})).await?;
    plain
        .wait_condition(reason::TYPE, "True", reason::BUILTIN)
        .await?;
    let outcome = defaults(space, &plain, &strict).await;
    for name in ["e2e-default", "e2e-second"] {
        let words = [
            "-n",
            "hera-system",
            "delete",
            "configmap",
            name,
            "--ignore-not-found",
        ];
        space.bed().kubectl(&words).await?;
    }
    outcome?;
    plain
        .wait_condition(reason::TYPE, "True", reason::BUILTIN)
        .await?;
    // Who names one is not concerned.
    named.wait_policy(&permissive.digest).await?;
    ensure!(may_delete(&mut login.connect().await?).await?);
    Ok(())
}

async fn defaults(space: &Space<'_>, plain: &Instance<'_>, strict: &Module) -> Result<()> {
    let default = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": name, "namespace": "hera-system",
                "labels": {"cache.hera.io/default-policy": "acl"},
            },
            "binaryData": {"policy.wasm": k8s_openapi::ByteString(strict.bytes.clone())},
        })
        .to_string()
    };
    let bed = space.bed();
    bed.apply("hera-system", &default("e2e-default")).await?;
    plain.wait_policy(&strict.digest).await?;
    let status = plain.status().await?;
    ensure!(
        status
            .policies
            .iter()
            .all(|p| is_of(p, PolicyOriginKind::Default)),
        "{:?}",
        status.policies
    );
    bed.apply("hera-system", &default("e2e-second")).await?;
    let words = plain
        .wait_condition(reason::TYPE, "False", reason::DEFAULT_AMBIGUOUS)
        .await?;
    ensure!(
        words.contains("e2e-default") && words.contains("e2e-second"),
        "{words}"
    );
    wait_for("the built-in decides", SOON, async || {
        let status = plain.status().await?;
        ensure!(
            status
                .policies
                .iter()
                .all(|p| is_of(p, PolicyOriginKind::BuiltIn)),
            "{:?}",
            status.policies
        );
        Ok(())
    })
    .await?;
    let words = ["-n", "hera-system", "delete", "configmap", "e2e-second"];
    bed.kubectl(&words).await?;
    plain.wait_policy(&strict.digest).await
}
