//! One agent, or the API server for one object, that refuses what it is told: everything else goes on.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::{degraded, progressing};
use hera_tests_e2e::{Login, Scenario, Space, is_wrong_login, wait_for};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, ResourceQuota};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::json;

use crate::copies::volume;
use crate::replicas::{wait_in_sync, wait_other_primary};

pub const ALL: &[Scenario] = scenarios![Few;
    a_volume_that_takes_nothing_holds_back_no_revoked_right,
    a_claims_quota_holds_back_the_temporary_pod_alone,
];

/// A user that is gone from the spec is gone from the servers.
const SOME: Duration = Duration::from_secs(20);
/// A roll with a temporary pod.
const LONG: Duration = Duration::from_secs(90);

/// A folder of an agent in which it cannot write.
struct Closed {
    folder: PathBuf,
    owner: (u32, u32),
    mode: u32,
}

impl Closed {
    async fn of(space: &Space<'_>, pod: &Pod) -> Result<Self> {
        let folder = volume(space, pod).await?.join(".hera");
        let known = folder.metadata()?;
        chown(&folder, Some(0), Some(0))?;
        set_permissions(&folder, Permissions::from_mode(0o555))?;
        let (owner, mode) = ((known.uid(), known.gid()), known.mode());
        ensure!(owner.0 != 0, "agents of root can write everywhere");
        Ok(Self {
            folder,
            owner,
            mode,
        })
    }

    fn open(self) -> Result<()> {
        set_permissions(&self.folder, Permissions::from_mode(self.mode))?;
        let (user, group) = self.owner;
        Ok(chown(&self.folder, Some(user), Some(group))?)
    }
}

/// A replica whose volume takes nothing cannot note whom it is to follow, and refuses to. Rights that are
/// revoked meanwhile are revoked at the others, and it follows once there is room again.
async fn a_volume_that_takes_nothing_holds_back_no_revoked_right(space: &Space<'_>) -> Result<()> {
    space
        .put_secret("worker", &[("password", "of-worker")])
        .await?;
    let spec = json!({"replicas": 3, "users": [{
        "name": "worker", "preset": "ReadWrite", "keys": ["*"],
        "passwordSecretRef": {"name": "worker"},
    }]});
    let instance = space.ready("group", spec).await?;
    wait_in_sync(&instance, 3).await?;
    let primary = instance.primary_pod().await?.name_any();
    let mut replicas = Vec::new();
    for ordinal in 0..3 {
        let pod = instance.pod_of(ordinal).await?;
        if pod.name_any() != primary {
            replicas.push(pod);
        }
    }
    let [next, stuck] = &replicas[..] else {
        anyhow::bail!("{} replicas", replicas.len());
    };
    let closed = Closed::of(space, stuck).await?;
    instance
        .annotate("cache.hera.io/promote", Some(&next.name_any()))
        .await?;
    let leads = wait_other_primary(&instance, &primary).await?;
    ensure!(leads == next.name_any(), "{leads} leads");
    let worker = Login::new(&instance.app().await?.host, "worker", "of-worker");
    // kube-proxy may still send a new connection to the old primary.
    wait_for("the new primary takes a write", SOME, async || {
        let _: String = worker.ask(&["SET", "key", "value"]).await?;
        Ok(())
    })
    .await?;
    wait_for(
        "the status says that one is out of step",
        SOME,
        async || {
            let ready = instance.status().await?.ready_replicas;
            ensure!(ready == Some(2), "{ready:?} are in sync");
            Ok(())
        },
    )
    .await?;

    instance.patch_spec(json!({"users": []})).await?;
    wait_for("the user is gone", SOME, async || {
        let refused = worker.connect().await.err().context("it logs in")?;
        ensure!(is_wrong_login(&refused), "{refused}");
        Ok(())
    })
    .await?;

    closed.open()?;
    wait_in_sync(&instance, 3).await
}

/// A quota that has no room for the claim of the temporary pod of a roll: what needs no pod is in force at
/// once, a condition has the API server's words and does not change while it lasts, and once the quota is
/// gone the roll is done.
async fn a_claims_quota_holds_back_the_temporary_pod_alone(space: &Space<'_>) -> Result<()> {
    let instance = space.ready("cache", json!({})).await?;
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
        "spec": {"hard": {"persistentvolumeclaims": "1"}},
    });
    space.apply(&quota.to_string()).await?;
    let quotas = space.api::<ResourceQuota>();
    wait_for("the quota counts", SOME, async || {
        let status = quotas
            .get("small")
            .await?
            .status
            .and_then(|status| status.used);
        ensure!(status.is_some_and(|used| !used.is_empty()), "not yet");
        Ok(())
    })
    .await?;
    let changed = json!({
        "config": {"maxclients": "321"}, "resources": {"limits": {"memory": "256Mi"}},
    });
    instance.patch_spec(changed).await?;
    let words = instance
        .wait_condition(degraded::TYPE, "True", degraded::APPLY_FAILED)
        .await?;
    ensure!(
        words.contains("PersistentVolumeClaim data-cache-1") && words.contains("small"),
        "{words}"
    );
    instance
        .wait_condition(progressing::TYPE, "False", progressing::BLOCKED)
        .await?;
    wait_for("the configuration is in force", SOME, async || {
        let now = instance.config("maxclients").await?;
        ensure!(now == "321", "{now}");
        Ok(())
    })
    .await?;
    space.wait_event("cache", degraded::APPLY_FAILED).await?;
    let version = instance.get().await?.metadata.resource_version;
    tokio::time::sleep(SOME).await;
    let later = instance.get().await?.metadata.resource_version;
    ensure!(
        version == later,
        "the object is written while nothing changes"
    );

    quotas.delete("small", &DeleteParams::default()).await?;
    wait_for("it is made once the quota is gone", SOME, async || {
        let claims = space.api::<PersistentVolumeClaim>();
        ensure!(claims.get_opt("data-cache-1").await?.is_some(), "not yet");
        Ok(())
    })
    .await?;
    wait_for("the pod has the new limit", LONG, async || {
        let pod = instance.primary_pod().await?;
        let spec = pod.spec.context("a pod has a spec")?;
        let limits = spec
            .containers
            .iter()
            .filter_map(|c| c.resources.as_ref()?.limits.as_ref());
        ensure!(
            limits.flatten().any(|(_, limit)| limit.0 == "256Mi"),
            "the pod is the old one"
        );
        Ok(())
    })
    .await?;
    instance.wait_settled().await
}
