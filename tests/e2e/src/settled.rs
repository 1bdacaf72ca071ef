//! When one server alone acknowledges writes, seen by clients.

use std::net::SocketAddr;
use std::time::Duration;

/// An acknowledged write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Since the fault.
    pub after: Duration,
    /// Where the server listens.
    pub server: SocketAddr,
}

/// What clients saw of the primary after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// From the fault until the server that serves at the end was alone.
    pub after: Duration,
    /// Writes that another acknowledged after that one had begun to.
    pub by_two: usize,
}

/// None if nothing was acknowledged after the fault.
pub(crate) fn settled(answers: &[Answer]) -> Option<Settled> {
    let last = answers.iter().max_by_key(|answer| answer.after)?.server;
    let (its, others): (Vec<&Answer>, Vec<_>) = answers.iter().partition(|one| one.server == last);
    let begun = its.iter().map(|answer| answer.after).min()?;
    let left = others.iter().map(|answer| answer.after).max();
    Some(Settled {
        after: begun.max(left.unwrap_or_default()),
        by_two: others.iter().filter(|answer| answer.after > begun).count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(millis: u64, server: u8) -> Answer {
        Answer {
            after: Duration::from_millis(millis),
            server: SocketAddr::from(([10, 0, 0, server], 6379)),
        }
    }

    #[test]
    fn one_that_takes_over_is_alone_from_its_first_answer() {
        let answers = [answer(1, 1), answer(40, 2), answer(45, 2)];
        let after = Duration::from_millis(40);
        assert_eq!(settled(&answers), Some(Settled { after, by_two: 0 }));
    }

    #[test]
    fn one_that_goes_on_beside_the_next_counts() {
        let answers = [answer(40, 2), answer(50, 1), answer(60, 1), answer(70, 2)];
        let after = Duration::from_millis(60);
        assert_eq!(settled(&answers), Some(Settled { after, by_two: 2 }));
    }

    #[test]
    fn silence_settles_nothing() {
        assert_eq!(settled(&[]), None);
    }
}
