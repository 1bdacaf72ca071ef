//! Files that say what others are, read where they are not known.

use futures::future::join_all;
use hera_core::backup::Failure;
use hera_store::{Entry, Store};
use serde::de::DeserializeOwned;

use super::cache::Known;
use crate::backup::files;

/// Files that come at once.
const AT_ONCE: usize = 16;

/// What these files say, by their paths, as `understand` has it. One that somebody removed meanwhile is left out.
///
/// # Errors
/// One of them is damaged, of a later release, or not what its path says; or the store does not answer.
pub async fn read<F, T>(
    store: &Store,
    entries: &[Entry],
    known: &mut Known<T>,
    understand: impl Fn(&str, F) -> Result<T, Failure>,
) -> Result<Vec<(String, T)>, Failure>
where
    F: DeserializeOwned,
    T: Clone,
{
    known.keep(entries);
    let mut all = Vec::with_capacity(entries.len());
    let mut unread = Vec::new();
    for entry in entries {
        match known.get(entry) {
            Some(says) => all.push((entry.path.clone(), says)),
            None => unread.push(entry),
        }
    }
    for lot in unread.chunks(AT_ONCE) {
        let came = join_all(lot.iter().map(|entry| files::read::<F>(store, &entry.path))).await;
        for (entry, file) in lot.iter().zip(came) {
            if let Some(file) = file? {
                let says = understand(&entry.path, file)?;
                known.put(entry, says.clone());
                all.push((entry.path.clone(), says));
            }
        }
    }
    Ok(all)
}
