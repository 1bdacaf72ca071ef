//! What is left of an instance.

use std::time::Duration;

use anyhow::{Result, ensure};
use hera_tests_e2e::{Scenario, Space, Writer, wait_for};
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Together;
    a_kept_volume_is_taken_over_by_an_instance_of_the_same_name,
    a_volume_that_is_not_to_be_kept_goes_with_its_instance,
    a_deleted_namespace_ends,
];

/// Row: deletion with Retain, then created again over the volume.
async fn a_kept_volume_is_taken_over_by_an_instance_of_the_same_name(
    space: &Space<'_>,
) -> Result<()> {
    let spec = json!({"persistence": {"reclaimPolicy": "Retain"}});
    let instance = space.ready("cache", spec.clone()).await?;
    let uid = instance.get().await?.metadata.uid;
    let writer = Writer::start("before", instance.app().await?);
    writer.wait_for_more(200, Duration::from_secs(30)).await?;
    let claim = instance.claim().await?.metadata.uid;
    instance.delete().await?;
    let kept = instance.claim().await?;
    ensure!(kept.metadata.uid == claim && kept.metadata.deletion_timestamp.is_none());

    let instance = space.ready("cache", spec).await?;
    ensure!(
        instance.get().await?.metadata.uid != uid,
        "the object is the old one"
    );
    ensure!(
        instance.claim().await?.metadata.uid == claim,
        "the claim is another one"
    );
    let app = instance.app().await?;
    writer.verify(&app).await?;
    let _: String = app.ask(&["SET", "and", "more"]).await?;
    Ok(())
}

/// Row: deletion with Delete.
async fn a_volume_that_is_not_to_be_kept_goes_with_its_instance(space: &Space<'_>) -> Result<()> {
    let spec = json!({"persistence": {"reclaimPolicy": "Delete"}});
    let instance = space.ready("cache", spec.clone()).await?;
    let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    instance.delete().await?;
    wait_for("the claim is gone", Duration::from_secs(30), async || {
        ensure!(instance.claim_opt().await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    let instance = space.ready("cache", spec).await?;
    let left: usize = instance.app().await?.ask(&["DBSIZE"]).await?;
    ensure!(left == 0, "an instance made anew begins with {left} keys");

    // A change of mind counts: what was made to be deleted is kept.
    let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    instance
        .patch_spec(json!({"persistence": {"reclaimPolicy": "Retain"}}))
        .await?;
    instance.wait_settled().await?;
    instance.delete().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let kept = instance.claim_opt().await?;
    ensure!(
        kept.is_some_and(|claim| claim.metadata.deletion_timestamp.is_none()),
        "the claim is gone although the spec said Retain"
    );
    Ok(())
}

/// Row: namespace deleted.
async fn a_deleted_namespace_ends(space: &Space<'_>) -> Result<()> {
    let kept = space
        .make("kept", json!({"persistence": {"reclaimPolicy": "Retain"}}))
        .await?;
    let gone = space
        .make("gone", json!({"persistence": {"reclaimPolicy": "Delete"}}))
        .await?;
    tokio::try_join!(kept.wait_settled(), gone.wait_settled())?;
    space.delete_and_wait(Duration::from_secs(90)).await
}
