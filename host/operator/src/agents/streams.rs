use std::collections::{HashMap, HashSet};

use super::Stream;
use crate::object::ObjectKey;

/// Streams by the uid of their pod, and by object: a pass looks at those of one object only.
#[derive(Default)]
pub struct Streams {
    by_pod: HashMap<String, Stream>,
    pods: HashMap<ObjectKey, HashSet<String>>,
}

impl Streams {
    /// The stream of a pod.
    pub fn get(&self, pod_uid: &str) -> Option<&Stream> {
        self.by_pod.get(pod_uid)
    }

    /// Those of an object.
    pub fn of(&self, object: &ObjectKey) -> impl Iterator<Item = &Stream> {
        let pods = self.pods.get(object).into_iter().flatten();
        pods.filter_map(|uid| self.by_pod.get(uid))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Stream> {
        self.by_pod.values()
    }

    /// Takes one in, in place of that of the same pod.
    pub fn insert(&mut self, stream: Stream) {
        let (object, uid) = (
            stream.target.instance.clone(),
            stream.target.pod_uid.clone(),
        );
        self.pods.entry(object).or_default().insert(uid.clone());
        self.by_pod.insert(uid, stream);
    }

    /// Ends those of an object that `keep` says no to.
    pub fn retain_of(&mut self, object: &ObjectKey, keep: impl Fn(&Stream) -> bool) {
        let Some(pods) = self.pods.get_mut(object) else {
            return;
        };
        pods.retain(|uid| {
            let stays = self.by_pod.get(uid).is_some_and(&keep);
            if !stays {
                self.by_pod.remove(uid);
            }
            stays
        });
        if pods.is_empty() {
            self.pods.remove(object);
        }
    }
}
