//! Slots move between real servers under real agents, driven by the pure core as an operator does, by each way
//! that there is: no key is lost or doubled, whatever dies in the middle.
//!
//! `HERA_SCALING_KEYS` says with how many keys; with more than the 20 000 of a landing the server's own tool does
//! the same beside, and figures say how long each took.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[path = "../servers/certificates.rs"]
#[allow(dead_code, reason = "shared with the tests of single pods")]
mod certificates;
#[path = "../servers/client.rs"]
#[allow(dead_code, reason = "shared with the tests of single pods")]
mod client;
#[path = "../servers/engine.rs"]
#[allow(
    dead_code,
    unused_macros,
    reason = "shared with the tests of single pods"
)]
mod engine;
#[path = "../servers/pod.rs"]
#[allow(dead_code, reason = "shared with the tests of single pods")]
mod pod;
#[path = "../servers/wait.rs"]
mod wait;

/// A test of each fact by one way. Those that come later than a landing are ignored: `make test-all` runs them.
macro_rules! facts {
    (later: $module:ident, $case:ident, $($fact:ident),+ $(,)?) => {
        facts!(@ $module, $case, [#[ignore = "make test-all runs it"]], $($fact),+);
    };
    ($module:ident, $case:ident, $($fact:ident),+ $(,)?) => {
        facts!(@ $module, $case, [], $($fact),+);
    };
    (@ $module:ident, $case:ident, $when:tt, $($fact:ident),+) => {
        mod $module {
            $( facts!(& $case, $when, $fact); )+
        }
    };
    (& $case:ident, [$($when:tt)*], $fact:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        $($when)*
        async fn $fact() {
            let case = crate::case::$case;
            if case.can_be_shown() {
                super::$fact(case).await;
            }
        }
    };
}

mod audit;
mod case;
mod data;
mod driver;
mod faults;
mod fleet;
mod load;
mod owners;
mod scaling;
mod sender;
mod slots;

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
