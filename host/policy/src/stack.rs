//! How deep a compilation may go. Encoder and compiler recurse over what they are given, and a stack
//! that is used up ends the process: so a module gets less of it in its trial than afterwards.

use std::io;
use std::panic::resume_unwind;
use std::thread;

/// Stack of a trial. What needs more is refused there, in a process of its own.
pub const TRIAL: usize = 4 << 20;
/// Stack of a compilation that follows a trial.
pub const PROVEN: usize = 4 * TRIAL;

/// Runs `work` on a thread with so many bytes of stack, and waits for it.
///
/// # Errors
///
/// When the system gives no thread.
pub fn with<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("policy-compile".to_owned());
        let thread = thread.stack_size(bytes).spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
