//! Volumes that are full. The testbed's class `limited` gives a file system as large as the claim.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, ready};
use hera_tests_e2e::{Scenario, Space, wait_for};
use serde_json::json;

use crate::replicas::wait_in_sync;

pub const ALL: &[Scenario] = scenarios![Few;
    a_full_volume_is_told_and_growing_it_heals_everything,
];

const SOME: Duration = Duration::from_secs(60);

/// Row: class `limited`, 64Mi, then 80 values of 1 MiB: the server refuses, and `Ready` says so.
async fn a_full_volume_is_told_and_growing_it_heals_everything(space: &Space<'_>) -> Result<()> {
    let persistence = json!({"size": "64Mi", "storageClassName": "limited"});
    let resources = json!({"limits": {"memory": "512Mi"}});
    let spec = json!({"replicas": 2, "persistence": persistence, "resources": resources});
    let instance = space.ready("full", spec).await?;
    wait_in_sync(&instance, 2).await?;
    let app = instance.app().await?;
    let value = "x".repeat(1 << 20);
    let mut refused = None;
    for number in 0..80 {
        let key = format!("key:{number}");
        let said: Result<String> = app.ask(&["SET", &key, &value]).await;
        if let Err(error) = said {
            refused = Some(format!("{error:#}"));
            break;
        }
    }
    let refused = refused.context("all writes were taken")?;
    ensure!(
        refused.contains("MISCONF"),
        "refused for another reason: {refused}"
    );
    let words = instance
        .wait_condition(ready::TYPE, "False", ready::VOLUME_FULL)
        .await?;
    ensure!(
        words.contains("MISCONF") && words.contains("MiB free"),
        "{words}"
    );
    wait_for("both are told to be full", SOME, async || {
        let told = instance.condition(degraded::TYPE).await?;
        let both = ["full-0", "full-1"].map(|pod| told.message.contains(pod));
        ensure!(
            told.reason == degraded::VOLUME_FULL && both == [true; 2],
            "{}",
            told.message
        );
        Ok(())
    })
    .await?;
    let _: String = app.ask(&["GET", "key:0"]).await?;
    let status = instance.status().await?;
    ensure!(status.primary.is_some(), "nobody is shown to lead");
    // They fill at one time: the first that is told so may give way to the other, once.
    let handovers = space.count_events("full", "SwitchedOver").await?;
    ensure!(handovers <= 1, "{handovers} handovers among full volumes");

    instance
        .patch_spec(json!({"persistence": {"size": "512Mi"}}))
        .await?;
    instance
        .wait_condition(ready::TYPE, "True", ready::SERVING)
        .await?;
    wait_for("it takes writes", SOME, async || {
        let _: String = app.ask(&["SET", "key", "1"]).await?;
        Ok(())
    })
    .await?;
    wait_in_sync(&instance, 2).await?;
    instance
        .wait_condition(degraded::TYPE, "False", degraded::AS_EXPECTED)
        .await
        .map(drop)
}
