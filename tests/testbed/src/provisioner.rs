//! The volume provisioner: folders of this machine as `local` volumes, which honour `fsGroup` and
//! are reachable from every node, like a network volume. It does what a CSI driver's provisioner
//! and resizer would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::watcher;
use kube::{Api, Client, Config, ResourceExt};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::json;

use crate::names::{DATA, NODES, PROVISIONER};

const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const ASKED: &str = "volume.kubernetes.io/storage-provisioner";
/// On the volume: it is a tmpfs of its capacity.
const LIMITED: &str = "testbed.hera.io/limited";

/// Serves claims until it is killed.
pub fn run() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let kubeconfig = Kubeconfig::read_from(crate::pki::file("provisioner.kubeconfig"))?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        serve(Client::try_from(config)?).await
    })
}

/// Any change of a claim or a volume, or some seconds without one, leads to a look at all of them.
async fn serve(client: Client) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let changes = futures::stream::select(
        watcher(claims, watcher::Config::default()).map(|change| change.map(drop)),
        watcher(volumes, watcher::Config::default()).map(|change| change.map(drop)),
    );
    let mut changes = std::pin::pin!(changes);
    loop {
        if let Err(err) = look(&client).await {
            eprintln!("{err:#}");
        }
        if let Ok(Some(Err(err))) =
            tokio::time::timeout(Duration::from_secs(10), changes.next()).await
        {
            eprintln!("watch: {err:#}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Changes come in groups.
        while let Ok(Some(_)) =
            tokio::time::timeout(Duration::from_millis(50), changes.next()).await
        {}
    }
}

async fn look(client: &Client) -> Result<()> {
    let all = ListParams::default();
    let classes = Api::<StorageClass>::all(client.clone()).list(&all).await?;
    let volumes = Api::<PersistentVolume>::all(client.clone())
        .list(&all)
        .await?;
    for claim in Api::<PersistentVolumeClaim>::all(client.clone())
        .list(&all)
        .await?
    {
        let name = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.storage_class_name.clone())
            .unwrap_or_default();
        let class = classes
            .iter()
            .find(|class| class.name_any() == name && class.provisioner == PROVISIONER);
        let Some(class) = class else { continue };
        if let Err(err) = serve_claim(client, &claim, class, &volumes.items).await {
            eprintln!(
                "claim {}/{}: {err:#}",
                claim.namespace().unwrap_or_default(),
                claim.name_any()
            );
        }
    }
    for volume in volumes.iter().filter(|volume| is_released(volume)) {
        if let Err(err) = delete(client, volume).await {
            eprintln!("volume {}: {err:#}", volume.name_any());
        }
    }
    Ok(())
}

async fn serve_claim(
    client: &Client,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    volumes: &[PersistentVolume],
) -> Result<()> {
    let bound_to = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.clone());
    if let Some(bound_to) = bound_to {
        return match volumes.iter().find(|volume| volume.name_any() == bound_to) {
            Some(volume) if is_ours(volume) => grow(client, claim, volume).await,
            _ => Ok(()),
        };
    }
    let asked = claim
        .annotations()
        .get(ASKED)
        .is_some_and(|who| who == PROVISIONER);
    let uid = claim.uid().context("no uid")?;
    let exists = volumes
        .iter()
        .any(|volume| volume.name_any() == format!("pvc-{uid}"));
    if !asked || exists || claim.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    create(client, claim, class, &uid).await
}

async fn create(
    client: &Client,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    uid: &str,
) -> Result<()> {
    let name = format!("pvc-{uid}");
    let size = requested(claim).context("the claim asks for no size")?;
    let limited = class
        .parameters
        .as_ref()
        .is_some_and(|all| all.get("limited").is_some_and(|value| value == "true"));
    let dir = folder(&name);
    fs::create_dir_all(&dir)?;
    if limited {
        mount_limited(&dir, bytes(&size)?, false)?;
    }
    let volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER, LIMITED: limited.to_string()}},
        "spec": {
            "storageClassName": class.name_any(),
            "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
            "capacity": {"storage": size},
            "accessModes": claim.spec.as_ref().and_then(|spec| spec.access_modes.clone()),
            "volumeMode": "Filesystem",
            "local": {"path": dir},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{
                "key": "kubernetes.io/hostname", "operator": "In", "values": NODES.map(|node| node.name()),
            }]}]}},
            "claimRef": {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(), "name": claim.name_any(), "uid": uid,
            },
        },
    });
    let volume: PersistentVolume = serde_json::from_value(volume)?;
    match Api::all(client.clone())
        .create(&PostParams::default(), &volume)
        .await
    {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        result => result.map(drop).context("cannot create the volume"),
    }
}

/// Growth, online, in the order of a resizer: the volume, then the claim's status.
async fn grow(
    client: &Client,
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Result<()> {
    let Some(wanted) = requested(claim) else {
        return Ok(());
    };
    let has = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.capacity.as_ref()?.get("storage"))
        .map(|size| size.0.clone());
    let has = has.context("the volume has no capacity")?;
    let size = if bytes(&wanted)? > bytes(&has)? {
        wanted
    } else {
        has.clone()
    };
    let patch = PatchParams::default();
    if size != has {
        if volume
            .annotations()
            .get(LIMITED)
            .is_some_and(|value| value == "true")
        {
            mount_limited(&folder(&volume.name_any()), bytes(&size)?, true)?;
        }
        let capacity = json!({"spec": {"capacity": {"storage": size}}});
        Api::<PersistentVolume>::all(client.clone())
            .patch(&volume.name_any(), &patch, &Patch::Merge(capacity))
            .await?;
    }
    let status = claim.status.as_ref();
    let told = status
        .and_then(|status| status.capacity.as_ref()?.get("storage"))
        .map(|size| size.0.clone());
    // No size yet: the binder writes the first one.
    if let Some(told) =
        told.filter(|told| bytes(told).is_ok_and(|told| bytes(&size).is_ok_and(|size| size > told)))
    {
        println!("claim {}: {told} -> {size}", claim.name_any());
        let status = json!({"status": {"capacity": {"storage": size}, "conditions": []}});
        let api: Api<PersistentVolumeClaim> =
            Api::namespaced(client.clone(), &claim.namespace().unwrap_or_default());
        api.patch_status(&claim.name_any(), &patch, &Patch::Merge(status))
            .await?;
    }
    Ok(())
}

async fn delete(client: &Client, volume: &PersistentVolume) -> Result<()> {
    let dir = folder(&volume.name_any());
    if dir.exists() {
        // Not mounted: then it is no tmpfs.
        let _ = umount2(&dir, MntFlags::MNT_DETACH);
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    match Api::<PersistentVolume>::all(client.clone())
        .delete(&volume.name_any(), &DeleteParams::default())
        .await
    {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        result => result.map(drop).context("cannot delete the volume"),
    }
}

/// The folder of a volume, by the volume's name.
pub fn folder(volume: &str) -> PathBuf {
    Path::new(DATA).join("volumes").join(volume)
}

fn mount_limited(dir: &Path, size: u64, again: bool) -> Result<()> {
    let flags = if again {
        MsFlags::MS_REMOUNT
    } else {
        MsFlags::empty()
    };
    let options = format!("size={size},mode=755");
    mount(
        Some("tmpfs"),
        dir,
        Some("tmpfs"),
        flags,
        Some(options.as_str()),
    )
    .with_context(|| format!("cannot mount a tmpfs of {size} bytes at {}", dir.display()))
}

fn is_ours(volume: &PersistentVolume) -> bool {
    volume
        .annotations()
        .get(PROVISIONED_BY)
        .is_some_and(|who| who == PROVISIONER)
}

fn is_released(volume: &PersistentVolume) -> bool {
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let policy = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    is_ours(volume) && phase == Some("Released") && policy == Some("Delete")
}

fn requested(claim: &PersistentVolumeClaim) -> Option<String> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    Some(resources.requests.as_ref()?.get("storage")?.0.clone())
}

/// The bytes of a quantity as claims use them: a whole number with or without a unit.
pub fn bytes(quantity: &str) -> Result<u64> {
    let end = quantity
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(end);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u64.pow(2),
        "G" => 1000_u64.pow(3),
        "T" => 1000_u64.pow(4),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => bail!("no size: {quantity}"),
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("no size: {quantity}"))?;
    number
        .checked_mul(factor)
        .with_context(|| format!("too large: {quantity}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_compare_by_what_they_mean() {
        assert_eq!(bytes("1Gi").unwrap(), bytes("1024Mi").unwrap());
        assert!(bytes("1G").unwrap() < bytes("1Gi").unwrap());
        assert!(bytes("1.5Gi").is_err());
        assert!(bytes("99999999999Ti").is_err());
    }

    #[test]
    fn the_classes_name_this_provisioner() {
        let text = include_str!("../manifests/storage.yaml");
        assert_eq!(
            text.matches(&format!("provisioner: {PROVISIONER}")).count(),
            3
        );
        assert!(text.contains("name: gp3") && text.contains("name: standard"));
    }
}
