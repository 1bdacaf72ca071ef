//! Who was late is not waited for again before it has answered: what a pass only refreshes there comes later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// Nobody waits for who was late twice before this has passed, twice as long each time.
const FIRST: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(300);

/// Whether an agent was late. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Late(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_late: AtomicBool,
    /// How often it was late since it last was not.
    times: AtomicU32,
    begins: Notify,
}

/// A request under way: who gives it up, as a pass that is cut, was not answered in time.
pub struct Waiting<'a> {
    late: &'a Late,
    answered: bool,
}

impl Late {
    /// A request begins; none if the agent is late.
    pub fn wait(&self) -> Option<Waiting<'_>> {
        let late = self.0.is_late.load(Ordering::Relaxed);
        (!late).then_some(Waiting {
            late: self,
            answered: false,
        })
    }

    /// Completes once the agent is late; how long nobody waits for it, whatever else it answers: who takes
    /// orders and is late with each would be waited for all the time.
    pub async fn begins(&self) -> Duration {
        self.0.begins.notified().await;
        let times = self.0.times.load(Ordering::Relaxed);
        match times.checked_sub(2) {
            None => Duration::ZERO,
            Some(more) => FIRST.saturating_mul(1 << more.min(5)).min(LONGEST),
        }
    }

    /// It has answered.
    pub fn ends(&self) {
        self.0.is_late.store(false, Ordering::Relaxed);
    }
}

impl Waiting<'_> {
    /// An answer came, or a refusal, or none can come: it is not late.
    pub fn answered(mut self) {
        self.late.0.times.store(0, Ordering::Relaxed);
        self.answered = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered && !self.late.0.is_late.swap(true, Ordering::Relaxed) {
            self.late.0.times.fetch_add(1, Ordering::Relaxed);
            self.late.0.begins.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_was_given_up_on_is_waited_for_again_once_it_has_answered() {
        let late = Late::default();
        late.wait().unwrap().answered();
        drop(late.wait().unwrap());
        assert!(late.wait().is_none());
        assert_eq!(late.begins().await, Duration::ZERO);
        late.ends();
        drop(late.wait().unwrap());
        assert_eq!(late.begins().await, FIRST, "it is late again");
        late.ends();
        drop(late.wait().unwrap());
        assert_eq!(late.begins().await, FIRST * 2);
        late.ends();
        late.wait().unwrap().answered();
        drop(late.wait().unwrap());
        assert_eq!(
            late.begins().await,
            Duration::ZERO,
            "it was in time meanwhile"
        );
    }
}
