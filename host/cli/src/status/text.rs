//! An instance in words.

use hera_api::{PolicyOrigin, PolicyStatus, RedisInstance};
use hera_core::instance::{Change, ChangeKind, InstanceView};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use super::tree::{Node, draw};
use super::{Seen, VolumeLine, is_true, topology};
use crate::output::{bad, faint, good, odd, short, strong};

/// The whole tree.
pub fn describe(seen: &Seen) -> String {
    let object = &seen.object;
    let status = object.status.clone().unwrap_or_default();
    let phase = status
        .phase
        .map_or("?".to_owned(), |phase| format!("{phase:?}"));
    let phase = match is_true(object, "Ready") && !is_true(object, "Degraded") {
        true => good(&phase),
        false => bad(&phase),
    };
    let server = status
        .engine
        .zip(status.version.clone())
        .map_or("no server yet".to_owned(), |(engine, version)| {
            format!("{engine} {version}")
        });
    let name = format!(
        "RedisInstance {}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    );
    let branches = vec![
        Node::over(strong("conditions"), conditions(object)),
        Node::over(strong("waits"), waits(object, seen.operator.as_ref())),
        Node {
            text: strong("pods"),
            children: topology::pods(&seen.pods, seen.operator.as_ref()),
        },
        Node::over(
            strong("last change of the primary"),
            last_change(seen.operator.as_ref()),
        ),
        Node::over(strong("volumes"), seen.volumes.iter().map(volume_text)),
        Node::over(
            strong("decided by"),
            status.policies.iter().flat_map(policy_text),
        ),
        Node::over(strong("operator"), operator(seen)),
    ];
    draw(&format!("{}  {phase}  {server}", strong(&name)), branches)
}

fn conditions(object: &RedisInstance) -> Vec<String> {
    let all = object.status.iter().flat_map(|status| &status.conditions);
    let leaf = |condition: &Condition| {
        let expected = match condition.type_.as_str() {
            "Degraded" => condition.status == "False",
            "Progressing" => true,
            _ => condition.status == "True",
        };
        let text = format!(
            "{:<14}{:<6}{}",
            condition.type_, condition.status, condition.reason
        );
        let text = if expected { good(&text) } else { odd(&text) };
        match condition.message.as_str() {
            "" => text,
            message => format!("{text}: {message}"),
        }
    };
    all.map(leaf).collect()
}

/// What is waited for, what is refused, and what is being done.
fn waits(object: &RedisInstance, operator: Option<&InstanceView>) -> Vec<String> {
    let Some(view) = operator else {
        return Vec::new();
    };
    let waits = &view.waits;
    let mut lines = Vec::new();
    lines.extend(waits.waiting_for.as_deref().map(odd));
    let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
    let approval = object.status.as_ref().and_then(|s| s.approval.as_ref());
    let copies = approval.map(|approval| approval.copies.as_slice());
    if let Some(copies) = copies.filter(|copies| !copies.is_empty()) {
        lines.extend(copies.iter().map(|copy| {
            let choose = format!(
                "kubectl hera approve -n {namespace} {name} --copy {}",
                copy.pod
            );
            format!(
                "choose {} ({} keys): {}",
                copy.pod,
                copy.keys,
                strong(&choose)
            )
        }));
    } else if let Some(digest) = &waits.to_approve {
        lines.push(format!(
            "let it go on: {}",
            strong(&format!(
                "kubectl hera approve -n {namespace} {name} {digest}"
            ))
        ));
    }
    let refused = waits.refused.as_ref();
    lines.extend(refused.map(|words| format!("{} {words}", bad("refused:"))));
    lines.extend(view.under_way.iter().map(|words| format!("now: {words}")));
    let failed = view.failed.as_ref();
    lines.extend(failed.map(|words| format!("{} {words}", odd("tried in vain, again soon:"))));
    lines
}

fn last_change(operator: Option<&InstanceView>) -> Option<String> {
    let Change {
        kind,
        from,
        to,
        at_unix_ms,
        took_ms,
        reason,
        error,
    } = operator?.last_change.as_ref()?;
    let at = i64::try_from(*at_unix_ms)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map_or("?".to_owned(), |time| time.to_string());
    let what = match (kind, from) {
        (ChangeKind::Handover, Some(from)) => format!("{from} handed over to {to}"),
        (ChangeKind::Handover | ChangeKind::Promotion, _) => format!("{to} was promoted"),
    };
    Some(match error {
        None => format!("{what} at {at}, in {took_ms} ms: {reason}"),
        Some(error) => format!("{} {what} at {at}: {error} ({reason})", bad("failed:")),
    })
}

fn volume_text(volume: &VolumeLine) -> String {
    let size = volume.size.as_deref().unwrap_or("no size yet");
    let class = volume.class.as_deref().unwrap_or("no class");
    format!("{}  {}  {size}  {class}", volume.name, volume.phase)
}

fn origin(source: Option<&PolicyOrigin>) -> String {
    source.map_or("nobody".to_owned(), ToString::to_string)
}

fn policy_text(policy: &PolicyStatus) -> Vec<String> {
    let digest = policy.digest.as_deref().map_or("no module", short);
    let source = origin(policy.source.as_ref());
    let mut lines = vec![format!("{}  {source}  {digest}", policy.decision)];
    if let Some(error) = &policy.error {
        lines.push(format!("  {}", odd(error)));
    }
    if let Some(shadow) = &policy.shadow {
        let digest = shadow.digest.as_deref().map_or("no module", short);
        let message = shadow.message.as_deref().unwrap_or_default();
        lines.push(format!(
            "  in the shadow: {}  {digest}  {:?}  {message}",
            origin(shadow.source.as_ref()),
            shadow.verdict
        ));
    }
    lines
}

/// Said only where something is missing.
fn operator(seen: &Seen) -> Vec<String> {
    let Some(error) = &seen.operator_error else {
        return Vec::new();
    };
    vec![
        format!("{} {error}", odd("cannot be asked:")),
        faint("so roles are those of its last pass, and lag, fences and waits are not known"),
    ]
}

#[cfg(test)]
mod tests;
