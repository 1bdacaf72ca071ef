//! How many keys are sent at once: a server serves nobody while it sends them.

use std::time::Duration;

use super::large;

const FIRST: usize = 20;
const MOST: usize = 1_000;

/// How many keys, and of what size together, are sent at once. It follows from how long it took before.
pub struct Pace {
    keys: usize,
    bytes: u64,
    max_stall: Duration,
}

impl Pace {
    /// At first.
    pub fn new(max_stall: Duration) -> Self {
        Self {
            keys: FIRST,
            bytes: large::bytes_in(max_stall / 2),
            max_stall,
        }
    }

    /// Keys to ask for.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// How many of the first of these keys are sent at once, at least one; the size of one that is gone is none.
    pub fn fitting(&self, sizes: &[Option<u64>]) -> usize {
        let mut sum: u64 = 0;
        let fits = sizes.iter().take(self.keys).take_while(|size| {
            sum = sum.saturating_add(size.unwrap_or(0));
            sum <= self.bytes
        });
        fits.count().max(1)
    }

    /// So many keys took so long. One that is large by itself says nothing of how many go together.
    pub fn took(&mut self, keys: usize, elapsed: Duration) {
        if elapsed > self.max_stall / 2 {
            if keys > 1 {
                self.keys = (keys / 2).max(1);
            }
            self.bytes = (self.bytes / 2).max(1);
        } else if elapsed < self.max_stall / 5 {
            if keys >= self.keys {
                self.keys = (self.keys * 2).min(MOST);
            }
            self.bytes = (self.bytes.saturating_mul(2)).min(large::bytes_in(self.max_stall / 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_millis(100);
    const QUICK: Duration = Duration::from_millis(5);
    const SLOW: Duration = Duration::from_millis(80);

    #[test]
    fn more_keys_go_together_as_long_as_that_is_quick() {
        let mut pace = Pace::new(STALL);
        for _ in 0..10 {
            pace.took(pace.keys(), QUICK);
        }
        assert_eq!(pace.keys(), MOST);
        pace.took(MOST, SLOW);
        assert_eq!(pace.keys(), MOST / 2);
        // A slot with few keys says nothing of many.
        pace.took(3, QUICK);
        assert_eq!(pace.keys(), MOST / 2);
    }

    #[test]
    fn however_slow_it_is_one_key_goes() {
        let mut pace = Pace::new(STALL);
        for _ in 0..100 {
            pace.took(pace.keys().max(2), SLOW);
        }
        assert_eq!(pace.keys(), 1);
        assert_eq!(pace.fitting(&[Some(u64::MAX)]), 1);
    }

    #[test]
    fn keys_that_are_large_together_go_apart() {
        let pace = Pace::new(STALL);
        let half = large::bytes_in(STALL / 4);
        assert_eq!(pace.fitting(&[Some(half), Some(half), Some(1)]), 2);
        assert_eq!(pace.fitting(&[Some(half), None, None, Some(half)]), 4);
        assert_eq!(pace.fitting(&vec![Some(1); 500]), FIRST);
        assert_eq!(pace.fitting(&[]), 1);
    }
}
