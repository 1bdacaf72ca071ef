//! Kills a server that nobody confirms as the primary any more.
//!
//! The watch has a thread of its own: whatever the rest of the agent waits for, a disk that hangs
//! or a server that was stopped, it wakes, looks at the clock before anything else, and kills.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hera_core::agent::{FenceState, Members, Question};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::Pid;
use tokio::sync::{broadcast, watch};
use tracing::{error, warn};

use crate::fence::clock;
use crate::fence::lease_timer::Armed;

/// Looks in one `fenceAfter`: a few for each question.
const LOOKS: u64 = 60;
/// Questions that a slow reader may be behind.
const QUESTIONS: usize = 16;

/// The fence of this pod's server.
pub struct Fence {
    inner: Mutex<Inner>,
    timer: TimerFd,
    questions: broadcast::Sender<Question>,
    /// Why the server is to stay down, if it is.
    down: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Inner {
    members: Members,
    /// The server's process group.
    server: Option<Pid>,
    /// Set while the server is the primary, or may be.
    armed: Option<Armed>,
}

impl Fence {
    /// `down` says why the server is to stay down, if it is.
    ///
    /// # Errors
    /// When there is no timer.
    pub fn new(members: Members, down: Option<String>) -> nix::Result<Self> {
        Ok(Self {
            inner: Mutex::new(Inner {
                members,
                ..Inner::default()
            }),
            timer: TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC)?,
            questions: broadcast::channel(QUESTIONS).0,
            down: watch::channel(down).0,
        })
    }

    /// Watches until the process ends.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(self: &Arc<Self>) -> std::io::Result<()> {
        let fence = self.clone();
        std::thread::Builder::new()
            .name("fence".to_owned())
            .spawn(move || {
                loop {
                    fence.look(clock::now());
                    if let Err(error) = fence.timer.wait() {
                        error!(%error, "the fence's timer fails");
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            })
            .map(drop)
    }

    /// The questions that this primary asks from now on.
    pub fn questions(&self) -> broadcast::Receiver<Question> {
        self.questions.subscribe()
    }

    /// Tells of each change of why the server is to stay down.
    pub fn down(&self) -> watch::Receiver<Option<String>> {
        self.down.subscribe()
    }

    /// True if the server is to stay down.
    pub fn is_down(&self) -> bool {
        self.down.borrow().is_some()
    }

    /// Completes once the server is to stay down.
    pub async fn until_down(&self) {
        // The sender lives as long as this fence.
        let _ = self.down().wait_for(Option::is_some).await.map(|_| ());
    }

    /// The server is to stay down; one that runs is killed.
    pub fn take_down(&self, why: &str) {
        let mut inner = self.lock();
        inner.armed = None;
        inner.kill();
        self.down.send_replace(Some(why.to_owned()));
    }

    /// The server may start again.
    pub fn lift(&self) {
        self.down.send_replace(None);
    }

    /// A server process of this pod runs, or none does any more.
    pub fn note_server(&self, server: Option<Pid>) {
        let mut inner = self.lock();
        inner.server = server;
        inner.armed = None;
    }

    /// The server becomes the primary: it was confirmed at `since`.
    pub fn arm(&self, epoch: u64, uid: &str, since: u64) {
        let mut inner = self.lock();
        inner.armed = Some(Armed::new(epoch, uid, since, &inner.members, clock::now()));
        self.wake();
    }

    /// True while the server is the primary, or may be.
    pub fn is_armed(&self) -> bool {
        self.lock().armed.is_some()
    }

    /// True while the server is the primary and nobody else can be: until then it was confirmed, or is never fenced.
    pub fn holds(&self) -> bool {
        let inner = self.lock();
        let armed = inner.armed.as_ref();
        armed.is_some_and(|armed| !armed.must_stop(clock::now()))
    }

    /// Kills the server; another starts in its place.
    pub fn kill(&self) {
        let mut inner = self.lock();
        inner.kill();
        inner.armed = None;
    }

    /// The server is the primary no more.
    pub fn disarm(&self) {
        self.lock().armed = None;
    }

    /// The data pods are these now.
    pub fn set_members(&self, members: &Members) {
        let mut inner = self.lock();
        inner.members = members.clone();
        if let Some(armed) = &mut inner.armed {
            armed.change(members, clock::now());
        }
        self.wake();
    }

    /// When the server stops by itself.
    pub fn state(&self) -> FenceState {
        let inner = self.lock();
        let deadline = inner.armed.as_ref().and_then(Armed::deadline);
        FenceState {
            left_ms: deadline.map(|at| at.saturating_sub(clock::now())),
        }
    }

    /// The operator said yes to a question.
    pub fn confirmed_by_operator(&self, number: u64, epoch: u64) {
        if let Some(armed) = &mut self.lock().armed {
            armed.confirmed_by_operator(number, epoch);
        }
    }

    /// A peer said yes to a question.
    pub fn vouched_by(&self, number: u64, peer: &str) {
        if let Some(armed) = &mut self.lock().armed {
            armed.vouched_by(number, peer);
        }
    }

    /// The deadline comes before all else: after a freeze it has passed when this wakes. Killing
    /// comes before noting it: the note may have to wait for the disk, and a server that was killed
    /// without one starts held.
    fn look(&self, now: u64) {
        let mut inner = self.lock();
        let fence_after = inner.members.fence_after_ms;
        let Some(armed) = &mut inner.armed else {
            return;
        };
        if armed.must_stop(now) {
            let epoch = armed.epoch();
            inner.kill();
            inner.armed = None;
            let seconds = Duration::from_millis(fence_after).as_secs_f64();
            let why = format!("no majority confirmed this primary for {seconds} s");
            self.down.send_replace(Some(why));
            drop(inner);
            warn!(
                epoch,
                fence_after, "no majority confirms this primary: its server is killed"
            );
            return;
        }
        if let Some(question) = armed.ask(now) {
            // Nobody may listen.
            let _ = self.questions.send(question);
        }
        if let Some(deadline) = armed.deadline() {
            let next = now.saturating_add((fence_after / LOOKS).max(1));
            self.wake_at(next.min(deadline));
        }
    }

    fn wake(&self) {
        self.wake_at(1);
    }

    /// In the order of the lock: a later call is about a later state.
    fn wake_at(&self, millis: u64) {
        let at = TimeSpec::from_duration(Duration::from_millis(millis));
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
        if let Err(error) = self.timer.set(Expiration::OneShot(at), flags) {
            error!(%error, "the fence's timer cannot be set");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn kill(&self) {
        if let Some(server) = self.server {
            let _ = killpg(server, Signal::SIGKILL);
        }
    }
}
