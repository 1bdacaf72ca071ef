//! What is asked for by annotation.

use hera_api::meta::{
    ANNOTATION_APPROVE, ANNOTATION_FENCE, ANNOTATION_HIBERNATE, ANNOTATION_PROMOTE,
};
use hera_core::shard::Member;
use kube::ResourceExt;

/// What is asked for, whatever becomes of the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// The digest that somebody approved.
    pub approved: Option<String>,
    /// There are to be no pods for now.
    pub hibernate: bool,
    /// The pod that is to lead.
    pub promote: Option<String>,
    /// Pods whose servers are to be down.
    pub fenced: Vec<String>,
}

impl Requests {
    /// Those on an object with these pods.
    pub fn of<'a>(object: &impl ResourceExt, members: impl Iterator<Item = &'a Member>) -> Self {
        let annotation = |name: &str| object.annotations().get(name).cloned();
        let fenced = annotation(ANNOTATION_FENCE).unwrap_or_default();
        let fenced = match fenced.trim() {
            "*" => members.map(|member| member.name().to_owned()).collect(),
            names => names
                .split(',')
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
        };
        Self {
            approved: annotation(ANNOTATION_APPROVE),
            hibernate: hibernates(object),
            promote: annotation(ANNOTATION_PROMOTE),
            fenced,
        }
    }
}

/// Somebody asked that an object have no pods for now.
pub fn hibernates(object: &impl ResourceExt) -> bool {
    let asked = object.annotations().get(ANNOTATION_HIBERNATE);
    asked.map(String::as_str) == Some("true")
}
