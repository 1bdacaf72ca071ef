//! One compilation at a time, and the owners of modules take turns: who brings many waits for
//! itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Modules of one owner that may wait at a time.
pub const PER_OWNER: usize = 32;

/// The queue. Cheap to clone; clones share everything.
#[derive(Clone, Default)]
pub struct FairQueue(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    busy: bool,
    /// The owner whose turn is next stands first.
    owners: VecDeque<(String, VecDeque<oneshot::Sender<Turn>>)>,
}

/// The right to compile, until it is dropped.
pub struct Turn(Option<FairQueue>);

impl FairQueue {
    /// Waits for the owner's turn.
    ///
    /// # Errors
    ///
    /// How many of this owner wait already, if there is no room for another.
    pub async fn turn(&self, owner: &str) -> Result<Turn, usize> {
        let waiting = {
            let mut state = self.lock();
            if !state.busy {
                state.busy = true;
                return Ok(Turn(Some(self.clone())));
            }
            let (sender, receiver) = oneshot::channel();
            match state.owners.iter_mut().find(|(name, _)| name == owner) {
                Some((_, waiting)) => {
                    waiting.retain(|sender| !sender.is_closed());
                    if waiting.len() >= PER_OWNER {
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
        // The queue cannot go away while somebody compiles.
        Ok(waiting.await.unwrap_or(Turn(None)))
    }

    fn pass_on(&self) {
        loop {
            let next = {
                let mut state = self.lock();
                let Some((owner, mut waiting)) = state.owners.pop_front() else {
                    state.busy = false;
                    return;
                };
                let next = waiting.pop_front();
                if !waiting.is_empty() {
                    state.owners.push_back((owner, waiting));
                }
                next
            };
            let Some(next) = next else { continue };
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                // Nobody waits any more; its drop must not pass on a second time.
                Err(mut turn) => turn.0 = None,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn owners_take_turns_whoever_brings_more() {
        let queue = FairQueue::default();
        let first = queue.turn("flood").await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for owner in ["flood", "flood", "flood", "shop"] {
            let (queue, order) = (queue.clone(), order.clone());
            tasks.spawn(async move {
                let turn = queue.turn(owner).await.unwrap();
                order.lock().unwrap().push(owner);
                drop(turn);
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), ["flood", "shop", "flood", "flood"]);
    }

    #[tokio::test]
    async fn one_owner_cannot_fill_the_queue_for_others() {
        let queue = FairQueue::default();
        let _first = queue.turn("flood").await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..PER_OWNER {
            let queue = queue.clone();
            tasks.spawn(async move { queue.turn("flood").await.map(drop) });
        }
        tokio::task::yield_now().await;
        assert_eq!(queue.turn("flood").await.map(drop), Err(PER_OWNER));
        let shop = tokio::time::timeout(std::time::Duration::from_millis(1), queue.turn("shop"));
        assert!(shop.await.is_err(), "it waits, and is not refused");
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_nobody_the_turn() {
        let queue = FairQueue::default();
        let first = queue.turn("a").await.unwrap();
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
