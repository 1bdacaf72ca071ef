//! One agent that refuses what it is told: everything else goes on.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_tests_e2e::{Login, Scenario, Space, is_wrong_login, wait_for};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

use crate::copies::volume;
use crate::replicas::{wait_in_sync, wait_other_primary};

pub const ALL: &[Scenario] = scenarios![Few;
    a_volume_that_takes_nothing_holds_back_no_revoked_right,
];

/// A user that is gone from the spec is gone from the servers.
const SOME: Duration = Duration::from_secs(20);

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
        "name": "worker", "preset": "readwrite", "keys": ["*"],
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
    let _: String = worker.ask(&["SET", "key", "value"]).await?;
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
