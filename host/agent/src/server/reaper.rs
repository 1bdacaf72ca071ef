//! Reaps every child of PID 1, and tells who waits for one how it ended.

use std::collections::HashMap;
use std::io;
use std::process::{Child, Command};
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

/// Reaps children.
#[derive(Clone, Default)]
pub struct Reaper(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Our own children; what else ends in the pod is reaped and forgotten.
    children: Mutex<HashMap<i32, Option<Ended>>>,
    news: Notify,
}

impl Reaper {
    /// Starts reaping.
    ///
    /// # Errors
    /// When SIGCHLD cannot be listened to.
    pub fn start() -> io::Result<Self> {
        let reaper = Self::default();
        let mut signals = signal(SignalKind::child())?;
        let inner = reaper.clone();
        tokio::spawn(async move {
            loop {
                inner.reap();
                if signals.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok(reaper)
    }

    /// Starts a child; [`Self::wait`] tells its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        // Nothing is reaped meanwhile: neither its end nor, when the program cannot be run, the
        // process that the library itself waits for.
        let mut children = self.lock();
        let child = command.spawn()?;
        children.insert(i32::try_from(child.id()).unwrap_or(i32::MAX), None);
        Ok(child)
    }

    /// Completes when a child that [`Self::spawn`] started has ended.
    pub async fn wait(&self, pid: Pid) -> Ended {
        loop {
            let news = self.0.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(ended) = self.take(pid) {
                return ended;
            }
            news.await;
        }
    }

    fn take(&self, pid: Pid) -> Option<Ended> {
        let mut children = self.lock();
        let ended = (*children.get(&pid.as_raw())?)?;
        children.remove(&pid.as_raw());
        Some(ended)
    }

    fn reap(&self) {
        let mut children = self.lock();
        loop {
            let (pid, ended) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Ended::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ended::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                Ok(_) | Err(_) => continue,
            };
            if let Some(child) = children.get_mut(&pid.as_raw()) {
                *child = Some(ended);
            }
        }
        drop(children);
        self.0.news.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Option<Ended>>> {
        self.0
            .children
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn start(reaper: &Reaper, program: &str, arguments: &[&str]) -> Pid {
        let child = reaper.spawn(Command::new(program).args(arguments)).unwrap();
        // The reaper waits for it, not this handle.
        pid(child)
    }

    fn pid(child: Child) -> Pid {
        Pid::from_raw(i32::try_from(child.id()).unwrap())
    }

    // One test: a process has one set of children.
    #[tokio::test]
    async fn every_end_is_told_to_who_waits_for_it() {
        let reaper = Reaper::start().unwrap();
        assert!(reaper.spawn(&mut Command::new("/no/such/program")).is_err());
        let quick = start(&reaper, "sh", &["-c", "exit 3"]);
        let slow = start(&reaper, "sleep", &["60"]);
        assert_eq!(reaper.wait(quick).await, Ended::Code(3));
        nix::sys::signal::kill(slow, nix::sys::signal::Signal::SIGKILL).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), reaper.wait(slow)).await;
        assert_eq!(ended, Ok(Ended::Signal(9)));
    }
}
