//! Brings configuration to the running server, and keeps it for the next start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hera_core::agent::{ConfigState, ServerConfig};
use hera_redis::{ConfigSet, Server};
use tracing::{info, warn};

use crate::agent::{Agent, Work};
use crate::apply::conf::unquoted;
use crate::apply::config_state::{APPEND_ONLY, Held};
use crate::apply::{append, trial};
use crate::state::files;

/// How long a push waits for a rewrite or a snapshot; then it goes on by itself.
const SAVE_LIMIT: Duration = Duration::from_secs(15);
/// The same for an attempt of the agent's own, and the time between two.
const RETRY_LIMIT: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Attempts with one configuration while the server starts again in the middle.
const ATTEMPTS: usize = 3;

/// What the server said to the directives that are new to it.
#[derive(Default)]
struct Change {
    applied: BTreeMap<String, String>,
    at_start: BTreeMap<String, String>,
    rejected: BTreeMap<String, String>,
}

/// The server for which a change is made.
struct Seen {
    run: u64,
    server: Option<Server>,
    in_force: BTreeMap<String, String>,
    at_start: BTreeMap<String, String>,
}

/// Applies a configuration that the operator pushed, as far as the server takes it. The caller
/// holds [`Agent::configuring`].
///
/// # Errors
/// Words for the operator: an older revision, one of another object, or a server that does not
/// answer.
pub async fn push(agent: &Agent, config: ServerConfig) -> Result<ConfigState, String> {
    if config.owner != agent.settings.object_uid {
        return Err("this configuration belongs to another object".to_owned());
    }
    let known = agent.work.lock().await.held.config.revision;
    if config.revision < known {
        return Err(format!(
            "revision {known} is known already, {} is older",
            config.revision
        ));
    }
    let state = bring(agent, &config, SAVE_LIMIT).await;
    // What is not done yet goes on.
    agent.settle.notify_one();
    state
}

/// Brings what is held to each new server, and tries again what could not be done yet.
pub async fn keep(agent: Arc<Agent>) {
    loop {
        agent.settle.notified().await;
        while is_due(&*agent.work.lock().await) {
            settle(&agent).await;
            if is_due(&*agent.work.lock().await) {
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

async fn settle(agent: &Agent) {
    let _turn = agent.configuring.lock().await;
    let config = agent.work.lock().await.held.config.clone();
    if let Err(why) = bring(agent, &config, RETRY_LIMIT).await {
        warn!(%why, "the configuration cannot be brought to the server now");
    }
}

/// True if the running server lacks something that it can have without a restart.
fn is_due(work: &Work) -> bool {
    let lacks = |(name, value): (&String, &String)| {
        work.in_force.get(name) != Some(value) && work.at_start.get(name) != Some(value)
    };
    work.server.is_some() && work.held.good().iter().any(lacks)
}

async fn bring(
    agent: &Agent,
    config: &ServerConfig,
    limit: Duration,
) -> Result<ConfigState, String> {
    for _ in 0..ATTEMPTS {
        let seen = look(agent).await;
        let change = match &seen.server {
            Some(server) => offer(agent, server, &seen, config).await?,
            // No server to ask: its next start tells.
            None => Change::default(),
        };
        if !commit(agent, &seen, config, change).await? {
            continue;
        }
        let unfinished = match seen.server {
            Some(_) => append::switch(agent, seen.run, limit).await.err(),
            None => None,
        };
        return Ok(publish(agent, unfinished).await);
    }
    Err("the server was started again and again meanwhile".to_owned())
}

async fn look(agent: &Agent) -> Seen {
    let work = agent.work.lock().await;
    Seen {
        run: work.run,
        server: work.server.clone(),
        in_force: work.in_force.clone(),
        at_start: work.at_start.clone(),
    }
}

/// Offers the server what is new to it; what it takes only at its start is tried on another.
async fn offer(
    agent: &Agent,
    server: &Server,
    seen: &Seen,
    config: &ServerConfig,
) -> Result<Change, String> {
    let mut change = Change::default();
    for (name, value) in &config.directives {
        if name == APPEND_ONLY || seen.in_force.get(name) == Some(value) {
            continue;
        }
        let pair = (name.clone(), value.clone());
        match server.config_set(name, &unquoted(value)).await {
            Ok(ConfigSet::Applied) => change.applied.extend([pair]),
            Ok(ConfigSet::NeedsRestart) => change.at_start.extend([pair]),
            Ok(ConfigSet::Refused(why)) => drop(change.rejected.insert(pair.0, why)),
            Err(error) => return Err(error.to_string()),
        }
    }
    for (name, value) in change.at_start.clone() {
        if seen.at_start.get(&name) == Some(&value) {
            continue;
        }
        let mut candidate = seen.in_force.clone();
        candidate.extend(change.applied.clone());
        candidate.insert(name.clone(), value);
        if let Err(why) = trial::run(agent, &candidate).await {
            change.at_start.remove(&name);
            change.rejected.insert(name, why);
        }
    }
    Ok(change)
}

/// Keeps what was found out, unless it was found out about a server that is gone.
async fn commit(
    agent: &Agent,
    seen: &Seen,
    config: &ServerConfig,
    change: Change,
) -> Result<bool, String> {
    let mut work = agent.work.lock().await;
    if work.run != seen.run || work.server.is_some() != seen.server.is_some() {
        return Ok(false);
    }
    work.in_force.extend(change.applied.clone());
    let mut proven = work.held.proven.clone();
    proven.retain(|name, _| config.directives.contains_key(name));
    proven.extend(change.applied);
    let held = Held {
        config: config.clone(),
        rejected: change.rejected,
        proven,
    };
    if held != work.held {
        files::keep_config(&agent.settings, &held).map_err(|error| error.to_string())?;
    }
    work.held = held;
    work.at_start = change.at_start;
    work.from_spec.extend(config.from_spec.iter().cloned());
    agent.retry.notify_waiters();
    Ok(true)
}

/// Tells what became of the configuration.
async fn publish(agent: &Agent, unfinished: Option<String>) -> ConfigState {
    let work = agent.work.lock().await;
    let good = work.held.good();
    let waits = |name: &&String| {
        name.as_str() != APPEND_ONLY
            && work.server.is_some()
            && work.in_force.get(*name) != good.get(*name)
    };
    let mut rejected = work.held.rejected.clone();
    rejected.extend(unfinished.map(|why| (APPEND_ONLY.to_owned(), why)));
    let state = ConfigState {
        revision: work.held.config.revision,
        pending_restart: work.from_spec.iter().filter(waits).cloned().collect(),
        rejected,
    };
    agent.board.change(|status| status.config = state.clone());
    info!(?state, "configuration held");
    state
}

/// A server answers: what it started with is good.
pub fn note_proven(agent: &Agent, work: &mut Work) {
    let mut held = work.held.clone();
    held.proven.extend(work.in_force.clone());
    held.proven.remove(APPEND_ONLY);
    if held != work.held {
        if let Err(error) = files::keep_config(&agent.settings, &held) {
            warn!(%error, "the configuration cannot be kept");
        }
        work.held = held;
    }
}

/// A server gave up at this directive: the next start goes with its last good value, or without
/// it. True if that changes anything.
pub fn set_aside(agent: &Agent, work: &mut Work, name: &str, why: &str) -> bool {
    if !work.held.set_aside(name, why) {
        return false;
    }
    warn!(name, why, "the server refuses a directive: it is set aside");
    if let Err(error) = files::keep_config(&agent.settings, &work.held) {
        warn!(%error, "the configuration cannot be kept");
    }
    true
}
