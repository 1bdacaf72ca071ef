//! What was read and is not stored yet. Whoever fills it looks whether it is full: nothing here waits.

use std::collections::VecDeque;
use std::time::Instant;

use hera_core::backup::log::{Alive, Parent};
use tokio::sync::{mpsc, watch};

use super::reading::Piece;
use super::stored::Since;

/// Bytes that wait for the store, packed.
const PACKED: usize = 8 << 20;
/// Bytes that wait to be packed: that goes faster than anything is read for long.
const RAW: usize = 8 << 20;

/// What the store gets, in this order.
#[derive(Debug)]
pub enum Item {
    /// Reading begins: what is to be there before the first piece.
    Begin(Begin),
    /// Bytes of the history.
    Piece(Piece),
    /// Nothing is written.
    Alive(Alive),
}

/// Reading begins.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The history.
    pub id: String,
    /// From behind this offset on.
    pub at: u64,
    /// What it goes on from, if that is to be noted.
    pub parent: Option<Parent>,
    /// Since when the log is without a gap, if that is to be noted.
    pub since: Option<Since>,
}

/// How much waits.
#[derive(Clone, Debug, Default)]
struct Waiting {
    items: usize,
    raw: usize,
    packed: usize,
    /// When what is in the pieces was read, of those that the store does not have with all before them.
    read: VecDeque<Instant>,
}

/// What was read and is not stored yet.
pub struct Queue {
    items: mpsc::UnboundedSender<Item>,
    waiting: watch::Sender<Waiting>,
}

impl Queue {
    /// An empty one, and what is in it.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Item>) {
        let (items, receiver) = mpsc::unbounded_channel();
        let waiting = watch::Sender::default();
        (Self { items, waiting }, receiver)
    }

    /// This is to be stored next.
    pub fn push(&self, item: Item) {
        self.waiting.send_modify(|waiting| {
            waiting.items += 1;
            if let Item::Piece(piece) = &item {
                waiting.raw += piece.raw.len();
                waiting.read.push_back(piece.read);
            }
        });
        // Nobody takes it once the log is kept no more.
        let _ = self.items.send(item);
    }

    /// So many bytes are so many now.
    pub fn packs(&self, raw: usize, packed: usize) {
        self.waiting.send_modify(|waiting| {
            waiting.raw = waiting.raw.saturating_sub(raw);
            waiting.packed += packed;
        });
    }

    /// The store has an item, of so many bytes.
    pub fn stores(&self, packed: usize) {
        self.waiting.send_modify(|waiting| {
            waiting.items = waiting.items.saturating_sub(1);
            waiting.packed = waiting.packed.saturating_sub(packed);
        });
    }

    /// The store has the oldest piece, and all before it.
    pub fn reaches(&self) {
        self.waiting.send_modify(|waiting| {
            waiting.read.pop_front();
        });
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        let waiting = self.waiting.borrow();
        u64::try_from(waiting.raw + waiting.packed).unwrap_or(u64::MAX)
    }

    /// When the oldest of what waits was read.
    pub fn oldest(&self) -> Option<Instant> {
        self.waiting.borrow().read.front().copied()
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.borrow().items == 0
    }

    /// True if no more is to be read now.
    pub fn is_full(&self) -> bool {
        self.waiting.borrow().is_full()
    }

    /// Completes once it is not full.
    pub async fn until_room(&self) {
        self.until(|waiting| !waiting.is_full()).await;
    }

    /// Completes once it is at most half full.
    pub async fn until_half(&self) {
        self.until(|waiting| waiting.raw <= RAW / 2 && waiting.packed <= PACKED / 2)
            .await;
    }

    /// Completes once the store has all.
    pub async fn until_empty(&self) {
        self.until(|waiting| waiting.items == 0).await;
    }

    async fn until(&self, is: impl FnMut(&Waiting) -> bool) {
        let mut told = self.waiting.subscribe();
        // The sender lives as long as this.
        let _ = told.wait_for(is).await.map(|_| ());
    }
}

impl Waiting {
    fn is_full(&self) -> bool {
        self.raw >= RAW || self.packed >= PACKED
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn piece(bytes: usize) -> Item {
        Item::Piece(Piece::of_bytes(vec![0; bytes], Instant::now()))
    }

    async fn is_over(waits: impl Future<Output = ()>) -> bool {
        timeout(Duration::from_millis(1), waits).await.is_ok()
    }

    #[tokio::test]
    async fn it_is_full_by_what_waits_and_has_room_again_as_that_is_packed_and_stored() {
        let (queue, mut items) = Queue::new();
        assert!(queue.is_empty() && queue.oldest().is_none());
        queue.push(piece(RAW - 1));
        assert!(!queue.is_full());
        queue.push(piece(1));
        assert!(queue.is_full() && !is_over(queue.until_room()).await);
        queue.packs(RAW - 1, PACKED);
        assert!(queue.is_full());
        queue.stores(PACKED);
        assert!(is_over(queue.until_room()).await && is_over(queue.until_half()).await);
        assert_eq!(queue.bytes(), 1);
        assert!(!is_over(queue.until_empty()).await);
        queue.packs(1, 1);
        queue.stores(1);
        assert!(queue.is_empty() && is_over(queue.until_empty()).await);
        for _ in 0..2 {
            assert!(queue.oldest().is_some(), "the first before it is not there");
            queue.reaches();
            assert!(matches!(items.recv().await, Some(Item::Piece(_))));
        }
        assert!(queue.oldest().is_none());
    }
}
