//! When positions were told: a promotion counts from there. Pure.

use std::collections::VecDeque;

/// Those remembered at most: positions are told a thousand times a second while a switch waits for
/// its replica.
const KEPT: usize = 8_192;
/// A position older than this says nothing any more.
pub const GOOD_FOR_MS: u64 = 5_000;

/// The tokens given out last: number, and when.
#[derive(Debug, Default)]
pub struct Tokens(VecDeque<(u64, u64)>);

impl Tokens {
    /// A new token. Its number is random: an earlier agent's is not taken for one of this.
    pub fn give(&mut self, now: u64) -> u64 {
        let number = rand::random();
        self.0.push_back((number, now));
        let old = |(_, given): &(u64, u64)| now.saturating_sub(*given) >= GOOD_FOR_MS;
        while self.0.len() > KEPT || self.0.front().is_some_and(old) {
            self.0.pop_front();
        }
        number
    }

    /// None of those given out is good any more.
    pub fn void(&mut self) {
        self.0.clear();
    }

    /// When the last was given.
    pub fn last(&self) -> Option<u64> {
        self.0.back().map(|(_, given)| *given)
    }

    /// When a token was given; none if it is unknown or too old.
    pub fn time(&self, number: u64, now: u64) -> Option<u64> {
        let (_, given) = self.0.iter().find(|(known, _)| *known == number)?;
        (now.saturating_sub(*given) < GOOD_FOR_MS).then_some(*given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_a_moment() {
        let mut tokens = Tokens::default();
        let first = tokens.give(100);
        assert_eq!(tokens.time(first, 100 + GOOD_FOR_MS - 1), Some(100));
        assert_eq!(tokens.time(first, 100 + GOOD_FOR_MS), None);
        assert_eq!(tokens.time(first.wrapping_add(1), 100), None);
        for _ in 0..KEPT {
            tokens.give(200);
        }
        assert_eq!(tokens.time(first, 200), None);
        let last = tokens.give(200 + GOOD_FOR_MS);
        assert_eq!(tokens.0.len(), 1);
        tokens.void();
        assert_eq!(tokens.time(last, 200 + GOOD_FOR_MS), None);
    }
}
