//! Requests to the operator: annotations on the object, so that Kubernetes says who may ask.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;

use anyhow::{Context as _, bail};
use hera_api::conditions::progressing;
use hera_api::meta::{
    ANNOTATION_APPROVE, ANNOTATION_FENCE, ANNOTATION_HIBERNATE, ANNOTATION_PROMOTE,
    ANNOTATION_RESTART, ANNOTATION_ROTATE, ANNOTATION_ROTATE_REPLICATION, LABEL_ROLE,
};
use hera_api::{CopyStatus, Kind, ShardStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::json;

use crate::args::{Cluster, Request};
use crate::named::{Object, Target};
use crate::output::{Output, good};
use crate::reach::is_ready;
use crate::{Verdict, cluster};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    kind: &'static str,
    name: String,
    namespace: String,
    annotation: &'static str,
    value: Option<String>,
    what: String,
}

/// Writes the annotation of a request.
///
/// # Errors
/// When the cluster cannot be asked, there is no such object, or its kind knows no such request.
pub async fn run(request: &Request, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    let connected = cluster::connect(wanted).await?;
    let (client, namespace) = (connected.client, connected.namespace);
    let target = request.target();
    let object = target.find(&client, &namespace).await?;
    let request = match request {
        Request::Promote { pod: None, .. } => {
            named_only(target, &object)?;
            let pods = object.children(&client).await?;
            Request::Promote {
                target: target.clone(),
                pod: Some(ready_replica(target, &pods)?),
            }
        }
        Request::Approve {
            digest: None,
            copy: None,
            yes,
            ..
        } => Request::Approve {
            target: target.clone(),
            digest: Some(what_waits(target, &object, *yes)?),
            copy: None,
            yes: false,
        },
        request => request.clone(),
    };
    let annotation = annotation(&request, &object)?;
    ask(annotation, &object, true, target, &client, output).await
}

/// An annotation, its value (none takes it away), and what that means.
pub type Annotation = (&'static str, Option<String>, String);

/// Writes an annotation, and tells what comes of it. `as_read`: only if the object has not changed since it was
/// read, its status included.
///
/// # Errors
/// When it is not taken.
pub async fn ask(
    (annotation, value, what): Annotation,
    object: &Object,
    as_read: bool,
    target: &Target,
    client: &Client,
    output: Output,
) -> anyhow::Result<Verdict> {
    let annotations = json!({annotation: value});
    let metadata = match as_read {
        true => json!({
            "resourceVersion": object.metadata().resource_version,
            "annotations": annotations,
        }),
        false => json!({"annotations": annotations}),
    };
    object
        .patch(client, &json!({"metadata": metadata}))
        .await
        .context("the request is not taken")?;
    let asked = Asked {
        kind: object.kind().name(),
        name: object.name().to_owned(),
        namespace: object.namespace().to_owned(),
        annotation,
        value,
        what,
    };
    output.print(&asked, |asked| {
        format!(
            "{} {}; kubectl hera status {target} shows how it goes\n",
            good("asked:"),
            asked.what
        )
    })?;
    Ok(Verdict::Yes)
}

/// Refuses where somebody must say which pod is to lead: each shard has a primary.
fn named_only(target: &Target, object: &Object) -> anyhow::Result<()> {
    let Object::Cluster(object) = object else {
        return Ok(());
    };
    let shards = object.status.iter().flat_map(|status| &status.shards);
    let in_sync = |shard: &ShardStatus| shard.replicas.clone();
    let replicas: Vec<String> = shards.flat_map(in_sync).collect();
    let which = match replicas.is_empty() {
        true => String::new(),
        false => format!("; in sync are {}", replicas.join(", ")),
    };
    bail!(
        "each shard of {target} has a primary: name the pod that is to lead its shard, kubectl hera promote \
         {target} POD{which}"
    )
}

/// A replica that is ready and stays, the first by name.
fn ready_replica(target: &Target, pods: &[Pod]) -> anyhow::Result<String> {
    let replicas = pods.iter().filter(|pod| {
        let role = pod.labels().get(LABEL_ROLE);
        let stays = pod.metadata.deletion_timestamp.is_none();
        role.is_some_and(|role| role == "replica") && stays && is_ready(pod)
    });
    let first = replicas.map(Pod::name_any).min();
    first.with_context(|| {
        format!("no replica of {target} is ready: kubectl hera status {target} shows why")
    })
}

/// The digest of the step that waits, once a person has seen it and says yes.
fn what_waits(target: &Target, object: &Object, yes: bool) -> anyhow::Result<String> {
    let status = object.status();
    let Some(approval) = status.approval else {
        bail!("nothing of {target} waits for an approval");
    };
    if !approval.copies.is_empty() {
        bail!(
            "one of the copies of the data is to be chosen: kubectl hera approve {target} --copy POD, one of {}",
            pods_of(&approval.copies)
        );
    }
    if yes {
        return Ok(approval.digest.clone());
    }
    if !std::io::stdin().is_terminal() {
        bail!(
            "say which step is approved: kubectl hera approve {target} {}, or --yes for whatever waits",
            approval.digest
        );
    }
    let progress = status.condition(progressing::TYPE);
    let what = progress.map_or("", |condition| condition.message.as_str());
    approved(&format!(
        "{target} waits since {}: {what}",
        approval.since.0
    ))?;
    Ok(approval.digest.clone())
}

/// Somebody at a terminal sees this and says yes.
///
/// # Errors
/// When somebody does not.
pub fn approved(what: &str) -> anyhow::Result<()> {
    anstream::eprint!("{what}\nApprove it? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("not approved"),
    }
}

fn annotation(request: &Request, object: &Object) -> anyhow::Result<Annotation> {
    let annotations = object.metadata().annotations.as_ref();
    let mut fenced: BTreeSet<String> = annotations
        .and_then(|known| known.get(ANNOTATION_FENCE))
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
            let of = of_its_shard(object);
            let what = format!("{pod} becomes the primary{of}");
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
            let what = "the servers start again, as replicas where another leads".to_owned();
            (ANNOTATION_FENCE, joined(&fenced), what)
        }
        Request::Restart { .. } => (
            ANNOTATION_RESTART,
            Some(k8s_openapi::jiff::Timestamp::now().to_string()),
            format!(
                "each pod is replaced once, the primary{} last",
                of_its_shard(object)
            ),
        ),
        Request::Rotate {
            replication: true, ..
        } => {
            let what = "another password of replication is made; the one before goes once every server accepts the \
                        new one and logs in with it";
            let now = k8s_openapi::jiff::Timestamp::now().to_string();
            (ANNOTATION_ROTATE_REPLICATION, Some(now), what.to_owned())
        }
        Request::Rotate { target, .. } => {
            let auth = &object.common().auth;
            if let Some(own) = &auth.password_secret_ref {
                bail!(
                    "the password of {target} is yours, in Secret {}: put the next one into it under another key, \
                     name that in auth.passwordSecretRef.nextKey, and replace the current one once all servers \
                     have it (docs/passwords.md)",
                    own.name
                );
            }
            let what = format!(
                "another password is made; the Secret {}-app shows it once every server accepts it, and the one \
                 before is accepted for {} more",
                object.name(),
                auth.overlap
            );
            let now = k8s_openapi::jiff::Timestamp::now().to_string();
            (ANNOTATION_ROTATE, Some(now), what)
        }
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

/// Behind "the primary".
fn of_its_shard(object: &Object) -> &'static str {
    match object.kind() {
        Kind::RedisInstance => "",
        Kind::RedisCluster => " of its shard",
    }
}

/// What names the copy of a pod, as the status asks for it.
fn digest_of(pod: &str, object: &Object) -> anyhow::Result<String> {
    if object.kind() == Kind::RedisCluster {
        bail!(
            "of a RedisCluster no copy is chosen: delete the claim and the pod of the one that is to go, and \
             the other is taken in"
        );
    }
    let copies = object.status().approval.map(|approval| &approval.copies);
    let copies = copies.filter(|copies| !copies.is_empty());
    let copies = copies.context("nobody is asked to choose a copy: status.approval has none")?;
    let found = copies.iter().find(|copy| copy.pod == pod);
    let found = found.with_context(|| {
        let all = pods_of(copies);
        format!("{pod} is none of those to choose from: {all}")
    })?;
    Ok(found.digest.clone())
}

fn pods_of(copies: &[CopyStatus]) -> String {
    let pods: Vec<&str> = copies.iter().map(|copy| copy.pod.as_str()).collect();
    pods.join(", ")
}

#[cfg(test)]
mod tests;
