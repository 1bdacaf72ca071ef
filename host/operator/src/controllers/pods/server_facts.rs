//! What a server is and which commands it has.

use std::sync::Arc;

use hera_core::acl::Categories;
use hera_core::agent::ServerState;
use hera_core::shard::Member;
use tracing::warn;

use crate::shared::Shared;
use crate::users::ServerFacts;

/// What the policy is told about the server; the table is read once for each run of it.
pub async fn server_facts(shared: &Shared, asked: &Member) -> Option<ServerFacts> {
    let status = asked.agent.status()?;
    let ServerState::Running { run_id, .. } = &status.server else {
        return None;
    };
    let (engine, version) = (status.engine.clone()?, status.version.clone()?);
    let categories = match shared.tables.get(asked.uid(), run_id) {
        Some(categories) => categories,
        None => read(shared, asked, run_id).await?,
    };
    Some(ServerFacts {
        engine,
        version,
        categories,
    })
}

/// By its agent: the operator speaks to no server itself.
async fn read(shared: &Shared, asked: &Member, run_id: &str) -> Option<Arc<Categories>> {
    let client = shared.agents.client(asked.uid())?;
    match client.commands().await {
        Ok(categories) => {
            let known = shared.tables.put(asked.uid(), run_id, categories);
            if known.is_none() {
                warn!(
                    pod = asked.name(),
                    "its agent tells of more commands than any server has"
                );
            }
            known
        }
        Err(error) => {
            warn!(%error, "the server's command table cannot be read yet");
            None
        }
    }
}
