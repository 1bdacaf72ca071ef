//! Which object is meant: by its name, or by its kind and name as kubectl takes them.

mod object;

use std::fmt;
use std::str::FromStr;

use hera_api::meta::GROUP;
use hera_api::{HasCommonSpec, Kind, Received, RedisCluster, RedisInstance};
use kube::api::Api;
use kube::{Client, CustomResourceExt, Resource};
use thiserror::Error;

pub use object::{CommonStatus, Object, all};
use object::{Namespaced, is_forbidden};

/// What somebody calls an object: `NAME`, or `KIND/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    kind: Option<Kind>,
    name: String,
    /// As it was given, for commands that are suggested.
    spelled: String,
}

/// A name that names nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadTarget {
    /// Another kind.
    #[error("{0} is no kind with data pods: say NAME, ri/NAME or rdc/NAME")]
    Kind(String),
    /// Nothing, or more than one part.
    #[error("say NAME, ri/NAME or rdc/NAME")]
    Name,
}

impl FromStr for Target {
    type Err = BadTarget;

    fn from_str(spelled: &str) -> Result<Self, BadTarget> {
        let (kind, name) = match spelled.split_once('/') {
            Some((word, name)) => {
                let kind = kind_called(word).ok_or_else(|| BadTarget::Kind(word.to_owned()))?;
                (Some(kind), name)
            }
            None => (None, spelled),
        };
        if name.is_empty() || name.contains('/') {
            return Err(BadTarget::Name);
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
            spelled: spelled.to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled)
    }
}

impl Target {
    /// The name alone.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// False if another kind was named.
    pub fn may_be(&self, kind: Kind) -> bool {
        self.kind.is_none_or(|asked| asked == kind)
    }

    /// The object.
    ///
    /// # Errors
    /// When the cluster cannot be asked, there is no such object, or one of each kind.
    pub async fn find(&self, client: &Client, namespace: &str) -> Result<Object, NotFound> {
        let (instance, cluster) = tokio::join!(
            self.read(Kind::RedisInstance, client, namespace),
            self.read(Kind::RedisCluster, client, namespace)
        );
        let instance = instance.map(|found| found.map(Box::new).map(Object::Instance));
        let cluster = cluster.map(|found| found.map(Box::new).map(Object::Cluster));
        self.choose(namespace, instance, cluster)
    }

    async fn read<K: Namespaced + HasCommonSpec>(
        &self,
        kind: Kind,
        client: &Client,
        namespace: &str,
    ) -> kube::Result<Option<K>> {
        match self.may_be(kind) {
            true => {
                let objects: Api<Received<K>> = Api::namespaced(client.clone(), namespace);
                let found = objects.get_opt(&self.name).await?;
                found.map(object::read).transpose()
            }
            false => Ok(None),
        }
    }

    fn choose(
        &self,
        namespace: &str,
        instance: kube::Result<Option<Object>>,
        cluster: kube::Result<Option<Object>>,
    ) -> Result<Object, NotFound> {
        let (name, namespace) = (self.name.clone(), namespace.to_owned());
        match (instance, cluster) {
            (Ok(Some(_)), Ok(Some(_))) => Err(NotFound::Both { name, namespace }),
            (Ok(Some(one)), Ok(None)) | (Ok(None), Ok(Some(one))) => Ok(one),
            (Ok(None), Ok(None)) => {
                let kinds = self
                    .kind
                    .map_or("RedisInstance or RedisCluster", Kind::name);
                Err(NotFound::Nothing {
                    kinds,
                    name,
                    namespace,
                })
            }
            // Who may look at one kind alone means that one.
            (Ok(Some(one)), Err(error)) | (Err(error), Ok(Some(one))) if is_forbidden(&error) => {
                Ok(one)
            }
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        }
    }
}

/// The kind of this word.
fn kind_called(word: &str) -> Option<Kind> {
    if is_called::<RedisInstance>(word) {
        Some(Kind::RedisInstance)
    } else if is_called::<RedisCluster>(word) {
        Some(Kind::RedisCluster)
    } else {
        None
    }
}

/// True if a kind is called so: its name, plural or short name, with or without the group, as kubectl takes it.
pub fn is_called<K: Resource<DynamicType = ()> + CustomResourceExt>(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let (word, group) = word.split_once('.').unwrap_or((&word, GROUP));
    let is_short = K::shortnames().contains(&word);
    let is_named = word == K::kind(&()).to_ascii_lowercase() || word == &*K::plural(&());
    group == GROUP && (is_short || is_named)
}

/// Why there is no object that is meant.
#[derive(Debug, Error)]
pub enum NotFound {
    /// None has the name.
    #[error("there is no {kinds} {name} in namespace {namespace}")]
    Nothing {
        /// Kinds that were looked for.
        kinds: &'static str,
        /// The name.
        name: String,
        /// Where.
        namespace: String,
    },
    /// One of each kind has it.
    #[error(
        "namespace {namespace} has a RedisInstance and a RedisCluster called {name}: say ri/{name} or rdc/{name}"
    )]
    Both {
        /// The name.
        name: String,
        /// Where.
        namespace: String,
    },
    /// The cluster cannot be asked.
    #[error(transparent)]
    Unread(#[from] kube::Error),
}

#[cfg(test)]
pub mod tests;
