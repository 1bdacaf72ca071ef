//! The operator dies, is replaced, or meets what it cannot read: data pods do not notice.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hera_api::RedisInstance;
use hera_api::conditions::degraded;
use hera_tests_e2e::{Bed, Instance, Scenario, Space, Writer, manifest, plugin, wait_for};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::replicas::wait_in_sync;

pub const ALL: &[Scenario] = scenarios![Alone;
    a_killed_operator_comes_back_and_touches_nothing,
    when_the_leader_dies_the_other_operator_takes_over,
    an_object_that_cannot_be_read_disturbs_no_other,
    a_newer_operator_restarts_no_data_pod,
];

const SOME: Duration = Duration::from_secs(30);

/// Row: operator killed and restarted → zero data pods restarted, same volumes.
async fn a_killed_operator_comes_back_and_touches_nothing(space: &Space<'_>) -> Result<()> {
    let operator = space.bed().operator();
    let instance = space.ready("cache", json!({})).await?;
    let group = space.ready("group", json!({"replicas": 3})).await?;
    wait_in_sync(&group, 3).await?;
    let writer = Writer::start("along", instance.app().await?);
    let before = instance.wait_quiet(Duration::from_secs(2)).await?;
    let whole = group.wait_quiet(Duration::from_secs(2)).await?;
    let (run_id, container) = tokio::try_join!(instance.run_id(), instance.container())?;
    let pods = operator.pods().await?;
    ensure!(pods.len() == 2, "the operator has {} pods", pods.len());
    let restarts = restarts(&pods);
    for pod in &pods {
        operator.kill(&pod.name_any()).await?;
    }
    wait_for("both operators were started again", SOME, async || {
        let now = self::restarts(&operator.pods().await?);
        ensure!(now == restarts + 2, "{now} restarts");
        Ok(())
    })
    .await?;
    operator.wait_rolled_out(SOME).await?;
    operator.wait_leader(&[], SOME).await?;

    // It works again, for another instance, and has then seen this one too.
    space.ready("other", json!({})).await?;
    before.ensure_untouched(&instance.children().await?)?;
    // Replicas that are not heard yet go on serving.
    whole.ensure_untouched(&group.children().await?)?;
    let now = (instance.run_id().await?, instance.container().await?);
    ensure!(now == (run_id, container), "the server was started again");
    let app = instance.app().await?;
    let gap = writer.longest_gap();
    ensure!(
        gap < Duration::from_secs(2),
        "a client waited {} ms",
        gap.as_millis()
    );
    writer.verify(&app).await?;
    Ok(())
}

fn restarts(pods: &[k8s_openapi::api::core::v1::Pod]) -> i32 {
    let statuses = pods
        .iter()
        .filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref());
    statuses
        .flatten()
        .map(|container| container.restart_count)
        .sum()
}

/// Row: leader killed → the other operator takes over: another holder of the Lease, and a change
/// is carried out.
async fn when_the_leader_dies_the_other_operator_takes_over(space: &Space<'_>) -> Result<()> {
    let bed = space.bed();
    let operator = bed.operator();
    let instance = space.ready("cache", json!({})).await?;
    let run_id = instance.run_id().await?;
    let leader = operator.leader().await?;
    let start = Instant::now();
    operator.kill(&leader).await?;
    operator.delete_pod(&leader).await?;
    // The standby, or the pod that takes the dead one's place: who looks first when the Lease is over.
    operator.wait_leader(&[&leader], SOME).await?;
    let elected = start.elapsed();
    instance
        .patch_spec(json!({"config": {"slowlog-max-len": "11"}}))
        .await?;
    wait_for("a change is carried out", SOME, async || {
        let found = instance.config("slowlog-max-len").await?;
        ensure!(found == "11", "it is {found}");
        Ok(())
    })
    .await?;
    let took = start.elapsed();
    bed.figures.note(
        "leader killed -> the other leads, a change is carried out",
        format!("{} ms, {} ms", elected.as_millis(), took.as_millis()),
    );
    ensure!(
        instance.run_id().await? == run_id,
        "the server was started again"
    );
    instance.wait_settled().await?;
    operator.wait_rolled_out(Duration::from_secs(60)).await
}

/// Row: an undecodable object beside healthy ones. For its time the schema lets an engine through
/// that this operator does not know, as a newer release's schema would.
async fn an_object_that_cannot_be_read_disturbs_no_other(space: &Space<'_>) -> Result<()> {
    let bed = space.bed();
    let healthy = space.ready("healthy", json!({})).await?;
    let outcome = beside_an_unreadable(space, &healthy).await;
    // The schema first: whatever happened, no other scenario may meet the wide one.
    bed.kubectl(&["apply", "-f", "deploy/crd/"]).await?;
    outcome?;
    space
        .instance("odd")
        .patch_spec(json!({"engine": "redis"}))
        .await?;
    space
        .instance("odd")
        .wait_settled()
        .await
        .context("it heals when corrected")?;
    let _: String = space.instance("odd").app().await?.ask(&["PING"]).await?;
    Ok(())
}

async fn beside_an_unreadable(space: &Space<'_>, healthy: &Instance<'_>) -> Result<()> {
    let engine = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/engine/enum/-";
    let patch = json!([{"op": "add", "path": engine, "value": "keydb"}]).to_string();
    let crd = "redisinstances.cache.hera.io";
    let words = ["patch", "crd", crd, "--type=json", "-p", &patch];
    space.bed().kubectl(&words).await?;
    wait_for("the wide schema is in force", SOME, async || {
        space
            .apply(&manifest("odd", json!({"engine": "keydb"})))
            .await
    })
    .await?;
    let words = space.wait_event("odd", "SpecInvalid").await?;
    ensure!(
        words.contains("keydb") || words.contains("engine"),
        "the Event says {words}"
    );

    healthy
        .patch_spec(json!({"config": {"slowlog-max-len": "12"}}))
        .await?;
    wait_for("a healthy one is carried out beside it", SOME, async || {
        let found = healthy.config("slowlog-max-len").await?;
        ensure!(found == "12", "it is {found}");
        Ok(())
    })
    .await?;
    space.ready("fresh", json!({})).await?;
    Ok(())
}

/// Row: a newer operator build with a changed agent and a changed render default rolled out → zero
/// data pods restarted, same volumes (P09, P45).
///
/// What is shown: the agent is another program in another image. For the changed defaults the
/// sides are exchanged, so that the product needs no hook: while no operator runs, the children of
/// one instance become what an operator with other defaults would have made (other grace period
/// and probe in the pod template, another backlog, and a directive that only a start can change),
/// and its pod starts from them; the operator that comes then has "changed" all of these.
async fn a_newer_operator_restarts_no_data_pod(space: &Space<'_>) -> Result<()> {
    let bed = space.bed();
    let image = newer_image(bed).await?;
    let operator = bed.operator();
    let plain = space.ready("plain", json!({})).await?;
    let older = space.ready("older", json!({})).await?;
    operator.scale(0).await?;
    let made = make_older(space, &older).await;
    if made.is_err() {
        operator.scale(2).await?;
    }
    made?;
    let mut before = Vec::new();
    for instance in [&plain, &older] {
        let app = instance.app().await?;
        let (run_id, container) = tokio::try_join!(instance.run_id(), instance.container())?;
        let writer = Writer::start("along", app.clone());
        before.push((
            instance,
            instance.children().await?,
            run_id,
            container,
            app,
            writer,
        ));
    }

    let environment = json!([{"name": "HERA_AGENT_IMAGE", "value": image}]);
    let container = operator_container(bed).await?;
    let containers = json!([{"name": container, "image": image, "env": environment}]);
    let template = json!({"spec": {"containers": containers}});
    operator
        .patch(json!({"spec": {"replicas": 2, "template": template}}))
        .await?;
    operator.wait_rolled_out(Duration::from_secs(90)).await?;
    operator.wait_leader(&[], SOME).await?;
    let outcome = upgraded(space, &older, &image, before).await;
    // Back to the build under test, for whoever comes next.
    bed.install(false).await?;
    outcome
}

type Before<'a> = (
    &'a Instance<'a>,
    hera_tests_e2e::Children,
    String,
    (i32, String),
    hera_tests_e2e::Login,
    Writer,
);

async fn upgraded(
    space: &Space<'_>,
    older: &Instance<'_>,
    image: &str,
    before: Vec<Before<'_>>,
) -> Result<()> {
    for (instance, ..) in &before {
        wait_for("the new agent is in the template", SOME, async || {
            let set: StatefulSet = space.api().get(instance.name()).await?;
            let template = serde_json::to_value(set.spec.map(|spec| spec.template))?;
            let found = template
                .pointer("/spec/initContainers/0/image")
                .and_then(Value::as_str);
            ensure!(found == Some(image), "it is {found:?}");
            let grace = template.pointer("/spec/terminationGracePeriodSeconds");
            ensure!(
                grace != Some(&json!(OLD_GRACE)),
                "the grace period is the old default"
            );
            Ok(())
        })
        .await?;
    }
    wait_for(
        "the new default reaches the running server",
        SOME,
        async || {
            let backlog = older.config("repl-backlog-size").await?;
            ensure!(backlog != OLD_BACKLOG, "it is the old one");
            Ok(())
        },
    )
    .await?;
    // Time for what must not happen.
    tokio::time::sleep(Duration::from_secs(10)).await;
    for (instance, children, run_id, container, app, writer) in before {
        let name = instance.name();
        instance.wait_settled().await?;
        children.ensure_same_pods_and_claims(&instance.children().await?)?;
        ensure!(
            instance.run_id().await? == run_id,
            "the server of {name} was started again"
        );
        ensure!(
            instance.container().await? == container,
            "the container of {name} is another"
        );
        instance
            .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
            .await?;
        writer.wait_for_more(50, SOME).await?;
        let gap = writer.longest_gap();
        ensure!(
            gap < Duration::from_secs(2),
            "a client of {name} waited {} ms",
            gap.as_millis()
        );
        writer.verify(&app).await?;
    }
    ensure!(
        older.config("tcp-backlog").await? == OLD_AT_START,
        "the server was started again"
    );

    // The next restart brings the new defaults and the new agent.
    let run_id = older.run_id().await?;
    older.delete_pod(false).await?;
    wait_for(
        "a start with the new defaults",
        Duration::from_secs(60),
        async || {
            ensure!(older.run_id().await? != run_id, "it is the old run");
            let found = older.config("tcp-backlog").await?;
            ensure!(found != OLD_AT_START, "it is the old default");
            Ok(())
        },
    )
    .await?;
    older.wait_settled().await
}

const OLD_GRACE: i64 = 47;
const OLD_BACKLOG: &str = "2097152";
/// A value of `tcp-backlog`, which only a start of the server can change.
const OLD_AT_START: &str = "77";

/// Makes the children of an instance what an operator with other defaults would have made of the
/// same spec, and starts its pod from them.
async fn make_older(space: &Space<'_>, instance: &Instance<'_>) -> Result<()> {
    let name = instance.name();
    let sets: Api<StatefulSet> = space.api();
    let set = sets.get_metadata(name).await?;
    let managers = set.metadata.managed_fields.unwrap_or_default();
    let manager = managers
        .iter()
        .find(|entry| entry.operation.as_deref() == Some("Apply"));
    let manager = manager
        .and_then(|entry| entry.manager.clone())
        .context("no field manager")?;
    let probe = json!({"name": "redis", "readinessProbe": {"periodSeconds": 3}});
    let template = json!({"spec": {
        "terminationGracePeriodSeconds": OLD_GRACE, "containers": [probe],
    }});
    let as_operator = PatchParams {
        field_manager: Some(manager),
        ..PatchParams::default()
    };
    let patch = Patch::Strategic(json!({"spec": {"template": template}}));
    sets.patch(name, &as_operator, &patch).await?;

    let maps: Api<ConfigMap> = space.api();
    let map_name = format!("{name}-config");
    let map = maps.get(&map_name).await?;
    let data = map.data.unwrap_or_default();
    let (key, text) = data.iter().next().context("an empty ConfigMap")?;
    let mut config: Value = serde_json::from_str(text)?;
    let revision = config
        .get("revision")
        .and_then(Value::as_u64)
        .context("no revision")?;
    if let Some(object) = config.as_object_mut() {
        object.insert("revision".to_owned(), json!(revision + 1));
        let directives = object.get_mut("directives").and_then(Value::as_object_mut);
        let directives = directives.context("no directives")?;
        directives.insert("repl-backlog-size".to_owned(), json!(OLD_BACKLOG));
        directives.insert("tcp-backlog".to_owned(), json!(OLD_AT_START));
    }
    let patch = Patch::Merge(json!({"data": {key: config.to_string()}}));
    maps.patch(&map_name, &as_operator, &patch).await?;

    let run_id = instance.run_id().await?;
    instance.delete_pod(false).await?;
    let served = async || {
        ensure!(instance.run_id().await? != run_id, "it is the old run");
        if instance.config("tcp-backlog").await? != OLD_AT_START {
            // The kubelet may give a pod that comes right after the change the text of before it.
            instance.delete_pod(false).await?;
            bail!("not the old defaults");
        }
        let role = instance.info("role").await?;
        ensure!(role == "master", "it is a {role}");
        Ok(())
    };
    wait_for(
        "a start without any operator",
        Duration::from_secs(90),
        served,
    )
    .await?;
    // No operator leads the Service to the new pod yet; the pod itself serves.
    let direct = instance.app().await?.at(&instance.pod_ip().await?);
    wait_for("writes without any operator", SOME, async || {
        direct.ask::<String>(&["SET", "key", "value"]).await
    })
    .await?;
    point_service_at(space, instance).await
}

/// What the older operator would have done last, so that clients see no gap that is not the
/// newer one's.
async fn point_service_at(space: &Space<'_>, instance: &Instance<'_>) -> Result<()> {
    let ip = instance.pod_ip().await?;
    let patch = json!([{"op": "replace", "path": "/endpoints", "value": [
        {"addresses": [ip], "conditions": {"ready": true}},
    ]}])
    .to_string();
    let slice = format!("{}-primary", instance.name());
    let words = [
        "-n",
        space.namespace(),
        "patch",
        "endpointslice",
        &slice,
        "--type=json",
        "-p",
        &patch,
    ];
    space.bed().kubectl(&words).await?;
    let app = instance.app().await?;
    wait_for("the Service leads to the new pod", SOME, async || {
        app.ask::<String>(&["SET", "key", "value"]).await
    })
    .await?;
    let api: Api<RedisInstance> = space.api();
    api.get(instance.name()).await?;
    Ok(())
}

async fn operator_container(bed: &Bed) -> Result<String> {
    let spec = bed
        .operator()
        .deployment()
        .await?
        .spec
        .and_then(|spec| spec.template.spec);
    let containers = spec.map(|spec| spec.containers).unwrap_or_default();
    Ok(containers.into_iter().next().context("no container")?.name)
}

/// The operator's image once more under another tag, its agent another program: the same code with
/// a few bytes behind it that nobody reads, so that its file and its layer differ.
async fn newer_image(bed: &Bed) -> Result<String> {
    let tag = "localhost/hera-operator:e2e-newer".to_owned();
    let repo = bed.repo().to_path_buf();
    let target = plugin::target()?;
    let name = tag.clone();
    tokio::task::spawn_blocking(move || {
        let layout = hera_testbed::Layout::find(&repo)?;
        let mut agent = std::fs::read(target.join("x86_64-unknown-linux-musl/debug/hera-agent"))
            .context("no static agent: run `make image`")?;
        agent.extend(b"\nnewer\n");
        let newer = target.join("tmp/hera-agent-newer");
        std::fs::create_dir_all(target.join("tmp"))?;
        std::fs::write(&newer, agent)?;
        let mut mode = std::fs::metadata(&newer)?.permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
        std::fs::set_permissions(&newer, mode)?;
        let operator = target.join("debug/hera-operator");
        let archive = target.join("tmp/operator-newer.tar");
        let built = hera_testbed::images::operator(&layout, &operator, &newer, &name, &archive)?;
        hera_testbed::images::load(&built.path)
    })
    .await??;
    Ok(tag)
}
