//! Keys of slots, and what each takes in memory.

use hera_core::cluster::{LargeKey, SlotSet};
use hera_redis::{Error, KeysOfSlot, Server};

use super::large;

/// Keys whose sizes are asked for at once.
const TOGETHER: usize = 200;

/// Keys of a slot.
pub struct Listed {
    pub slot: u16,
    pub keys: Vec<Vec<u8>>,
    /// In bytes; none of one that is gone.
    pub sizes: Vec<Option<u64>>,
}

impl Listed {
    /// What all of them take.
    pub fn bytes(&self) -> u64 {
        let sizes = self.sizes.iter().flatten();
        sizes.fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// Those that are larger than `limit`.
    pub fn larger(&self, limit: u64) -> Vec<LargeKey> {
        large::larger(self.slot, &self.keys, &self.sizes, limit)
    }

    /// The first of them, so many at most.
    pub fn truncate(&mut self, most: usize) {
        self.keys.truncate(most);
        self.sizes.truncate(most);
    }
}

/// Keys of each of these slots, `most` of each: of the first slots that have no more than `enough` together, at least
/// one.
///
/// # Errors
/// When the server could not be asked.
pub async fn list(
    server: &Server,
    slots: &SlotSet,
    most: usize,
    enough: usize,
) -> Result<Vec<Listed>, Error> {
    let mut listed = server.keys_in_slots(slots, most).await?;
    listed.truncate(fitting(&listed, enough));
    let keys = listed.iter().flat_map(|(_, keys)| keys.iter().cloned());
    let keys: Vec<Vec<u8>> = keys.collect();
    let mut sizes = Vec::with_capacity(keys.len());
    for keys in keys.chunks(TOGETHER) {
        sizes.extend(server.memory_of(keys).await?);
    }
    Ok(with_sizes(listed, sizes))
}

/// How many of the first have no more keys than `enough` together, at least one.
fn fitting(listed: &[KeysOfSlot], enough: usize) -> usize {
    let mut sum: usize = 0;
    let fits = listed.iter().take_while(|(_, keys)| {
        sum = sum.saturating_add(keys.len());
        sum <= enough
    });
    fits.count().max(1)
}

fn with_sizes(listed: Vec<KeysOfSlot>, sizes: Vec<Option<u64>>) -> Vec<Listed> {
    let mut sizes = sizes.into_iter();
    let with = |(slot, keys): KeysOfSlot| Listed {
        slot,
        sizes: sizes.by_ref().take(keys.len()).collect(),
        keys,
    };
    listed.into_iter().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Vec<u8> {
        name.as_bytes().to_vec()
    }

    #[test]
    fn each_key_has_its_own_size() {
        let named = vec![
            (1, vec![key("a"), key("b")]),
            (2, Vec::new()),
            (3, vec![key("c")]),
        ];
        let listed = with_sizes(named, vec![Some(1), None, Some(7)]);
        let bytes: Vec<u64> = listed.iter().map(Listed::bytes).collect();
        assert_eq!(bytes, [1, 0, 7]);
        let large: Vec<LargeKey> = listed.iter().flat_map(|one| one.larger(6)).collect();
        assert_eq!((large.len(), large[0].slot), (1, 3));
        assert_eq!(large[0].key, "c");
    }

    #[test]
    fn of_many_slots_the_first_are_listed() {
        let named = [(1, vec![key("a"); 3]), (2, vec![key("b"); 2])];
        assert_eq!([5, 4, 2].map(|enough| fitting(&named, enough)), [2, 1, 1]);
    }
}
