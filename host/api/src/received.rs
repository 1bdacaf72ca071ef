//! Objects as the API server sends them, and what is kept of them.
//!
//! Whoever may make an object may fill it: the API server stores a megabyte and a half. What of it is
//! free-form may take twenty times as much memory once it is decoded, or lie deeper than a decoder follows,
//! which would end the watch of all objects. So the text is cut before anything decodes it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;
use kube::core::error_boundary::InvalidObject;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::meta::GROUP;
use crate::spec::{CommonSpec, Excess, Settings};
use crate::{RedisCluster, RedisInstance};

/// A kind whose spec has [`CommonSpec`] in it.
pub trait HasCommonSpec: Resource + DeserializeOwned {
    /// What every kind's spec has.
    fn common_mut(&mut self) -> &mut CommonSpec;
}

impl HasCommonSpec for RedisInstance {
    fn common_mut(&mut self) -> &mut CommonSpec {
        &mut self.spec.common
    }
}

impl HasCommonSpec for RedisCluster {
    fn common_mut(&mut self) -> &mut CommonSpec {
        &mut self.spec.common
    }
}

/// An object out of an answer of the API server.
///
/// # Guarantees
/// Settings that are too much are [refused](Settings), not decoded; of its annotations only those of the
/// operator are there, and no managed fields, which repeat what is in the spec. One that cannot be decoded
/// all the same does not spoil the list or the watch that it is in.
///
/// # Caveats
/// It is read from text of JSON alone: in an event of a watch the type must come before the object, as the
/// API server writes it.
#[derive(Clone, Debug)]
pub struct Received<K>(pub Result<K, InvalidObject>);

impl<'de, K: HasCommonSpec> Deserialize<'de> for Received<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(deserializer)?;
        read(json.get()).map_err(D::Error::custom)
    }
}

impl<K: Resource> Resource for Received<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|bad| &bad.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0
            .as_mut()
            .map_or_else(|bad| &mut bad.metadata, K::meta_mut)
    }
}

/// Fields of an object of JSON, each as its text.
type Fields = BTreeMap<String, Box<RawValue>>;

/// What was cut out of the settings of a policy, and of the one in its shadow.
#[derive(Default)]
struct Cut {
    settings: Option<Excess>,
    shadow: Option<Excess>,
}

fn read<K: HasCommonSpec>(json: &str) -> serde_json::Result<Received<K>> {
    let mut object: Fields = serde_json::from_str(json)?;
    within(&mut object, "metadata", |metadata| {
        metadata.remove("managedFields");
        within(metadata, "annotations", |annotations| {
            annotations.retain(|key, _| key.split('/').next() == Some(GROUP));
            Ok(())
        })
    })?;
    let mut cuts = ["acl", "rebalance", "backup"].map(|decision| (decision, Cut::default()));
    within(&mut object, "spec", |spec| {
        within(spec, "policies", |policies| {
            for (decision, cut) in &mut cuts {
                within(policies, decision, |source| {
                    cut.settings = take_excess(source);
                    within(source, "shadow", |shadow| {
                        cut.shadow = take_excess(shadow);
                        Ok(())
                    })
                })?;
            }
            Ok(())
        })
    })?;
    let json = serde_json::to_string(&object)?;
    match serde_json::from_str::<K>(&json) {
        Ok(mut object) => {
            for (decision, cut) in cuts {
                cut.mark(decision, object.common_mut());
            }
            Ok(Received(Ok(object)))
        }
        Err(error) => {
            let read: PartialObjectMeta<K> = serde_json::from_str(&json)?;
            Ok(Received(Err(InvalidObject {
                error: error.to_string(),
                metadata: read.metadata,
            })))
        }
    }
}

/// Changes the object that is one field of another. What is no object there is for the types to refuse.
fn within(
    fields: &mut Fields,
    name: &str,
    change: impl FnOnce(&mut Fields) -> serde_json::Result<()>,
) -> serde_json::Result<()> {
    let Some(field) = fields.get_mut(name) else {
        return Ok(());
    };
    let Ok(mut inner) = serde_json::from_str::<Fields>(field.get()) else {
        return Ok(());
    };
    change(&mut inner)?;
    *field = to_raw_value(&inner)?;
    Ok(())
}

fn take_excess(source: &mut Fields) -> Option<Excess> {
    let excess = Excess::of(source.get("settings")?.get())?;
    source.remove("settings");
    Some(excess)
}

impl Cut {
    fn mark(self, decision: &str, spec: &mut CommonSpec) {
        let Some(source) = spec.policies.of_mut(decision) else {
            return;
        };
        if let Some(excess) = self.settings {
            source.settings = Settings::refused(excess);
        }
        if let (Some(excess), Some(shadow)) = (self.shadow, &mut source.shadow) {
            shadow.settings = Settings::refused(excess);
        }
    }
}

#[cfg(test)]
mod tests;
