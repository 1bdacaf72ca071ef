//! Which image a version stands for, and which server can read another's files.

use std::collections::BTreeMap;

use hera_api::{Engine, ServerVersion};
use hera_core::backup::Loads;
use thiserror::Error;

/// Engine and version to image, from the operator's ConfigMaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    entries: Vec<(Engine, ServerVersion, Entry)>,
}

/// What is said of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Image(String),
    /// ConfigMaps that each say something, sorted: neither is taken.
    Disputed(Vec<String>),
}

/// A catalog that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "key {key:?} of the ConfigMap {map} is none of a catalog: write engine-version, as in redis-7.2 or \
     valkey-8.1.1, with an image as its value"
)]
pub struct CatalogError {
    /// The ConfigMap.
    pub map: String,
    /// Its key.
    pub key: String,
}

/// A version for which the catalog has no image.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoImage {
    /// It does not know the version.
    #[error(
        "there is no image for {engine} {version}: use one of {}, or set spec.image",
        if known.is_empty() { "(none is known)".to_owned() } else { known.join(", ") }
    )]
    UnknownVersion {
        /// The engine.
        engine: Engine,
        /// The version as the spec writes it.
        version: String,
        /// Versions of this engine that the catalog has, oldest first.
        known: Vec<String>,
    },
    /// Two ConfigMaps of overrides say something about the version.
    #[error(
        "the ConfigMaps {} override {engine}-{version} both, so neither counts: take the key out of one of them",
        maps.join(" and ")
    )]
    Disputed {
        /// The engine.
        engine: Engine,
        /// The version of their keys.
        version: String,
        /// Their names, sorted.
        maps: Vec<String>,
    },
}

/// What ConfigMaps say of a version.
type Said<'a> = (Engine, ServerVersion, Vec<(&'a String, Entry)>);

impl Catalog {
    /// Reads the data of the ConfigMap called `map`.
    ///
    /// # Errors
    ///
    /// A key that is none, or one without an image; naming it.
    pub fn parse(map: &str, data: &BTreeMap<String, String>) -> Result<Self, CatalogError> {
        let mut entries = Vec::with_capacity(data.len());
        for (key, image) in data {
            let image = image.trim();
            let (engine, version) = parse_key(key)
                .filter(|_| !image.is_empty() && !image.contains(char::is_whitespace))
                .ok_or_else(|| CatalogError {
                    map: map.to_owned(),
                    key: key.clone(),
                })?;
            entries.push((engine, version, Entry::Image(image.to_owned())));
        }
        Ok(Self::sorted(entries))
    }

    fn sorted(mut entries: Vec<(Engine, ServerVersion, Entry)>) -> Self {
        entries.sort_by_key(|(engine, version, _)| (*engine, version.sort_key()));
        Self { entries }
    }

    /// The same catalog, with what ConfigMaps of overrides, by name, say in place of its own entries. Of
    /// a key that two of them have neither counts, and the catalog's own does not either: somebody wanted
    /// another image.
    ///
    /// # Errors
    ///
    /// As for [`Self::parse`].
    pub fn with_overrides(
        self,
        overrides: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> Result<Self, CatalogError> {
        let mut said: Vec<Said<'_>> = Vec::new();
        for (map, data) in overrides {
            for (engine, version, entry) in Self::parse(map, data)?.entries {
                let mut known = said.iter_mut();
                match known.find(|(e, v, _)| (*e, *v) == (engine, version)) {
                    Some((_, _, others)) => others.push((map, entry)),
                    None => said.push((engine, version, vec![(map, entry)])),
                }
            }
        }
        let mut entries = self.entries;
        entries.retain(|(engine, version, _)| {
            !said.iter().any(|(e, v, _)| (e, v) == (engine, version))
        });
        entries.extend(said.into_iter().map(|(engine, version, mut said)| {
            let entry = match said.len() {
                1 => said.remove(0).1,
                _ => Entry::Disputed(said.into_iter().map(|(map, _)| map.clone()).collect()),
            };
            (engine, version, entry)
        }));
        Ok(Self::sorted(entries))
    }

    /// The image for a version, and the version of its entry: the one that is written the same, else
    /// the newest that it covers (`7.2` takes `7.2.6` before `7.2.4`, `8` the newest `8.x`).
    ///
    /// # Errors
    ///
    /// There is none; the error lists those of the engine.
    pub fn resolve(
        &self,
        engine: Engine,
        version: ServerVersion,
    ) -> Result<(&str, ServerVersion), NoImage> {
        let of_engine = || self.entries.iter().filter(move |(e, _, _)| *e == engine);
        let found = of_engine()
            .find(|(_, known, _)| *known == version)
            .or_else(|| of_engine().rfind(|(_, known, _)| version.covers(*known)));
        match found {
            Some((_, known, Entry::Image(image))) => Ok((image.as_str(), *known)),
            Some((_, known, Entry::Disputed(maps))) => Err(NoImage::Disputed {
                engine,
                version: known.to_string(),
                maps: maps.clone(),
            }),
            None => Err(NoImage::UnknownVersion {
                engine,
                version: version.to_string(),
                known: of_engine().map(|(_, known, _)| known.to_string()).collect(),
            }),
        }
    }
}

fn parse_key(key: &str) -> Option<(Engine, ServerVersion)> {
    let (engine, version) = key.split_once('-')?;
    let engine = [Engine::Redis, Engine::Valkey]
        .into_iter()
        .find(|e| e.as_str() == engine)?;
    Some((engine, version.parse().ok()?))
}

/// The formats in which servers write their files, each readable by certain servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// RDB 9 to 11: Redis to 7.2, Valkey to 8. The number orders them.
    Common(u8),
    /// RDB 12 and on: Redis from 7.4. The number orders them.
    Redis(u16),
    /// Valkey from 9.
    Valkey,
}

/// The last branches of formats, of either engine; the first of them is what is read whatever comes later.
const FORMATS_END: [(u16, u16); 7] = [
    (u16::MAX, u16::MAX),
    (6, u16::MAX),
    (7, 1),
    (7, 3),
    (8, 5),
    (8, 7),
    (8, u16::MAX),
];

fn format((engine, version): (Engine, ServerVersion)) -> Format {
    format_of(engine, version.branch())
}

fn format_of(engine: Engine, branch: (u16, u16)) -> Format {
    match (engine, branch) {
        (Engine::Redis, (..=6, _)) => Format::Common(9),
        (Engine::Redis, (7, 0..=1)) => Format::Common(10),
        (Engine::Redis, (7, 2..=3)) | (Engine::Valkey, (..=8, _)) => Format::Common(11),
        // 7.4 to 8.5 write RDB 12; then each branch is taken for a format of its own.
        (Engine::Redis, (7, _) | (8, 0..=5)) => Format::Redis(12),
        (Engine::Redis, (8, 6..=7)) => Format::Redis(13),
        (Engine::Redis, (major, minor)) => {
            Format::Redis(major.saturating_mul(100).saturating_add(minor))
        }
        (Engine::Valkey, _) => Format::Valkey,
    }
}

/// True if a server can read the files that another wrote.
///
/// A `major` without a minor (`7`) counts as its first branch.
pub fn can_load(from: (Engine, ServerVersion), to: (Engine, ServerVersion)) -> bool {
    is_read(format(from), format(to))
}

fn is_read(from: Format, to: Format) -> bool {
    match (from, to) {
        (Format::Common(from), Format::Common(to)) => from <= to,
        (Format::Common(_), Format::Redis(_) | Format::Valkey) => true,
        (Format::Redis(from), Format::Redis(to)) => from <= to,
        (Format::Valkey, Format::Valkey) => true,
        (Format::Redis(_) | Format::Valkey, _) => false,
    }
}

/// Which files a server can read: of each engine those of a branch and of all before it.
pub fn loads((engine, version): (Engine, ServerVersion)) -> Vec<Loads> {
    let to = format((engine, version));
    let last = |from: Engine| {
        let own = Some(version.branch()).filter(|_| from == engine);
        let ends = FORMATS_END.into_iter().chain(own);
        ends.filter(|branch| is_read(format_of(from, *branch), to))
            .max()
    };
    let engines = [Engine::Redis, Engine::Valkey].into_iter();
    let readable = engines.filter_map(|from| Some((from, last(from)?)));
    readable
        .map(|(from, (major, minor))| Loads {
            engine: from.as_str().to_owned(),
            up_to: (major.into(), minor.into()),
        })
        .collect()
}

/// A change of version that would leave the server unable to read its data.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{to_engine} {to} cannot read the data that {from_engine} {from} wrote: go back to {from_engine} {from} or newer, or \
     make a new object and copy the data"
)]
pub struct CannotLoad {
    /// The engine that wrote the data.
    pub from_engine: Engine,
    /// Its version.
    pub from: ServerVersion,
    /// The engine that is asked for.
    pub to_engine: Engine,
    /// Its version.
    pub to: ServerVersion,
}

/// [`can_load`], with an error that says what to do.
///
/// # Errors
///
/// The new server could not read the data.
pub fn check_change(
    from: (Engine, ServerVersion),
    to: (Engine, ServerVersion),
) -> Result<(), CannotLoad> {
    if can_load(from, to) {
        return Ok(());
    }
    Err(CannotLoad {
        from_engine: from.0,
        from: from.1,
        to_engine: to.0,
        to: to.1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> (Engine, ServerVersion) {
        let (engine, version) = text.split_at(1);
        let engine = if engine == "R" {
            Engine::Redis
        } else {
            Engine::Valkey
        };
        (engine, version.parse().unwrap())
    }

    #[test]
    fn files_load_as_measured() {
        // redis-facts §5.2: who wrote the file, then who can read it.
        let all = [
            "R6.2", "R7.0", "R7.2", "R7.4", "R8.0", "R8.6", "V7.2", "V8.0", "V8.1", "V9.1",
        ];
        let readers = [
            ("R6.2", "R6.2 R7.0 R7.2 R7.4 R8.0 R8.6 V7.2 V8.0 V8.1 V9.1"),
            ("R7.0", "R7.0 R7.2 R7.4 R8.0 R8.6 V7.2 V8.0 V8.1 V9.1"),
            ("R7.2", "R7.2 R7.4 R8.0 R8.6 V7.2 V8.0 V8.1 V9.1"),
            ("V7.2", "R7.2 R7.4 R8.0 R8.6 V7.2 V8.0 V8.1 V9.1"),
            ("V8.0", "R7.2 R7.4 R8.0 R8.6 V7.2 V8.0 V8.1 V9.1"),
            ("V8.1", "R7.2 R7.4 R8.0 R8.6 V7.2 V8.0 V8.1 V9.1"),
            ("R7.4", "R7.4 R8.0 R8.6"),
            ("R8.0", "R7.4 R8.0 R8.6"),
            ("R8.6", "R8.6"),
            ("V9.1", "V9.1"),
        ];
        for (from, readers) in readers {
            for to in all {
                let want = readers.split(' ').any(|reader| reader == to);
                assert_eq!(can_load(server(from), server(to)), want, "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_newer_branch_than_any_measured_reads_older_ones_of_its_engine_only() {
        assert!(can_load(server("R8.6"), server("R8.8")));
        assert!(!can_load(server("R8.8"), server("R8.6")));
        assert!(can_load(server("R8.10.1"), server("R9")));
        assert!(!can_load(server("R8.8"), server("V9.1")));
        assert!(can_load(server("V9.0"), server("V9.1")));
    }

    #[test]
    fn what_is_told_of_what_a_server_loads_is_what_it_can_load() {
        let all = [
            "R6", "R6.2", "R7", "R7.0", "R7.1", "R7.2", "R7.3", "R7.4", "R7.9", "R8", "R8.0",
            "R8.5", "R8.6", "R8.7", "R8.8", "R8.9", "R8.10.1", "R9", "R9.1", "V7.2", "V8", "V8.0",
            "V8.1", "V8.9", "V9", "V9.0", "V9.1", "V10",
        ];
        for to in all {
            let loads = loads(server(to));
            for from in all {
                let (engine, version) = server(from);
                let (major, minor) = version.branch();
                let branch = (u32::from(major), u32::from(minor));
                let of_engine = loads.iter().find(|loads| loads.engine == engine.as_str());
                let told = of_engine.is_some_and(|loads| branch <= loads.up_to);
                assert_eq!(told, can_load(server(from), server(to)), "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_refused_change_says_what_to_do() {
        let error = check_change(server("R8.0"), server("R7.2")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "redis 7.2 cannot read the data that redis 8.0 wrote: go back to redis 8.0 or newer, or make a new object and \
             copy the data"
        );
    }

    fn catalog(keys: &[&str]) -> Catalog {
        Catalog::parse(
            "hera-catalog",
            &keys
                .iter()
                .map(|key| ((*key).to_owned(), format!("image/{key}")))
                .collect(),
        )
        .unwrap()
    }

    #[test]
    fn the_exact_entry_wins_then_the_newest_that_is_covered() {
        let known = catalog(&["redis-7.2.4", "redis-7.2.10", "redis-8.0", "valkey-7.2.7"]);
        let image = |engine, version: &str| {
            known
                .resolve(engine, version.parse().unwrap())
                .map(|(image, _)| image.to_owned())
        };
        assert_eq!(
            image(Engine::Redis, "7.2").as_deref(),
            Ok("image/redis-7.2.10")
        );
        assert_eq!(
            image(Engine::Redis, "7.2.4").as_deref(),
            Ok("image/redis-7.2.4")
        );
        assert_eq!(
            image(Engine::Redis, "7").as_deref(),
            Ok("image/redis-7.2.10")
        );
        assert_eq!(
            image(Engine::Valkey, "7.2").as_deref(),
            Ok("image/valkey-7.2.7")
        );
        assert!(image(Engine::Valkey, "8.0").is_err());
        assert!(
            image(Engine::Redis, "8.0.1").is_err(),
            "an entry for a branch promises no patch"
        );
    }

    #[test]
    fn a_major_version_is_the_branch_of_the_image_that_answers_it() {
        let known = catalog(&["redis-8.0", "redis-8.6"]);
        let (_, answered) = known.resolve(Engine::Redis, "8".parse().unwrap()).unwrap();
        assert_eq!(answered, "8.6".parse().unwrap());
        assert!(check_change(server("R8.6"), (Engine::Redis, answered)).is_ok());
    }

    #[test]
    fn an_unknown_version_is_refused_with_the_known_ones() {
        let error = catalog(&["redis-8.0", "redis-7.2"])
            .resolve(Engine::Redis, "5".parse().unwrap())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no image for redis 5: use one of 7.2, 8.0, or set spec.image"
        );
    }

    #[test]
    fn a_catalog_with_a_mistake_names_the_key() {
        for (key, image) in [
            ("redis", "a"),
            ("redis7.2", "a"),
            ("keydb-6", "a"),
            ("redis-7.2", " "),
            ("redis-7.2", "a b"),
        ] {
            let data = BTreeMap::from([(key.to_owned(), image.to_owned())]);
            let expected = CatalogError {
                map: "m".to_owned(),
                key: key.to_owned(),
            };
            assert_eq!(Catalog::parse("m", &data), Err(expected), "{key}");
        }
    }

    fn overridden(maps: &[(&str, &[(&str, &str)])]) -> Catalog {
        let text = |text: &str| text.to_owned();
        let data = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs.map(|(key, image)| (text(key), text(image))).collect()
        };
        let maps = maps.iter().map(|(map, pairs)| (text(map), data(pairs)));
        let known = catalog(&["redis-7.2", "redis-8.0"]);
        known.with_overrides(&maps.collect()).unwrap()
    }

    #[test]
    fn an_override_takes_the_place_of_an_entry_or_adds_one() {
        let digest = "registry:5000/redis@sha256:0123";
        let known = overridden(&[("mine", &[("redis-7.2", digest), ("redis-7.4", "new")])]);
        let image = |version: &str| {
            let found = known.resolve(Engine::Redis, version.parse().unwrap());
            found.map(|(image, _)| image.to_owned())
        };
        assert_eq!(image("7.2").as_deref(), Ok(digest));
        assert_eq!(image("7").as_deref(), Ok("new"));
        assert_eq!(image("8.0").as_deref(), Ok("image/redis-8.0"));
    }

    #[test]
    fn of_a_key_that_two_override_neither_is_taken_and_other_keys_are() {
        let known = overridden(&[
            ("a", &[("redis-7.2", "one"), ("redis-8.0", "eight")]),
            ("b", &[("redis-7.2", "other")]),
        ]);
        let resolve = |version: &str| known.resolve(Engine::Redis, version.parse().unwrap());
        for version in ["7.2", "7"] {
            assert_eq!(
                resolve(version).unwrap_err().to_string(),
                "the ConfigMaps a and b override redis-7.2 both, so neither counts: take the key out of one of them"
            );
        }
        assert_eq!(resolve("8").unwrap().0, "eight");
    }

    #[test]
    fn an_override_with_a_mistake_names_its_config_map() {
        let data = BTreeMap::from([("redis7.2".to_owned(), "a".to_owned())]);
        let maps = BTreeMap::from([("mine".to_owned(), data)]);
        let error = Catalog::default().with_overrides(&maps).unwrap_err();
        assert!(error.to_string().contains("ConfigMap mine"), "{error}");
    }
}
