//! One link: from where the store has the log, until the link breaks or is to be closed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hera_core::backup::log::{Parent, PieceName, Reached, ServerHistory, Start, anew, resume};
use hera_core::backup::{Failure, FailureReason, Unbroken};
use hera_redis::ServerInfo;
use hera_store::Store;
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tracing::{info, warn};

use super::history::{self, Program};
use super::job::Job;
use super::looks::{self, Seen};
use super::queue::{Begin, Item};
use super::reading::{Reading, Unkept, longest};
use super::stored::{self, Since};
use super::stream::{CHUNK, Stream};
use crate::agent::Agent;
use crate::backup::line::{Line, LinkError};
use crate::backup::memory::Memory;
use crate::backup::snapshot::silent;
use crate::backup::{failed, files};
use crate::fence::clock;
use crate::role::look::short;

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// Between two signs of life to the server.
const LIVES: Duration = Duration::from_secs(1);
/// So long what comes may lie in the server's memory while there is no room for it here.
const GRACE: Duration = Duration::from_secs(1);
/// Between two notes that nothing is written.
const ALIVE: Duration = Duration::from_secs(60);
/// The store tells within this which bases there are.
const BASES: Duration = Duration::from_secs(5);
/// Answers of the primary that were not looked at yet.
const ANSWERS: usize = 8;

/// Why a link is closed.
pub enum Ended {
    /// The order is another one, or the server has stopped for good.
    Over,
    /// There is no room for what comes.
    Full,
    /// It broke, or could not be made.
    Lost(Failure),
}

/// What is known of the log from one link to the next.
#[derive(Default)]
pub struct Known {
    /// Whose path it is was noted.
    is_claimed: bool,
    /// From where on there is no gap.
    since: Option<Since>,
    /// The histories since then.
    unbroken: Vec<Unbroken>,
    /// What was read of histories, whether it is stored already or waits for that.
    read: BTreeMap<String, PieceName>,
    /// What comes next cannot be kept, or had from the server.
    is_broken: bool,
}

struct Begun {
    stream: Stream,
    reading: Reading,
}

/// Reads the server.
pub async fn run(job: &Job, tls: &watch::Receiver<ClientConfig>, known: &mut Known) -> Ended {
    let begun = tokio::select! {
        begun = Box::pin(begin(job, tls, known)) => begun,
        () = job.until_over() => return Ended::Over,
        () = job.agent.until_stopping() => return Ended::Over,
    };
    let Begun {
        mut stream,
        mut reading,
    } = match begun {
        Ok(begun) => begun,
        Err(failure) => return Ended::Lost(failure),
    };
    let (sender, answers) = mpsc::channel(ANSWERS);
    // It ends with this.
    let mut asking = JoinSet::new();
    asking.spawn(looks::ask(job.agent.clone(), tls.clone(), sender));
    let ended = Box::pin(read(job, &mut stream, &mut reading, answers)).await;
    if let Some(piece) = reading.seal(Instant::now()) {
        job.queue.push(Item::Piece(piece));
    } else if let Some(alive) = reading.alive() {
        job.queue.push(Item::Alive(alive));
    }
    known.notes(reading.id(), reading.kept());
    match ended {
        Ok(ended) => ended,
        Err(unkept) => {
            warn!(%unkept, "the log has a gap");
            known.is_broken = true;
            Ended::Lost(failed(FailureReason::ServerRefused, unkept.to_string()))
        }
    }
}

/// Reads until the link breaks or is to be closed.
async fn read(
    job: &Job,
    stream: &mut Stream,
    reading: &mut Reading,
    mut answers: mpsc::Receiver<Seen>,
) -> Result<Ended, Unkept> {
    let half = job.max_delay() / 2;
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut lived, mut alive) = (Instant::now(), Instant::now());
    let mut noted = None;
    let over = job.until_over();
    let stopping = job.agent.until_stopping();
    tokio::pin!(over, stopping);
    let mut stops = false;
    loop {
        tokio::select! {
            read = stream.read(&mut chunk) => match read {
                Ok(0) => return Ok(Ended::Lost(of_link(&LinkError::Short))),
                Ok(_) => reading.take(&chunk, clock::unix_ms(), Instant::now())?,
                Err(error) => return Ok(Ended::Lost(of_link(&error.into()))),
            },
            Some(seen) = answers.recv() => reading.sees(seen),
            _ = ticks.tick() => {}
            () = &mut over => return Ok(Ended::Over),
            () = &mut stopping, if !stops => stops = true,
        }
        let now = Instant::now();
        // A server that stops waits for who is behind.
        let lives = match stops {
            true => stream.acknowledge(stream.at).await,
            false if now.duration_since(lived) >= LIVES => {
                lived = now;
                stream.acknowledge(0).await
            }
            false => Ok(()),
        };
        if let Err(error) = lives {
            return Ok(Ended::Lost(of_link(&error)));
        }
        if reading.is_due(half, now)
            && let Some(piece) = reading.seal(now)
        {
            job.queue.push(Item::Piece(piece));
        }
        job.told().reads(stream.at);
        if let Some(look) = reading.quiet() {
            job.told().is_quiet(reading.id(), look);
        }
        if now.duration_since(alive) >= ALIVE
            && job.queue.is_empty()
            && let Some(note) = reading.alive()
            && noted != Some(note.unix_ms)
        {
            alive = now;
            // One whose primary tells nothing leaves the file to others.
            noted = Some(note.unix_ms);
            job.queue.push(Item::Alive(note));
        }
        if job.queue.is_full() && timeout(GRACE, job.queue.until_room()).await.is_err() {
            return Ok(Ended::Full);
        }
    }
}

/// Links to the server where the log ends.
async fn begin(
    job: &Job,
    tls: &watch::Receiver<ClientConfig>,
    known: &mut Known,
) -> Result<Begun, Failure> {
    let store = job.store();
    known.claims(job, &store).await?;
    let (server, program) = ask(&job.agent).await?;
    let stored = known.stored(job, &store, &server).await?;
    let mut start = match known.is_broken {
        true => anew(&server, &stored),
        false => resume(&server, &stored, clock::unix_ms()),
    };
    // What the primary before told since the promotion does not count: it may have lived on.
    if let Start::Child { id, parent, .. } = &mut start
        && let Some(since) = looks::since(&job.agent, tls, id).await
    {
        parent.unix_ms = parent.unix_ms.min(since);
    }
    let unbroken = known.goes_on(job, &store, &start).await?;
    let loses_base = match &start {
        Start::Child { parent, .. } => loses_base(job, &store, parent).await,
        Start::GoOn { .. } | Start::Anew { .. } => false,
    };
    let stream = match link(&job.agent, &server, &start).await {
        Ok(stream) => stream,
        Err(error) => {
            known.is_broken |= matches!(error, LinkError::Overrun(_));
            return Err(of_link(&error));
        }
    };
    // One that keeps a history for nobody begins another.
    if stream.id != start.id() && server.backlog_from.is_some() {
        let words = "the history of the server is another one by now";
        return Err(failed(FailureReason::NoCopyFits, words));
    }
    // All before it is written by now, also where the server began another history.
    let unix_ms = clock::unix_ms();
    let before = stored.values().map(Reached::latest_unix_ms).max();
    let longest = longest(Memory::of(&job.agent.settings.cgroup));
    let reading = Reading::new(program, &stream.id, stream.at, unix_ms, before.unwrap_or(0));
    let reading = reading.keeping(longest);
    known.unbroken = unbroken;
    known.begins(job, &stream, start, loses_base, unix_ms);
    Ok(Begun { stream, reading })
}

async fn ask(agent: &Agent) -> Result<(ServerHistory, Program), Failure> {
    let server = agent
        .connect(short())
        .await
        .map_err(|error| silent(&error))?;
    // What it tells unasked has all of it; only Redis 7.0 and newer take several sections.
    let info = server.info(&[]).await;
    let info = info.map_err(|error| silent(&error))?;
    let told = history::read(&info).ok_or_else(|| {
        let words = "what the server says of its history is not understood";
        failed(FailureReason::ServerRefused, words)
    })?;
    let said = ServerInfo::parse(&info).map_err(|error| {
        let words = format!("what the server says of itself is not understood: {error}");
        failed(FailureReason::ServerRefused, words)
    })?;
    told.may_be_read()?;
    // What somebody made a primary follows again soon. Its history, once noted, would count as the one that goes on.
    if told.is_primary && !agent.fence.is_armed() {
        let words = "the server is a primary that nobody ordered";
        return Err(failed(FailureReason::NoCopyFits, words));
    }
    let program = Program {
        engine: said.engine.as_str().to_owned(),
        version: said.version,
    };
    Ok((told.history, program))
}

/// Whether the server lacks what a base has: the log leads on from an earlier one only. That is told as a gap, also
/// where it is not known.
async fn loses_base(job: &Job, store: &Store, parent: &Parent) -> bool {
    let order = job.order();
    let folder = files::paths(&order.owner).bases(&order.shard);
    let found = Box::pin(stored::is_beyond(store, &folder, parent));
    match timeout(BASES, found).await {
        Ok(Ok(loses)) => loses,
        Ok(Err(failure)) => {
            warn!(why = %failure.message, "from which bases the log goes on is not known");
            true
        }
        Err(_) => {
            warn!("from which bases the log goes on is not known: the store does not tell in time");
            true
        }
    }
}

async fn link(agent: &Agent, server: &ServerHistory, start: &Start) -> Result<Stream, LinkError> {
    let line = Line::open(&agent.settings.socket(), &agent.password).await?;
    match server.backlog_from {
        Some(_) => Stream::go_on(line, start.id(), start.at()).await,
        None => Stream::anew(line).await,
    }
}

impl Known {
    async fn claims(&mut self, job: &Job, store: &Store) -> Result<(), Failure> {
        if !self.is_claimed {
            let claimed = async {
                files::claim(store, &job.order().owner).await?;
                Since::read(store, job.folder()).await
            };
            self.since = of_store(job, claimed.await)?;
            self.is_claimed = true;
        }
        Ok(())
    }

    /// What there is of the histories of a server. The store is asked for those of which nothing was read: it may be
    /// down while the server goes on.
    async fn stored(
        &self,
        job: &Job,
        store: &Store,
        server: &ServerHistory,
    ) -> Result<BTreeMap<String, Reached>, Failure> {
        let histories = [Some(&server.id), server.id2.as_ref()];
        let mut stored: BTreeMap<String, Reached> = BTreeMap::new();
        for id in histories.into_iter().flatten() {
            if let Some(read) = self.read.get(id) {
                stored.insert(id.clone(), Reached::new([read], None));
            }
        }
        if !stored.is_empty() {
            return Ok(stored);
        }
        let since = self.since.as_ref();
        let found = stored::histories(store, job.folder(), server, since).await;
        of_store(job, found)
    }

    /// The histories of the log without a gap, if that goes on like this. The store knows what another agent read.
    async fn goes_on(
        &self,
        job: &Job,
        store: &Store,
        start: &Start,
    ) -> Result<Vec<Unbroken>, Failure> {
        let Some(since) = &self.since else {
            return Ok(Vec::new());
        };
        let (last, fork) = match start {
            Start::GoOn { id, .. } => (id, None),
            Start::Child { id, parent, .. } => (&parent.id, Some((id, parent.at))),
            Start::Anew { .. } => return Ok(Vec::new()),
        };
        let is_known = self.unbroken.last().is_some_and(|part| part.id == *last);
        let parts = match is_known {
            true => self.unbroken.clone(),
            false => of_store(
                job,
                stored::unbroken(store, job.folder(), since, last).await,
            )?,
        };
        Ok(match fork {
            Some((id, at)) => Unbroken::then(parts, id, at),
            None => parts,
        })
    }

    /// The link is there: tells the store what is to be there before the first piece.
    fn begins(&mut self, job: &Job, stream: &Stream, start: Start, loses_base: bool, unix_ms: u64) {
        let (id, at) = (&stream.id, stream.at);
        let was = self.since.take();
        let (parent, after_gap) = match start {
            Start::GoOn { .. } => (None, None),
            // Who was promoted may lack all that the log has since its last gap.
            Start::Child { parent, .. } => {
                let lost = |since: &Since| since.is_lost(&parent.id, parent.at);
                let is_lost = loses_base || was.as_ref().is_some_and(lost);
                (Some(parent), is_lost.then_some(true))
            }
            Start::Anew { after_gap, .. } => (None, Some(after_gap || was.is_some())),
        };
        let is_gap = after_gap == Some(true);
        // A log of which nobody noted where it begins may have gaps.
        let (since, is_new) = match (after_gap, was) {
            (None, Some(since)) => (since, false),
            (None, None) => (Since::now(id, at, unix_ms, true), true),
            (Some(after_gap), _) => (Since::now(id, at, unix_ms, after_gap), true),
        };
        if is_new {
            self.unbroken = Unbroken::line(at, id, &[]);
        }
        info!(id, at, is_gap, "the server is read");
        job.told().links(id, at, &since, &self.unbroken, is_gap);
        job.told().publish(&job.agent.board);
        job.queue.push(Item::Begin(Begin {
            id: id.clone(),
            at,
            parent,
            since: is_new.then(|| since.clone()),
        }));
        self.since = Some(since);
        self.is_broken = false;
        self.read.clear();
        self.notes(id, at);
    }

    /// A history was read up to there.
    fn notes(&mut self, id: &str, to: u64) {
        if let Some(since) = &self.since {
            let read = since.read_to(id, to, clock::unix_ms());
            self.read.insert(id.to_owned(), read);
        }
    }
}

fn of_store<T>(job: &Job, done: Result<T, Failure>) -> Result<T, Failure> {
    match &done {
        Ok(_) => job.told().store_heals(),
        Err(failure) => job.told().store_fails(failure.clone()),
    }
    job.told().publish(&job.agent.board);
    done
}

/// A link breaks when the server stops, or its role changes: only what it refuses is its fault.
fn of_link(error: &LinkError) -> Failure {
    let is_refused = matches!(error, LinkError::Refused { .. } | LinkError::Odd { .. });
    match is_refused && !error.is_not_now() {
        true => failed(FailureReason::ServerRefused, error.to_string()),
        false => failed(FailureReason::NoCopyFits, error.to_string()),
    }
}
