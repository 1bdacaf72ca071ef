//! Figures for the closing table, taken while nothing else runs. None is held against a limit.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hera_api::conditions::ready;
use hera_tests_e2e::{Scenario, Signal, Space, Writer, manifest, module};
use serde_json::json;

use crate::policies::{swap, with_worker};

pub const ALL: &[Scenario] = scenarios![Alone; how_long_things_take];

const ROUNDS: usize = 3;

/// Row: the table of apply → Ready, swap → effective, crash → accepting writes.
async fn how_long_things_take(space: &Space<'_>) -> Result<()> {
    let figures = &space.bed().figures;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("fast-{round}");
        let start = Instant::now();
        space.apply(&manifest(&name, json!({}))).await?;
        let instance = space.instance(&name);
        instance
            .wait_condition(ready::TYPE, "True", ready::SERVING)
            .await?;
        times.push(start.elapsed());
        let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    }
    figures.note_times("kubectl apply -> Ready", &times);

    let (permissive, strict) = tokio::try_join!(module("acl-presets"), module("acl-no-delete"))?;
    let (instance, login) = with_worker(space, &permissive).await?;
    let mut client = login.connect().await?;
    let mut times = Vec::new();
    for round in 0..ROUNDS * 2 {
        let deletes = round % 2 == 1;
        let module = if deletes { &permissive } else { &strict };
        times.push(swap(space, &mut client, module, deletes).await?);
        instance.wait_policy(&module.digest).await?;
    }
    figures.note_times("policy swapped -> rights on the live server", &times);

    // One crash each: a server that crashes again and again is held back on purpose.
    let (mut by_pod, mut by_service) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let instance = space.instance(&format!("fast-{round}"));
        let app = instance.app().await?;
        let direct = Writer::start("direct", app.at(&instance.pod_ip().await?));
        let service = Writer::start("service", app.clone());
        for writer in [&direct, &service] {
            writer.wait_for_more(50, Duration::from_secs(10)).await?;
        }
        let run_id = instance.run_id().await?;
        let pid = instance.pid("redis-server").await?;
        space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
        for writer in [&direct, &service] {
            writer.wait_for_more(50, Duration::from_secs(30)).await?;
        }
        ensure!(
            instance.run_id().await? != run_id,
            "the fault did not happen"
        );
        // From the last write before to the first one after: nothing of the outage is left out.
        by_pod.push(direct.longest_gap());
        by_service.push(service.longest_gap());
    }
    figures.note_times("server killed -> write accepted, at the pod", &by_pod);
    figures.note_times(
        "server killed -> write accepted, at the ClusterIP",
        &by_service,
    );
    Ok(())
}
