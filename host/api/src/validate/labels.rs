//! Labels and annotations: what Kubernetes would refuse only when a child is written.

use std::collections::BTreeMap;

use super::error::Problems;

/// The keys of labels, annotations or a selector.
pub(super) fn check_keys(field: &str, map: &BTreeMap<String, String>, problems: &mut Problems) {
    for key in map.keys().filter(|key| !is_qualified_name(key)) {
        problems.add(
            field,
            format!("{key:?} is no key for it: write name or domain.example/name"),
        );
    }
}

/// The values of labels or a selector.
pub(super) fn check_values(field: &str, map: &BTreeMap<String, String>, problems: &mut Problems) {
    let bad = |value: &String| !value.is_empty() && !is_label_name(value);
    for (key, value) in map.iter().filter(|(_, value)| bad(value)) {
        problems.add(
            field,
            format!(
                "{value:?} is no value for {key}: at most 63 letters, digits, '-', '_' and '.'"
            ),
        );
    }
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_dns_name(prefix) && is_label_name(name),
        None => is_label_name(key),
    }
}

/// The name of an object of Kubernetes, or of a domain.
pub(super) fn is_dns_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_part)
}

/// The name of a namespace.
pub(super) fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && is_part(name)
}

/// A part of the name of a domain, however long.
fn is_part(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_label_name(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    name.len() <= 63
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
