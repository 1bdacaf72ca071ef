//! What a server is and which commands it has.

use std::sync::{Arc, PoisonError};

use hera_core::acl::{Categories, OPERATOR_USER};
use hera_core::agent::{REDIS_PORT, ServerState};
use hera_core::shard::Member;
use hera_redis::{Address, Credentials, Server, Timeouts};
use tracing::{debug, warn};

use crate::shared::Shared;
use crate::users::ServerFacts;

/// Command tables kept in memory at most.
const TABLES: usize = 256;

/// What the policy is told about the server; the table is read once for each run of it.
pub async fn server_facts(shared: &Shared, asked: &Member, password: &str) -> Option<ServerFacts> {
    let status = asked.agent.status()?;
    let ServerState::Running { run_id, .. } = &status.server else {
        return None;
    };
    let (engine, version) = (status.engine.clone()?, status.version.clone()?);
    let tables = &shared.categories;
    let known = tables
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(run_id)
        .cloned();
    let categories = match known {
        Some(categories) => categories,
        None => {
            let categories = Arc::new(categories(shared, asked, password).await?);
            let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
            if tables.len() >= TABLES {
                tables.clear();
            }
            tables.insert(run_id.clone(), categories.clone());
            categories
        }
    };
    Some(ServerFacts {
        engine,
        version,
        categories,
    })
}

/// By its agent, as the server does not listen on its port before its users are decided; by the
/// server itself where the agent is older than that.
async fn categories(shared: &Shared, asked: &Member, password: &str) -> Option<Categories> {
    let client = shared.agents.client(asked.uid())?;
    match client.commands().await {
        Ok(categories) => return Some(categories),
        Err(error) => debug!(%error, "the agent does not tell its server's commands"),
    }
    let address = Address::tcp(asked.ip()?, REDIS_PORT);
    let login = Credentials::new(OPERATOR_USER, password);
    let read = async {
        let server = Server::connect(&address, Some(&login), Timeouts::default()).await?;
        server.categories().await
    };
    match read.await {
        Ok(categories) => Some(categories),
        Err(error) => {
            warn!(%error, "the server's command table cannot be read yet");
            None
        }
    }
}
