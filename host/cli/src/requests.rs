//! Requests to the operator: annotations on the object, so that Kubernetes says who may ask.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use anyhow::{Context as _, bail};
use hera_api::RedisInstance;
use hera_api::conditions::progressing;
use hera_api::meta::{
    ANNOTATION_APPROVE, ANNOTATION_FENCE, ANNOTATION_HIBERNATE, ANNOTATION_PROMOTE,
    ANNOTATION_RESTART, LABEL_INSTANCE, LABEL_ROLE,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::json;

use crate::args::{Cluster, Request};
use crate::output::{Output, good};
use crate::{Verdict, cluster};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    name: String,
    namespace: String,
    annotation: &'static str,
    value: Option<String>,
    what: String,
}

/// Writes the annotation of a request.
///
/// # Errors
/// When the cluster cannot be asked, or there is no such instance.
pub async fn run(request: &Request, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let namespace = connected.namespace.clone();
    let name = request.instance();
    let pods: Api<Pod> = Api::namespaced(connected.client.clone(), &namespace);
    let api: Api<RedisInstance> = Api::namespaced(connected.client, &namespace);
    let object = api
        .get_opt(name)
        .await?
        .with_context(|| format!("there is no RedisInstance {name} in namespace {namespace}"))?;
    let request = match request {
        Request::Promote { pod: None, .. } => Request::Promote {
            name: name.to_owned(),
            pod: Some(ready_replica(name, &pods).await?),
        },
        Request::Approve {
            digest: None,
            copy: None,
            yes,
            ..
        } => {
            let digest = what_waits(&object, *yes)?;
            Request::Approve {
                name: name.to_owned(),
                digest: Some(digest),
                copy: None,
                yes: false,
            }
        }
        request => request.clone(),
    };
    let (annotation, value, what) = annotation(&request, &object)?;
    let patch = json!({
        "metadata": {
            "resourceVersion": object.resource_version(),
            "annotations": {annotation: value},
        }
    });
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .context("the request is not taken")?;
    let asked = Asked {
        name: name.to_owned(),
        namespace,
        annotation,
        value,
        what,
    };
    output.print(&asked, |asked| {
        format!(
            "{} {}; kubectl hera status {} shows how it goes\n",
            good("asked:"),
            asked.what,
            asked.name
        )
    })?;
    Ok(Verdict::Yes)
}

/// A replica that is ready and stays, the first by name.
async fn ready_replica(name: &str, pods: &Api<Pod>) -> anyhow::Result<String> {
    let replicas = format!("{LABEL_INSTANCE}={name},{LABEL_ROLE}=replica");
    let found = pods.list(&ListParams::default().labels(&replicas)).await?;
    first_ready(&found.items).with_context(|| {
        format!("no replica of {name} is ready: kubectl hera status {name} shows why")
    })
}

fn first_ready(pods: &[Pod]) -> Option<String> {
    let is_ready = |pod: &&Pod| {
        let conditions = pod.status.iter().flat_map(|status| &status.conditions);
        let mut conditions = conditions.flatten();
        pod.metadata.deletion_timestamp.is_none()
            && conditions.any(|c| c.type_ == "Ready" && c.status == "True")
    };
    let names = pods.iter().filter(is_ready).map(Pod::name_any);
    names.min()
}

/// The digest of the step that waits, once a person has seen it and says yes.
fn what_waits(object: &RedisInstance, yes: bool) -> anyhow::Result<String> {
    let name = object.name_any();
    let status = object.status.clone().unwrap_or_default();
    let Some(approval) = status.approval else {
        bail!("nothing of {name} waits for an approval");
    };
    if !approval.copies.is_empty() {
        let pods: Vec<&str> = approval.copies.iter().map(|copy| &*copy.pod).collect();
        bail!(
            "one of the copies of the data is to be chosen: kubectl hera approve {name} --copy POD, one of {}",
            pods.join(", ")
        );
    }
    if yes {
        return Ok(approval.digest);
    }
    if !std::io::stdin().is_terminal() {
        bail!(
            "say which step is approved: kubectl hera approve {name} {}, or --yes for whatever waits",
            approval.digest
        );
    }
    let progress = status
        .conditions
        .iter()
        .find(|c| c.type_ == progressing::TYPE);
    let what = progress.map_or("", |condition| condition.message.as_str());
    eprint!(
        "{name} waits since {}: {what}\nApprove it? [y/N] ",
        approval.since.0
    );
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(approval.digest),
        _ => bail!("not approved"),
    }
}

/// The annotation, its value (none takes it away), and what that means.
fn annotation(
    request: &Request,
    object: &RedisInstance,
) -> anyhow::Result<(&'static str, Option<String>, String)> {
    let mut fenced: BTreeSet<String> = object
        .annotations()
        .get(ANNOTATION_FENCE)
        .into_iter()
        .flat_map(|names| names.split(','))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    let joined = |names: &BTreeSet<String>| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(","))
    };
    Ok(match request {
        Request::Promote { pod, .. } => {
            let pod = pod.clone().unwrap_or_default();
            let what = format!("{pod} becomes the primary");
            (ANNOTATION_PROMOTE, Some(pod), what)
        }
        Request::Fence { pods, .. } => {
            fenced.extend(pods.iter().cloned());
            let what = format!("the servers of {} stop", pods.join(", "));
            (ANNOTATION_FENCE, joined(&fenced), what)
        }
        Request::Unfence { pods, .. } => {
            if pods.is_empty() {
                fenced.clear();
            }
            if let Some(unknown) = pods.iter().find(|pod| !fenced.contains(*pod)) {
                bail!("{unknown} is not fenced by request");
            }
            fenced.retain(|name| !pods.contains(name));
            let what = "the servers start again, as replicas".to_owned();
            (ANNOTATION_FENCE, joined(&fenced), what)
        }
        Request::Restart { .. } => (
            ANNOTATION_RESTART,
            Some(k8s_openapi::jiff::Timestamp::now().to_string()),
            "each pod is replaced once, the primary last".to_owned(),
        ),
        Request::Hibernate { .. } => (
            ANNOTATION_HIBERNATE,
            Some("true".to_owned()),
            "the pods go, the data stays".to_owned(),
        ),
        Request::Resume { .. } => (ANNOTATION_HIBERNATE, None, "the pods come back".to_owned()),
        Request::Approve {
            digest: Some(digest),
            ..
        } => (
            ANNOTATION_APPROVE,
            Some(digest.clone()),
            format!("the step {digest} may be taken"),
        ),
        Request::Approve { copy, .. } => {
            let pod = copy.as_deref().unwrap_or_default();
            let what = format!("the data is that of {pod}, and the other copies are overwritten");
            (ANNOTATION_APPROVE, Some(digest_of(pod, object)?), what)
        }
    })
}

/// What names the copy of a pod, as the status asks for it.
fn digest_of(pod: &str, object: &RedisInstance) -> anyhow::Result<String> {
    let approval = object.status.as_ref().and_then(|s| s.approval.as_ref());
    let copies = approval.map(|approval| approval.copies.as_slice());
    let copies = copies.unwrap_or_default();
    if copies.is_empty() {
        bail!("nobody is asked to choose a copy: status.approval has none");
    }
    let found = copies.iter().find(|copy| copy.pod == pod);
    let pods = || {
        let pods: Vec<&str> = copies.iter().map(|copy| copy.pod.as_str()).collect();
        pods.join(", ")
    };
    let found =
        found.with_context(|| format!("{pod} is none of those to choose from: {}", pods()))?;
    Ok(found.digest.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(fenced: Option<&str>) -> RedisInstance {
        let mut object = RedisInstance::new(
            "shop",
            serde_json::from_value(json!({"version": "7.2"})).unwrap(),
        );
        if let Some(names) = fenced {
            let annotations = object.annotations_mut();
            annotations.insert(ANNOTATION_FENCE.to_owned(), names.to_owned());
        }
        object
    }

    #[test]
    fn a_copy_is_chosen_by_its_pod_and_approved_by_its_digest() {
        let choose = |pod: &str| Request::Approve {
            name: "shop".into(),
            digest: None,
            copy: Some(pod.into()),
            yes: false,
        };
        let mut object = object(None);
        assert!(annotation(&choose("shop-1"), &object).is_err(), "not asked");
        let copy = |pod, digest| json!({"pod": pod, "digest": digest, "keys": 7, "bytes": 9, "epoch": 3, "left": false});
        object.status = serde_json::from_value(json!({"approval": {
            "digest": "question", "since": "2026-11-28T00:00:00Z",
            "copies": [copy("shop-0", "aa"), copy("shop-1", "bb")]
        }}))
        .unwrap();
        let chosen = annotation(&choose("shop-1"), &object).unwrap();
        assert_eq!(chosen.1.as_deref(), Some("bb"));
        assert!(annotation(&choose("shop-2"), &object).is_err());
    }

    #[test]
    fn what_waits_is_approved_by_its_digest_and_copies_are_not() {
        let mut object = object(None);
        assert!(what_waits(&object, true).is_err(), "nothing waits");
        let waits = |copies: serde_json::Value| json!({"approval": {"digest": "aa", "since": "2026-11-28T00:00:00Z", "copies": copies}});
        object.status = serde_json::from_value(waits(json!([]))).unwrap();
        assert_eq!(what_waits(&object, true).unwrap(), "aa");
        let copy = json!({"pod": "shop-0", "digest": "bb", "keys": 7, "bytes": 9, "epoch": 3, "left": false});
        object.status = serde_json::from_value(waits(json!([copy]))).unwrap();
        let words = what_waits(&object, true).unwrap_err().to_string();
        assert!(
            words.contains("--copy") && words.contains("shop-0"),
            "{words}"
        );
    }

    #[test]
    fn the_first_replica_that_is_ready_and_stays_is_promoted() {
        let pod = |name: &str, ready: &str, goes: bool| -> Pod {
            let mut metadata = json!({"name": name});
            if goes {
                metadata["deletionTimestamp"] = json!("2026-11-28T00:00:00Z");
            }
            let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
            serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
        };
        let pods = [
            pod("shop-3", "True", false),
            pod("shop-0", "False", false),
            pod("shop-1", "True", true),
            pod("shop-2", "True", false),
        ];
        assert_eq!(first_ready(&pods).as_deref(), Some("shop-2"));
        assert_eq!(first_ready(&pods[1..3]), None);
    }

    fn value(request: &Request, fenced: Option<&str>) -> Option<String> {
        annotation(request, &object(fenced)).unwrap().1
    }

    #[test]
    fn fences_add_up_and_are_lifted_one_by_one_or_together() {
        let fence = Request::Fence {
            name: "shop".into(),
            pods: vec!["shop-2".into()],
        };
        assert_eq!(value(&fence, None).as_deref(), Some("shop-2"));
        assert_eq!(
            value(&fence, Some("shop-1")).as_deref(),
            Some("shop-1,shop-2")
        );
        let unfence = |pods: &[&str]| Request::Unfence {
            name: "shop".into(),
            pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
        };
        let both = Some("shop-1, shop-2");
        assert_eq!(
            value(&unfence(&["shop-1"]), both).as_deref(),
            Some("shop-2")
        );
        assert_eq!(value(&unfence(&[]), both), None);
        assert!(annotation(&unfence(&["shop-9"]), &object(both)).is_err());
    }
}
