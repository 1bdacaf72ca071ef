//! Scripts and functions that keep the server from answering anything else.

use std::time::{Duration, Instant};

use hera_core::agent::Script;
use hera_redis::{ScriptEnd, Server};
use tracing::{info, warn};

use crate::agent::Agent;
use crate::fence::clock;
use crate::server::hang::Silence;

/// Between two attempts at one that cannot be ended.
const AGAIN: Duration = Duration::from_secs(5);

/// How long a server has said nothing but that it is busy.
#[derive(Debug)]
pub struct Busy {
    silence: Silence,
    /// Since when, in milliseconds since 1970; none before it said so.
    since: Option<u64>,
    told: bool,
    /// What became of it when it was last to be ended, and when that was.
    ended: Option<(Instant, ScriptEnd)>,
}

impl Busy {
    /// Not yet.
    pub fn new(now: Instant) -> Self {
        Self {
            silence: Silence::new(now),
            since: None,
            told: false,
            ended: None,
        }
    }

    /// It answered nothing at all. One that is told of would answer that: another has begun, and what is told of
    /// the one before counts no more.
    pub fn missed(&mut self, agent: &Agent) {
        let now = Instant::now();
        if self.since.take().is_some() {
            self.silence.heard(now);
            self.ended = None;
            agent.board.change(|status| status.script = None);
        }
        self.silence.missed(now);
    }

    /// It answered something else.
    pub fn ended(&mut self, agent: &Agent) {
        self.silence.heard(Instant::now());
        self.since = None;
        self.ended = None;
        if std::mem::take(&mut self.told) {
            info!("the server answers again");
            agent.board.change(|status| status.script = None);
        }
    }

    /// It said that it is busy with a script: told, and ended if it takes too long.
    pub async fn attend(&mut self, agent: &Agent, server: &Server) {
        self.silence.missed(Instant::now());
        let length = self.silence.length();
        let too_long = agent.settings.script_limit();
        let rests = |(at, _): &(Instant, ScriptEnd)| at.elapsed() < AGAIN;
        let is_due = too_long.is_some_and(|limit| length >= limit);
        if is_due
            && !self.ended.as_ref().is_some_and(rests)
            && let Some(end) = end(server).await
        {
            let before = self.ended.replace((Instant::now(), end));
            if before.is_none_or(|(_, before)| before != end) {
                warn!(?end, "a script that runs for too long was to be ended");
            }
        }
        let has_written = matches!(self.ended, Some((_, ScriptEnd::HasWritten)));
        if !std::mem::replace(&mut self.told, true) {
            warn!("a script keeps the server busy");
        }
        let script = Script {
            since_unix_ms: *self.since.get_or_insert_with(|| {
                let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
                clock::unix_ms().saturating_sub(length)
            }),
            has_written,
        };
        agent.board.change(|status| status.script = Some(script));
    }
}

async fn end(server: &Server) -> Option<ScriptEnd> {
    match server.end_script().await {
        Ok(end) => Some(end),
        Err(error) => {
            warn!(%error, "a script that runs for too long cannot be ended");
            None
        }
    }
}
