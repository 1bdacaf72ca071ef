use hera_api::ReclaimPolicy;
use hera_api::meta::{
    ANNOTATION_ADOPT, ANNOTATION_LINEAGE, ANNOTATION_OWNER_UID, ANNOTATION_TEMPORARY,
};
use hera_api::names::DATA_VOLUME;
use hera_api::quantity;
use hera_api::validate::{Validated, Volume};
use hera_core::shard::Record;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::{Context, Owner, metadata};

/// What a claim asks for, by its name in Kubernetes.
const STORAGE: &str = "storage";

/// Value of [`ANNOTATION_TEMPORARY`] while the temporary pod is needed.
const NEEDED: &str = "true";
/// Its value once the pod is to stay.
const STAYS: &str = "false";

/// How the size in the spec stands to that of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimSize {
    /// The same.
    Same,
    /// The claim should grow to this many bytes.
    Grow(u64),
    /// The spec asks for less than the claim has: refused.
    Shrink {
        /// What the claim asks for, in bytes.
        claim: u64,
        /// What the spec asks for, in bytes.
        spec: u64,
    },
    /// There is no volume in the spec, or no size in the claim.
    Unknown,
}

/// Compares the size in the spec with what a claim asks for.
pub fn claim_size(v: &Validated, claim: &PersistentVolumeClaim) -> ClaimSize {
    let (Some(volume), Some(claim)) = (&v.persistence.volume, requested(claim)) else {
        return ClaimSize::Unknown;
    };
    match volume.bytes.cmp(&claim) {
        std::cmp::Ordering::Equal => ClaimSize::Same,
        std::cmp::Ordering::Greater => ClaimSize::Grow(volume.bytes),
        std::cmp::Ordering::Less => ClaimSize::Shrink {
            claim,
            spec: volume.bytes,
        },
    }
}

/// What a claim asks for, in bytes.
fn requested(claim: &PersistentVolumeClaim) -> Option<u64> {
    quantity::units(storage(claim)?).ok()
}

fn storage(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get(STORAGE)
}

/// What is to become of a claim. Only that of a temporary pod ever goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFate<'a> {
    /// Its pod is one of those that the spec wants.
    Stays,
    /// Its pod is temporary, and needed.
    Needed,
    /// If it is that of a temporary pod, it goes once the pod with this uid is gone: it is noted
    /// while the pod is there, and then the claim is owned by a pod that is none any more. Before,
    /// the controller of StatefulSets would take the owner away again.
    GoesWith {
        /// The pod's name.
        pod: &'a str,
        /// The pod's uid.
        uid: &'a str,
        /// The pod is gone.
        gone: bool,
    },
}

/// True if somebody lends a claim, to whichever object.
pub fn is_lent(claim: &PersistentVolumeClaim) -> bool {
    let annotations = claim.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(ANNOTATION_ADOPT))
}

/// True if a claim is that of a temporary pod. One that somebody lends goes with no pod.
pub fn is_temporary(claim: &PersistentVolumeClaim) -> bool {
    temporary(claim).is_some_and(|text| text != STAYS)
}

fn temporary(claim: &PersistentVolumeClaim) -> Option<&str> {
    let annotations = claim.metadata.annotations.as_ref()?;
    let text = annotations.get(ANNOTATION_TEMPORARY)?;
    (!is_lent(claim)).then_some(text.as_str())
}

/// Uid of the pod with which a claim goes, as it was noted.
pub fn goes_with(claim: &PersistentVolumeClaim) -> Option<&str> {
    temporary(claim).filter(|text| *text != STAYS && *text != NEEDED)
}

/// What the operator says about a claim that is there, for a server-side apply: labels, the owner's
/// uid, the size when it grows, and who owns it: the object, where the volume is to go with it; or the
/// pod with which a temporary one went. Left out the next time, the owner is removed again; so it is where
/// somebody lends the claim from now on.
///
/// The claim's uid makes it a precondition: it can never make a claim.
pub fn build_claim_patch(
    v: &Validated,
    ctx: &Context,
    claim: &PersistentVolumeClaim,
    fate: ClaimFate<'_>,
) -> Option<Value> {
    let volume = v.persistence.volume.as_ref()?;
    let size = match claim_size(v, claim) {
        ClaimSize::Grow(_) | ClaimSize::Same => volume.size.clone(),
        ClaimSize::Shrink { .. } | ClaimSize::Unknown => storage(claim)?.clone(),
    };
    let mut patch = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": claim.metadata.name,
            "namespace": ctx.namespace,
            "uid": claim.metadata.uid,
            "labels": claim_labels(v, ctx),
            "annotations": {ANNOTATION_OWNER_UID: ctx.uid},
        },
        "spec": {"resources": {"requests": {"storage": size}}},
    });
    let metadata = patch.get_mut("metadata").and_then(Value::as_object_mut)?;
    if let Some(known) = temporary(claim) {
        let now = match fate {
            ClaimFate::Stays => STAYS,
            _ if known == STAYS => STAYS,
            ClaimFate::Needed => NEEDED,
            ClaimFate::GoesWith { uid, .. } => uid,
        };
        let annotations = metadata.get_mut("annotations")?.as_object_mut()?;
        annotations.insert(ANNOTATION_TEMPORARY.to_owned(), now.into());
    }
    let owner = match fate {
        ClaimFate::GoesWith {
            pod,
            uid,
            gone: true,
        } if is_temporary(claim) => {
            Some(json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}))
        }
        _ if is_lent(claim) => None,
        _ => owner(v, ctx).map(|owner| json!(owner)),
    };
    if let Some(owner) = owner {
        metadata.insert("ownerReferences".to_owned(), json!([owner]));
    }
    Some(patch)
}

/// The object as the owner of its claims, where their volumes are to go with it.
fn owner(v: &Validated, ctx: &Context) -> Option<OwnerReference> {
    let volume = v.persistence.volume.as_ref()?;
    let goes = volume.reclaim == ReclaimPolicy::Delete;
    goes.then(|| metadata::owner_reference(&Owner::of(v, ctx), false))
}

/// True if the object owns a claim that by this patch it is not to own any more. What an apply leaves out stays where
/// the claim was made with it.
pub fn is_let_go(ctx: &Context, claim: &PersistentVolumeClaim, patch: &Value) -> bool {
    let mut owners = claim.metadata.owner_references.iter().flatten();
    let wanted = patch.pointer("/metadata/ownerReferences");
    let mut wanted = wanted.and_then(Value::as_array).into_iter().flatten();
    let is_ours =
        |owner: &Value| owner.get("uid").and_then(Value::as_str) == Some(ctx.uid.as_str());
    owners.any(|owner| owner.uid == ctx.uid) && !wanted.any(is_ours)
}

/// What stands on a claim of which no agent was heard.
fn new_record() -> Option<(String, String)> {
    let text = Record::New.text()?;
    Some((ANNOTATION_LINEAGE.to_owned(), text))
}

/// What stands on a claim about its data.
pub fn claim_record(claim: &PersistentVolumeClaim) -> Record {
    let annotations = claim.metadata.annotations.as_ref();
    let text = annotations.and_then(|all| all.get(ANNOTATION_LINEAGE));
    match claim.spec.as_ref() {
        // It was filled from elsewhere before any agent saw it.
        Some(spec)
            if text.map(String::as_str) == Record::New.text().as_deref()
                && (spec.data_source.is_some() || spec.data_source_ref.is_some()) =>
        {
            Record::Unknown
        }
        _ => Record::read(text.map(String::as_str)),
    }
}

/// True for a claim of an object's, left behind by it, that has never had a volume and is to have no data from
/// elsewhere: nothing can be on it. In doubt it is false, also where nothing says whose it is.
pub fn is_never_bound(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    let is_ours = claim
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.contains_key(ANNOTATION_OWNER_UID));
    let is_empty = claim.spec.as_ref().is_some_and(|spec| {
        spec.volume_name.as_deref().unwrap_or_default().is_empty()
            && spec.data_source.is_none()
            && spec.data_source_ref.is_none()
    });
    let goes = claim.metadata.deletion_timestamp.is_some();
    phase == Some("Pending") && is_ours && is_empty && !goes
}

fn claim_labels(v: &Validated, ctx: &Context) -> BTreeMap<String, String> {
    let mut labels = metadata::common_labels(&v.name);
    labels.extend(metadata::selector_labels(v, ctx.shard));
    labels
}

/// The claim of a pod that is not there yet, as the StatefulSet would make it, but at the size that
/// claims have now: the template keeps the size of the first day. `others` are the claims of the
/// other pods; the new one is no smaller than the largest, as their data must fit.
///
/// It says whose it is, and has the owner that [`build_claim_patch`] would give it: nobody may come to do that later.
/// Beyond the wanted number it is that of a temporary pod.
pub fn build_claim<'a>(
    v: &Validated,
    ctx: &Context,
    ordinal: u32,
    others: impl IntoIterator<Item = &'a PersistentVolumeClaim>,
) -> Option<PersistentVolumeClaim> {
    let template = match &ctx.live {
        Some(live) => live
            .claim_templates
            .iter()
            .find(|template| template.metadata.name.as_deref() == Some(DATA_VOLUME))?
            .clone(),
        None => claim_template(v, ctx, v.persistence.volume.as_ref()?),
    };
    let wanted = v.persistence.volume.as_ref().map(|volume| &volume.size);
    let size = others
        .into_iter()
        .filter_map(storage)
        .cloned()
        .chain(storage(&template).cloned())
        .chain(wanted.cloned())
        .max_by_key(|size| quantity::units(size).unwrap_or(0))?;
    let mut labels = template.metadata.labels.unwrap_or_default();
    labels.extend(metadata::selector_labels(v, ctx.shard));
    let mut annotations = template.metadata.annotations;
    let all = annotations.get_or_insert_default();
    all.extend(new_record());
    all.insert(ANNOTATION_OWNER_UID.to_owned(), ctx.uid.clone());
    if ordinal >= v.replicas {
        all.insert(ANNOTATION_TEMPORARY.to_owned(), NEEDED.to_owned());
    }
    let mut spec = template.spec.unwrap_or_default();
    spec.resources
        .get_or_insert_default()
        .requests
        .get_or_insert_default()
        .insert(STORAGE.to_owned(), size);
    Some(PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(metadata::pods(v, ctx).claim(ordinal)),
            namespace: Some(ctx.namespace.clone()),
            labels: Some(labels),
            annotations,
            owner_references: owner(v, ctx).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    })
}

/// The claim template of a StatefulSet that is not there yet; from then on it is frozen.
pub(crate) fn claim_template(
    v: &Validated,
    ctx: &Context,
    volume: &Volume,
) -> PersistentVolumeClaim {
    let storage = BTreeMap::from([(STORAGE.to_owned(), volume.size.clone())]);
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA_VOLUME.to_owned()),
            labels: Some(claim_labels(v, ctx)),
            annotations: Some(new_record().into_iter().collect()),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some(storage),
                limits: None,
            }),
            storage_class_name: volume.storage_class.clone(),
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
