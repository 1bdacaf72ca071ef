//! What people ask about slots, by annotation.

use hera_api::RedisCluster;
use hera_api::meta::{
    ANNOTATION_REBALANCE, ANNOTATION_REBALANCE_APPROVE, ANNOTATION_REBALANCE_NOW, REBALANCE_CANCEL,
    REBALANCE_PAUSED,
};
use kube::ResourceExt as _;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests<'a> {
    /// No slot is to move.
    pub paused: bool,
    /// The plan is to be dropped.
    pub cancels: bool,
    /// What stands there, if it is neither of these.
    pub unknown: Option<&'a str>,
    /// Digest of the plan that may be carried out.
    pub approved: Option<&'a str>,
    /// The policy is to be asked.
    pub now: Option<&'a str>,
}

impl<'a> Requests<'a> {
    /// Those on an object.
    pub fn of(object: &'a RedisCluster) -> Self {
        let annotation = |name: &str| object.annotations().get(name).map(String::as_str);
        let asked = annotation(ANNOTATION_REBALANCE);
        Self {
            paused: asked == Some(REBALANCE_PAUSED),
            cancels: asked == Some(REBALANCE_CANCEL),
            unknown: asked.filter(|text| ![REBALANCE_PAUSED, REBALANCE_CANCEL].contains(text)),
            approved: annotation(ANNOTATION_REBALANCE_APPROVE),
            now: annotation(ANNOTATION_REBALANCE_NOW),
        }
    }

    /// That somebody asked for what cannot be done, for people. `waits` is the digest of the plan that waits for
    /// an approval.
    pub fn refused(&self, waits: Option<&str>) -> Option<String> {
        if let Some(text) = self.unknown {
            return Some(format!(
                "{ANNOTATION_REBALANCE} is {text:?}: write {REBALANCE_PAUSED} or {REBALANCE_CANCEL}"
            ));
        }
        let approved = self.approved?;
        match waits {
            Some(waits) if waits != approved => Some(format!(
                "{ANNOTATION_REBALANCE_APPROVE} names {approved:?}, and the plan that waits is {waits}: look at that \
                 one (kubectl hera rebalance plan), and approve it"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(annotations: serde_json::Value) -> RedisCluster {
        serde_json::from_value(json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisCluster",
            "metadata": {"name": "carts", "annotations": annotations}, "spec": {"version": "7.2"},
        }))
        .unwrap()
    }

    #[test]
    fn an_approval_of_another_plan_is_refused_and_told() {
        let object = object(json!({"cache.hera.io/rebalance-approve": "old"}));
        let asked = Requests::of(&object);
        assert_eq!(asked.approved, Some("old"));
        assert!(asked.refused(Some("new")).unwrap().contains("new"));
        assert_eq!(asked.refused(Some("old")), None);
        assert_eq!(asked.refused(None), None);
    }

    #[test]
    fn what_is_neither_pause_nor_cancel_is_told() {
        let paused = object(json!({"cache.hera.io/rebalance": "Paused"}));
        assert!(Requests::of(&paused).paused);
        let cancelled = object(json!({"cache.hera.io/rebalance": "Cancel"}));
        assert!(Requests::of(&cancelled).cancels);
        let other = object(json!({"cache.hera.io/rebalance": "stop"}));
        let asked = Requests::of(&other);
        assert!(!asked.paused && !asked.cancels);
        assert!(asked.refused(None).unwrap().contains("stop"));
    }
}
