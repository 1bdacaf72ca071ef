//! What a person on call does with `kubectl hera`, each step with its effect on the servers, and what
//! `status` shows before and after (issue 5).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hera_api::Phase;
use hera_api::conditions::{degraded, progressing, ready};
use hera_tests_e2e::{Instance, Scenario, Space, millis, wait_for};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::replicas::{address, wait_in_sync, wait_other_primary};

pub const ALL: &[Scenario] = scenarios![Few;
    somebody_sees_who_leads_and_promotes_another,
    somebody_speaks_with_the_servers_from_outside,
    somebody_fences_a_replica_and_lifts_the_fence,
    somebody_restarts_all_pods_and_nothing_is_lost,
    somebody_lets_an_instance_hibernate_and_resume,
    without_volumes_an_instance_comes_back_empty,
    somebody_approves_the_step_that_touches_the_primary,
    a_replica_that_lags_is_promoted_once_it_is_in_sync,
    a_deleted_group_waits_for_no_handover,
];

const SOME: Duration = Duration::from_secs(60);
/// Less than a primary waits for a handover.
const AT_ONCE: Duration = Duration::from_secs(15);

async fn group<'a>(space: &'a Space<'_>, spec: Value) -> Result<Instance<'a>> {
    let mut all = json!({"replicas": 3});
    if let (Some(all), Value::Object(spec)) = (all.as_object_mut(), spec) {
        all.extend(spec);
    }
    let instance = space.ready("group", all).await?;
    wait_in_sync(&instance, 3).await?;
    Ok(instance)
}

/// A request is an annotation, and what the person reads says how to go on.
async fn ask(space: &Space<'_>, words: &[&str]) -> Result<()> {
    let said = space.hera(words).await?.with_code(0)?;
    ensure!(said.contains("asked:"), "{said}");
    Ok(())
}

/// What the operator knows of a pod, as `status -o json` has it.
async fn pod_state(space: &Space<'_>, pod: &str) -> Result<Value> {
    let status = space.hera_status("group").await?;
    let pods = status.pointer("/operator/pods").and_then(Value::as_array);
    let pods = pods.with_context(|| format!("the operator told nothing: {status:#}"))?;
    let found = pods.iter().find(|state| state["name"] == pod);
    Ok(found
        .with_context(|| format!("no {pod} in {pods:?}"))?
        .clone())
}

/// The tree that a person reads, once it has all of these words.
async fn wait_shown(space: &Space<'_>, words: &[&str]) -> Result<String> {
    wait_for(&format!("{words:?} in the tree"), SOME, async || {
        let tree = space.hera(&["status", "group"]).await?.text;
        for word in words {
            ensure!(tree.contains(word), "no {word:?} in\n{tree}");
        }
        Ok(tree)
    })
    .await
}

/// What the server of a pod says that it is.
/// A server that led a moment ago sends everybody away.
async fn role(instance: &Instance<'_>, pod: &Pod) -> Result<String> {
    wait_for("the server tells its role", SOME, async || {
        instance.info_at(pod, "role").await
    })
    .await
}

async fn pods(space: &Space<'_>) -> Result<Vec<Pod>> {
    Ok(space.api::<Pod>().list(&ListParams::default()).await?.items)
}

/// A pod that is not the primary.
async fn replica(instance: &Instance<'_>) -> Result<Pod> {
    let primary = instance.primary_pod().await?.name_any();
    let ordinal = if primary == "group-2" { 1 } else { 2 };
    instance.pod_of(ordinal).await
}

/// `status` tells roles, lag and fence; `promote` moves the primary, and the servers agree.
async fn somebody_sees_who_leads_and_promotes_another(space: &Space<'_>) -> Result<()> {
    let instance = group(space, json!({})).await?;
    let (old, new) = (instance.primary_pod().await?, replica(&instance).await?);
    let (old_name, new_name) = (old.name_any(), new.name_any());
    let line = format!("{old_name}  primary  ready");
    let below = format!("{new_name}  replica  ready");
    let tree = wait_shown(
        space,
        &[
            &line,
            "fence armed",
            &below,
            "in sync, 0 bytes behind",
            "epoch ",
        ],
    )
    .await?;
    ensure!(!tree.contains("cannot be asked"), "{tree}");
    let before = pod_state(space, &old_name).await?;
    ensure!(
        before["role"] == "primary" && before["fence"]["state"] == "armed",
        "{before}"
    );
    let epoch = before["epoch"].as_u64().context("no epoch")?;
    ensure!(role(&instance, &old).await? == "master");

    ask(space, &["promote", "group", &new_name]).await?;
    let next = wait_other_primary(&instance, &old_name).await?;
    ensure!(next == new_name, "{next} leads");
    wait_in_sync(&instance, 3).await?;
    ensure!(role(&instance, &new).await? == "master");
    ensure!(role(&instance, &old).await? == "slave");
    let handed_over = format!("{old_name} handed over to {new_name}");
    wait_shown(space, &[&format!("{new_name}  primary"), &handed_over]).await?;
    let after = pod_state(space, &new_name).await?;
    ensure!(after["epoch"].as_u64() > Some(epoch), "{after}");
    let request = instance
        .get()
        .await?
        .annotations()
        .get("cache.hera.io/promote")
        .cloned();
    ensure!(request.is_none(), "the request is still there: {request:?}");
    Ok(())
}

/// `cli` logs in with the right Secret, also one that ends with a line end; a forwarded port leads to
/// the primary, and after a switch to the next one. (Not issue 5: items 6 and 7 of issue 16.)
async fn somebody_speaks_with_the_servers_from_outside(space: &Space<'_>) -> Result<()> {
    space
        .put_secret("worker", &[("password", "typed\n")])
        .await?;
    let worker = json!({
        "name": "worker", "preset": "ReadWrite", "keys": ["*"],
        "passwordSecretRef": {"name": "worker"},
    });
    let instance = group(space, json!({"users": [worker]})).await?;
    let cli = async |words: &[&str], code| {
        let all: Vec<&str> = ["cli", "group"].iter().chain(words).copied().collect();
        space.hera(&all).await?.with_code(code)
    };
    ensure!(cli(&["--", "SET", "greeting", "hello"], 0).await? == "OK\n");
    wait_for("the replica has it", SOME, async || {
        let text = cli(&["--replica", "--", "GET", "greeting"], 0).await?;
        ensure!(text == "hello\n", "{text}");
        Ok(())
    })
    .await?;
    ensure!(cli(&["--user", "worker", "--", "PING"], 0).await? == "PONG\n");
    let words = cli(&["--", "INCR", "greeting"], 1).await?;
    ensure!(words.starts_with("ERR value is not"), "{words}");

    let kubeconfig = space.bed().testbed.kubeconfig().display().to_string();
    let mut forward = tokio::process::Command::new(hera_tests_e2e::plugin::program()?)
        .args(["--kubeconfig", &kubeconfig, "-n", space.namespace()])
        .args(["port-forward", "group", "0"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut told = BufReader::new(forward.stdout.take().context("no output")?).lines();
    let line = told.next_line().await?.context("it told no address")?;
    let (address, _) = line.split_once(' ').context("no address")?;
    let password = space.secret("group-app", "password").await?;
    let write = async || {
        let mut client = TcpStream::connect(address).await?;
        let words = format!("AUTH app {password}\r\nSET forwarded yes\r\nQUIT\r\n");
        client.write_all(words.as_bytes()).await?;
        let mut answers = String::new();
        client.read_to_string(&mut answers).await?;
        match answers.starts_with("+OK\r\n+OK\r\n") {
            true => Ok(()),
            false => bail!("{answers}"),
        }
    };
    wait_for("a write through the port", SOME, write).await?;
    let old = instance.primary_pod().await?.name_any();
    ask(
        space,
        &["promote", "group", &replica(&instance).await?.name_any()],
    )
    .await?;
    wait_other_primary(&instance, &old).await?;
    wait_for("a write to the next primary", SOME, write).await?;
    let found = cli(&["--", "GET", "forwarded"], 0).await?;
    ensure!(found == "yes\n", "{found}");
    Ok(())
}

/// A fenced server is down, said to be so on request; a primary is not fenced, and a pod that does not
/// exist is named.
async fn somebody_fences_a_replica_and_lifts_the_fence(space: &Space<'_>) -> Result<()> {
    let instance = group(space, json!({})).await?;
    let (primary, fenced) = (instance.primary_pod().await?, replica(&instance).await?);
    let name = fenced.name_any();
    instance.pid_in(&fenced, "redis-server")?;
    ask(space, &["fence", "group", &name]).await?;
    wait_for("its server is down", SOME, async || {
        let pid = instance.pid_in(&fenced, "redis-server");
        ensure!(pid.is_err(), "it runs as {pid:?}");
        Ok(())
    })
    .await?;
    wait_shown(space, &[&format!("{name}  fenced"), "on request"]).await?;
    let state = pod_state(space, &name).await?;
    ensure!(
        state["fence"]["state"] == "down" && state["fence"]["byRequest"] == true,
        "{state}"
    );

    ask(space, &["unfence", "group"]).await?;
    wait_in_sync(&instance, 3).await?;
    ensure!(role(&instance, &fenced).await? == "slave");

    for (pod, words) in [
        (primary.name_any(), "hand over first"),
        ("group-9".to_owned(), "no data pod group-9"),
    ] {
        ask(space, &["fence", "group", &pod]).await?;
        let reason = degraded::REQUEST_REFUSED;
        let said = instance
            .wait_condition(degraded::TYPE, "True", reason)
            .await?;
        ensure!(said.contains(words), "{said}");
        wait_shown(space, &["refused:", words]).await?;
        ask(space, &["unfence", "group", &pod]).await?;
        instance
            .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
            .await?;
    }
    instance.pid_in(&primary, "redis-server")?;
    let unknown = space.hera(&["unfence", "group", "group-1"]).await?;
    ensure!(
        unknown.code == 3 && unknown.errors.contains("not fenced"),
        "{unknown:?}"
    );
    Ok(())
}

/// Each pod is another afterwards, and what was written is there.
async fn somebody_restarts_all_pods_and_nothing_is_lost(space: &Space<'_>) -> Result<()> {
    let instance = group(space, json!({})).await?;
    let app = instance.app().await?;
    let _: String = app.ask(&["SET", "key", "value"]).await?;
    let before: Vec<_> = pods(space).await?.iter().map(|pod| pod.uid()).collect();
    ask(space, &["restart", "group"]).await?;
    instance
        .wait_condition(progressing::TYPE, "True", progressing::ROLLING_OUT)
        .await?;
    wait_for("all pods are others", 2 * SOME, async || {
        let now: Vec<_> = pods(space).await?.iter().map(|pod| pod.uid()).collect();
        ensure!(
            now.len() == 3 && !now.iter().any(|uid| before.contains(uid)),
            "{now:?}"
        );
        Ok(())
    })
    .await?;
    wait_in_sync(&instance, 3).await?;
    let value: String = app.ask(&["GET", "key"]).await?;
    ensure!(value == "value", "it is {value}");
    wait_shown(space, &["handed over to", "in sync"]).await?;
    Ok(())
}

/// No pods and no wait for a handover; the volumes stay, and the data comes back with the pods.
async fn somebody_lets_an_instance_hibernate_and_resume(space: &Space<'_>) -> Result<()> {
    let instance = group(space, json!({})).await?;
    let app = instance.app().await?;
    for number in 0..1000 {
        let _: String = app.ask(&["SET", &format!("key:{number}"), "value"]).await?;
    }
    let start = Instant::now();
    ask(space, &["hibernate", "group"]).await?;
    wait_for("no pods", SOME, async || {
        let left = pods(space).await?.len();
        ensure!(left == 0, "{left} pods");
        Ok(())
    })
    .await?;
    let took = start.elapsed();
    space
        .bed()
        .figures
        .note("three pods hibernate", millis(took));
    ensure!(took < AT_ONCE, "it took {took:?}");
    instance
        .wait_condition(ready::TYPE, "False", ready::HIBERNATED)
        .await?;
    let phase = instance.status().await?.phase;
    ensure!(phase == Some(Phase::Hibernated), "{phase:?}");
    let asleep = space.hera(&["status", "group"]).await?;
    ensure!(
        asleep.code == 1 && asleep.text.contains("kubectl hera resume"),
        "{asleep:?}"
    );
    let claims = space
        .api::<PersistentVolumeClaim>()
        .list(&ListParams::default())
        .await?;
    ensure!(claims.items.len() == 3, "{} volumes", claims.items.len());

    ask(space, &["resume", "group"]).await?;
    wait_in_sync(&instance, 3).await?;
    let size: i64 = app.ask(&["DBSIZE"]).await?;
    ensure!(size == 1000, "{size} keys");
    space.hera(&["status", "group"]).await?.with_code(0)?;
    Ok(())
}

/// Nobody is left who remembers that the last primary has ended; it was written down before.
async fn without_volumes_an_instance_comes_back_empty(space: &Space<'_>) -> Result<()> {
    let instance = group(space, json!({"persistence": {"enabled": false}})).await?;
    let app = instance.app().await?;
    let _: String = app.ask(&["SET", "key", "value"]).await?;
    ask(space, &["hibernate", "group"]).await?;
    wait_for("no pods", SOME, async || {
        let left = pods(space).await?.len();
        ensure!(left == 0, "{left} pods");
        Ok(())
    })
    .await?;
    ask(space, &["resume", "group"]).await?;
    wait_in_sync(&instance, 3).await?;
    let size: i64 = app.ask(&["DBSIZE"]).await?;
    ensure!(size == 0, "{size} keys");
    Ok(())
}

/// Replicas are replaced at once; the primary only after exactly this step was approved. Until its
/// container has more memory, its server takes no more (P51).
async fn somebody_approves_the_step_that_touches_the_primary(space: &Space<'_>) -> Result<()> {
    let spec = json!({"updateStrategy": {"mode": "Supervised"}});
    let instance = group(space, spec).await?;
    let primary = instance.primary_pod().await?;
    let takes = async || -> Result<u64> {
        let primary = instance.primary_pod().await?;
        Ok(instance.info_at(&primary, "maxmemory").await?.parse()?)
    };
    let before = takes().await?;
    instance
        .patch_spec(json!({"resources": {"limits": {"memory": "192Mi"}}}))
        .await?;
    let what = "it waits for an approval";
    let words = wait_for(what, 2 * SOME, async || {
        let found = instance.condition(progressing::TYPE).await?;
        ensure!(
            found.reason == progressing::WAITING_FOR_APPROVAL,
            "{found:?}"
        );
        Ok(found.message)
    })
    .await?;
    let status = space.hera_status("group").await?;
    let digest = status
        .pointer("/operator/toApprove")
        .and_then(Value::as_str);
    let digest = digest.with_context(|| format!("{status:#}"))?.to_owned();
    ensure!(words.contains(&digest), "{words}");
    let command = format!(
        "kubectl hera approve -n {} group {digest}",
        space.namespace()
    );
    wait_shown(space, &["waits", &command]).await?;
    let same = instance.primary_pod().await?;
    ensure!(same.uid() == primary.uid(), "the primary was touched");
    let now = takes().await?;
    ensure!(now == before, "it takes {now} bytes instead of {before}");

    ask(space, &["approve", "group", "0123456789abcdef"]).await?;
    wait_shown(space, &[&command]).await?;
    ask(space, &["approve", "group", &digest]).await?;
    wait_other_primary(&instance, &primary.name_any()).await?;
    wait_in_sync(&instance, 3).await?;
    let tree = wait_shown(space, &["handed over to"]).await?;
    ensure!(!tree.contains("hera approve"), "{tree}");
    wait_for("it takes more memory", SOME, async || {
        let now = takes().await?;
        ensure!(now > before, "it takes {now} bytes, as before");
        Ok(())
    })
    .await?;
    Ok(())
}

/// Row: bad input: promotion of a replica that lags. Refused with how far it is behind; done once it
/// has caught up, without being asked for again.
async fn a_replica_that_lags_is_promoted_once_it_is_in_sync(space: &Space<'_>) -> Result<()> {
    let instance = group(space, json!({})).await?;
    let (primary, behind) = (instance.primary_pod().await?, replica(&instance).await?);
    let name = behind.name_any();
    let cut = space
        .bed()
        .testbed
        .block(&address(&primary)?, &address(&behind)?)?;
    let app = instance.app().await?;
    for number in 0..100 {
        let _: String = app.ask(&["SET", &format!("key:{number}"), "value"]).await?;
    }
    wait_for("it is behind", SOME, async || {
        let state = pod_state(space, &name).await?;
        let lag = state["link"]["lagBytes"].as_u64();
        ensure!(lag > Some(0), "{state}");
        Ok(())
    })
    .await?;
    ask(space, &["promote", "group", &name]).await?;
    let words = wait_for("why it is not promoted", SOME, async || {
        let found = instance.condition(degraded::TYPE).await?;
        let told = [degraded::HANDOVER_FAILED, degraded::REQUEST_REFUSED];
        ensure!(told.contains(&found.reason.as_str()), "{found:?}");
        Ok(found.message)
    })
    .await?;
    ensure!(
        words.contains("does not keep up") || words.contains("not in sync"),
        "{words}"
    );
    let leads = instance.primary_pod().await?.name_any();
    ensure!(leads == primary.name_any(), "{leads} leads");
    let _: String = app.ask(&["SET", "meanwhile", "value"]).await?;

    cut.end()?;
    let next = wait_for("it is promoted", 2 * SOME, async || {
        let leads = instance.status().await?.primary.context("no primary")?;
        ensure!(leads == name, "{leads} leads");
        Ok(leads)
    })
    .await?;
    wait_in_sync(&instance, 3).await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await?;
    let value: String = app.ask(&["GET", "meanwhile"]).await?;
    ensure!(value == "value", "{next} lost it");
    Ok(())
}

/// All pods go, so its primary does not wait for one that could take over.
async fn a_deleted_group_waits_for_no_handover(space: &Space<'_>) -> Result<()> {
    for propagation in [DeleteParams::background(), DeleteParams::foreground()] {
        group(space, json!({})).await?;
        let start = Instant::now();
        let objects = space.api::<hera_api::RedisInstance>();
        objects.delete("group", &propagation).await?;
        wait_for("no pods", SOME, async || {
            let left = pods(space).await?.len();
            ensure!(left == 0, "{left} pods");
            Ok(())
        })
        .await?;
        let took = start.elapsed();
        space
            .bed()
            .figures
            .note("three pods deleted with their instance", millis(took));
        ensure!(took < AT_ONCE, "it took {took:?}");
        wait_for("the object is gone", SOME, async || {
            ensure!(objects.get_opt("group").await?.is_none(), "it is there");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
