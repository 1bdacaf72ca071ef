use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that a module may be put together from, up to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Core modules in a component.
    CoreModules,
    /// Components in a component.
    Components,
    /// Components within each other.
    Levels,
    /// Instances of modules and components, unfolded.
    Instances,
    /// Functions that are lifted or lowered, unfolded.
    CrossingFunctions,
    /// Types and what they declare.
    Types,
    /// Tables.
    Tables,
    /// What a table holds at first.
    TableElements,
}

impl Part {
    /// What an author does about too many of them.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::CoreModules | Self::Components | Self::Levels | Self::Instances => {
                "link what it needs into one core module instead of composing components"
            }
            Self::CrossingFunctions | Self::Types => {
                "leave out interfaces and dependencies that the policy does not need"
            }
            Self::Tables | Self::TableElements => {
                "leave it to the linker to make one table, of the functions that are called by address"
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CoreModules => "core modules in it",
            Self::Components => "components in it",
            Self::Levels => "levels of components in each other",
            Self::Instances => "instances",
            Self::CrossingFunctions => "functions between its components",
            Self::Types => "types",
            Self::Tables => "tables",
            Self::TableElements => "elements in a table",
        })
    }
}
