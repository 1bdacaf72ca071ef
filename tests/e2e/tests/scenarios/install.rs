//! Installing, and what the operator says when that was done by half.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::progressing;
use hera_tests_e2e::{Bed, Scenario, Space, wait_for};
use kube::ResourceExt as _;
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Alone;
    an_older_definition_is_said_and_the_operator_goes_on_when_it_is_renewed,
    kustomize_installs_what_kubectl_does,
];

const SOME: Duration = Duration::from_secs(30);

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
        .wait_rolled_out(Duration::from_secs(60))
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
