//! Lines for the decision log. Natively they go to standard error.

pub use crate::bindings::hera::policy::log::Level;

/// Writes a line; the operator keeps the first 64 of a call, 512 bytes of each.
pub fn write(level: Level, text: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::hera::policy::log::write(level, text);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {text}");
}

/// A line for the author.
pub fn debug(text: &str) {
    write(Level::Debug, text);
}

/// A line that explains a decision.
pub fn info(text: &str) {
    write(Level::Info, text);
}

/// Something a person should look at.
pub fn warn(text: &str) {
    write(Level::Warn, text);
}
