//! When this agent last vouched for a primary. In memory only: before it started, another may have.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::fence::clock;

/// When it last vouched for anybody.
#[derive(Debug)]
pub struct Vouched(AtomicU64);

impl Default for Vouched {
    fn default() -> Self {
        Self(AtomicU64::new(clock::now()))
    }
}

impl Vouched {
    /// A question is here now, and may be answered with yes.
    pub fn note(&self) {
        self.0.fetch_max(clock::now(), Ordering::SeqCst);
    }

    /// For so many milliseconds it vouched for nobody; 0 where the clock cannot be read.
    pub fn quiet_ms(&self) -> u64 {
        match clock::now() {
            u64::MAX => 0,
            now => now.saturating_sub(self.0.load(Ordering::SeqCst)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_has_just_started_may_have_vouched_until_then() {
        let start = clock::now();
        assert!(Vouched::default().quiet_ms() < start);
    }

    #[test]
    fn a_question_ends_the_quiet() {
        let (vouched, start) = (Vouched(AtomicU64::new(0)), clock::now());
        assert!(vouched.quiet_ms() >= start);
        vouched.note();
        assert!(vouched.quiet_ms() < start);
    }
}
