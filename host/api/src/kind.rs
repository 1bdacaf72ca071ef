use crate::meta;

/// A kind of object that has data pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`RedisInstance`](crate::RedisInstance).
    RedisInstance,
    /// [`RedisCluster`](crate::RedisCluster).
    RedisCluster,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::RedisInstance, Self::RedisCluster];

    /// Its name in Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Self::RedisInstance => "RedisInstance",
            Self::RedisCluster => "RedisCluster",
        }
    }

    /// What children of such an object have in the label `app.kubernetes.io/name`.
    pub fn label(self) -> &'static str {
        match self {
            Self::RedisInstance => meta::NAME_OF_INSTANCE,
            Self::RedisCluster => meta::NAME_OF_CLUSTER,
        }
    }

    /// The kind whose children have this label.
    pub fn of_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}
