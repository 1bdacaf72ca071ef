//! The objects that the operator carries out, and what it calls them.

use std::fmt::{self, Display};

use hera_api::meta::API_VERSION;
use hera_api::{Kind, Received};
use hera_render::Owner;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;

use crate::controllers::driver::Controlled;

/// Names an object. Objects of two kinds may have one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The kind.
    pub kind: Kind,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl ObjectKey {
    /// An instance.
    pub fn instance(namespace: &str, name: &str) -> Self {
        Self {
            kind: Kind::RedisInstance,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// A cluster.
    pub fn cluster(namespace: &str, name: &str) -> Self {
        Self {
            kind: Kind::RedisCluster,
            ..Self::instance(namespace, name)
        }
    }

    /// The owner of children.
    pub fn of_owner(owner: &Owner<'_>) -> Self {
        Self {
            kind: owner.name.kind(),
            namespace: owner.namespace.to_owned(),
            name: owner.name.to_string(),
        }
    }

    /// This object.
    pub fn of<K: Controlled>(object: &Received<K>) -> Self {
        Self {
            kind: K::KIND,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }

    /// The object of this uid, for Events about it.
    pub fn object_ref(&self, uid: &str) -> ObjectReference {
        ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(self.kind.name().to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        }
    }

    /// As kube's controller names it. One that cannot be decoded does not stop the others (P43).
    pub fn reference<K: Controlled>(&self) -> ObjectRef<Received<K>> {
        ObjectRef::new(&self.name).within(&self.namespace)
    }
}

impl Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.name(), self.namespace, self.name)
    }
}
