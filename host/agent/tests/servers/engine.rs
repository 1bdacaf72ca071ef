//! The servers that a fact is shown on.

use std::path::PathBuf;

/// An engine and a version.
#[derive(Clone, Copy, Debug)]
pub struct Engine {
    pub name: &'static str,
    pub version: &'static str,
}

impl Engine {
    /// Path of its server program.
    pub fn program(self) -> PathBuf {
        hera_testbed::servers::path(self.name, self.version).unwrap()
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
