//! The ways in which slots move, and a server that shows each.

use std::process::Command;

use hera_core::cluster::Way;
use hera_testbed::servers;

use crate::engine::{Engine, REDIS_7_2, VALKEY_8_1};

/// A way, and who shows it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub way: Way,
    pub engine: Engine,
    /// The first version that knows it.
    since: (u32, u32),
}

pub const KEYS: Case = Case {
    way: Way::Keys,
    engine: REDIS_7_2,
    since: (7, 2),
};
/// Its servers wait for their replicas at each mark of a slot.
pub const KEYS_VALKEY: Case = Case {
    way: Way::Keys,
    engine: VALKEY_8_1,
    since: (8, 0),
};
pub const IMPORT: Case = Case {
    way: Way::Import,
    engine: Engine {
        name: "redis",
        version: "8.6",
    },
    since: (8, 4),
};
pub const EXPORT: Case = Case {
    way: Way::Export,
    engine: Engine {
        name: "valkey",
        version: "9.1",
    },
    since: (9, 0),
};

impl Case {
    /// False, and said, if the suite that its server is of has none that knows the way any more, or cannot be
    /// had.
    pub fn can_be_shown(self) -> bool {
        let (name, version) = (self.engine.name, self.engine.version);
        let Some(program) = servers::if_any(name, version).unwrap() else {
            return false;
        };
        let has = version_of(&program).unwrap_or_else(|| panic!("{program:?} has none"));
        let (major, minor) = has;
        if format!("{major}.{minor}") != version {
            println!("MOVED: {name} is {major}.{minor}, not {version}");
        }
        if has < self.since {
            println!(
                "NOT SHOWN: {name} {major}.{minor} does not know {:?}",
                self.way
            );
        }
        has >= self.since
    }

    pub fn name(self) -> String {
        format!("{} {}", self.engine.name, self.engine.version)
    }
}

/// `Redis server v=8.6.3 sha=…`
fn version_of(program: &std::path::Path) -> Option<(u32, u32)> {
    let said = Command::new(program).arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.split_once(" v=")?.1;
    let mut parts = version.split(['.', ' ']);
    let mut part = || parts.next()?.parse().ok();
    Some((part()?, part()?))
}
