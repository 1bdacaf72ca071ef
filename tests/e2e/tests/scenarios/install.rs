//! Installing, and what the operator says when that was done by half.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, progressing};
use hera_tests_e2e::{Bed, Scenario, Space, wait_for};
use kube::ResourceExt as _;
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Alone;
    an_older_definition_is_said_and_the_operator_goes_on_when_it_is_renewed,
    kustomize_installs_what_kubectl_does,
    with_roles_alone_the_operator_looks_after_the_namespaces_that_it_is_given,
    with_the_sample_the_operator_changes_nothing_but_its_own,
];

const SOME: Duration = Duration::from_secs(30);
const ROLLED_OUT: Duration = Duration::from_secs(60);
/// The operator, as the API server knows it.
const OPERATOR: &str = "system:serviceaccount:hera-system:hera-operator";

/// Row: a clear message when the CRD is older than the operator (P43): nothing is reconciled with half
/// of the fields, the pod is not Ready and says why, and goes on by itself.
async fn an_older_definition_is_said_and_the_operator_goes_on_when_it_is_renewed(
    space: &Space<'_>,
) -> Result<()> {
    let bed = space.bed();
    let instance = space.ready("cache", json!({})).await?;
    let run_id = instance.run_id().await?;
    let field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/paused";
    let older = json!([{"op": "remove", "path": field}]).to_string();
    let crd = "redisinstances.cache.hera.io";
    bed.kubectl(&["patch", "crd", crd, "--type=json", "-p", &older])
        .await?;
    let outcome = with_older_definition(bed).await;
    bed.kubectl(&[
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "deploy/crd/",
    ])
    .await?;
    outcome?;
    bed.operator()
        .wait_rolled_out(ROLLED_OUT)
        .await
        .context("it goes on by itself")?;
    bed.operator().wait_leader(&[], SOME).await?;
    instance.patch_spec(json!({"paused": true})).await?;
    instance
        .wait_condition(progressing::TYPE, "False", progressing::PAUSED)
        .await?;
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    Ok(())
}

async fn with_older_definition(bed: &Bed) -> Result<()> {
    let operator = bed.operator();
    let mut before = Vec::new();
    for pod in operator.pods().await? {
        before.push(pod.name_any());
        operator.delete_pod(&pod.name_any()).await?;
    }
    wait_for(
        "a new pod that says why it is not ready",
        SOME,
        async || {
            let pods = operator.pods().await?;
            let new = pods.iter().find(|pod| !before.contains(&pod.name_any()));
            let name = new.context("there is no new pod")?.name_any();
            let words = ["-n", "hera-system", "logs", &name];
            let log = bed.kubectl(&words).await?;
            ensure!(
                log.contains("older than this operator") && log.contains("spec.paused"),
                "its log is {log}"
            );
            let ready = new
                .and_then(|pod| pod.status.as_ref()?.conditions.as_ref())
                .and_then(|all| all.iter().find(|condition| condition.type_ == "Ready"));
            ensure!(
                ready.is_some_and(|condition| condition.status == "False"),
                "it is {ready:?}"
            );
            Ok(())
        },
    )
    .await
}

/// Row: also by kustomize.
async fn kustomize_installs_what_kubectl_does(space: &Space<'_>) -> Result<()> {
    let names = |text: &str| -> BTreeSet<String> {
        let names = text.lines().filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect()
    };
    let bed = space.bed();
    let plain = [
        "apply",
        "--dry-run=server",
        "-f",
        "deploy/crd/",
        "-f",
        "deploy/manager/",
    ];
    let plain = bed.kubectl(&plain).await?;
    let kustomize = bed
        .kubectl(&["apply", "--dry-run=server", "-k", "deploy/"])
        .await?;
    ensure!(
        names(&plain) == names(&kustomize),
        "kubectl: {plain}\nkustomize: {kustomize}"
    );
    Ok(())
}

/// Row: an install that is limited to given namespaces needs only Roles.
async fn with_roles_alone_the_operator_looks_after_the_namespaces_that_it_is_given(
    space: &Space<'_>,
) -> Result<()> {
    let outcome = with_roles_alone(space).await;
    watch(space.bed(), "HERA_WATCH_NAMESPACES-").await?;
    space.bed().install(false).await?;
    outcome
}

async fn with_roles_alone(space: &Space<'_>) -> Result<()> {
    let (bed, namespace) = (space.bed(), space.namespace());
    bed.kubectl(&["delete", "clusterrolebinding", "hera-operator"])
        .await?;
    bed.kubectl(&["apply", "-f", "deploy/namespaced/operator/"])
        .await?;
    let watched = "deploy/namespaced/watched/";
    bed.kubectl(&["-n", namespace, "apply", "-f", watched])
        .await?;
    watch(bed, &format!("HERA_WATCH_NAMESPACES={namespace}")).await?;
    bed.operator().wait_rolled_out(ROLLED_OUT).await?;
    let elsewhere = ["auth", "can-i", "get", "secrets", "-n", "kube-system"];
    let elsewhere = [&elsewhere[..], &["--as", OPERATOR]].concat();
    ensure!(
        bed.kubectl(&elsewhere).await.is_err(),
        "it still has its ClusterRole"
    );
    let instance = space.ready("cache", json!({"replicas": 2})).await?;
    let config = json!({"slowlog-max-len": "5"});
    instance.patch_spec(json!({"config": config})).await?;
    instance.wait_settled().await?;
    let found = instance.config("slowlog-max-len").await?;
    ensure!(found == "5", "it is {found}");
    Ok(())
}

async fn watch(bed: &Bed, namespaces: &str) -> Result<()> {
    let deployment = "deployment/hera-operator";
    let words = ["-n", "hera-system", "set", "env", deployment, namespaces];
    bed.kubectl(&words).await.map(drop)
}

/// Row: a sample that keeps who has the operator's token to what is the operator's, and does not keep the
/// operator from anything.
async fn with_the_sample_the_operator_changes_nothing_but_its_own(space: &Space<'_>) -> Result<()> {
    let bed = space.bed();
    let sample = "deploy/samples/keep-operator-to-its-own.yaml";
    bed.kubectl(&["apply", "-f", sample]).await?;
    let outcome = with_the_sample(space).await;
    bed.kubectl(&["delete", "-f", sample]).await?;
    outcome
}

async fn with_the_sample(space: &Space<'_>) -> Result<()> {
    let (bed, namespace) = (space.bed(), space.namespace());
    let theirs = ["create", "configmap", "theirs", "-n", namespace];
    bed.kubectl(&theirs).await?;
    let write = ["annotate", "--overwrite", "configmap", "theirs", "a=b"];
    let write = [&write[..], &["-n", namespace, "--as", OPERATOR]].concat();
    wait_for("the policy counts", SOME, async || {
        let refused = bed.kubectl(&write).await.err();
        let words = refused
            .context("it writes what is not its own")?
            .to_string();
        ensure!(words.contains("not the operator's to change"), "{words}");
        Ok(())
    })
    .await?;
    let instance = space.ready("cache", json!({"replicas": 2})).await?;
    for spec in [
        json!({"replicas": 3, "config": {"slowlog-max-len": "5"}}),
        json!({"replicas": 2, "networkPolicy": "Disabled"}),
    ] {
        instance.patch_spec(spec).await?;
        instance.wait_settled().await?;
        let degraded = instance.condition(degraded::TYPE).await?;
        ensure!(degraded.status == "False", "{}", degraded.message);
    }
    Ok(())
}
