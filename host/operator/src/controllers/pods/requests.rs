//! What is asked for by annotation.

use hera_api::meta::{
    ANNOTATION_APPROVE, ANNOTATION_FENCE, ANNOTATION_HIBERNATE, ANNOTATION_PROMOTE,
};
use hera_core::shard::{Member, why_not_all_fenced};
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
    /// Why there are none of these though somebody asks for all, for people.
    pub not_fenced: Option<String>,
}

/// Stands for the names of all pods.
const ALL: &str = "*";

impl Requests {
    /// Those on an object with these pods.
    pub fn of<'a>(object: &impl ResourceExt, members: impl Iterator<Item = &'a Member>) -> Self {
        let annotation = |name: &str| object.annotations().get(name).cloned();
        let fenced = annotation(ANNOTATION_FENCE).unwrap_or_default();
        let fenced = match fenced.trim() {
            ALL => members.map(|member| member.name().to_owned()).collect(),
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
            not_fenced: None,
        }
    }

    /// The same on a cluster: all of its pods go down only where none serves as a primary.
    pub fn of_cluster<'a>(
        object: &impl ResourceExt,
        members: impl Iterator<Item = &'a Member> + Clone,
    ) -> Self {
        let requests = Self::of(object, members.clone());
        let fenced = object.annotations().get(ANNOTATION_FENCE);
        if fenced.is_none_or(|fenced| fenced.trim() != ALL) {
            return requests;
        }
        match why_not_all_fenced(members) {
            None => requests,
            not_fenced => Self {
                fenced: Vec::new(),
                not_fenced,
                ..requests
            },
        }
    }
}

/// Somebody asked that an object have no pods for now.
pub fn hibernates(object: &impl ResourceExt) -> bool {
    let asked = object.annotations().get(ANNOTATION_HIBERNATE);
    asked.map(String::as_str) == Some("true")
}
