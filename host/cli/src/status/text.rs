//! An object in words.

use hera_api::conditions::{degraded, progressing, ready};
use hera_api::{Phase, PolicyOrigin, PolicyStatus, RedisCluster};
use hera_core::cluster::ClusterView;
use hera_core::instance::{Change, ChangeKind, InstanceView};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::lines::VolumeLine;
use super::topology::Group;
use super::tree::{Node, draw};
use super::{Seen, View, shards};
use crate::named::{CommonStatus, Object};
use crate::output::{bad, faint, good, odd, short, strong};
use crate::rebalance::text::lines;

/// The whole tree.
pub fn describe(seen: &Seen) -> String {
    let status = seen.object.status();
    let mut branches = vec![
        Node::over(
            strong("conditions"),
            status.conditions.iter().map(condition),
        ),
        Node::over(strong("waits"), waits(seen)),
    ];
    branches.extend(servers(seen));
    branches.extend([
        Node::over(strong("volumes"), seen.volumes.iter().map(volume_text)),
        Node::over(
            strong("decided by"),
            status.policies.iter().flat_map(policy_text),
        ),
        Node::over(strong("operator"), operator(seen)),
    ]);
    draw(&head(&seen.object, &status), branches)
}

fn head(object: &Object, status: &CommonStatus<'_>) -> String {
    let phase = status
        .phase
        .map_or("?".to_owned(), |phase| format!("{phase:?}"));
    let phase = match status.is_true(ready::TYPE) && !status.is_true(degraded::TYPE) {
        true => good(&phase),
        false => bad(&phase),
    };
    let server = status
        .engine
        .zip(status.version)
        .map_or("no server yet".to_owned(), |(engine, version)| {
            format!("{engine} {version}")
        });
    let (kind, namespace, name) = (object.kind().name(), object.namespace(), object.name());
    let name = format!("{kind} {namespace}/{name}");
    format!("{}  {phase}  {server}", strong(&name))
}

/// The pods, and what they serve.
fn servers(seen: &Seen) -> Vec<Node> {
    match (&seen.object, &seen.operator) {
        (Object::Instance(_), Some(View::Instance(view))) => of_instance(seen, Some(view)),
        (Object::Instance(_), _) => of_instance(seen, None),
        (Object::Cluster(object), Some(View::Cluster(view))) => {
            of_cluster(object, seen, Some(view))
        }
        (Object::Cluster(object), _) => of_cluster(object, seen, None),
    }
}

fn of_instance(seen: &Seen, view: Option<&InstanceView>) -> Vec<Node> {
    let group = Group {
        pods: seen.pods.iter().collect(),
        states: view.map(|view| view.pods.as_slice()),
        servers: None,
    };
    let pods = Node {
        text: strong("pods"),
        children: group.nodes(),
    };
    let change = strong("last change of the primary");
    vec![pods, Node::over(change, last_change(view))]
}

fn of_cluster(object: &RedisCluster, seen: &Seen, view: Option<&ClusterView>) -> Vec<Node> {
    if is_asleep(seen) {
        return Vec::new();
    }
    let status = object.status.as_ref();
    let known = status.map(|status| status.shards.as_slice());
    let known = known.unwrap_or_default();
    let shards = Node {
        text: strong("shards"),
        children: shards::nodes(known, &seen.pods, view),
    };
    let moves = seen.rebalance.iter();
    let moves = moves.flat_map(|plan| lines(plan, seen.object.namespace(), &seen.target));
    vec![
        Node::over(strong("slots"), shards::slots(known)),
        Node::over(strong("rebalance"), moves),
        shards,
    ]
}

fn condition(condition: &Condition) -> String {
    let expected = match condition.type_.as_str() {
        degraded::TYPE => condition.status == "False",
        progressing::TYPE => true,
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
}

/// What is waited for, what is refused, and what is being done.
fn waits(seen: &Seen) -> Vec<String> {
    let (mut lines, to_approve, under_way) = match &seen.operator {
        None => return to_approve(seen, None),
        Some(View::Instance(view)) => {
            let waits = &view.waits;
            let lines: Vec<String> = waits.waiting_for.as_deref().map(odd).into_iter().collect();
            (lines, waits.to_approve.as_deref(), deeds(view))
        }
        Some(View::Cluster(view)) => (lacks(seen, view), None, Vec::new()),
    };
    lines.extend(self::to_approve(seen, to_approve));
    lines.extend(under_way);
    lines
}

/// Its pods are away as somebody asked for: there is nothing that could be whole.
fn is_asleep(seen: &Seen) -> bool {
    seen.object.status().phase == Some(Phase::Hibernated) && seen.pods.is_empty()
}

/// What a cluster lacks and waits for, beyond what a condition says.
fn lacks(seen: &Seen, view: &ClusterView) -> Vec<String> {
    if is_asleep(seen) {
        return Vec::new();
    }
    let conditions = seen.object.status().conditions;
    let is_said = |words: &str| {
        let mut conditions = conditions.iter();
        conditions.any(|condition| condition.message.contains(words))
    };
    let waits = view.waiting_for.as_ref();
    let lacks = view.lacks.as_ref().filter(|lacks| Some(*lacks) != waits);
    let all = lacks.into_iter().chain(waits);
    all.filter(|words| !is_said(words))
        .map(|words| odd(words))
        .collect()
}

/// The commands that let it go on. `digest`: as the operator knows it, which may be later than the status.
fn to_approve(seen: &Seen, digest: Option<&str>) -> Vec<String> {
    let namespace = seen.object.namespace();
    let approve = |more: &str| {
        let command = format!("kubectl hera approve -n {namespace} {} {more}", seen.target);
        strong(&command)
    };
    let approval = seen.object.status().approval;
    let copies = approval.map(|approval| approval.copies.as_slice());
    if let Some(copies) = copies.filter(|copies| !copies.is_empty()) {
        let choose = copies.iter().map(|copy| {
            let command = approve(&format!("--copy {}", copy.pod));
            format!("choose {} ({} keys): {command}", copy.pod, copy.keys)
        });
        return choose.collect();
    }
    let digest = digest.or(approval.map(|approval| approval.digest.as_str()));
    let go_on = digest.map(|digest| format!("let it go on: {}", approve(digest)));
    go_on.into_iter().collect()
}

/// What is refused, what is being done, and what was done in vain.
fn deeds(view: &InstanceView) -> Vec<String> {
    let mut lines = Vec::new();
    let refused = view.waits.refused.as_ref();
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
        faint(match seen.object {
            Object::Instance(_) => {
                "so roles are those of its last pass, and lag, fences and waits are not known"
            }
            Object::Cluster(_) => {
                "so roles and slots are those of its last pass, and lag, slots that move and waits are not known"
            }
        }),
    ]
}

#[cfg(test)]
mod clusters;
#[cfg(test)]
pub mod tests;
