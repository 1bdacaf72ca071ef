//! Turns: so many at a time in all, fewer of one owner, and owners alternate. Who brings much, or what
//! takes long, waits for itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// At a time in all.
    pub all: usize,
    /// Of one owner at a time: fewer than in all, or one could keep everybody else waiting.
    pub of_owner: usize,
    /// Of one owner that may wait at a time.
    pub waiting_of_owner: usize,
}

/// The queue. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct FairQueue(Arc<Mutex<State>>);

struct State {
    places: Places,
    /// Owners whose turn it is.
    busy: Vec<String>,
    /// The owner whose turn is next stands first.
    owners: VecDeque<(String, VecDeque<oneshot::Sender<Turn>>)>,
}

/// A place in the queue's front, until it is dropped.
pub struct Turn(Option<(FairQueue, String)>);

impl FairQueue {
    /// A queue in which nobody waits.
    pub fn new(places: Places) -> Self {
        Self(Arc::new(Mutex::new(State {
            places,
            busy: Vec::new(),
            owners: VecDeque::new(),
        })))
    }

    /// Waits for the owner's turn.
    ///
    /// # Errors
    ///
    /// How many of this owner wait already, if there is no room for another.
    pub async fn turn(&self, owner: &str) -> Result<Turn, usize> {
        let waiting = {
            let mut state = self.lock();
            if state.may_start(owner) {
                state.busy.push(owner.to_owned());
                return Ok(self.turn_of(owner));
            }
            let (sender, receiver) = oneshot::channel();
            let most = state.places.waiting_of_owner;
            match state.owners.iter_mut().find(|(name, _)| name == owner) {
                Some((_, waiting)) => {
                    waiting.retain(|sender| !sender.is_closed());
                    if waiting.len() >= most {
                        return Err(waiting.len());
                    }
                    waiting.push_back(sender);
                }
                None => state
                    .owners
                    .push_back((owner.to_owned(), VecDeque::from([sender]))),
            }
            receiver
        };
        // The queue cannot go away while somebody has a turn.
        Ok(waiting.await.unwrap_or(Turn(None)))
    }

    fn turn_of(&self, owner: &str) -> Turn {
        Turn(Some((self.clone(), owner.to_owned())))
    }

    fn pass_on(&self, done: &str) {
        let mut state = self.lock();
        if let Some(at) = state.busy.iter().position(|owner| owner == done) {
            state.busy.swap_remove(at);
        }
        while let Some((owner, next)) = state.next() {
            match next.send(self.turn_of(&owner)) {
                Ok(()) => state.busy.push(owner),
                // Nobody waits any more; its drop must not pass on a second time.
                Err(mut turn) => turn.0 = None,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_start(&self, owner: &str) -> bool {
        let of_owner = self.busy.iter().filter(|busy| *busy == owner).count();
        self.busy.len() < self.places.all && of_owner < self.places.of_owner
    }

    /// Whoever may start now and waited longest for a turn.
    fn next(&mut self) -> Option<(String, oneshot::Sender<Turn>)> {
        // Who stopped waiting takes nobody's turn.
        for (_, waiting) in &mut self.owners {
            waiting.retain(|sender| !sender.is_closed());
        }
        self.owners.retain(|(_, waiting)| !waiting.is_empty());
        let at = self
            .owners
            .iter()
            .position(|(owner, _)| self.may_start(owner))?;
        let (owner, mut waiting) = self.owners.remove(at)?;
        let next = waiting.pop_front();
        if !waiting.is_empty() {
            self.owners.push_back((owner.clone(), waiting));
        }
        Some((owner, next?))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some((queue, owner)) = self.0.take() {
            queue.pass_on(&owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    const WAITING: usize = 32;

    fn two() -> FairQueue {
        FairQueue::new(Places {
            all: 2,
            of_owner: 1,
            waiting_of_owner: WAITING,
        })
    }

    #[tokio::test]
    async fn one_owner_leaves_places_for_others_however_many_it_may_have() {
        let queue = FairQueue::new(Places {
            all: 4,
            of_owner: 3,
            waiting_of_owner: WAITING,
        });
        let mut turns = Vec::new();
        for _ in 0..3 {
            turns.push(queue.turn("flood").await.unwrap());
        }
        let soon = std::time::Duration::from_millis(1);
        assert!(
            tokio::time::timeout(soon, queue.turn("flood"))
                .await
                .is_err()
        );
        let other = tokio::time::timeout(std::time::Duration::from_secs(5), queue.turn("shop"));
        assert!(other.await.is_ok_and(|turn| turn.is_ok()));
    }

    #[tokio::test]
    async fn owners_take_turns_whoever_brings_more() {
        let queue = two();
        let flood = queue.turn("flood").await.unwrap();
        let slow = queue.turn("slow").await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for owner in ["flood", "flood", "flood", "shop", "shop"] {
            let (queue, order) = (queue.clone(), order.clone());
            tasks.spawn(async move {
                let turn = queue.turn(owner).await.unwrap();
                order.lock().unwrap().push(owner);
                drop(turn);
            });
            tokio::task::yield_now().await;
        }
        drop(flood);
        tasks.join_all().await;
        drop(slow);
        let expected = ["flood", "shop", "flood", "shop", "flood"];
        assert_eq!(*order.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn what_takes_long_keeps_only_its_owner_waiting() {
        let queue = two();
        let _slow = queue.turn("flood").await.unwrap();
        let same = tokio::time::timeout(std::time::Duration::from_millis(1), queue.turn("flood"));
        assert!(same.await.is_err(), "it waits");
        let other = tokio::time::timeout(std::time::Duration::from_secs(5), queue.turn("shop"));
        assert!(other.await.is_ok_and(|turn| turn.is_ok()));
    }

    #[tokio::test]
    async fn one_owner_cannot_fill_the_queue_for_others() {
        let queue = two();
        let _first = queue.turn("flood").await.unwrap();
        let _second = queue.turn("slow").await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..WAITING {
            let queue = queue.clone();
            tasks.spawn(async move { queue.turn("flood").await.map(drop) });
        }
        tokio::task::yield_now().await;
        assert_eq!(queue.turn("flood").await.map(drop), Err(WAITING));
        let shop = tokio::time::timeout(std::time::Duration::from_millis(1), queue.turn("shop"));
        assert!(shop.await.is_err(), "it waits, and is not refused");
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_nobody_the_turn() {
        let queue = two();
        let first = queue.turn("a").await.unwrap();
        let _second = queue.turn("slow").await.unwrap();
        let gone = tokio::spawn({
            let queue = queue.clone();
            async move { queue.turn("b").await.map(drop) }
        });
        tokio::task::yield_now().await;
        gone.abort();
        let _ = gone.await;
        let next = tokio::spawn({
            let queue = queue.clone();
            async move { queue.turn("c").await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(next.await.unwrap(), Ok(()));
    }
}
