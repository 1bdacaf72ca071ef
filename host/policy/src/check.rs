//! What is looked at before anything is compiled.

use wasmparser::{Encoding, Parser, Payload};

use crate::{Limits, LoadError};

/// A version of the contract: major and minor.
pub type Version = (u64, u64);

/// What a module must export to make a decision.
fn export_of(decision: &str, (major, minor): Version) -> String {
    format!("hera:policy/{decision}@{major}.{minor}.0")
}

/// Walks the whole binary, nested modules included: malformed input is found here as an error,
/// and what makes a compiler slow is bounded.
pub fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    if bytes.len() > limits.module_bytes {
        return Err(LoadError::TooLarge {
            bytes: bytes.len(),
            limit: limits.module_bytes,
        });
    }
    let mut functions = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::CodeSectionStart { count, .. } => {
                functions = functions.saturating_add(count);
                if functions > limits.functions {
                    return Err(LoadError::TooManyFunctions {
                        limit: limits.functions,
                    });
                }
            }
            Payload::CodeSectionEntry(body) => {
                let bytes = body.range().end.saturating_sub(body.range().start);
                if bytes > limits.function_bytes {
                    return Err(LoadError::FunctionTooLarge {
                        bytes,
                        limit: limits.function_bytes,
                    });
                }
            }
            Payload::ImportSection(imports) => {
                // Modules nested in a component import from each other; the component's own
                // imports are looked at in `check_interfaces`. Only this name is telling.
                for import in imports.into_imports() {
                    let module = import.map_err(malformed)?.module;
                    if module.starts_with("wasi_") || module.starts_with("wasi:") {
                        return Err(LoadError::WasiImports(text(module)));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Looks at what a component imports and exports, by name and version; `versions` are those that the
/// host serves, the newest last.
pub fn check_interfaces(
    component: &[u8],
    decision: &str,
    versions: &[Version],
) -> Result<(), LoadError> {
    let newest = versions.last().copied().unwrap_or_default();
    let mut depth = 0_u32;
    let mut exports = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            Payload::Version { .. } => depth = depth.saturating_add(1),
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    check_import(import.map_err(malformed)?.name.name, versions)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    if exports.iter().any(|export| {
        contract(export)
            .is_some_and(|(name, version)| name == decision && versions.contains(&version))
    }) {
        return Ok(());
    }
    let newer = exports
        .iter()
        .find_map(|export| contract(export).filter(|(_, version)| *version > newest));
    if let Some((_, version)) = newer {
        return Err(newer_api(version, newest));
    }
    let found = if exports.is_empty() {
        "nothing".to_owned()
    } else {
        text(&exports.join(", "))
    };
    Err(LoadError::WrongWorld {
        expected: export_of(decision, newest),
        found,
    })
}

/// True for a core module, false for a component.
///
/// # Errors
///
/// [`LoadError::Malformed`] if it is neither.
pub fn is_core_module(bytes: &[u8]) -> Result<bool, LoadError> {
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding == Encoding::Module),
        Some(Err(error)) => Err(malformed(error)),
        _ => Err(LoadError::Malformed("it has no header".to_owned())),
    }
}

fn check_import(name: &str, versions: &[Version]) -> Result<(), LoadError> {
    let newest = versions.last().copied().unwrap_or_default();
    if name.starts_with("wasi:") {
        return Err(LoadError::WasiImports(text(name)));
    }
    match contract(name) {
        Some((_, version)) if versions.contains(&version) => Ok(()),
        Some((_, version)) if version > newest => Err(newer_api(version, newest)),
        _ => Err(LoadError::UnknownImports(text(name))),
    }
}

/// `hera:policy/acl@0.1.0` into `acl` and `(0, 1)`.
pub fn contract(name: &str) -> Option<(&str, Version)> {
    let (interface, version) = name.strip_prefix("hera:policy/")?.split_once('@')?;
    let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
    Some((
        interface,
        (parts.next()??, parts.next().unwrap_or(Some(0))?),
    ))
}

fn newer_api(found: Version, newest: Version) -> LoadError {
    let text = |(major, minor): Version| format!("{major}.{minor}");
    LoadError::NewerApi {
        found: text(found),
        newest: text(newest),
    }
}

pub fn malformed(error: impl std::fmt::Display) -> LoadError {
    LoadError::Malformed(text(&format!("{error:#}")))
}

/// Text about or from a module, fit for a message.
pub fn text(text: &str) -> String {
    hera_core::acl::printable(text, 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_name_has_interface_and_version() {
        assert_eq!(contract("hera:policy/acl@0.1.0"), Some(("acl", (0, 1))));
        assert_eq!(contract("hera:policy/acl@1.2.3"), Some(("acl", (1, 2))));
        assert_eq!(contract("hera:policy/acl"), None);
        assert_eq!(contract("wasi:io/poll@0.2.6"), None);
    }

    #[test]
    fn imports_are_told_apart() {
        let check = |name| check_import(name, &[(0, 1)]);
        let refused = |name| check(name).unwrap_err().reason();
        assert_eq!(check("hera:policy/log@0.1.0"), Ok(()));
        assert_eq!(refused("hera:policy/log@0.2.0"), "NewerApi");
        assert_eq!(refused("wasi:io/poll@0.2.6"), "WasiImports");
        assert_eq!(refused("env"), "UnknownImports");
    }
}
