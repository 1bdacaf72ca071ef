use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use thiserror::Error;

/// Most bytes of a policy's settings as JSON.
pub const MAX_SETTINGS: usize = 16 * 1024;
/// Most objects and lists of a policy's settings within each other.
pub const MAX_SETTINGS_DEPTH: usize = 32;

/// Settings of a policy: JSON that only its author understands. Kept as text, as decoded it takes up to
/// twenty times as much memory; what is too much of it is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings(Result<String, Excess>);

/// What is too much about settings. No schema can say it of free-form JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Excess {
    /// So many bytes.
    #[error(
        "{0} bytes of JSON are more than the {MAX_SETTINGS} that a policy may get: shorten them"
    )]
    Bytes(usize),
    /// So many objects and lists within each other.
    #[error(
        "{0} objects and lists within each other are more than the {MAX_SETTINGS_DEPTH} that a policy may get: \
         flatten them"
    )]
    Depth(usize),
}

impl Excess {
    /// Counts what is in a text of JSON, without decoding it.
    pub(crate) fn of(json: &str) -> Option<Self> {
        if json.len() > MAX_SETTINGS {
            return Some(Self::Bytes(json.len()));
        }
        let depth = depth(json);
        (depth > MAX_SETTINGS_DEPTH).then_some(Self::Depth(depth))
    }
}

impl Settings {
    /// Settings that were too much to be kept.
    pub(crate) fn refused(excess: Excess) -> Self {
        Self(Err(excess))
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_ok_and(String::is_empty)
    }

    /// As a policy gets them: an object of JSON, and an empty text for none.
    ///
    /// # Errors
    /// There was too much of them.
    pub fn json(&self) -> Result<&str, Excess> {
        self.0.as_deref().map_err(|excess| *excess)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self(Ok(String::new()))
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::<String, Value>::deserialize(deserializer)?;
        if map.is_empty() {
            return Ok(Self::default());
        }
        let json = serde_json::to_string(&map).map_err(D::Error::custom)?;
        Ok(Self(match Excess::of(&json) {
            Some(excess) => Err(excess),
            None => Ok(json),
        }))
    }
}

/// What was not kept is left out: it is for people to look at alone, as no spec is ever written.
impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let map = match self.json() {
            Ok("") | Err(_) => Map::<String, Value>::new(),
            Ok(json) => serde_json::from_str(json).map_err(S::Error::custom)?,
        };
        map.serialize(serializer)
    }
}

/// How many objects and lists are within each other.
fn depth(json: &str) -> usize {
    let (mut now, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(value: Value) -> Settings {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn settings_are_written_as_they_were_read() {
        let value = json!({"b": [1, 2.5, null], "a": {"text": "\"{[\\"}});
        let read = settings(value.clone());
        assert_eq!(
            read.json(),
            Ok(r#"{"a":{"text":"\"{[\\"},"b":[1,2.5,null]}"#)
        );
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
    }

    #[test]
    fn no_settings_are_an_empty_text() {
        assert_eq!(settings(json!({})), Settings::default());
        assert!(settings(json!({})).is_empty());
        assert_eq!(
            serde_json::to_value(Settings::default()).unwrap(),
            json!({})
        );
    }

    #[test]
    fn settings_of_more_than_16_kib_are_not_kept() {
        let with = |length: usize| settings(json!({"a": "x".repeat(length)}));
        // {"a":"…"}
        let room = MAX_SETTINGS - 8;
        assert_eq!(with(room).json().map(str::len), Ok(MAX_SETTINGS));
        let refused = with(room + 1);
        assert_eq!(refused.json(), Err(Excess::Bytes(MAX_SETTINGS + 1)));
        assert!(!refused.is_empty());
        assert_eq!(serde_json::to_value(&refused).unwrap(), json!({}));
    }

    #[test]
    fn settings_have_a_depth() {
        let nested = |depth: usize| {
            let lists = (1..depth).fold(json!(0), |inner, _| json!([inner]));
            settings(json!({"a": lists}))
        };
        assert!(nested(MAX_SETTINGS_DEPTH).json().is_ok());
        let refused = nested(MAX_SETTINGS_DEPTH + 1);
        assert_eq!(refused.json(), Err(Excess::Depth(MAX_SETTINGS_DEPTH + 1)));
    }

    #[test]
    fn brackets_in_texts_are_no_depth() {
        assert_eq!(depth(r#"{"[[[": "\"[[", "b": [{}]}"#), 3);
        assert_eq!(depth(r#"{"a": "\\", "b": []}"#), 2);
        assert_eq!(depth("1"), 0);
    }
}
