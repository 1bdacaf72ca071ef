use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, ServerErrorKind};
use tokio::task::JoinHandle;

use crate::{Login, wait_for};

/// Between two writes: enough for hundreds a second, and cheap on a small machine.
const PAUSE: Duration = Duration::from_millis(3);
/// A client that reconnects at once, whatever the error.
const RECONNECT: Duration = Duration::from_millis(5);
const CONNECT_LIMIT: Duration = Duration::from_millis(300);
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// For five hundred keys, on a machine that is busy.
const READ_BACK: Duration = Duration::from_secs(10);

/// Writes all along and remembers what was acknowledged.
pub struct Writer {
    name: String,
    log: Arc<Mutex<Vec<Acknowledged>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// A write that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    /// Its number: the writer's first has 1.
    pub number: u64,
    /// When the answer was there.
    pub answered: Instant,
    /// Where the server listens that answered; none if the user may not ask.
    pub server: Option<SocketAddr>,
}

impl Writer {
    /// Starts one whose keys begin with `name`, and that connects anew after any error.
    pub fn start(name: &str, login: Login) -> Self {
        Self::start_with(name, login, false)
    }

    /// Starts one that keeps its connection as long as it stands, whatever the server says.
    pub fn start_stubborn(name: &str, login: Login) -> Self {
        Self::start_with(name, login, true)
    }

    fn start_with(name: &str, login: Login, stubborn: bool) -> Self {
        Self::start_as(name, login, stubborn, false)
    }

    fn start_as(name: &str, login: Login, stubborn: bool, moves: bool) -> Self {
        let log = Arc::<Mutex<Vec<Acknowledged>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let client = Client {
            name: name.to_owned(),
            seed: login.host.clone(),
            login,
            stubborn,
            moves,
            log: log.clone(),
            stop: stop.clone(),
        };
        let task = tokio::spawn(client.write());
        Self {
            name: name.to_owned(),
            log,
            stop,
            task,
        }
    }

    /// How many writes were acknowledged until now.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits until `more` further writes are acknowledged.
    ///
    /// # Errors
    /// After `bound`.
    pub async fn wait_for_more(&self, more: usize, bound: Duration) -> Result<()> {
        let wanted = self.count() + more;
        let what = format!("{more} more acknowledged writes");
        crate::wait_for(&what, bound, async || {
            let count = self.count();
            ensure!(count >= wanted, "{count} of {wanted}");
            Ok(())
        })
        .await
    }

    /// Acknowledged writes a second between two moments.
    pub fn rate(&self, from: Instant, until: Instant) -> f64 {
        let count = self
            .lock()
            .iter()
            .filter(|w| w.answered >= from && w.answered < until)
            .count();
        let seconds = until.duration_since(from).as_secs_f64();
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds.max(0.001)
    }

    /// The longest time between two acknowledgements.
    pub fn longest_gap(&self) -> Duration {
        let log = self.lock();
        let gaps = log.iter().zip(log.iter().skip(1));
        gaps.map(|(a, b)| b.answered.duration_since(a.answered))
            .max()
            .unwrap_or_default()
    }

    /// Acknowledged writes since a moment.
    pub fn since(&self, moment: Instant) -> usize {
        let log = self.lock();
        log.iter().filter(|w| w.answered >= moment).count()
    }

    /// The writes that were acknowledged since a moment.
    pub(crate) fn acknowledged_since(&self, moment: Instant) -> Vec<Acknowledged> {
        let log = self.lock();
        let later = log.iter().filter(|w| w.answered >= moment);
        later.copied().collect()
    }

    /// From a moment to the first write acknowledged after it.
    pub fn first_after(&self, moment: Instant) -> Option<Duration> {
        let log = self.lock();
        let mut after = log.iter().filter(|w| w.answered >= moment);
        Some(after.next()?.answered.duration_since(moment))
    }

    /// Stops writing and reads everything acknowledged back, by content. Gives how many there were.
    ///
    /// # Errors
    /// When something is missing or another than what was written.
    pub async fn verify(self, login: &Login) -> Result<usize> {
        let name = self.name.clone();
        let (count, lost) = self.read_back(login).await?;
        ensure!(
            lost.is_empty(),
            "{} of {count} acknowledged writes of {name} are lost, first {:?}, last {:?}",
            lost.len(),
            lost.first().map(|lost| lost.number),
            lost.last().map(|lost| lost.number)
        );
        Ok(count)
    }

    /// Stops writing and reads everything acknowledged back, by content. Gives how many there were,
    /// and those that are missing or another than what was written.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn read_back(self, login: &Login) -> Result<(usize, Vec<Acknowledged>)> {
        let found = self.stopped().await?.found_at(login).await?;
        let lost = found.iter().filter(|(_, is_there)| !is_there);
        Ok((found.len(), lost.map(|(written, _)| *written).collect()))
    }

    /// Stops writing; gives what was acknowledged.
    ///
    /// # Errors
    /// When the writer broke.
    pub async fn stopped(mut self) -> Result<Written> {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.task).await.context("the writer")?;
        Ok(Written {
            name: self.name.clone(),
            log: self.lock().clone(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Acknowledged>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What a writer was told is written.
pub struct Written {
    name: String,
    log: Vec<Acknowledged>,
}

impl Written {
    /// All of it in the order of the writes, and whether a server has each, by content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn found_at(&self, login: &Login) -> Result<Vec<(Acknowledged, bool)>> {
        let name = &self.name;
        let mut found = Vec::with_capacity(self.log.len());
        for part in self.log.chunks(500) {
            let mut command = redis::cmd("MGET");
            for written in part {
                command.arg(key(name, written.number));
            }
            // A connection that breaks or is slow says nothing of what was written.
            let values: Vec<Option<String>> = wait_for("reading back", READ_BACK, async || {
                let mut connection = login.connect().await?;
                Ok(command.query_async(&mut connection).await?)
            })
            .await?;
            ensure!(
                values.len() == part.len(),
                "MGET answers {} values",
                values.len()
            );
            found.extend(part.iter().zip(values).map(|(written, value)| {
                let right = content(name, written.number);
                (*written, value.as_deref() == Some(right.as_str()))
            }));
        }
        Ok(found)
    }
}

fn key(name: &str, number: u64) -> String {
    format!("{name}:{number}")
}

/// What stands under a key follows from it, and from nothing else.
fn content(name: &str, number: u64) -> String {
    hera_core::digest::sha256_hex(key(name, number).as_bytes())
}

struct Client {
    name: String,
    login: Login,
    stubborn: bool,
    /// It goes where a server of a cluster sends it; where it is sent nowhere, to the seed again. A key that is told
    /// to be asked for elsewhere (`ASK`) is written there.
    moves: bool,
    seed: String,
    log: Arc<Mutex<Vec<Acknowledged>>>,
    stop: Arc<AtomicBool>,
}

impl Client {
    async fn write(mut self) {
        let mut connection = None;
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let (link, server) = match connection.as_mut() {
                Some(link) => link,
                None => match self.login.connect_within(CONNECT_LIMIT, ANSWER_LIMIT).await {
                    Ok(mut link) => {
                        let server = server(&mut link).await;
                        connection.insert((link, server))
                    }
                    Err(_) => {
                        self.login.host.clone_from(&self.seed);
                        tokio::time::sleep(RECONNECT).await;
                        continue;
                    }
                },
            };
            number += 1;
            let mut command = redis::cmd("SET");
            let name = &self.name;
            command.arg(key(name, number)).arg(content(name, number));
            match command.query_async::<()>(link).await {
                Ok(()) => {
                    let server = *server;
                    self.note(number, server);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) if self.moves && is_ask(&error) => {
                    // The slot is half moved: only this key is asked for elsewhere.
                    if let Some(server) = self.write_aside(&error, number).await {
                        self.note(number, server);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    let said = matches!(error.kind(), redis::ErrorKind::Server(_));
                    if !(self.stubborn && said) {
                        connection = None;
                    }
                    if self.moves {
                        let to = moved(&error).unwrap_or_else(|| self.seed.clone());
                        self.login.host = to;
                    }
                    tokio::time::sleep(RECONNECT).await;
                }
            }
        }
    }
}

impl Client {
    fn note(&self, number: u64, server: Option<SocketAddr>) {
        let written = Acknowledged {
            number,
            answered: Instant::now(),
            server,
        };
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(written);
    }

    /// The same write at the server that takes the slot. None if it was not acknowledged.
    async fn write_aside(&self, ask: &RedisError, number: u64) -> Option<Option<SocketAddr>> {
        let taker = self.login.at(&moved(ask)?);
        let link = taker.connect_within(CONNECT_LIMIT, ANSWER_LIMIT).await;
        let mut link = link.ok()?;
        let server = server(&mut link).await;
        let name = &self.name;
        let mut both = redis::pipe();
        both.cmd("ASKING").ignore();
        let set = both.cmd("SET").arg(key(name, number));
        set.arg(content(name, number)).ignore();
        both.query_async::<()>(&mut link).await.ok()?;
        Some(server)
    }
}

/// The key is not where its slot is any more.
fn is_ask(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::Ask)
}

/// Where `MOVED 3999 10.0.0.7:6379`, or `ASK`, leads.
fn moved(error: &RedisError) -> Option<String> {
    let (address, _) = error.redirect_node()?;
    let (host, _) = address.rsplit_once(':')?;
    Some(host.to_owned())
}

/// A client of a cluster that writes all along to the slot of one tag, and goes where it is sent.
pub struct Lane {
    writer: Writer,
    tag: String,
    login: Login,
}

impl Lane {
    /// Starts one whose first server is that of `login`.
    pub fn start(tag: &str, login: Login) -> Self {
        let name = format!("{{{tag}}}");
        Self {
            writer: Writer::start_as(&name, login.clone(), false, true),
            tag: tag.to_owned(),
            login,
        }
    }

    /// What it wrote.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// The tag of its keys.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Stops writing and reads everything acknowledged back, by content, from whoever has the slot: as the
    /// same user, or as `reader`. Gives how many there were, and how many are lost.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn read_back(self, reader: Option<&Login>) -> Result<(usize, usize)> {
        let reader = reader.unwrap_or(&self.login);
        let mut asked = reader.connect().await?;
        let key = format!("{{{}}}", self.tag);
        let mut get = redis::cmd("GET");
        let found = get.arg(&key).query_async::<Option<String>>(&mut asked);
        let owner = match found.await {
            // Behind a Service the next connection may lead to another.
            Ok(_) => server(&mut asked).await.map(|own| own.ip().to_string()),
            Err(error) => moved(&error),
        };
        let owner = reader.at(&owner.context("nobody has the slot")?);
        let (count, lost) = self.writer.read_back(&owner).await?;
        Ok((count, lost.len()))
    }
}

/// The server's own address, which a client of a Service does not see.
async fn server(link: &mut MultiplexedConnection) -> Option<SocketAddr> {
    let mut command = redis::cmd("CLIENT");
    let info: String = command.arg("INFO").query_async(link).await.ok()?;
    let mut words = info.split_ascii_whitespace();
    words.find_map(|word| word.strip_prefix("laddr=")?.parse().ok())
}
