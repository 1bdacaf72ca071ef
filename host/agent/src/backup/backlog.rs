//! A lone primary that was read keeps a backlog for nobody, which counts for its `maxmemory`: it gives it up again.
//! Where a log is kept, it is for that.

use std::collections::BTreeMap;
use std::time::Duration;

use hera_core::agent::Role;
use hera_redis::{ConfigSet, Error, Server};
use tracing::{debug, warn};

use crate::agent::Agent;
use crate::apply::conf::unquoted;
use crate::role::look::short;
use crate::role::members::is_lone;

/// For so many seconds a primary without replicas keeps its backlog.
const KEEPS: &str = "repl-backlog-ttl";
/// By its own default, and while it is to give it up.
const USUALLY: &str = "3600";
const FOR_NOW: &str = "5";
/// It does so within this; else somebody follows it meanwhile.
const WITHIN: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Between two attempts to set it back.
const AGAIN: Duration = Duration::from_secs(5);

/// Has the server of an object's only pod give it up, once nothing is read any more. A replica of others comes back and
/// goes on from it. Who set for how long it is kept means it.
pub async fn give_up(agent: &Agent) {
    let is_only = is_lone(agent, &agent.state_file.get());
    let (run, is_set) = {
        let work = agent.work.lock().await;
        (work.run, work.in_force.contains_key(KEEPS))
    };
    let is_for_log = agent.log.is_wanted();
    if !is_only || is_set || is_for_log || agent.board.status().role != Role::Primary {
        return;
    }
    let given_up = async {
        if let Err(error) = until_given_up(agent).await {
            debug!(%error, "the server keeps its backlog");
        }
        // A server that starts anew has it so already.
        while is_up(agent, run).await
            && let Err(error) = set_back(agent).await
        {
            warn!(%error, directive = KEEPS, "it is not set back yet");
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = given_up => {}
        () = agent.until_stopping() => {}
    }
}

/// True as long as the server of this run does not end.
async fn is_up(agent: &Agent, run: u64) -> bool {
    let work = agent.work.lock().await;
    work.run == run && work.server.is_some()
}

async fn until_given_up(agent: &Agent) -> Result<(), Error> {
    let server = agent.connect(short()).await?;
    keep_for(&server, FOR_NOW).await?;
    let gone = async {
        while !agent.log.is_wanted() && is_kept(&server.info(&["replication"]).await?) {
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
    let wanted = as_configured(&agent.work.lock().await.in_force);
    let server = agent.connect(short()).await?;
    keep_for(&server, &wanted).await
}

/// Seconds, of the directives in force. Somebody may have set them meanwhile.
fn as_configured(in_force: &BTreeMap<String, String>) -> String {
    let set = in_force.get(KEEPS).map(|value| unquoted(value));
    set.unwrap_or_else(|| USUALLY.to_owned())
}

async fn keep_for(server: &Server, seconds: &str) -> Result<(), Error> {
    let message = match server.config_set(KEEPS, seconds).await? {
        ConfigSet::Applied => return Ok(()),
        ConfigSet::NeedsRestart => format!("{KEEPS} cannot be changed while it runs"),
        ConfigSet::Refused(why) => why,
    };
    Err(Error::Refused {
        command: "CONFIG SET".to_owned(),
        code: "ERR".to_owned(),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_set_back_to_what_the_spec_says_without_quotes_or_to_the_servers_default() {
        let mut in_force = BTreeMap::new();
        assert_eq!(as_configured(&in_force), "3600");
        in_force.insert(KEEPS.to_owned(), "\"7200\"".to_owned());
        assert_eq!(as_configured(&in_force), "7200");
    }

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
