//! Places for connections. Where all are taken, an older one gives way, so that nobody is locked out by those
//! who connect and say nothing.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub in_all: usize,
    /// From one address.
    pub of_one: usize,
}

/// Places for connections.
#[derive(Clone, Debug)]
pub struct Places {
    limits: Limits,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// The oldest first.
    all: VecDeque<Connection>,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    of: IpAddr,
    task: AbortHandle,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    /// As many as that.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            taken: Arc::default(),
        }
    }

    /// A place for a connection from `of`, which `task` serves. If it has as many as one may have, its oldest
    /// is ended; if there are as many as there may be, the oldest of who has most.
    pub fn take(&self, of: IpAddr, task: AbortHandle) -> Place {
        let mut taken = lock(&self.taken);
        if taken.count(of) >= self.limits.of_one {
            taken.end_oldest_of(of);
        }
        if taken.all.len() >= self.limits.in_all
            && let Some(most) = taken.who_has_most()
        {
            taken.end_oldest_of(most);
        }
        let number = taken.next;
        taken.next = taken.next.wrapping_add(1);
        taken.all.push_back(Connection { number, of, task });
        drop(taken);
        Place {
            number,
            taken: self.taken.clone(),
        }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        lock(&self.taken).all.len()
    }
}

impl Taken {
    fn count(&self, of: IpAddr) -> usize {
        self.all.iter().filter(|one| one.of == of).count()
    }

    /// Of two with as many, the one whose connection is older.
    fn who_has_most(&self) -> Option<IpAddr> {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for one in &self.all {
            *counts.entry(one.of).or_default() += 1;
        }
        let most = counts.values().max().copied()?;
        let mut all = self.all.iter().map(|one| one.of);
        all.find(|of| counts.get(of) == Some(&most))
    }

    fn end_oldest_of(&mut self, of: IpAddr) {
        let oldest = self.all.iter().position(|one| one.of == of);
        if let Some(one) = oldest.and_then(|at| self.all.remove(at)) {
            one.task.abort();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.taken)
            .all
            .retain(|one| one.number != self.number);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn places(in_all: usize, of_one: usize) -> Places {
        Places::new(Limits { in_all, of_one })
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn task() -> tokio::task::JoinHandle<()> {
        tokio::spawn(std::future::pending())
    }

    async fn is_ended(task: tokio::task::JoinHandle<()>) -> bool {
        tokio::task::yield_now().await;
        task.is_finished()
    }

    #[tokio::test]
    async fn one_that_has_all_that_one_may_have_loses_its_oldest() {
        let places = places(10, 2);
        let (first, second, third) = (task(), task(), task());
        let _places = [&first, &second, &third].map(|t| places.take(address(1), t.abort_handle()));
        assert!(is_ended(first).await && !is_ended(second).await && !is_ended(third).await);
        assert_eq!(places.taken(), 2);
    }

    #[tokio::test]
    async fn where_all_places_are_taken_who_has_most_gives_way() {
        let places = places(3, 3);
        let one = task();
        let _one = places.take(address(1), one.abort_handle());
        let (first, second) = (task(), task());
        let _two = [&first, &second].map(|t| places.take(address(2), t.abort_handle()));
        let newest = task();
        let _newest = places.take(address(3), newest.abort_handle());
        assert!(is_ended(first).await);
        assert!(!is_ended(one).await && !is_ended(second).await && !is_ended(newest).await);
    }

    #[tokio::test]
    async fn a_place_is_free_again_once_its_connection_ends() {
        let places = places(2, 2);
        let connection = task();
        drop(places.take(address(1), connection.abort_handle()));
        assert_eq!(places.taken(), 0);
    }
}
