//! Reaps every child of PID 1, and tells who waits for one how it ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Strangers' ends that are kept until somebody asks.
const KEPT: usize = 256;

/// Reaps children.
#[derive(Clone, Default)]
pub struct Reaper(Arc<Inner>);

#[derive(Default)]
struct Inner {
    ended: Mutex<HashMap<i32, Ended>>,
    news: Notify,
}

impl Reaper {
    /// Starts reaping.
    ///
    /// # Errors
    /// When SIGCHLD cannot be listened to.
    pub fn start() -> std::io::Result<Self> {
        let reaper = Self::default();
        let mut children = signal(SignalKind::child())?;
        let inner = reaper.clone();
        tokio::spawn(async move {
            loop {
                inner.reap();
                if children.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok(reaper)
    }

    /// Completes when the child has ended.
    pub async fn wait(&self, pid: Pid) -> Ended {
        loop {
            let news = self.0.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(ended) = self.lock().remove(&pid.as_raw()) {
                return ended;
            }
            news.await;
        }
    }

    fn reap(&self) {
        loop {
            let (pid, ended) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Ended::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ended::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Ok(_) | Err(_) => continue,
            };
            let mut map = self.lock();
            if map.len() >= KEPT {
                map.clear();
            }
            map.insert(pid.as_raw(), ended);
        }
        self.0.news.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Ended>> {
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
