//! One call: a store of its own, every meter set, and what comes of it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use wasmtime::{Engine, ResourceLimiter, Store, Trap};

use crate::{CallError, Limits, engine};

/// A line that a policy logged, printable and cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// The text.
    pub text: String,
}

/// What the host keeps about a call while it runs.
pub struct State {
    limits: Limits,
    logs: Vec<LogLine>,
    log_calls: usize,
    log_bytes: usize,
    memory_refused: bool,
}

/// What a call took, whatever came of it.
#[derive(Debug, Default)]
pub struct Usage {
    pub fuel: u64,
    pub duration: Duration,
    pub logs: Vec<LogLine>,
}

/// A call that is over.
pub struct Ran<T> {
    pub result: Result<T, CallError>,
    pub usage: Usage,
}

impl<T> Ran<T> {
    /// Makes something of what came out.
    pub fn and_then<U>(self, make: impl FnOnce(T) -> Result<U, CallError>) -> Ran<U> {
        Ran {
            result: self.result.and_then(make),
            usage: self.usage,
        }
    }
}

impl State {
    /// Keeps a line, unless there are enough of them. A call costs the policy little fuel and the
    /// host some time, so a flood of them is ended by its number, and by its size: the runtime
    /// bounds each line by itself only.
    pub fn log(&mut self, level: &'static str, text: &str) -> wasmtime::Result<()> {
        self.log_calls = self.log_calls.saturating_add(1);
        if self.log_calls > self.limits.log_calls {
            return Err(wasmtime::format_err!(
                "it logged more than {} lines",
                self.limits.log_calls
            ));
        }
        self.log_bytes = self.log_bytes.saturating_add(text.len());
        if self.log_bytes > self.limits.log_bytes {
            return Err(wasmtime::format_err!(
                "it logged more than {} bytes",
                self.limits.log_bytes
            ));
        }
        if self.logs.len() < self.limits.log_lines {
            let text = hera_core::acl::printable(text, self.limits.log_line_bytes);
            self.logs.push(LogLine {
                level: level.to_owned(),
                text,
            });
        }
        Ok(())
    }
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired <= self.limits.memory_bytes {
            return Ok(true);
        }
        // Noted, because the error below comes back as text only.
        self.memory_refused = true;
        Err(wasmtime::format_err!("memory limit"))
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= self.limits.table_elements)
    }

    fn instances(&self) -> usize {
        16
    }

    fn tables(&self) -> usize {
        8
    }

    fn memories(&self) -> usize {
        1
    }
}

/// Runs `call` in a fresh store. Whatever happens in it, the store is gone afterwards: nothing
/// of one call is there in the next.
pub fn run<T>(
    engine: &Engine,
    limits: &Limits,
    call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T>,
) -> Ran<T> {
    let started = Instant::now();
    let state = State {
        limits: limits.clone(),
        logs: Vec::new(),
        log_calls: 0,
        log_bytes: 0,
        memory_refused: false,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    if let Err(error) = store.set_fuel(limits.fuel) {
        return Ran {
            result: Err(CallError::Internal(format!("{error:#}"))),
            usage: Usage::default(),
        };
    }
    store.set_epoch_deadline(engine::ticks(limits.deadline));
    store.set_hostcall_fuel(limits.copied_bytes);
    let result = call(&mut store);
    let left = store.get_fuel().unwrap_or_default();
    let state = store.into_data();
    let result = result.map_err(|error| failure(&error, &state));
    Ran {
        result,
        usage: Usage {
            fuel: limits.fuel.saturating_sub(left),
            duration: started.elapsed(),
            logs: state.logs,
        },
    }
}

fn failure(error: &wasmtime::Error, state: &State) -> CallError {
    let limits = &state.limits;
    if state.memory_refused {
        return CallError::Memory {
            limit: limits.memory_bytes,
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => CallError::OutOfFuel { fuel: limits.fuel },
        Some(Trap::Interrupt) => CallError::Timeout {
            millis: limits.deadline.as_millis(),
        },
        Some(trap) => CallError::Trap {
            what: last_words(&trap.to_string(), state),
        },
        None => {
            let root = error.root_cause().to_string();
            // The runtime has no type for this; a test holds the words in place.
            if root.contains("too much data is being copied") {
                return CallError::TooMuchData {
                    limit: limits.copied_bytes,
                };
            }
            CallError::Trap {
                what: last_words(&root, state),
            }
        }
    }
}

/// A panic is a bare `unreachable` to the host; the SDK logs what it says just before.
fn last_words(trap: &str, state: &State) -> String {
    let text = match state.logs.last() {
        Some(line) if line.level == "error" => format!("{}: {trap}", line.text),
        _ => trap.to_owned(),
    };
    hera_core::acl::printable(&text, state.limits.text_bytes)
}
