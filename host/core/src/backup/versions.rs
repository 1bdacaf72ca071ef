//! Whether a server can load what another one wrote.

use super::log::PieceHeader;
use super::{BaseManifest, Failure, FailureReason, Loads};

/// Servers before it load no base with a log behind it.
const OLDEST: (u32, u32) = (7, 0);

/// Whether a new server can load a base and a log behind it.
///
/// # Errors
/// [`FailureReason::VersionIncompatible`], with what can.
pub fn check_base(base: &BaseManifest, loads: &[Loads]) -> Result<(), Failure> {
    if loads.iter().all(|loads| loads.up_to < OLDEST) {
        let words = "a server before 7.0 loads no log: set version to 7.0 or newer, or recover a backup without time";
        return Err(incompatible(words.to_owned()));
    }
    let (engine, version) = (&base.engine, &base.version);
    match is_read(engine, version, loads) {
        true => Ok(()),
        false => Err(incompatible(format!(
            "{engine} {version} wrote {}, which this server cannot read: set engine and version to {engine} {version} \
             or newer",
            base.path
        ))),
    }
}

/// Whether a new server can follow what a piece has, which lies at `path`.
///
/// # Errors
/// [`FailureReason::VersionIncompatible`], with what can.
pub fn check_piece(path: &str, header: &PieceHeader, loads: &[Loads]) -> Result<(), Failure> {
    let (engine, version) = (&header.engine, &header.version);
    match is_read(engine, version, loads) {
        true => Ok(()),
        false => Err(incompatible(format!(
            "the log up to that instant has {path}, of {engine} {version}, which this server cannot follow: set engine \
             and version to {engine} {version} or newer, or take an instant before"
        ))),
    }
}

fn is_read(engine: &str, version: &str, loads: &[Loads]) -> bool {
    let wrote = branch(version);
    let mut loads = loads.iter().filter(|loads| loads.engine == engine);
    loads.any(|loads| wrote.is_some_and(|wrote| wrote <= loads.up_to))
}

/// Major and minor of a version.
fn branch(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn incompatible(words: String) -> Failure {
    Failure::new(FailureReason::VersionIncompatible, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::FORMAT;
    use crate::backup::log::Evidence;

    fn base(engine: &str, version: &str) -> BaseManifest {
        serde_json::from_value(serde_json::json!({
            "v": 1, "uid": "u", "shard": "0", "engine": engine, "version": version,
            "magic": "REDIS0010", "replicationId": "a", "offset": 7, "streamDb": 0,
            "takenUnixMs": 9, "pod": "p-0", "role": "primary", "rawBytes": 500,
            "storedBytes": 5, "sha256": "", "crc64": "0", "usedMemory": 900, "path": "x/base",
        }))
        .unwrap()
    }

    fn piece(engine: &str, version: &str) -> PieceHeader {
        PieceHeader {
            v: FORMAT,
            uid: "u".to_owned(),
            shard: "0".to_owned(),
            engine: engine.to_owned(),
            version: version.to_owned(),
            id: "a".to_owned(),
            from: 7,
            to: 9,
            evidence: Evidence::default(),
            raw_bytes: 2,
            sha256: String::new(),
        }
    }

    fn up_to(engine: &str, up_to: (u32, u32)) -> Loads {
        Loads {
            engine: engine.to_owned(),
            up_to,
        }
    }

    #[test]
    fn a_server_loads_what_its_engine_wrote_up_to_its_version_and_follows_its_log() {
        let valkey = [up_to("redis", (7, 2)), up_to("valkey", (8, 1))];
        for (engine, version) in [("redis", "7.0.15"), ("redis", "7.2.4"), ("valkey", "8.1.1")] {
            let of_base = check_base(&base(engine, version), &valkey);
            assert_eq!(of_base, Ok(()), "{engine} {version}");
            let of_piece = check_piece("log/p", &piece(engine, version), &valkey);
            assert_eq!(of_piece, Ok(()), "{engine} {version}");
        }
        for (engine, version) in [
            ("redis", "7.4.1"),
            ("valkey", "9.0.0"),
            ("other", "7.0.0"),
            ("redis", "?"),
            ("", ""),
        ] {
            let of_base = check_base(&base(engine, version), &valkey).unwrap_err();
            let of_piece = check_piece("log/p", &piece(engine, version), &valkey).unwrap_err();
            for failure in [&of_base, &of_piece] {
                assert_eq!(failure.reason, FailureReason::VersionIncompatible);
                assert!(failure.message.contains(version), "{}", failure.message);
            }
            assert!(of_piece.message.contains("log/p"), "{}", of_piece.message);
        }
    }

    #[test]
    fn a_server_before_7_0_loads_no_log() {
        let old = check_base(&base("redis", "6.2.14"), &[up_to("redis", (6, 2))]);
        assert!(old.unwrap_err().message.contains("7.0 or newer"));
    }
}
