//! The API server's audit log: who asked for what.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// A request that the API server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it was answered, in RFC 3339 with microseconds: these compare as text.
    pub at: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The plural name of the resource, with the subresource after a slash.
    pub resource: String,
    /// The object's namespace, if it has one.
    pub namespace: String,
    /// The object's name, if the request had one.
    pub name: String,
    /// The HTTP status.
    pub code: u16,
}

impl Request {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage_timestamp: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    code: u16,
}

/// The requests of a user in a log and in those that were rotated away from it, oldest first.
pub(crate) fn requests(log: &Path, user: &str) -> Result<Vec<Request>> {
    let mut files = rotated(log)?;
    files.push(log.to_path_buf());
    let mut all = Vec::new();
    for file in files {
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        // The last line may be half written.
        all.extend(
            text.lines()
                .filter(|line| line.contains(user))
                .filter_map(|line| request(line, user)),
        );
    }
    Ok(all)
}

/// `audit-<time>.log` beside `audit.log`; the times sort as text.
fn rotated(log: &Path) -> Result<Vec<PathBuf>> {
    let dir = log.parent().context("a log without a folder")?;
    let is_rotated = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("audit-") && name.ends_with(".log")
    };
    let mut files: Vec<_> = dir
        .read_dir()?
        .flatten()
        .map(|entry| entry.path())
        .filter(is_rotated)
        .collect();
    files.sort();
    Ok(files)
}

fn request(line: &str, user: &str) -> Option<Request> {
    let line: Line = serde_json::from_str(line)
        .ok()
        .filter(|line: &Line| line.user.username == user)?;
    let object = line.object_ref.unwrap_or_default();
    let resource = match object.subresource.as_str() {
        "" => object.resource,
        sub => format!("{}/{sub}", object.resource),
    };
    Some(Request {
        at: line.stage_timestamp,
        verb: line.verb,
        resource,
        namespace: object.namespace,
        name: object.name,
        code: line.response_status.map_or(0, |status| status.code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"kind":"Event","stage":"ResponseComplete","verb":"patch","user":{"username":"system:serviceaccount:a:b"},
        "objectRef":{"resource":"pods","namespace":"n","name":"p","apiVersion":"v1","subresource":"status"},
        "responseStatus":{"metadata":{},"code":200},"stageTimestamp":"2026-11-24T04:53:11.000001Z"}"#;

    #[test]
    fn a_request_is_its_users_only() {
        let found = request(LINE, "system:serviceaccount:a:b").unwrap();
        assert_eq!(
            (found.resource.as_str(), found.code, found.is_write()),
            ("pods/status", 200, true)
        );
        assert_eq!(request(LINE, "system:serviceaccount:a"), None);
        assert_eq!(request("{\"verb\":", "a"), None);
    }
}
