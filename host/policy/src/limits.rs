use std::time::Duration;

/// Bounds on a module and on each call. [`Limits::default`] is what the operator runs with;
/// `docs/policies.md` tells them to authors.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of a module as it stands in the ConfigMap.
    pub module_bytes: usize,
    /// Functions in a module.
    pub functions: u32,
    /// Size of one function's body: what a compiler's time depends on most.
    pub function_bytes: u64,
    /// Core modules within a component. Those of `wit-component` have three.
    pub core_modules: u32,
    /// Components within a component. `wit-component` makes one for each interface that is exported.
    pub components: u32,
    /// Components within each other, the outermost counted.
    pub levels: u32,
    /// Instances of modules and components, with those that a component starts of its own counted
    /// each time that it is started.
    pub instances: u32,
    /// Functions that are lifted or lowered, counted the same.
    pub crossing_functions: u32,
    /// Types, and what component types declare.
    pub types: u32,
    /// Tables, whether they are used or not.
    pub tables: u32,
    /// Fuel of a call. It decides, because it is the same on every machine.
    pub fuel: u64,
    /// Wall clock of a call: the net under fuel.
    pub deadline: Duration,
    /// Linear memory of an instance.
    pub memory_bytes: usize,
    /// Elements of a table, at first and later.
    pub table_elements: usize,
    /// What one call may copy out.
    pub copied_bytes: usize,
    /// Log lines that a call may write.
    pub log_calls: usize,
    /// Bytes of log lines that a call may write.
    pub log_bytes: usize,
    /// Log lines that are kept of a call.
    pub log_lines: usize,
    /// What is kept of a log line.
    pub log_line_bytes: usize,
    /// What is kept of other text from a policy.
    pub text_bytes: usize,
    /// Calls at a time.
    pub calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            module_bytes: 512 << 10,
            functions: 4_000,
            function_bytes: 128 << 10,
            core_modules: 16,
            components: 16,
            levels: 5,
            instances: 64,
            crossing_functions: 256,
            types: 2_000,
            tables: 16,
            fuel: 50_000_000,
            deadline: Duration::from_millis(200),
            memory_bytes: 16 << 20,
            table_elements: 10_000,
            copied_bytes: 1 << 20,
            log_calls: 10_000,
            log_bytes: 16 << 20,
            log_lines: 64,
            log_line_bytes: 512,
            text_bytes: 256,
            calls: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}
