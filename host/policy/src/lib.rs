//! Runs policies: sandboxed WebAssembly components that answer the operator's questions.
