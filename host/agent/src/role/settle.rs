//! Brings the server that answers to what it is to be.

use std::time::{Duration, Instant};

use hera_core::agent::{Link, Mark, Role, ServerState};
use hera_redis::{Replication, Server, ServerInfo};
use tracing::{debug, error, info, warn};

use crate::agent::{Agent, Work};
use crate::apply::{altered_users, conf, push_acl, push_config};
use crate::cluster::login;
use crate::fence::clock;
use crate::role::look::Watch;
use crate::role::{follow, members, promote};
use crate::server::listen;
use crate::state::remembered::State;

/// A primary with nothing to write pings its replicas every 10 s (`repl-ping-replica-period`,
/// redis-facts §2.1), which is reserved: silence for longer than this is none of idleness.
const QUIET_SECONDS: u64 = 15;

/// The role of a server, and whom it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its role.
    pub role: Role,
    /// Whom it follows, if it is a replica.
    pub link: Option<Link>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            role: Role::Unknown,
            link: None,
        }
    }
}

impl Seen {
    /// As the server tells it.
    pub fn of(info: &ServerInfo) -> Self {
        match &info.replication.master_link {
            None => Self {
                role: Role::Primary,
                link: None,
            },
            Some(link) if conf::is_boot_guard(&link.host, link.port) => Self {
                role: Role::Held,
                link: None,
            },
            Some(link) => Self {
                role: Role::Replica,
                link: Some(Link {
                    host: link.host.clone(),
                    port: link.port,
                    up: link.up,
                    syncing: link.syncing,
                    quiet: link
                        .quiet_seconds
                        .is_some_and(|quiet| quiet > QUIET_SECONDS),
                }),
            },
        }
    }

    /// True for a replica that receives what its primary writes.
    pub fn link_is_up(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.up)
    }

    /// Why it does not serve; none when it does, or when that is told elsewhere.
    fn lacks(&self) -> Option<&'static str> {
        let link = self.link.as_ref()?;
        match (link.up, link.syncing) {
            (true, _) if link.quiet => Some("the replica hears nothing from its primary"),
            (true, _) => None,
            (false, true) => Some("the replica takes in the data of its primary"),
            (false, false) => Some("the replica has no link to its primary"),
        }
    }
}

/// The server has read its data and answers: tells what it is, and does what is due. None if the
/// answer is older than the last order.
pub async fn attend(
    agent: &Agent,
    watch: &mut Watch,
    server: &Server,
    info: &ServerInfo,
    turns: u64,
) -> Option<Seen> {
    let mut work = agent.work.lock().await;
    if watch.ready.is_none() {
        push_config::note_proven(agent, &mut work);
        agent.settle.notify_one();
    }
    // Also after a broken connection.
    work.server = Some(server.clone());
    // Before its users are brought: what they may depends on it.
    agent.board.change(|status| {
        status.engine = Some(info.engine.as_str().to_owned());
        status.version = Some(info.version.clone());
    });
    if work.acl_due {
        push_acl::apply_due(agent, &mut work).await;
    } else {
        altered_users::look(agent, &mut work).await;
    }
    login::follow_file(agent, server).await;
    watch.ready.get_or_insert_with(Instant::now);
    if agent.turns() != turns {
        agent.look.notify_one();
        return None;
    }
    let seen = Seen::of(info);
    work.leads_to = leads_to(info);
    if let Some(history) = &work.leads_to {
        agent.log.promoted.leads(&history.replication_id);
    }
    note_epoch(agent, watch, &seen, info);
    agent.board.change(|status| {
        status.server = ServerState::Running {
            pid: watch.pid,
            run_id: info.run_id.clone(),
        };
        status.role = seen.role;
        status.link.clone_from(&seen.link);
        status.forked_at = forked_at(info).filter(|_| seen.role == Role::Primary);
        if seen.role == Role::Primary || seen.link_is_up() {
            status.led_to = None;
        }
        if seen.role != Role::Held {
            status.waiting_for = seen.lacks().map(str::to_owned);
        }
    });
    do_what_is_due(agent, watch, &mut work, server, info, &seen).await;
    Some(seen)
}

/// How far a server is that leads.
pub fn leads_to(info: &ServerInfo) -> Option<Mark> {
    let replication = &info.replication;
    (Seen::of(info).role == Role::Primary).then(|| Mark {
        replication_id: replication.replid.clone(),
        offset: replication.offset,
    })
}

/// How much a promoted server has of the history before.
fn forked_at(info: &ServerInfo) -> Option<Mark> {
    let Replication {
        replid2, offset2, ..
    } = &info.replication;
    Some(Mark {
        replication_id: replid2.clone()?,
        offset: (*offset2)?,
    })
}

/// The data is of another's epoch once the link to it was seen up; after a full sync the volume has
/// it later than the server.
fn note_epoch(agent: &Agent, watch: &mut Watch, seen: &Seen, info: &ServerInfo) {
    if watch.has_just_failed() {
        return;
    }
    let state = agent.state_file.get();
    let append = info.append;
    let written = !append.enabled || append.last_write_ok;
    let saved = written && (!append.enabled || (!append.rewriting && append.last_rewrite_ok));
    let is_new = match (&seen.link, &state.following) {
        (Some(link), Some(whom)) => {
            link.up
                && (&link.host, link.port) == (&whom.host, whom.port)
                && (state.epoch, &state.primary_uid) != (whom.epoch, &whom.primary_uid)
        }
        _ => false,
    };
    // A replica goes on in memory: the next server has less than this one.
    let falls_behind = !written && seen.role == Role::Replica && state.on_disk.is_none();
    let noted = match (is_new, saved && state.on_disk.is_some()) {
        (true, _) => agent.note(|state| state.in_sync(saved)),
        (false, true) => agent.note(|state| state.on_disk = None),
        (false, false) if falls_behind => agent.note(State::falls_behind),
        (false, false) => return,
    };
    watch.tried(noted.is_ok());
    match noted {
        Ok(()) => info!(
            saved,
            is_new, "what the volume has of the epoch's data was noted"
        ),
        Err(error) => error!(%error, "the epoch cannot be noted"),
    }
}

async fn do_what_is_due(
    agent: &Agent,
    watch: &mut Watch,
    work: &mut Work,
    server: &Server,
    info: &ServerInfo,
    seen: &Seen,
) {
    if work.followed.is_some() {
        // Also a server that was started again, and one that could not be told before.
        if let Err(error) = follow::lead(agent, work, server, info).await {
            debug!(%error, "the server cannot be told whom to follow");
        }
        return;
    }
    if seen.role == Role::Held {
        promote_if_alone(agent, watch, work, server).await;
    }
}

/// A lone pod promotes itself once the operator confirmed the users, or has not for a while.
async fn promote_if_alone(agent: &Agent, watch: &mut Watch, work: &mut Work, server: &Server) {
    if work.acl_due {
        return wait_for(agent, "the users are brought to the server");
    }
    let state = agent.state_file.get();
    if !members::is_lone(agent, &state) {
        return wait_for(agent, "the operator promotes a server");
    }
    let confirmed = work.acl_confirmed;
    let waited = watch.ready.map_or(Duration::ZERO, |ready| ready.elapsed());
    let decided = work.acl.as_ref().is_some_and(listen::is_for_clients);
    if !(confirmed && decided) && waited < agent.settings.confirm_limit() {
        return wait_for(agent, "the operator confirms the users");
    }
    if watch.has_just_failed() {
        return;
    }
    if !confirmed {
        warn!("the operator did not confirm the users in time: serving with those that are known");
    }
    let epoch = state.epoch.max(state.promised_epoch.saturating_add(1));
    let promoted = promote::lead(agent, work, server, epoch, clock::now()).await;
    watch.tried(promoted.is_ok());
    if let Err(refused) = promoted {
        error!(?refused, "a lone server cannot be promoted");
    }
}

fn wait_for(agent: &Agent, what: &str) {
    agent
        .board
        .change(|status| status.waiting_for = Some(what.to_owned()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(lines: &str) -> Seen {
        let text = format!(
            "redis_version:7.0.15\nprocess_id:1\nrun_id:r\nused_memory:1\nmaxmemory:0\n\
             rdb_changes_since_last_save:0\nmaster_repl_offset:0\nmaster_replid:a\n\
             connected_slaves:0\nslave_repl_offset:0\n{lines}"
        );
        Seen::of(&ServerInfo::parse(&text).unwrap())
    }

    #[test]
    fn a_replica_of_nobody_is_held() {
        assert_eq!(seen("role:master").role, Role::Primary);
        let held = seen("role:slave\nmaster_host:127.0.0.1\nmaster_port:1");
        assert_eq!((held.role, held.link), (Role::Held, None));
        let replica = seen("role:slave\nmaster_host:127.0.0.1\nmaster_port:2");
        assert_eq!(replica.role, Role::Replica);
        assert!(replica.lacks().is_some());
        let linked = "role:slave\nmaster_host:h\nmaster_port:2\nmaster_link_status:up";
        assert!(seen(linked).link_is_up() && seen(linked).lacks().is_none());
    }

    /// P04, P10 of a link that is cut without a word.
    #[test]
    fn a_link_on_which_the_primary_is_silent_is_quiet() {
        let silent = |seconds: u64| {
            seen(&format!(
                "role:slave\nmaster_host:h\nmaster_port:2\nmaster_link_status:up\n\
                 master_last_io_seconds_ago:{seconds}"
            ))
        };
        let quiet = |seen: &Seen| seen.link.as_ref().is_some_and(|link| link.quiet);
        assert!(!quiet(&silent(10)) && silent(10).lacks().is_none());
        assert!(quiet(&silent(16)) && silent(16).link_is_up());
        assert!(silent(16).lacks().is_some());
    }
}
