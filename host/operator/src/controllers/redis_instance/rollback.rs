//! The way back from a roll that failed, where `updateStrategy.onFailure` asks for it.
//!
//! The former template of the pods is in the StatefulSet's history. Which one they were last fine
//! with, and from which revision they went back, annotations of the StatefulSet say; the latter is
//! written together with the template, so a crash leaves both or none.

use std::collections::BTreeMap;

use hera_api::validate::Validated;
use hera_api::{OnFailure, ServerVersion};
use hera_core::instance::{Observation, Wanted};
use hera_render::template_revision;
use hera_render::versions::can_load;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::ResourceExt as _;
use kube::api::Api;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::site::Site;
use crate::controllers::pods::image::{Image, SOURCE_ANNOTATION};
use crate::controllers::pods::observe::template_image;
use crate::controllers::pods::status::engine;

/// Annotation on the StatefulSet: the template with which all pods were in sync last.
const PROVEN: &str = "cache.hera.io/proven-template";
/// Annotation on the StatefulSet: the revision that pods went back from, while the spec asks for it.
const LEFT: &str = "cache.hera.io/went-back-from";
/// Label of Kubernetes on a pod: the ControllerRevision with the template that it was made from.
const MADE_FROM: &str = "controller-revision-hash";

#[derive(Serialize, Deserialize)]
struct Proven {
    revision: String,
    /// Name of the ControllerRevision.
    template: String,
    /// The desired state that its image answers.
    source: String,
    engine: String,
    version: String,
}

/// A revision to which the roll failed, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Left {
    revision: String,
    pub why: String,
}

/// Where a roll may go.
pub enum Direction {
    /// To what the spec says.
    Forward,
    /// To what the pods were before.
    Back {
        template: Box<PodTemplateSpec>,
        left: Left,
    },
    /// It failed, and there is no way back: why.
    Barred(String),
}

/// Where the roll to `wanted` may go, with the image that answers the spec.
///
/// # Errors
/// The StatefulSet's history cannot be read.
pub async fn find(
    site: &Site<'_>,
    v: &Validated,
    image: &Image,
    wanted: &Wanted,
    seen: &Observation,
) -> kube::Result<Direction> {
    let asked = v.on_failure == OnFailure::Rollback;
    let Some(set) = site.live.set.stateful_set.as_ref().filter(|_| asked) else {
        return Ok(Direction::Forward);
    };
    let leads_of = |revision: &str| seen.primary().is_some_and(|p| p.is_of(revision));
    let left: Option<Left> = read(set, LEFT);
    if let (Some(left), Some(spec)) = (left, &set.spec) {
        // An image that cannot be told now is no other desired state.
        let same = left.revision == wanted.pods.revision || image.problem.is_some();
        if same && !leads_of(&left.revision) {
            let template = Box::new(spec.template.clone());
            return Ok(Direction::Back { template, left });
        }
    }
    let Some(why) = seen.shard(wanted).why_failed() else {
        return Ok(Direction::Forward);
    };
    let Some(proven) = read::<Proven>(set, PROVEN) else {
        let words = "no revision before was in sync in all pods";
        return Ok(Direction::Barred(words.to_owned()));
    };
    if proven.revision == wanted.pods.revision {
        // It was fine in all pods: what is wrong now is not the revision.
        return Ok(Direction::Forward);
    }
    if seen.primary().is_some() && !leads_of(&proven.revision) {
        let words = "the primary is of neither revision";
        return Ok(Direction::Barred(words.to_owned()));
    }
    let template = match former(site, set, &proven).await {
        Ok(Some(template)) => template,
        Ok(None) => {
            let words = format!("the StatefulSet's revision {} is gone", proven.template);
            return Ok(Direction::Barred(words));
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Ok(Direction::Barred(status.message.clone()));
        }
        Err(error) => return Err(error),
    };
    let same_image = template_image(&template).as_ref() == Some(&image.image);
    if v.persistence.volume.is_some() && !same_image && !reads(&proven, v) {
        let (was, version) = (&proven.engine, &proven.version);
        let (engine, now) = (v.engine, v.version);
        let words = format!("{was} {version} could not read what {engine} {now} wrote");
        return Ok(Direction::Barred(words));
    }
    let revision = wanted.pods.revision.clone();
    Ok(Direction::Back {
        template: Box::new(template),
        left: Left { revision, why },
    })
}

/// True if the former server reads what that of the spec may have written.
fn reads(former: &Proven, v: &Validated) -> bool {
    let newest = ServerVersion {
        // Any branch of it may be the one that wrote.
        minor: v.version.minor.or(Some(u16::MAX)),
        ..v.version
    };
    let former = engine(&former.engine).zip(former.version.parse().ok());
    former.is_some_and(|former| can_load((v.engine, newest), former))
}

/// The template that proved itself, as the history of the StatefulSet has it.
async fn former(
    site: &Site<'_>,
    set: &StatefulSet,
    proven: &Proven,
) -> kube::Result<Option<PodTemplateSpec>> {
    let namespace = site.owner.namespace;
    let history: Api<ControllerRevision> = Api::namespaced(site.shared.client.clone(), namespace);
    let found = history.get_opt(&proven.template).await?;
    let ours = found.filter(|revision| {
        let mut owners = revision.owner_references().iter();
        owners.any(|owner| Some(&owner.uid) == set.uid().as_ref())
    });
    let data = ours.and_then(|revision| revision.data);
    let template = data.and_then(|data| {
        let template = data.0.pointer("/spec/template")?;
        PodTemplateSpec::deserialize(template).ok()
    });
    Ok(template.filter(|template| template_revision(template) == Some(proven.revision.as_str())))
}

/// The annotations of the StatefulSet: which desired state its image answers, and by what the next pass knows
/// its way. `wanted` is of the revision that pods are to have now, `source` the spec's wish.
pub fn annotations(
    site: &Site<'_>,
    wanted: &Wanted,
    seen: &Observation,
    way: &Direction,
    source: &str,
) -> BTreeMap<String, String> {
    let known = site.live.set.stateful_set.as_ref();
    let known: Option<Proven> = known.and_then(|set| read(set, PROVEN));
    let is_known = known
        .as_ref()
        .is_some_and(|proven| proven.revision == wanted.pods.revision);
    let proven = match !is_known && seen.shard(wanted).is_proven() {
        true => prove(site, wanted, seen, source).or(known),
        false => known,
    };
    let (left, answered) = match way {
        Direction::Back { left, .. } => (Some(left), proven.as_ref().map(|p| p.source.clone())),
        Direction::Forward | Direction::Barred(_) => (None, Some(source.to_owned())),
    };
    let texts = [
        (SOURCE_ANNOTATION, answered),
        (PROVEN, write(proven.as_ref())),
        (LEFT, write(left)),
    ];
    let texts = texts.into_iter();
    texts
        .filter_map(|(name, text)| Some((name.to_owned(), text?)))
        .collect()
}

fn prove(site: &Site<'_>, wanted: &Wanted, seen: &Observation, source: &str) -> Option<Proven> {
    let status = seen.primary()?.agent.status()?;
    // One that stays: a temporary pod may lead, and be of another revision.
    let pod = site.live.set.pods.get(&0)?;
    Some(Proven {
        revision: wanted.pods.revision.clone(),
        template: pod.labels().get(MADE_FROM)?.clone(),
        source: source.to_owned(),
        engine: status.engine.clone()?,
        version: status.version.clone()?,
    })
}

fn read<T: DeserializeOwned>(set: &StatefulSet, name: &str) -> Option<T> {
    serde_json::from_str(set.annotations().get(name)?).ok()
}

fn write<T: Serialize>(value: Option<&T>) -> Option<String> {
    serde_json::to_string(value?).ok()
}
