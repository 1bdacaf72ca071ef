//! What a core module says about its world, looked at before the encoder acts on it.

use std::collections::{BTreeMap, BTreeSet};

use wasmparser::{Parser, Payload};
use wit_parser::decoding::decode_world;

use crate::check::malformed;
use crate::{Limits, LoadError, shape};

/// Custom sections that describe a world; one for each set of bindings that was linked in.
const SECTIONS: &str = "component-type";

/// Whether the module describes its world in a way that has an end: packages that depend on each
/// other send wit-parser (0.263) round in circles until its stack is used up, which ends the process.
///
/// # Errors
///
/// [`LoadError::NoWorld`] without a description, [`LoadError::TooManyParts`] for one without measure,
/// [`LoadError::Malformed`] for one that makes no sense.
pub fn check(module: &[u8], limits: &Limits) -> Result<(), LoadError> {
    // By name, over all sections: the encoder merges them.
    let mut packages = BTreeMap::<String, BTreeSet<String>>::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::CustomSection(section) = payload.map_err(malformed)? else {
            continue;
        };
        if !section.name().starts_with(SECTIONS) {
            continue;
        }
        // It is a component itself, of types.
        shape::check(section.data(), limits)?;
        let (resolve, _) = decode_world(section.data()).map_err(malformed)?;
        for (id, package) in resolve.packages.iter() {
            let needed = resolve.package_direct_deps(id);
            let needed = needed.filter_map(|id| resolve.packages.get(id));
            let needed = needed.map(|package| package.name.to_string());
            let name = package.name.to_string();
            packages.entry(name).or_default().extend(needed);
        }
    }
    if packages.is_empty() {
        return Err(LoadError::NoWorld);
    }
    match circle(packages) {
        None => Ok(()),
        Some(names) => {
            let words = format!("packages of its world depend on each other: {names}");
            Err(malformed(words))
        }
    }
}

/// The packages that are left once all are gone that need nothing of what is left.
fn circle(mut packages: BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    loop {
        let known: BTreeSet<String> = packages.keys().cloned().collect();
        packages.retain(|_, needed| needed.iter().any(|name| known.contains(name)));
        if packages.is_empty() {
            return None;
        }
        if packages.len() == known.len() {
            let names: Vec<String> = known.into_iter().collect();
            return Some(names.join(", "));
        }
    }
}
