//! A cluster of real servers on loopback: it forms, and heals from whatever happens to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod client;
mod healing;
mod histories;
mod lab;
mod node;

/// A test of each fact on each server, or on two.
macro_rules! on_all {
    ($($fact:ident),+ $(,)?) => {
        on_all!(@ redis_7_0, ("redis", "7.0"), $($fact),+);
        on_all!(@ redis_7_2, ("redis", "7.2"), $($fact),+);
        on_all!(@ redis_8_0, ("redis", "8.0"), $($fact),+);
        on_all!(@ valkey_8_1, ("valkey", "8.1"), $($fact),+);
    };
    (two: $($fact:ident),+ $(,)?) => {
        on_all!(@ redis_7_2, ("redis", "7.2"), $($fact),+);
        on_all!(@ valkey_8_1, ("valkey", "8.1"), $($fact),+);
    };
    (@ $module:ident, $engine:expr, $($fact:ident),+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $fact() {
                    super::$fact($engine).await;
                }
            )+
        }
    };
}
use on_all;

/// An engine and a version.
pub type Engine = (&'static str, &'static str);
