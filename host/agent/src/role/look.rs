//! Looks at the running server again and again.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hera_core::agent::{Role, ServerState};
use hera_redis::{Answer, Probe, Server, Timeouts};
use nix::unistd::Pid;
use tracing::warn;

use crate::agent::Agent;
use crate::apply::push_acl;
use crate::cluster::{slot_loads, state};
use crate::role::settle::{self, Seen};
use crate::role::stale_clients::StaleClients;
use crate::server::connections;
use crate::server::hang::{Silence, is_stopped};
use crate::server::script::Busy;
use crate::volume::room;

/// Between looks at a server that just started, and at one that takes longer.
const AT_FIRST: Duration = Duration::from_millis(3);
const STARTING: Duration = Duration::from_millis(50);
const FIRST: Duration = Duration::from_secs(2);
/// At a primary.
const SERVING: Duration = Duration::from_secs(1);
/// At a replica: others wait for news of its link, at first most of all.
const FOLLOWING: Duration = Duration::from_millis(100);
const LINKING: Duration = Duration::from_millis(25);
const LINK_FIRST: Duration = Duration::from_secs(5);
/// Between two attempts at something that fails.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Kinds of errors that a server may count. Before 8.0, which has a bound of its own, a script that makes up
/// errors has a line of `INFO` for each: 20 000 take a server 10 ms each time that it is asked.
const ERROR_KINDS: usize = 2_000;

/// Time limits of the agent's own calls.
pub fn short() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(1),
        response: Duration::from_secs(2),
    }
}

/// What is known of one server process.
pub struct Watch {
    /// Its process id.
    pub pid: u32,
    /// When it first answered, its data read.
    pub ready: Option<Instant>,
    started: Instant,
    link: Option<Server>,
    silence: Silence,
    hangs: bool,
    busy: Busy,
    seen: Seen,
    /// Since when it is seen so.
    since: Instant,
    stale_clients: StaleClients,
    /// When what was due at a look last failed, if it did: a note to a full volume, above all.
    failed: Option<Instant>,
}

impl Watch {
    fn new(pid: Pid) -> Self {
        let now = Instant::now();
        Self {
            pid: u32::try_from(pid.as_raw()).unwrap_or(0),
            ready: None,
            started: now,
            link: None,
            silence: Silence::new(now),
            hangs: false,
            busy: Busy::new(now),
            seen: Seen::default(),
            since: now,
            stale_clients: StaleClients::default(),
            failed: None,
        }
    }

    /// True while it is too early to try again what failed: looks come far more often than a full
    /// volume is mended.
    pub fn has_just_failed(&self) -> bool {
        self.failed.is_some_and(|at| at.elapsed() < TRY_AGAIN)
    }

    /// What was due at a look was done, or failed.
    pub fn tried(&mut self, done: bool) {
        self.failed = (!done).then(Instant::now);
    }

    fn pause(&self) -> Duration {
        match (self.seen.role, self.seen.link_is_up()) {
            (Role::Primary, _) => SERVING,
            (Role::Replica, false) if self.since.elapsed() < LINK_FIRST => LINKING,
            (Role::Replica, _) => FOLLOWING,
            (Role::Held | Role::Unknown, _) if self.started.elapsed() < FIRST => AT_FIRST,
            (Role::Held | Role::Unknown, _) => STARTING,
        }
    }

    fn sees(&mut self, seen: Seen, led: bool) {
        if self.seen != seen {
            match (seen.role, self.seen.role) {
                (Role::Replica, Role::Replica) => {}
                (Role::Replica, _) => self.stale_clients.begin(Instant::now(), led),
                _ => self.stale_clients.end(),
            }
            self.seen = seen;
            self.since = Instant::now();
        }
    }

    fn heard(&mut self, agent: &Agent) {
        agent.board.answered();
        self.silence.heard(Instant::now());
        if std::mem::take(&mut self.hangs) {
            agent.board.change(|status| status.hangs = false);
        }
    }

    fn missed(&mut self, agent: &Agent) {
        self.silence.missed(Instant::now());
        self.busy.missed(agent);
        let stopped = || is_stopped(self.pid);
        if self.ready.is_none()
            || self.hangs
            || !self.silence.hangs(agent.settings.hang_limit(), stopped)
        {
            return;
        }
        self.hangs = true;
        warn!(pid = self.pid, stopped = stopped(), "the server hangs");
        agent.board.change(|status| status.hangs = true);
    }
}

/// Looks at the server again and again.
pub async fn look_after(agent: &Agent, pid: Pid) -> Infallible {
    let mut watch = Watch::new(pid);
    loop {
        tokio::select! {
            () = tokio::time::sleep(watch.pause()) => {}
            () = agent.look.notified() => {}
        }
        look(agent, &mut watch).await;
    }
}

async fn look(agent: &Agent, watch: &mut Watch) {
    let turns = agent.turns();
    let server = match &watch.link {
        Some(server) => server.clone(),
        None => match agent.connect(short()).await {
            Ok(server) => watch.link.insert(server).clone(),
            Err(error) => return not_let_in(agent, watch, &error).await,
        },
    };
    match server.probe().await {
        Ok(Probe::Info(info)) if !info.loading => {
            watch.heard(agent);
            watch.busy.ended(agent);
            agent
                .offset
                .store(info.replication.offset, Ordering::SeqCst);
            agent
                .load
                .sees(info.used_memory, info.commands, Instant::now());
            // Before: its data is of another's epoch as soon as the link to that one is seen.
            let led = agent.state_file.get().primary_uid == agent.settings.pod_uid;
            if info.error_kinds > ERROR_KINDS {
                let forgotten = server.forget_statistics().await;
                warn!(
                    kinds = info.error_kinds,
                    ?forgotten,
                    "scripts make up errors: what is counted is forgotten"
                );
            }
            room::attend(agent, &server, &info).await;
            connections::attend(agent, &info);
            if let Some(cluster) = &agent.cluster
                && let Ok(seen) = server.cluster(&info).await
            {
                cluster.counts(info.commands);
                state::note(agent, cluster, seen);
            }
            if let Some(seen) = settle::attend(agent, watch, &server, &info, turns).await {
                watch.sees(seen, led);
                // Not if an order came meanwhile: they may be those of a primary by now.
                if watch
                    .stale_clients
                    .are_here(Instant::now(), info.turned_away)
                    && agent.turns() == turns
                    && let Err(error) = server.close_clients().await
                {
                    warn!(%error, "clients that look for the primary stay connected");
                }
            }
            // Last: nothing waits for it.
            if let Some(cluster) = &agent.cluster {
                slot_loads::attend(agent, cluster, &server).await;
            }
        }
        Ok(Probe::Info(_) | Probe::Refused(Answer::Loading)) => {
            watch.heard(agent);
            watch.busy.ended(agent);
            loading(agent, watch.pid);
            push_acl::catch_up(agent, &server).await;
        }
        Ok(Probe::Refused(Answer::Busy)) => {
            watch.heard(agent);
            watch.busy.attend(agent, &server).await;
        }
        Ok(Probe::Refused(_)) => {
            watch.heard(agent);
            watch.busy.ended(agent);
        }
        Err(error) if error.is_answer() => {
            watch.heard(agent);
            agent
                .board
                .change(|status| status.waiting_for = Some(error.to_string()));
        }
        Err(error) => {
            if error.is_broken() {
                watch.link = None;
            }
            watch.missed(agent);
        }
    }
}

/// No server listens, or it lets the agent in no more, or not yet.
async fn not_let_in(agent: &Agent, watch: &mut Watch, error: &hera_redis::Error) {
    // One that just started is asked again at once.
    let is_new = watch.started.elapsed() <= FIRST;
    if !is_new && connections::are_all_taken(&agent.settings.socket()).await {
        watch.heard(agent);
        connections::lock_out(agent);
    } else if error.is_answer() {
        watch.heard(agent);
        loading(agent, watch.pid);
    } else {
        watch.missed(agent);
    }
}

fn loading(agent: &Agent, pid: u32) {
    agent.board.change(|status| {
        if !matches!(status.server, ServerState::Running { .. }) {
            status.server = ServerState::Loading { pid };
            status.waiting_for = Some("the server reads its data".to_owned());
        }
    });
}
