//! Tries a configuration on a throwaway server before the real one meets it.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use hera_redis::{Address, Server, Timeouts};

use crate::agent::Agent;
use crate::apply::conf;
use crate::server::leftover;
use crate::server::process::Process;
use crate::server::server_log::{refused_directive, summary};

const LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Starts a server with `directives`, without data and without a port, and ends it again.
///
/// # Errors
/// The server's own words if it does not start, or what stood in the way.
pub async fn run(agent: &Agent, directives: &BTreeMap<String, String>) -> Result<(), String> {
    let folder = agent
        .settings
        .scratch
        .join(leftover::trial_name(&agent.settings));
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let result = start(agent, directives, &folder).await;
    if let Err(error) = fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the trial's folder stays");
    }
    result
}

async fn start(
    agent: &Agent,
    directives: &BTreeMap<String, String>,
    folder: &std::path::Path,
) -> Result<(), String> {
    let config = folder.join("server.conf");
    let text = conf::trial_server(directives, &folder.display().to_string());
    fs::write(&config, text).map_err(|error| error.to_string())?;
    let program = agent.settings.server_program();
    let mut process = Process::start(&agent.reaper, &program, &config, folder, false)
        .map_err(|error| format!("{}: {error}", program.display()))?;
    leftover::note(folder, process.pid);
    let address = Address::unix(folder.join("trial.sock"));
    let answers = async {
        let timeouts = Timeouts {
            connect: LOOK * 10,
            response: LOOK * 10,
        };
        loop {
            tokio::time::sleep(LOOK).await;
            if let Ok(server) = Server::connect(&address, None, timeouts).await
                && server.ping().await.is_ok()
            {
                return;
            }
        }
    };
    let result = tokio::select! {
        () = answers => Ok(()),
        _ = agent.reaper.wait(process.pid) => {
            let words = process.last_words().await;
            return Err(match refused_directive(&words) {
                Some((_, reason)) => reason,
                None => summary(&words),
            });
        }
        () = agent.until_stopping() => Err("the pod ends".to_owned()),
        () = tokio::time::sleep(LIMIT) => Err("a server with it does not answer".to_owned()),
    };
    process.kill_all();
    agent.reaper.wait(process.pid).await;
    result
}
