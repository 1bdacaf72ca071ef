//! Whose an object is: the one rule, held before anything is read as one's own, written or deleted.
//!
//! A child belongs to the object whose uid is among its owners, a pod to the StatefulSet that controls it. A volume
//! claim has no owner while it is to outlive its object, so it is known by its name and its labels together.

use hera_api::meta::{
    ANNOTATION_ADOPT, ANNOTATION_OWNER_UID, LABEL_INSTANCE, LABEL_MANAGED_BY, LABEL_NAME,
    MANAGED_BY,
};
use hera_api::names::ObjectName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// True if the one with the uid `owner` is among the owners of an object.
pub fn is_owned_by(object: &ObjectMeta, owner: &str) -> bool {
    owners(object).any(|reference| reference.uid == owner)
}

/// True if a pod with an object's labels and a name out of its StatefulSet `set` is the object's: that controls
/// it, or nobody does, or one of that name which is gone. Kubernetes hands such pods to the StatefulSet that is
/// made next, and until then they serve on. `found` is the one that is there now, and whether it is the object's.
pub fn is_pod_of(pod: &ObjectMeta, set: &str, found: Option<(&str, bool)>) -> bool {
    let Some(controller) = owners(pod).find(|owner| owner.controller == Some(true)) else {
        return true;
    };
    match found {
        Some((uid, is_ours)) if controller.uid == uid => is_ours,
        _ => controller.kind == "StatefulSet" && controller.name == set,
    }
}

fn owners(object: &ObjectMeta) -> impl Iterator<Item = &OwnerReference> {
    object.owner_references.iter().flatten()
}

/// The place of a volume claim: that of one pod of an object.
#[derive(Clone, Copy, Debug)]
pub struct ClaimPlace<'a> {
    /// The object.
    pub object: &'a ObjectName,
    /// The object's uid; none once it is gone.
    pub uid: Option<&'a str>,
    /// The pod's shard, where there are any.
    pub shard: Option<u32>,
    /// The pod's ordinal.
    pub ordinal: u32,
}

/// Whose the claim is that has the name of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The object's own, also one that an object of its name and kind left behind.
    Own,
    /// Somebody lent it to the object: it is used as it is, never owned, grown or deleted.
    Adopted,
    /// Somebody else's: it is left alone.
    Foreign,
}

impl ClaimPlace<'_> {
    /// Whose a claim is.
    pub fn standing(&self, claim: &ObjectMeta) -> Standing {
        if claim.name.as_deref() != Some(self.name().as_str()) {
            return Standing::Foreign;
        }
        if self.uid.is_some_and(|uid| is_owned_by(claim, uid)) {
            return Standing::Own;
        }
        let is_lent = annotation(claim, ANNOTATION_ADOPT) == Some(self.object.as_str());
        // One that goes with its owner is no place for data.
        if is_lent && !self.goes_with_another(claim) {
            return Standing::Adopted;
        }
        let is_marked = self.uid.is_some() && annotation(claim, ANNOTATION_OWNER_UID) == self.uid;
        let is_ours = is_marked || self.has_labels(claim);
        match is_ours && owners(claim).all(|owner| self.is_of_pod(owner)) {
            true => Standing::Own,
            false => Standing::Foreign,
        }
    }

    /// True if an object of the same kind and name that was there before, or is still, takes it along.
    fn goes_with_another(&self, claim: &ObjectMeta) -> bool {
        owners(claim).any(|owner| {
            owner.kind == self.object.kind().name() && owner.name == self.object.as_str()
        })
    }

    /// What people are told of a claim of somebody else's in this place.
    pub fn taken(&self, claim: &ObjectMeta) -> String {
        let (name, object) = (self.name(), self.object);
        if self.goes_with_another(claim) {
            return format!(
                "PersistentVolumeClaim {name} goes with the {object} that was deleted: it is waited for"
            );
        }
        if claim.deletion_timestamp.is_some() {
            return format!("PersistentVolumeClaim {name} is being deleted: it is waited for");
        }
        format!(
            "PersistentVolumeClaim {name} is there already and belongs to somebody else: annotate it with \
             {ANNOTATION_ADOPT}: {object} to have it used as it is, or delete or rename it"
        )
    }

    fn name(&self) -> String {
        self.object.pods(self.shard).claim(self.ordinal)
    }

    fn has_labels(&self, claim: &ObjectMeta) -> bool {
        let is = |label: &str, value: &str| {
            let labels = claim.labels.as_ref();
            labels.and_then(|all| all.get(label)).map(String::as_str) == Some(value)
        };
        is(LABEL_MANAGED_BY, MANAGED_BY)
            && is(LABEL_NAME, self.object.kind().label())
            && is(LABEL_INSTANCE, self.object.as_str())
    }

    /// A temporary pod owns its claim while both go, and Kubernetes itself makes a StatefulSet or its pods
    /// owners of claims where somebody asks it to.
    fn is_of_pod(&self, owner: &OwnerReference) -> bool {
        let pods = self.object.pods(self.shard);
        match owner.kind.as_str() {
            "StatefulSet" => owner.name == pods.stateful_set(),
            "Pod" => owner.name == pods.pod(self.ordinal),
            _ => false,
        }
    }
}

fn annotation<'a>(object: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    let annotations = object.annotations.as_ref()?;
    annotations.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hera_api::Kind;

    use super::*;

    fn owner(kind: &str, name: &str, uid: &str, controller: bool) -> OwnerReference {
        OwnerReference {
            kind: kind.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            controller: Some(controller),
            ..OwnerReference::default()
        }
    }

    fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
        let pairs = pairs.into_iter();
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// As the operator leaves one behind.
    fn retained() -> ObjectMeta {
        ObjectMeta {
            name: Some("data-cache-0".to_owned()),
            labels: Some(texts([
                (LABEL_MANAGED_BY, MANAGED_BY),
                (LABEL_NAME, "redis-instance"),
                (LABEL_INSTANCE, "cache"),
            ])),
            ..ObjectMeta::default()
        }
    }

    fn bare() -> ObjectMeta {
        ObjectMeta {
            labels: None,
            ..retained()
        }
    }

    fn standing(claim: &ObjectMeta) -> Standing {
        let object = ObjectName::new(Kind::RedisInstance, "cache").unwrap();
        let place = ClaimPlace {
            object: &object,
            uid: Some("ours"),
            shard: None,
            ordinal: 0,
        };
        place.standing(claim)
    }

    #[test]
    fn a_child_is_its_owners() {
        let child = ObjectMeta {
            owner_references: Some(vec![
                owner("RedisInstance", "cache", "ours", false),
                owner("ReplicaSet", "web", "theirs", true),
            ]),
            ..ObjectMeta::default()
        };
        assert!(is_owned_by(&child, "ours"));
        assert!(!is_owned_by(&child, "another"));
        assert!(!is_owned_by(&ObjectMeta::default(), ""));
    }

    #[test]
    fn a_pod_stays_the_objects_while_its_stateful_set_is_made_anew() {
        let of = |kind: &str, name: &str, uid: &str| ObjectMeta {
            owner_references: Some(vec![owner(kind, name, uid, true)]),
            ..ObjectMeta::default()
        };
        let old = of("StatefulSet", "cache", "old");
        let now = Some(("now", true));
        assert!(is_pod_of(&of("StatefulSet", "cache", "now"), "cache", now));
        assert!(is_pod_of(&old, "cache", now));
        assert!(is_pod_of(&old, "cache", None));
        assert!(is_pod_of(&ObjectMeta::default(), "cache", None));
        // Another's, also where that has the name of ours.
        assert!(!is_pod_of(&old, "cache", Some(("old", false))));
        assert!(!is_pod_of(&of("StatefulSet", "db", "x"), "cache", now));
        assert!(!is_pod_of(&of("ReplicaSet", "cache", "x"), "cache", None));
    }

    #[test]
    fn a_retained_claim_is_known_by_labels_and_name_together() {
        assert_eq!(standing(&retained()), Standing::Own);
        assert_eq!(standing(&bare()), Standing::Foreign);
        for label in [LABEL_MANAGED_BY, LABEL_NAME, LABEL_INSTANCE] {
            let mut claim = retained();
            let labels = claim.labels.as_mut().unwrap();
            labels.insert(label.to_owned(), "other".to_owned());
            assert_eq!(standing(&claim), Standing::Foreign, "{label}");
        }
        for name in ["data-cache-1", "data-cache-00", "cache-0"] {
            let claim = ObjectMeta {
                name: Some(name.to_owned()),
                ..retained()
            };
            assert_eq!(standing(&claim), Standing::Foreign, "{name}");
        }
    }

    #[test]
    fn a_claim_of_an_instance_is_none_of_a_cluster_that_names_it_alike() {
        let object = ObjectName::new(Kind::RedisCluster, "cache").unwrap();
        let place = ClaimPlace {
            object: &object,
            uid: None,
            shard: Some(0),
            ordinal: 0,
        };
        let mut claim = ObjectMeta {
            name: Some("data-cache-shard-0-0".to_owned()),
            ..retained()
        };
        assert_eq!(place.standing(&claim), Standing::Foreign);
        let labels = claim.labels.as_mut().unwrap();
        labels.insert(LABEL_NAME.to_owned(), "redis-cluster".to_owned());
        assert_eq!(place.standing(&claim), Standing::Own);
    }

    #[test]
    fn a_uid_says_more_than_labels() {
        let mut owned = bare();
        owned.owner_references = Some(vec![owner("RedisInstance", "cache", "ours", false)]);
        assert_eq!(standing(&owned), Standing::Own);
        let mut marked = bare();
        marked.annotations = Some(texts([(ANNOTATION_OWNER_UID, "ours")]));
        assert_eq!(standing(&marked), Standing::Own);
        for (kind, name, expected) in [
            ("RedisInstance", "cache", Standing::Foreign),
            ("StatefulSet", "db", Standing::Foreign),
            ("StatefulSet", "cache", Standing::Own),
            ("Pod", "cache-0", Standing::Own),
            ("Pod", "cache-1", Standing::Foreign),
        ] {
            let mut claim = retained();
            claim.owner_references = Some(vec![owner(kind, name, "other", false)]);
            assert_eq!(standing(&claim), expected, "{kind} {name}");
        }
    }

    #[test]
    fn a_claim_is_lent_to_the_object_that_its_annotation_names() {
        let lent = |to: &str, claim: ObjectMeta| ObjectMeta {
            annotations: Some(texts([(ANNOTATION_ADOPT, to)])),
            ..claim
        };
        assert_eq!(standing(&lent("cache", bare())), Standing::Adopted);
        assert_eq!(standing(&lent("cash", bare())), Standing::Foreign);
        assert_eq!(standing(&lent("cache", retained())), Standing::Adopted);
    }
}
