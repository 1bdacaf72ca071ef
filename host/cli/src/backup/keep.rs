//! `backup keep`: a backup stays, whatever its age.

use hera_api::RedisBackup;
use hera_api::meta::ANNOTATION_BACKUP_KEEP;
use kube::Client;
use kube::api::Api;

use super::{annotate, get};
use crate::Verdict;
use crate::output::{Output, good};

/// Asks for it, or for the end of that.
///
/// # Errors
/// When the cluster cannot be asked, there is no such backup, or the request is not taken.
pub async fn run(
    name: &str,
    undo: bool,
    client: &Client,
    namespace: &str,
    output: Output,
) -> anyhow::Result<Verdict> {
    let backups: Api<RedisBackup> = Api::namespaced(client.clone(), namespace);
    let found = get(&backups, name, namespace).await?;
    let value = (!undo).then_some("true");
    let asked = annotate(&backups, &found, ANNOTATION_BACKUP_KEEP, value).await?;
    output.print(&asked, |_| {
        let what = match undo {
            false => "stays, whatever its age",
            true => "stays for as long as spec.backup.keep of its instance says",
        };
        format!("{} {name} {what}\n", good("asked:"))
    })?;
    Ok(Verdict::Yes)
}
