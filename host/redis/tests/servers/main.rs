//! What real servers answer, on each engine and version that there is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod process;

mod answers;
mod configuration;
mod leaving;
mod limits;
mod presets;
mod slots;
mod state;
mod users;

/// A test of each fact on every server.
macro_rules! on_all {
    ($($fact:ident),+ $(,)?) => {
        crate::facts_on!(redis_7_0, "redis", "7.0", $($fact),+);
        crate::facts_on!(redis_7_2, "redis", "7.2", $($fact),+);
        crate::facts_on!(redis_8_0, "redis", "8.0", $($fact),+);
        crate::facts_on!(valkey_8_1, "valkey", "8.1", $($fact),+);
    };
}
macro_rules! facts_on {
    ($module:ident, $engine:literal, $version:literal, $($fact:ident),+ $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $fact() {
                    super::$fact(crate::process::Program($engine, $version)).await;
                }
            )+
        }
    };
}
pub(crate) use {facts_on, on_all};
