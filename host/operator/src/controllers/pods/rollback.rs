//! The way back of a shard from a roll that failed, where `updateStrategy.onFailure` asks for it.
//!
//! The former template of the pods is in the StatefulSet's history. Which one they were last fine
//! with, and from which revision they went back, annotations of the StatefulSet say; the latter is
//! written together with the template, so a crash leaves both or none.

use std::collections::BTreeMap;

use hera_api::validate::Validated;
use hera_api::{OnFailure, ServerVersion};
use hera_core::shard::Shard;
use hera_render::template_revision;
use hera_render::versions::can_load;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::api::Api;
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::image::{Image, SOURCE_ANNOTATION};
use super::observe::{SetLive, template_image};
use super::status::engine;

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
    why: String,
}

impl Left {
    /// That the pods are as they were before, for people.
    pub fn words(&self) -> String {
        format!(
            "the roll to what the spec says failed, and the pods are as they were before: {}; change the \
             spec, or kubectl hera restart to try again",
            self.why
        )
    }
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
    /// Nowhere: it failed elsewhere, and pods that are made anew are as the others are.
    Stay(Box<PodTemplateSpec>),
    /// It failed, and there is no way back: why.
    Barred(String),
}

impl Direction {
    /// The way back, if it is taken.
    pub fn back(&self) -> Option<(&PodTemplateSpec, &Left)> {
        match self {
            Self::Back { template, left } => Some((template, left)),
            Self::Forward | Self::Stay(_) | Self::Barred(_) => None,
        }
    }

    /// The template that pods are made from, if that is not what the spec says.
    pub fn template(&self) -> Option<&PodTemplateSpec> {
        match self {
            Self::Back { template, .. } | Self::Stay(template) => Some(template),
            Self::Forward | Self::Barred(_) => None,
        }
    }

    /// Why it does not go back from where it failed, for people.
    pub fn barred(&self) -> Option<&str> {
        match self {
            Self::Barred(words) => Some(words),
            Self::Forward | Self::Stay(_) | Self::Back { .. } => None,
        }
    }
}

/// A StatefulSet and its pods, beside what is wanted of them.
pub struct Rolled<'a> {
    pub client: &'a Client,
    pub namespace: &'a str,
    pub live: &'a SetLive,
    pub shard: Shard<'a>,
}

impl Rolled<'_> {
    fn leads(&self, revision: &str) -> bool {
        self.shard.primary.is_some_and(|p| p.is_of(revision))
    }

    /// Where the roll may go, with the image that answers the spec. What is wanted of the shard is what the
    /// spec says.
    ///
    /// # Errors
    /// The StatefulSet's history cannot be read.
    pub async fn direction(&self, v: &Validated, image: &Image) -> kube::Result<Direction> {
        let wanted = &self.shard.wanted.revision;
        let asked = v.on_failure == OnFailure::Rollback;
        let Some(set) = self.live.stateful_set.as_ref().filter(|_| asked) else {
            return Ok(Direction::Forward);
        };
        let left: Option<Left> = read(set, LEFT);
        if let (Some(left), Some(spec)) = (left, &set.spec) {
            // An image that cannot be told now is no other desired state.
            let same = left.revision == *wanted || image.problem.is_some();
            if same && !self.leads(&left.revision) {
                let template = Box::new(spec.template.clone());
                return Ok(Direction::Back { template, left });
            }
        }
        let Some(why) = self.shard.why_failed() else {
            return Ok(Direction::Forward);
        };
        let Some(proven) = read::<Proven>(set, PROVEN) else {
            let words = "no revision before was in sync in all pods";
            return Ok(Direction::Barred(words.to_owned()));
        };
        if proven.revision == *wanted {
            // It was fine in all pods: what is wrong now is not the revision.
            return Ok(Direction::Forward);
        }
        if self.shard.primary.is_some() && !self.leads(&proven.revision) {
            let words = "the primary is of neither revision";
            return Ok(Direction::Barred(words.to_owned()));
        }
        let template = match self.former(set, &proven).await {
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
        let revision = wanted.clone();
        Ok(Direction::Back {
            template: Box::new(template),
            left: Left { revision, why },
        })
    }

    /// As it was before the roll, which failed elsewhere and has not come here; forward where it has, or where
    /// nothing is known of before.
    ///
    /// # Errors
    /// The StatefulSet's history cannot be read.
    pub async fn as_before(&self) -> kube::Result<Direction> {
        let set = self.live.stateful_set.as_ref();
        let proven = set.and_then(|set| Some((set, read::<Proven>(set, PROVEN)?)));
        let Some((set, proven)) = proven.filter(|(_, proven)| self.leads(&proven.revision)) else {
            return Ok(Direction::Forward);
        };
        if proven.revision == self.shard.wanted.revision {
            return Ok(Direction::Forward);
        }
        let template = self.former(set, &proven).await?;
        Ok(template.map_or(Direction::Forward, |template| {
            Direction::Stay(Box::new(template))
        }))
    }

    /// The template that proved itself, as the history of the StatefulSet has it.
    async fn former(
        &self,
        set: &StatefulSet,
        proven: &Proven,
    ) -> kube::Result<Option<PodTemplateSpec>> {
        let history: Api<ControllerRevision> = Api::namespaced(self.client.clone(), self.namespace);
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
        Ok(template
            .filter(|template| template_revision(template) == Some(proven.revision.as_str())))
    }

    /// The annotations of the StatefulSet: which desired state its image answers, and by what the next pass
    /// knows its way. What is wanted of the shard is what its pods are to be now, `source` is the spec's wish.
    pub fn annotations(&self, way: &Direction, source: &str) -> BTreeMap<String, String> {
        let known = self.live.stateful_set.as_ref();
        let known: Option<Proven> = known.and_then(|set| read(set, PROVEN));
        let is_known = known
            .as_ref()
            .is_some_and(|proven| proven.revision == self.shard.wanted.revision);
        let proven = match !is_known && self.shard.is_proven() {
            true => self.prove(source).or(known),
            false => known,
        };
        let (left, answered) = match way {
            Direction::Back { left, .. } => (Some(left), proven.as_ref().map(|p| p.source.clone())),
            Direction::Stay(_) => (None, proven.as_ref().map(|p| p.source.clone())),
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

    fn prove(&self, source: &str) -> Option<Proven> {
        let status = self.shard.primary?.agent.status()?;
        // One that stays: a temporary pod may lead, and be of another revision.
        let pod = self.live.pods.get(&0)?;
        Some(Proven {
            revision: self.shard.wanted.revision.clone(),
            template: pod.labels().get(MADE_FROM)?.clone(),
            source: source.to_owned(),
            engine: status.engine.clone()?,
            version: status.version.clone()?,
        })
    }
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

fn read<T: DeserializeOwned>(set: &StatefulSet, name: &str) -> Option<T> {
    serde_json::from_str(set.annotations().get(name)?).ok()
}

fn write<T: Serialize>(value: Option<&T>) -> Option<String> {
    serde_json::to_string(value?).ok()
}
