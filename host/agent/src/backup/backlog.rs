//! A lone primary that was read keeps a backlog for nobody, which counts for its `maxmemory`: it gives it up again.

use std::time::Duration;

use hera_core::agent::Role;
use hera_redis::Error;
use tracing::debug;

use crate::agent::Agent;
use crate::role::look::short;
use crate::role::members::is_lone;

/// For so many seconds a primary without replicas keeps its backlog.
const KEEPS: &str = "repl-backlog-ttl";
/// By its own default, and while it is to give it up.
const USUALLY: &str = "3600";
const FOR_NOW: &str = "5";
/// It does so within this; else somebody follows it meanwhile.
const WITHIN: Duration = Duration::from_secs(15);
/// Between two looks, and two attempts.
const LOOK: Duration = Duration::from_millis(500);

/// Has the server of an object's only pod give it up, once nothing is read any more. A replica of others comes back and
/// goes on from it.
pub async fn give_up(agent: &Agent) {
    let is_only = is_lone(agent, &agent.state_file.get());
    if !is_only || agent.board.status().role != Role::Primary {
        return;
    }
    let given_up = async {
        if let Err(error) = until_given_up(agent).await {
            debug!(%error, "the server keeps its backlog");
        }
        // A server that starts anew has it so already.
        while let Err(error) = set_back(agent).await {
            debug!(%error, directive = KEEPS, "it is set back later");
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = given_up => {}
        () = agent.until_stopping() => {}
    }
}

async fn until_given_up(agent: &Agent) -> Result<(), Error> {
    let server = agent.connect(short()).await?;
    server.config_set(KEEPS, FOR_NOW).await?;
    let gone = async {
        while is_kept(&server.info(&["replication"]).await?) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    tokio::time::timeout(WITHIN, gone).await.unwrap_or(Ok(()))
}

/// True while there is one and nobody follows.
fn is_kept(info: &str) -> bool {
    let has = |wanted: &str| info.lines().any(|line| line.trim_end() == wanted);
    has("repl_backlog_active:1") && has("connected_slaves:0")
}

/// As the configuration has it. None is pushed meanwhile.
async fn set_back(agent: &Agent) -> Result<(), Error> {
    let _turn = agent.configuring.lock().await;
    let wanted = agent.work.lock().await.in_force.get(KEEPS).cloned();
    let server = agent.connect(short()).await?;
    let wanted = wanted.as_deref().unwrap_or(USUALLY);
    server.config_set(KEEPS, wanted).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_for_nobody_while_there_is_one_and_no_replica() {
        let info = |active: u8, replicas: u8| {
            format!(
                "# Replication\r\nrole:master\r\nconnected_slaves:{replicas}\r\nrepl_backlog_active:{active}\r\n"
            )
        };
        assert!(is_kept(&info(1, 0)));
        assert!(!is_kept(&info(0, 0)));
        assert!(!is_kept(&info(1, 1)));
    }
}
