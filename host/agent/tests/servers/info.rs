//! What a server says about itself.

use crate::client::{Client as _, app, login, replication, user};
use crate::pod::Pod;

/// Brings a user to a pod that may look at statistics.
pub async fn with_looks(pod: &Pod) {
    let users = [app(), replication(), user("looks", &["+info"])];
    pod.push_users(2, &users).await.unwrap();
}

/// A line of INFO.
pub async fn info(pod: &Pod, section: &str, field: &str) -> String {
    let server = login(pod.port, "looks").await.unwrap();
    let text = server.say(&["INFO", section]).await.unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}"))
        .trim()
        .to_owned()
}
