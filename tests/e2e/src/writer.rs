use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinHandle;

use crate::Login;

/// Between two writes: enough for hundreds a second, and cheap on a small machine.
const PAUSE: Duration = Duration::from_millis(3);
/// A client that reconnects at once, whatever the error.
const RECONNECT: Duration = Duration::from_millis(5);
const CONNECT_LIMIT: Duration = Duration::from_millis(300);
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// Writes all along and remembers what was acknowledged.
pub struct Writer {
    name: String,
    log: Arc<Mutex<Vec<Acknowledged>>>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct Acknowledged {
    number: u64,
    answered: Instant,
}

impl Writer {
    /// Starts one whose keys begin with `name`.
    pub fn start(name: &str, login: Login) -> Self {
        let log = Arc::<Mutex<Vec<Acknowledged>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let task = tokio::spawn(write(name.to_owned(), login, log.clone(), stop.clone()));
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

    /// Stops writing and reads everything acknowledged back, by content. Gives how many there were.
    ///
    /// # Errors
    /// When something is missing or another than what was written.
    pub async fn verify(mut self, login: &Login) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.task).await.context("the writer")?;
        let (name, log) = (self.name.clone(), self.log.clone());
        let numbers: Vec<u64> = {
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.iter().map(|written| written.number).collect()
        };
        let mut connection = login.connect().await.context("reading back")?;
        let mut lost = Vec::new();
        for part in numbers.chunks(500) {
            let mut command = redis::cmd("MGET");
            for number in part {
                command.arg(key(&name, *number));
            }
            let values: Vec<Option<String>> = command
                .query_async(&mut connection)
                .await
                .context("reading back")?;
            ensure!(
                values.len() == part.len(),
                "MGET answers {} values",
                values.len()
            );
            let wrong = part.iter().zip(values).filter(|(number, value)| {
                value.as_deref() != Some(content(&name, **number).as_str())
            });
            lost.extend(wrong.map(|(number, _)| *number));
        }
        ensure!(
            lost.is_empty(),
            "{} of {} acknowledged writes of {name} are lost, first {:?}, last {:?}",
            lost.len(),
            numbers.len(),
            lost.first(),
            lost.last()
        );
        Ok(numbers.len())
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

fn key(name: &str, number: u64) -> String {
    format!("{name}:{number}")
}

/// What stands under a key follows from it, and from nothing else.
fn content(name: &str, number: u64) -> String {
    hera_core::digest::sha256_hex(key(name, number).as_bytes())
}

async fn write(
    name: String,
    login: Login,
    log: Arc<Mutex<Vec<Acknowledged>>>,
    stop: Arc<AtomicBool>,
) {
    let mut connection = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let link = match connection.as_mut() {
            Some(link) => link,
            None => match login.connect_within(CONNECT_LIMIT, ANSWER_LIMIT).await {
                Ok(link) => connection.insert(link),
                Err(_) => {
                    tokio::time::sleep(RECONNECT).await;
                    continue;
                }
            },
        };
        number += 1;
        let mut command = redis::cmd("SET");
        command.arg(key(&name, number)).arg(content(&name, number));
        match command.query_async::<()>(link).await {
            Ok(()) => {
                let answered = Instant::now();
                let written = Acknowledged { number, answered };
                log.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(written);
                tokio::time::sleep(PAUSE).await;
            }
            Err(_) => {
                connection = None;
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }
}
