//! The files of a log by their names: all of them, or those of a long log that an instant needs.

use hera_core::backup::log::{Listed, PieceName, Window};
use hera_core::backup::{BaseManifest, Failure};
use hera_store::{Entry, Store};

use super::patient::patiently;

/// Files that are listed at once.
const PAGE: usize = 10_000;
/// Files at the beginning of a history that tell when that was: one answer of a store.
const FIRST: usize = 1_000;

/// Names of the files of a log.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Its pieces.
    pub pieces: Vec<PieceName>,
    /// Histories that may say what they go on from.
    pub children: Vec<String>,
    /// There may be an `alive.json`.
    pub is_alive: bool,
}

/// All below the folder of a log; none if they are more than about so many.
///
/// # Errors
/// The store does not tell.
pub async fn all(store: &Store, folder: &str, most: usize) -> Result<Option<Names>, Failure> {
    let mut names = Names::default();
    let (mut after, mut count) = (folder.to_owned(), 0_usize);
    loop {
        let page = patiently(|| store.list_after(folder, &after, PAGE)).await?;
        names.take(folder, &page);
        count = count.saturating_add(page.len());
        match page.last() {
            Some(_) if count >= most => return Ok(None),
            Some(last) if page.len() >= PAGE => after.clone_from(&last.path),
            _ => return Ok(Some(names)),
        }
    }
}

/// Instants of which all names are there: between these two, in milliseconds since 1970.
pub type Span = (u64, u64);

/// Those that an instant needs; none is the latest. Of each history they are those at its beginning too: they tell
/// when that was.
///
/// # Errors
/// The store does not tell.
pub async fn around(
    store: &Store,
    folder: &str,
    bases: &[BaseManifest],
    unix_ms: Option<u64>,
) -> Result<(Names, Span), Failure> {
    let (mut first_ms, mut last_ms) = (0, u64::MAX);
    let mut names = Names {
        is_alive: true,
        ..Names::default()
    };
    for id in patiently(|| store.folders(folder)).await? {
        let window = Window::new(bases, &id, unix_ms);
        let mut listing = Listing::new(format!("{folder}/{id}"), window);
        let mut goes_on = true;
        while goes_on {
            let Listing {
                within,
                after,
                most,
                ..
            } = &listing;
            let page = patiently(|| store.list_after(within, after, *most)).await?;
            let came = names.pieces.len();
            names.take(folder, &page);
            let pieces = names.pieces.get(came..).unwrap_or_default();
            if listing.skips {
                first_ms = first_ms.max(pieces.first().map_or(u64::MAX, |piece| piece.t0));
            }
            let last = pieces.last();
            if let Some(last) = last.filter(|last| window.is_over(last)) {
                last_ms = last_ms.min(last.t0);
            }
            goes_on = listing.goes_on(&page, last);
        }
        names.children.push(id);
    }
    names.children.sort_unstable();
    names.children.dedup();
    Ok((names, (first_ms, last_ms)))
}

/// The next pieces of a history, in order: those behind a path, and so many at most as a store tells in one answer. And
/// whether there are no others.
///
/// # Errors
/// The store does not tell.
pub async fn next_pieces(
    store: &Store,
    folder: &str,
    id: &str,
    after: &str,
) -> Result<(Vec<PieceName>, bool), Failure> {
    let within = format!("{folder}/{id}");
    let page = patiently(|| store.list_after(&within, after, FIRST)).await?;
    let mut names = Names::default();
    names.take(folder, &page);
    Ok((names.pieces, page.len() < FIRST))
}

impl Names {
    fn take(&mut self, folder: &str, page: &[Entry]) {
        for entry in page {
            match listed(folder, entry) {
                Some(Listed::Piece(name)) => self.pieces.push(name),
                Some(Listed::Parent(id)) => self.children.push(id),
                Some(Listed::Alive) => self.is_alive = true,
                None => {}
            }
        }
    }
}

/// What is listed next of a history.
struct Listing {
    within: String,
    after: String,
    most: usize,
    /// Some before it are left out.
    skips: bool,
    window: Window,
}

impl Listing {
    fn new(within: String, window: Window) -> Self {
        Self {
            after: within.clone(),
            within,
            most: FIRST,
            skips: false,
            window,
        }
    }

    /// Takes a page, with the last piece in it. False if nothing behind it is needed.
    fn goes_on(&mut self, page: &[Entry], last: Option<&PieceName>) -> bool {
        let Some(end) = page.last().filter(|_| page.len() >= self.most) else {
            return false;
        };
        if last.is_some_and(|last| self.window.is_over(last)) {
            return false;
        }
        // Names are in the order of their offsets.
        let from = format!("{}/{:016x}", self.within, self.window.from);
        self.skips = from > end.path;
        self.after = end.path.clone().max(from);
        self.most = PAGE;
        true
    }
}

fn listed(folder: &str, entry: &Entry) -> Option<Listed> {
    let below = entry.path.strip_prefix(folder)?.strip_prefix('/')?;
    Listed::parse(below)
}

#[cfg(test)]
mod tests {
    use hera_core::backup::Paths;
    use hera_core::backup::log::{ALIVE, PARENT};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn entry(path: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            bytes: 1,
            modified_unix_ms: 1,
        }
    }

    /// The piece of this number: each has 1 MiB, of a second.
    fn piece(number: u64) -> PieceName {
        PieceName {
            id: "a".to_owned(),
            from: number * MIB,
            to: (number + 1) * MIB,
            t0: number * 1_000,
            t1: number * 1_000 + 999,
        }
    }

    fn base(number: u64) -> BaseManifest {
        serde_json::from_value(serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": "redis", "version": "7.0.15",
            "magic": "REDIS0010", "replicationId": "a", "offset": number * MIB, "streamDb": 0,
            "takenUnixMs": number * 1_000, "pod": "p-0", "role": "primary", "rawBytes": 5,
            "storedBytes": 5, "sha256": "", "crc64": "0", "usedMemory": 1, "path": "p"
        }))
        .unwrap()
    }

    /// Numbers of the pieces that are listed of a history with so many.
    fn lists(count: u64, bases: &[BaseManifest], unix_ms: Option<u64>) -> Vec<u64> {
        let files: Vec<Entry> = (0..count)
            .map(|number| entry(&format!("log/a/{}", piece(number).file_name())))
            .chain([entry("log/a/parent.json")])
            .collect();
        let window = Window::new(bases, "a", unix_ms);
        let mut listing = Listing::new("log/a".to_owned(), window);
        let mut names = Names::default();
        let mut goes_on = true;
        while goes_on {
            let behind = files.iter().filter(|file| file.path > listing.after);
            let page: Vec<Entry> = behind.take(listing.most).cloned().collect();
            let came = names.pieces.len();
            names.take("log", &page);
            goes_on = listing.goes_on(&page, names.pieces[came..].last());
        }
        names.pieces.iter().map(|name| name.from / MIB).collect()
    }

    #[test]
    fn of_a_long_history_its_beginning_is_listed_and_what_the_instant_needs() {
        let bases: Vec<BaseManifest> = (1..=9).map(|day| base(day * 10_000)).collect();
        let all: Vec<u64> = (0..95_000).collect();
        let latest = lists(95_000, &bases, None);
        let from = 70_000 - 96;
        assert_eq!(latest[..1_000], all[..1_000]);
        assert_eq!(latest[1_000..], all[from..]);
        let at = lists(95_000, &bases, Some(40_500_000));
        let from = 20_000 - 96;
        assert_eq!(at[1_000..2_000], all[from..from + 1_000]);
        let last = *at.last().unwrap();
        assert!((41_100..51_200).contains(&last), "{last}");
        assert_eq!(at.len() - 1_000, usize::try_from(last).unwrap() + 1 - from);
    }

    #[test]
    fn what_is_short_or_has_few_bases_is_listed_as_it_is() {
        for count in [0, 1, 999, 1_000, 1_001, 25_000] {
            let all: Vec<u64> = (0..count).collect();
            assert_eq!(lists(count, &[base(500)], None), all, "{count}");
        }
        // All of it is behind the instant.
        assert_eq!(lists(25_000, &[], Some(0)).len(), 1_000);
    }

    #[test]
    fn what_lies_in_the_folder_of_a_log_is_told_apart_and_what_lies_elsewhere_is_none_of_it() {
        let folder = Paths::new("shop", "cache", "u").log("0");
        let name = PieceName {
            id: "a".repeat(40),
            from: 10,
            to: 20,
            t0: 30,
            t1: 40,
        };
        let id = &name.id;
        let found = |below: &str| listed(&folder, &entry(&format!("{folder}/{below}")));
        let piece = format!("{id}/{}", name.file_name());
        assert_eq!(found(&piece), Some(Listed::Piece(name.clone())));
        let parent = found(&format!("{id}/{PARENT}"));
        assert_eq!(parent, Some(Listed::Parent(id.clone())));
        assert_eq!(found(ALIVE), Some(Listed::Alive));
        assert_eq!(found("x"), None);
        assert_eq!(listed(&folder, &entry(&format!("{folder}1/{ALIVE}"))), None);
    }
}
