//! Brings configuration to the running server, and keeps it for the next start.

use std::collections::BTreeMap;
use std::time::Duration;

use hera_core::agent::{ConfigState, ServerConfig};
use hera_redis::{ConfigSet, Probe, Server};
use tracing::{info, warn};

use crate::agent::{Agent, Work};
use crate::boot::wants_append;
use crate::conf::unquoted;
use crate::files::{self, Held};
use crate::state::Source;
use crate::trial;

/// A rewrite or snapshot that takes longer is given up for now; the next start tries again.
const SAVE_LIMIT: Duration = Duration::from_secs(15);
const SAVE_LOOK: Duration = Duration::from_millis(50);

/// Applies a configuration that the operator pushed, as far as the server takes it.
///
/// # Errors
/// Words for the operator: an older revision, or one of another object.
pub async fn push(
    agent: &Agent,
    work: &mut Work,
    config: ServerConfig,
) -> Result<ConfigState, String> {
    if config.owner != agent.settings.object_uid {
        return Err("this configuration belongs to another object".to_owned());
    }
    let known = work.held.config.revision;
    if config.revision < known {
        return Err(format!(
            "revision {known} is known already, {} is older",
            config.revision
        ));
    }
    let change = bring(agent, work, &config).await;
    let mut good = config.directives.clone();
    for name in change.rejected.keys() {
        // The last good value stays, if there is one.
        match work.held.good.get(name).or_else(|| work.in_force.get(name)) {
            Some(value) => good.insert(name.clone(), value.clone()),
            None => good.remove(name),
        };
    }
    let spec_before = work.held.config.from_spec.clone();
    let pending = change
        .pending
        .into_iter()
        .filter(|name| config.from_spec.contains(name) || spec_before.contains(name))
        .collect();
    let held = Held {
        config,
        good,
        rejected: change.rejected,
    };
    files::keep_config(&agent.settings, &held).map_err(|error| error.to_string())?;
    work.held = held;
    let state = ConfigState {
        revision: work.held.config.revision,
        pending_restart: pending,
        rejected: work.held.rejected.clone(),
    };
    agent.board.change(|status| status.config = state.clone());
    agent.retry.notify_waiters();
    info!(revision = state.revision, pending = ?state.pending_restart, "configuration taken");
    Ok(state)
}

/// A server gave up at this directive: the next start goes without it, or with its last value.
pub fn set_aside(agent: &Agent, work: &mut Work, name: &str, reason: &str) {
    warn!(
        name,
        reason, "the server refuses a directive: it starts without it"
    );
    let before = work.held.good.remove(name);
    if before.is_none() {
        return;
    }
    work.held
        .rejected
        .insert(name.to_owned(), reason.to_owned());
    if let Err(error) = files::keep_config(&agent.settings, &work.held) {
        warn!(%error, "the configuration cannot be kept");
    }
    let rejected = work.held.rejected.clone();
    agent
        .board
        .change(|status| status.config.rejected = rejected);
}

struct Change {
    rejected: BTreeMap<String, String>,
    pending: Vec<String>,
}

async fn bring(agent: &Agent, work: &mut Work, config: &ServerConfig) -> Change {
    let mut change = Change {
        rejected: BTreeMap::new(),
        pending: Vec::new(),
    };
    let Some(server) = work.server.clone() else {
        // No server to ask: its next start tells.
        return change;
    };
    let mut at_start = Vec::new();
    for (name, value) in &config.directives {
        if work.in_force.get(name) == Some(value) {
            continue;
        }
        if name == "appendonly" {
            let switched = if value == "yes" {
                append_on(work, &server).await
            } else {
                append_off(work, &server).await
            };
            match switched {
                Ok(()) => drop(work.in_force.insert(name.clone(), value.clone())),
                Err(why) => drop(change.rejected.insert(name.clone(), why)),
            }
            continue;
        }
        match server.config_set(name, &unquoted(value)).await {
            Ok(ConfigSet::Applied) => {
                work.in_force.insert(name.clone(), value.clone());
            }
            Ok(ConfigSet::NeedsRestart) => at_start.push((name.clone(), value.clone())),
            Ok(ConfigSet::Refused(why)) => {
                change.rejected.insert(name.clone(), why);
            }
            Err(error) => {
                change.rejected.insert(name.clone(), error.to_string());
            }
        }
    }
    for (name, value) in at_start {
        let mut candidate = work.in_force.clone();
        candidate.insert(name.clone(), value);
        match trial::run(agent, &candidate).await {
            Ok(()) => change.pending.push(name),
            Err(why) => drop(change.rejected.insert(name, why)),
        }
    }
    let gone = work
        .in_force
        .keys()
        .filter(|name| !config.directives.contains_key(*name));
    change.pending.extend(gone.cloned());
    change
}

/// Turns the append-only file on; from the moment it is complete it holds the data.
///
/// # Errors
/// Words for people; the snapshot still holds the data.
pub async fn append_on(work: &mut Work, server: &Server) -> Result<(), String> {
    set(server, "yes").await?;
    until(server, |info| info.append.enabled && !info.append.rewriting).await?;
    note(work, Source::Aof)
}

/// Turns the append-only file off, after a snapshot of everything.
///
/// # Errors
/// Words for people; the append-only file still holds the data.
pub async fn append_off(work: &mut Work, server: &Server) -> Result<(), String> {
    server
        .save_in_background()
        .await
        .map_err(|error| error.to_string())?;
    until(server, |info| !info.snapshot.saving).await?;
    let Ok(Probe::Info(info)) = server.probe().await else {
        return Err("the server does not tell whether it saved".to_owned());
    };
    if !info.snapshot.last_ok {
        return Err("the server could not save a snapshot: check the volume's space".to_owned());
    }
    note(work, Source::Rdb)?;
    set(server, "no").await
}

fn note(work: &mut Work, source: Source) -> Result<(), String> {
    work.keeper
        .change(|state| state.source = Some(source))
        .map_err(|error| error.to_string())?;
    work.held.good.insert(
        "appendonly".to_owned(),
        if source == Source::Aof { "yes" } else { "no" }.to_owned(),
    );
    debug_assert_eq!(wants_append(&work.held.good), source == Source::Aof);
    Ok(())
}

async fn set(server: &Server, value: &str) -> Result<(), String> {
    match server.config_set("appendonly", value).await {
        Ok(ConfigSet::Applied) => Ok(()),
        Ok(ConfigSet::NeedsRestart) => Err("this server cannot switch it live".to_owned()),
        Ok(ConfigSet::Refused(why)) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

async fn until(
    server: &Server,
    done: impl Fn(&hera_redis::ServerInfo) -> bool,
) -> Result<(), String> {
    let waiting = async {
        loop {
            tokio::time::sleep(SAVE_LOOK).await;
            if let Ok(Probe::Info(info)) = server.probe().await
                && done(&info)
            {
                return;
            }
        }
    };
    tokio::time::timeout(SAVE_LIMIT, waiting)
        .await
        .map_err(|_| "the server still saves; it is tried again at the next change".to_owned())
}
