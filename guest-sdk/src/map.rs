//! A map for settings.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// Names to values, in the order written. A `BTreeMap` does as well, and makes a module 12 KB
/// larger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<V>(Vec<(String, V)>);

impl<V> Map<V> {
    /// The value of a name; the last one if it is there twice.
    pub fn get(&self, name: &str) -> Option<&V> {
        let mut entries = self.0.iter().rev();
        let (_, value) = entries.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<V> FromIterator<(String, V)> for Map<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Map<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Map<V>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Map<V>, A::Error> {
                let mut entries = vec![];
                while let Some(entry) = access.next_entry()? {
                    entries.push(entry);
                }
                Ok(Map(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_from_an_object_and_from_nothing_else() {
        let read: Map<u8> = serde_json_wasm::from_str(r#"{"b": 1, "a": 2, "b": 3}"#).unwrap();
        assert_eq!(
            (read.get("a"), read.get("b"), read.get("c")),
            (Some(&2), Some(&3), None)
        );
        assert_eq!(read.iter().count(), 3);
        assert!(serde_json_wasm::from_str::<Map<u8>>("[]").is_err());
    }
}
