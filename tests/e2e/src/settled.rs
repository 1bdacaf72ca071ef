//! When one server alone acknowledges writes, seen by clients.

use std::time::{Duration, Instant};

use crate::writer::Acknowledged;

/// What clients saw of the primary after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// From the fault until the server that serves at the end was alone.
    pub after: Duration,
    /// Writes that another acknowledged after that one had begun to.
    pub by_two: usize,
}

/// From what was acknowledged since a fault; none if nothing was.
pub(crate) fn settled(fault: Instant, writes: &[Acknowledged]) -> Option<Settled> {
    let known = writes.iter().filter(|write| write.server.is_some());
    let last = known.clone().max_by_key(|write| write.answered)?.server;
    let (its, others): (Vec<&Acknowledged>, Vec<_>) = known.partition(|one| one.server == last);
    let begun = its.iter().map(|write| write.answered).min()?;
    let left = others.iter().map(|write| write.answered).max();
    Some(Settled {
        after: left.unwrap_or(begun).max(begun).duration_since(fault),
        by_two: others.iter().filter(|write| write.answered > begun).count(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// Each after so many milliseconds by this server.
    fn seen(writes: &[(u64, u8)]) -> Option<Settled> {
        let fault = Instant::now();
        let acknowledged = |(millis, server): &(u64, u8)| Acknowledged {
            number: 1,
            answered: fault + Duration::from_millis(*millis),
            server: Some(SocketAddr::from(([10, 0, 0, *server], 6379))),
        };
        settled(fault, &writes.iter().map(acknowledged).collect::<Vec<_>>())
    }

    #[test]
    fn one_that_takes_over_is_alone_from_its_first_answer() {
        let after = Duration::from_millis(40);
        let settled = Settled { after, by_two: 0 };
        assert_eq!(seen(&[(1, 1), (40, 2), (45, 2)]), Some(settled));
    }

    #[test]
    fn one_that_goes_on_beside_the_next_counts() {
        let after = Duration::from_millis(60);
        let settled = Settled { after, by_two: 2 };
        assert_eq!(seen(&[(40, 2), (50, 1), (60, 1), (70, 2)]), Some(settled));
    }

    #[test]
    fn silence_settles_nothing() {
        assert_eq!(seen(&[]), None);
    }
}
