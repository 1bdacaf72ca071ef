use serde::{Deserialize, Serialize};

use crate::Part;

/// The sandbox itself could not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy sandbox does not start: {0}")]
pub struct StartError(pub String);

/// Why a module cannot be a policy. Each message tells its author what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LoadError {
    /// More bytes than a module may have.
    #[error(
        "the module has {bytes} bytes, {limit} are allowed; build it with opt-level \"z\", lto and strip"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// More functions than a module may have.
    #[error("the module has more than {limit} functions; leave out dependencies or enable lto")]
    TooManyFunctions {
        /// The limit.
        limit: u32,
    },
    /// One function is larger than a function may be.
    #[error(
        "a function of the module has {bytes} bytes, {limit} are allowed; split it, or move its tables into data"
    )]
    FunctionTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It is put together from more than a module may be.
    #[error("the module has more than {limit} {part}; {}", .part.advice())]
    TooManyParts {
        /// Of what there are too many.
        part: Part,
        /// The limit.
        limit: u32,
    },
    /// How large it is shows only when its components were given to each other.
    #[error(
        "the module hands components to components, as imports or out of instances; let each instantiate those that are defined in it"
    )]
    ComponentsAsValues,
    /// Not WebAssembly, or damaged.
    #[error("this is no intact WebAssembly module: {0}; put the file into binaryData, unchanged")]
    Malformed(String),
    /// A core module that does not say which world it implements.
    #[error(
        "this is a plain core module that implements no world; build a cdylib with hera-policy-sdk and the export macro of one decision, as export_acl_policy!(Type), for wasm32-unknown-unknown"
    )]
    NoWorld,
    /// It implements something else.
    #[error("the module does not implement the world {expected}; it exports {found}")]
    WrongWorld {
        /// What this decision needs.
        expected: String,
        /// What was found.
        found: String,
    },
    /// It wants files, clocks, sockets.
    #[error(
        "the module imports {0}: a policy gets no WASI; build for wasm32-unknown-unknown, not wasm32-wasip1 or wasm32-wasip2"
    )]
    WasiImports(String),
    /// It wants something that no policy gets.
    #[error("the module imports {0}: a policy may import hera:policy/log only")]
    UnknownImports(String),
    /// It was built for a later operator.
    #[error(
        "the module wants hera:policy {found}, this operator offers up to {newest}; update the operator or build with an older hera-policy-sdk"
    )]
    NewerApi {
        /// What the module was built with.
        found: String,
        /// What this operator has.
        newest: String,
    },
    /// The compiler refused it.
    #[error("the module does not compile: {0}")]
    CompileFailed(String),
    /// Compiling it takes more than a module may cost.
    #[error("compiling the module takes too much {what}; make its functions smaller or fewer")]
    TooCostly {
        /// What ran out: processor time or memory, with the limit.
        what: String,
    },
    /// Too many modules of one namespace wait to be compiled.
    #[error("{waiting} modules of this namespace wait to be compiled already")]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// It compiled but does not start.
    #[error("the module does not start: {0}")]
    InstantiateFailed(String),
    /// A fault of the operator, not of the module.
    #[error("the module could not be loaded: {0}")]
    Internal(String),
}

impl LoadError {
    /// For conditions and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "TooLarge",
            Self::TooManyFunctions { .. } => "TooManyFunctions",
            Self::FunctionTooLarge { .. } => "FunctionTooLarge",
            Self::TooManyParts { .. } => "TooManyParts",
            Self::ComponentsAsValues => "ComponentsAsValues",
            Self::Malformed(_) => "Malformed",
            Self::NoWorld => "NoWorld",
            Self::WrongWorld { .. } => "WrongWorld",
            Self::WasiImports(_) => "WasiImports",
            Self::UnknownImports(_) => "UnknownImports",
            Self::NewerApi { .. } => "NewerApi",
            Self::CompileFailed(_) => "CompileFailed",
            Self::TooCostly { .. } => "TooCostly",
            Self::QueueFull { .. } => "QueueFull",
            Self::InstantiateFailed(_) => "InstantiateFailed",
            Self::Internal(_) => "Internal",
        }
    }

    /// False if the same bytes may load the next time: such a failure is not remembered.
    pub const fn is_lasting(&self) -> bool {
        !matches!(self, Self::Internal(_) | Self::QueueFull { .. })
    }
}

/// Why a call gave no answer. All text in it is printable and bounded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The policy crashed, most often by a panic.
    #[error("the policy crashed: {what}")]
    Trap {
        /// The trap, and the last line that the policy logged.
        what: String,
    },
    /// The fuel of a call is spent.
    #[error(
        "the policy used up its fuel ({fuel}); it loops, or does far too much for one decision"
    )]
    OutOfFuel {
        /// The limit.
        fuel: u64,
    },
    /// The wall clock ran out. On a busy machine that is no fault of the policy.
    #[error("the policy did not answer within {millis} ms")]
    Timeout {
        /// The limit.
        millis: u128,
    },
    /// It wanted more memory than it may have.
    #[error("the policy wanted more than {limit} bytes of memory")]
    Memory {
        /// The limit.
        limit: usize,
    },
    /// Its answer or a log line is too large to take out.
    #[error("the policy's answer is larger than {limit} bytes")]
    TooMuchData {
        /// The limit.
        limit: usize,
    },
    /// The policy says that its settings are wrong.
    #[error("the policy refuses its settings: {0}")]
    InvalidSettings(String),
    /// The policy says that it has no answer.
    #[error("the policy has no answer: {0}")]
    Refused(String),
    /// A fault of the operator, not of the policy.
    #[error("the call could not be made: {0}")]
    Internal(String),
}

impl CallError {
    /// For conditions and metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "Trap",
            Self::OutOfFuel { .. } => "OutOfFuel",
            Self::Timeout { .. } => "Timeout",
            Self::Memory { .. } => "MemoryLimit",
            Self::TooMuchData { .. } => "OutputTooLarge",
            Self::InvalidSettings(_) => "InvalidSettings",
            Self::Refused(_) => "Refused",
            Self::Internal(_) => "Internal",
        }
    }

    /// True if the policy is to blame: three such answers in a row set it aside.
    pub const fn is_fault(&self) -> bool {
        !matches!(self, Self::Timeout { .. } | Self::Internal(_))
    }
}
