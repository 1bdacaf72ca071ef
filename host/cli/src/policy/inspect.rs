//! `policy inspect`: what a module is.

use std::path::Path;

use hera_policy::{Inspection, Limits};
use serde::Serialize;

use super::module;
use crate::Verdict;
use crate::output::{Output, bad, strong};

#[derive(Serialize)]
struct Refused {
    reason: &'static str,
    message: String,
}

/// Looks at a file.
///
/// # Errors
/// When it cannot be read.
pub fn run(file: &Path, output: Output) -> anyhow::Result<Verdict> {
    match hera_policy::inspect(&module::read(file)?, &Limits::default()) {
        Ok(inspection) => {
            output.print(&inspection, describe)?;
            Ok(Verdict::Yes)
        }
        Err(error) => {
            let refused = Refused {
                reason: error.reason(),
                message: error.to_string(),
            };
            output.print(&refused, |refused| {
                format!("{} {}\n", bad(refused.reason), refused.message)
            })?;
            Ok(Verdict::No)
        }
    }
}

/// An inspection for people.
pub fn describe(inspection: &Inspection) -> String {
    let limits = Limits::default();
    let decision = match &inspection.decision {
        Some((decision, api)) => format!("{decision}, hera:policy {api}"),
        None => "none that this version knows".to_owned(),
    };
    let sdk = inspection.sdk.as_deref().unwrap_or("not named");
    let rows = [
        ("kind", inspection.kind.to_owned()),
        ("decision", decision),
        ("digest", inspection.digest.clone()),
        (
            "size",
            format!("{} bytes of {}", inspection.bytes, limits.module_bytes),
        ),
        (
            "functions",
            format!(
                "{} of {}, the largest has {} bytes of {}",
                inspection.functions,
                limits.functions,
                inspection.largest_function,
                limits.function_bytes
            ),
        ),
        ("built with SDK", sdk.to_owned()),
        ("imports", inspection.imports.join(", ")),
        ("exports", inspection.exports.join(", ")),
    ];
    rows.into_iter().fold(String::new(), |text, (name, value)| {
        text + &strong(&format!("{name:<15}")) + &value + "\n"
    })
}
