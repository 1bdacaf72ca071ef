//! The servers that a fact is shown on.

use std::path::PathBuf;

use hera_testbed::servers;

/// An engine and a version.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    pub name: &'static str,
    pub version: &'static str,
}

impl Engine {
    /// Path of its server program.
    pub fn program(self) -> PathBuf {
        servers::path(self.name, self.version).unwrap()
    }

    /// False, and said, of one of [`servers::MOVING`] that cannot be had.
    pub fn can_be_had(self) -> bool {
        servers::if_any(self.name, self.version).unwrap().is_some()
    }
}

pub const REDIS_7_0: Engine = Engine {
    name: "redis",
    version: "7.0",
};
pub const REDIS_7_2: Engine = Engine {
    name: "redis",
    version: "7.2",
};
pub const REDIS_8_0: Engine = Engine {
    name: "redis",
    version: "8.0",
};
pub const VALKEY_8_1: Engine = Engine {
    name: "valkey",
    version: "8.1",
};
pub const REDIS_8_6: Engine = Engine {
    name: "redis",
    version: "8.6",
};
pub const VALKEY_9_1: Engine = Engine {
    name: "valkey",
    version: "9.1",
};

/// A test of each fact on one server.
macro_rules! facts_on {
    ($module:ident, $engine:ident, $($fact:ident),+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $fact() {
                    super::$fact(crate::engine::$engine).await;
                }
            )+
        }
    };
}

/// A test of each fact on the oldest Redis and on a Valkey.
macro_rules! on_both {
    ($($fact:ident),+ $(,)?) => {
        facts_on!(redis_7_0, REDIS_7_0, $($fact),+);
        facts_on!(valkey_8_1, VALKEY_8_1, $($fact),+);
    };
}

/// A test of each fact on every server that there is.
macro_rules! on_all {
    ($($fact:ident),+ $(,)?) => {
        facts_on!(redis_7_0, REDIS_7_0, $($fact),+);
        facts_on!(redis_7_2, REDIS_7_2, $($fact),+);
        facts_on!(redis_8_0, REDIS_8_0, $($fact),+);
        facts_on!(valkey_8_1, VALKEY_8_1, $($fact),+);
    };
}
