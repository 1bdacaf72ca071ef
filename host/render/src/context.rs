use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodTemplateSpec};

/// What rendering needs beside the spec.
#[derive(Clone, Debug)]
pub struct Context {
    /// Namespace of the object.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// The shard that is rendered; none of an object that has none, and for what all shards share.
    pub shard: Option<u32>,
    /// How many data pods the StatefulSet is to have now: on its way to what the spec wants, the
    /// operator takes it there step by step.
    pub replicas: u32,
    /// What somebody who asks for a restart says; another text than before asks again.
    pub restart: Option<String>,
    /// The object is to begin with a backup, and has not: agents hold their servers down until the data is there.
    pub recovery_due: bool,
    /// The image of the server, resolved.
    pub image: String,
    /// The image that brings the agent.
    pub agent_image: String,
    /// The template that pods go back to, while a roll to what the spec says has failed: what of it
    /// decides about the revision.
    pub rollback: Option<PodTemplateSpec>,
    /// The StatefulSet, if it is there already.
    pub live: Option<LiveStatefulSet>,
}

/// What of a StatefulSet cannot change any more.
#[derive(Clone, Debug, Default)]
pub struct LiveStatefulSet {
    /// Its claim templates, as they were read.
    pub claim_templates: Vec<PersistentVolumeClaim>,
}
