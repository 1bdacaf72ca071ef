use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The API server's audit log from a moment on.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    offset: u64,
}

/// One request, as the API server saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `get`, `patch` and so on.
    pub verb: String,
    /// `pods`, or `redisinstances/status`.
    pub resource: String,
    /// Namespace and name of the object, joined by a slash.
    pub object: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

impl Audit {
    pub(crate) fn from_now(path: PathBuf) -> Result<Self> {
        let offset = std::fs::metadata(&path)
            .with_context(|| format!("no audit log at {}", path.display()))?
            .len();
        Ok(Self { path, offset })
    }

    /// The requests of a user since then.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn requests_of(&self, user: &str) -> Result<Vec<Request>> {
        let mut file = File::open(&self.path)?;
        // A log that was rotated since is read from its beginning.
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(if length < self.offset {
            0
        } else {
            self.offset
        }))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(parse(&text, user))
    }
}

fn parse(text: &str, user: &str) -> Vec<Request> {
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines
        .filter(|line| line.user.username == user)
        .map(|line| {
            let ObjectRef {
                resource,
                subresource,
                namespace,
                name,
            } = line.object_ref;
            let slash = if subresource.is_empty() { "" } else { "/" };
            Request {
                verb: line.verb,
                resource: format!("{resource}{slash}{subresource}"),
                object: format!("{namespace}/{name}"),
            }
        })
        .collect()
}

impl Request {
    /// True if it changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// True for the leader's Lease.
    pub fn is_lease(&self) -> bool {
        self.resource == "leases"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_requests_of_the_user_count_and_half_a_line_is_none() {
        let text = r#"{"verb":"patch","user":{"username":"op"},"objectRef":{"resource":"redisinstances","subresource":"status","namespace":"a","name":"b"}}
{"verb":"get","user":{"username":"other"},"objectRef":{"resource":"pods"}}
{"verb":"get","user":{"usern"#;
        let requests = parse(text, "op");
        let [request] = requests.as_slice() else {
            panic!("{requests:?}")
        };
        assert_eq!(
            (request.resource.as_str(), request.object.as_str()),
            ("redisinstances/status", "a/b")
        );
        assert!(request.is_write() && !request.is_lease());
    }
}
