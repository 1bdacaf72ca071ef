//! What a module is, without running anything of it.

use serde::Serialize;
use wasmparser::{Encoding, Parser, Payload};

use crate::check::{check_interfaces, check_size, contract, is_core_module, text};
use crate::load::encode;
use crate::{Decision, Limits, LoadError, shape};

/// Custom section that the SDK leaves, with its version.
const SDK_SECTION: &str = "hera-policy-sdk";

/// What a module is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// `sha256:<hex>` of the file as it is.
    pub digest: String,
    /// Its size.
    pub bytes: usize,
    /// `core module`, as cargo makes it, or `component`.
    pub kind: &'static str,
    /// The decision that it makes, with the version of the contract: `acl`, `0.1`.
    pub decision: Option<(String, String)>,
    /// Version of the SDK that it was built with, if it says so.
    pub sdk: Option<String>,
    /// What it imports, once it is a component.
    pub imports: Vec<String>,
    /// What it exports, once it is a component.
    pub exports: Vec<String>,
    /// Functions in it.
    pub functions: u32,
    /// Size of its largest function.
    pub largest_function: u64,
}

/// Looks at a module. That it passes says nothing about a trial compile.
///
/// # Errors
///
/// [`LoadError`]: it is no WebAssembly, or breaks a limit on size.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Inspection, LoadError> {
    check_size(bytes, limits)?;
    let core = is_core_module(bytes)?;
    let encoded = if core {
        encode(bytes, limits).ok()
    } else {
        None
    };
    let component = if core {
        encoded.as_deref()
    } else {
        Some(bytes)
    };
    let (imports, exports) = component.map_or((vec![], vec![]), interfaces);
    let decision = exports.iter().find_map(|export| {
        let (name, (major, minor)) = contract(export)?;
        Some((name.to_owned(), format!("{major}.{minor}")))
    });
    let (functions, largest_function, sdk) = measures(bytes);
    Ok(Inspection {
        digest: hera_core::digest::of(bytes),
        bytes: bytes.len(),
        kind: if core { "core module" } else { "component" },
        decision,
        sdk,
        imports,
        exports,
        functions,
        largest_function,
    })
}

/// Everything that can be refused without compiling, for one decision.
///
/// # Errors
///
/// [`LoadError`], with what its author can do.
pub fn check<D: Decision>(bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    check_size(bytes, limits)?;
    let encoded = if is_core_module(bytes)? {
        Some(encode(bytes, limits)?)
    } else {
        None
    };
    let component = encoded.as_deref().unwrap_or(bytes);
    shape::check(component, limits)?;
    check_interfaces(component, D::NAME, D::VERSIONS)
}

/// Names that the outermost component imports and exports.
fn interfaces(component: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_u32);
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        match payload {
            Payload::Version { encoding, .. } => {
                depth = depth.saturating_add(1);
                if depth == 1 && encoding != Encoding::Component {
                    break;
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                let names = section.into_iter().map_while(Result::ok);
                imports.extend(names.map(|import| text(import.name.name)));
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                let names = section.into_iter().map_while(Result::ok);
                exports.extend(names.map(|export| text(export.name.name)));
            }
            _ => {}
        }
    }
    (imports, exports)
}

fn measures(bytes: &[u8]) -> (u32, u64, Option<String>) {
    let (mut functions, mut largest, mut sdk) = (0_u32, 0_u64, None);
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        match payload {
            Payload::CodeSectionStart { count, .. } => functions = functions.saturating_add(count),
            Payload::CodeSectionEntry(body) => {
                let range = body.range();
                largest = largest.max(range.end.saturating_sub(range.start));
            }
            Payload::CustomSection(section) if section.name() == SDK_SECTION => {
                sdk = std::str::from_utf8(section.data()).ok().map(text);
            }
            _ => {}
        }
    }
    (functions, largest, sdk)
}
