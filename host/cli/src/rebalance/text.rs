//! A plan in words, tables and bars.

use hera_api::{RebalanceMode, RebalancePhase};

use super::plan::{BYTES_PER_SECOND, Plan, Planned, SLOTS_PER_SECOND, ShardChange};
use super::progress::{MoveLeft, Progress};
use crate::named::Target;
use crate::output::{bad, bar, faint, good, lasting, odd, size, strong, table};

/// Of a bar of the whole plan.
const WIDE: u64 = 32;
/// Moves that are listed in a status.
const MOST_MOVES: usize = 8;
/// Longest list of ranges on a line.
const LONGEST: usize = 40;

/// The plan, and every shard before and after it.
pub fn plan(plan: &Plan, target: &Target) -> String {
    let name = strong(&format!("RedisCluster {}/{}", plan.namespace, plan.name));
    let Some(progress) = &plan.progress else {
        return nothing(plan, &name);
    };
    let mut text = format!("{name}  {}\n", head(plan, progress));
    text.extend(why(progress).map(|line| line + "\n"));
    text.push_str(&moves(&plan.moves));
    text.push_str(&shards(&plan.shards));
    text.extend(plan.sizes_error.iter().map(|error| {
        let words = format!("sizes are not known: {error}");
        faint(&words) + "\n"
    }));
    text.extend(
        next(progress, &plan.namespace, target)
            .iter()
            .map(|line| format!("{line}\n")),
    );
    text
}

fn nothing(plan: &Plan, name: &str) -> String {
    let words = match plan.mode {
        RebalanceMode::Disabled => odd("nothing moves: rebalance.mode is Disabled"),
        RebalanceMode::Auto | RebalanceMode::Approve => good("nothing is to move"),
    };
    format!("{name}  {words}\n{}", shards(&plan.shards))
}

/// What is waited for, and why it is to move.
fn why(progress: &Progress) -> impl Iterator<Item = String> {
    let waits = progress.waiting_for.as_deref().map(odd);
    waits.into_iter().chain(progress.reason.clone())
}

/// How much it is, and how long it takes.
fn head(plan: &Plan, progress: &Progress) -> String {
    if progress.slots == 0 {
        return phase(progress.phase);
    }
    let bytes = plan.bytes_left;
    let bytes = bytes.map_or(String::new(), |bytes| format!(", about {}", size(bytes)));
    let took = plan.seconds_left.map_or(String::new(), |seconds| {
        let pace = match progress.slots_per_minute {
            Some(_) => String::new(),
            None => format!(
                " at {SLOTS_PER_SECOND} slots and {} MB a second",
                BYTES_PER_SECOND / 1_000_000
            ),
        };
        format!(", about {}{pace}", lasting(seconds))
    });
    let (left, slots) = (progress.left, progress.slots);
    format!(
        "{}  {left} of {slots} slots left{bytes}{took}",
        phase(progress.phase)
    )
}

fn phase(phase: RebalancePhase) -> String {
    let word = format!("{phase:?}");
    match phase {
        RebalancePhase::Settled | RebalancePhase::Moving => good(&word),
        RebalancePhase::Planned | RebalancePhase::Paused | RebalancePhase::Waiting => odd(&word),
    }
}

fn moves(moves: &[Planned]) -> String {
    if moves.is_empty() {
        return String::new();
    }
    let row = |step: &Planned| {
        vec![
            format!("shard {}", step.source),
            format!("shard {}", step.target),
            step.count.to_string(),
            step.left.to_string(),
            step.bytes.map_or_else(|| "-".to_owned(), size),
            cut(&step.slots),
        ]
    };
    let rows: Vec<Vec<String>> = moves.iter().map(row).collect();
    let head = ["FROM", "TO", "SLOTS", "LEFT", "SIZE", "RANGES"];
    format!("\n{}", table(&head, &rows))
}

/// The first of many ranges; programs get all of them.
fn cut(ranges: &str) -> String {
    if ranges.len() <= LONGEST {
        return ranges.to_owned();
    }
    let mut shown = String::new();
    let mut left = ranges.split(' ').count();
    for range in ranges.split(' ') {
        if shown.len() + range.len() >= LONGEST {
            break;
        }
        shown = format!("{shown}{range} ");
        left -= 1;
    }
    format!("{shown}and {left} more")
}

/// A table, and two bars for each that changes: as long as its share of the largest.
fn shards(shards: &[ShardChange]) -> String {
    if shards.is_empty() {
        return String::new();
    }
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), size);
    let row = |shard: &ShardChange| {
        vec![
            shard.id.to_string(),
            shard.slots.to_string(),
            shard.slots_after.to_string(),
            bytes(shard.used_bytes),
            bytes(shard.used_bytes_after),
            bytes(shard.max_bytes),
        ]
    };
    let rows: Vec<Vec<String>> = shards.iter().map(row).collect();
    let head = ["SHARD", "SLOTS", "AFTER", "MEMORY", "AFTER", "OF"];
    let most = shards
        .iter()
        .map(|shard| shard.slots.max(shard.slots_after));
    let most = most.max().unwrap_or_default();
    let mut text = format!("\n{}\n", table(&head, &rows));
    for shard in shards {
        let name = format!("shard {:<4}", shard.id);
        text.push_str(&format!("{name} {}\n", share(shard.slots, most)));
        if shard.slots_after != shard.slots {
            let after = share(shard.slots_after, most);
            text.push_str(&format!("{:>10} {after}\n", "after"));
        }
    }
    text + "\n"
}

fn share(slots: usize, most: usize) -> String {
    format!("{} {slots}", bar(number(slots), number(most), WIDE))
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What somebody may do about it.
fn next(progress: &Progress, namespace: &str, target: &Target) -> Option<String> {
    let command = |what: &str| {
        let command = format!("kubectl hera rebalance {what} -n {namespace} {target}");
        strong(&command)
    };
    match progress.phase {
        RebalancePhase::Planned => {
            let digest = progress.digest.as_deref().unwrap_or_default();
            let approve = strong(&format!(
                "kubectl hera rebalance approve -n {namespace} {target} {digest}"
            ));
            Some(format!("let it go on: {approve}"))
        }
        RebalancePhase::Paused => Some(format!("let it go on: {}", command("resume"))),
        RebalancePhase::Moving => Some(format!(
            "let it rest: {}  drop it: {}",
            command("pause"),
            command("cancel")
        )),
        RebalancePhase::Settled | RebalancePhase::Waiting => None,
    }
}

/// Lines of a status: how far it is, why, and between which shards.
pub fn lines(progress: &Progress, namespace: &str, target: &Target) -> Vec<String> {
    let (slots, left) = (progress.slots, progress.left);
    let mut first = phase(progress.phase);
    if slots > 0 {
        let done = bar(number(slots - left.min(slots)), number(slots), WIDE);
        first = format!("{first}  {done}  {left} of {slots} slots left");
    }
    if let Some(rate) = progress.slots_per_minute {
        first = format!("{first}, {}", pace(rate));
    }
    if let Some(seconds) = progress.seconds_left {
        first = format!("{first}, about {}", lasting(seconds));
    }
    let mut lines = vec![first];
    lines.extend(why(progress));
    let open = progress.moves.iter().filter(|step| step.left > 0);
    let open: Vec<&MoveLeft> = open.collect();
    lines.extend(open.iter().take(MOST_MOVES).map(|step| between(step)));
    let more = open.len().saturating_sub(MOST_MOVES);
    if more > 0 {
        lines.push(faint(&format!("and between {more} more pairs of shards")));
    }
    if progress.phase == RebalancePhase::Planned {
        let show = strong(&format!(
            "kubectl hera rebalance plan -n {namespace} {target}"
        ));
        lines.push(format!("see what it is: {show}"));
    }
    if progress.phase != RebalancePhase::Moving {
        lines.extend(next(progress, namespace, target));
    }
    lines
}

fn between(step: &MoveLeft) -> String {
    let MoveLeft {
        source,
        target,
        slots,
        left,
    } = step;
    format!("shard {source} to {target}: {left} of {slots} left")
}

fn pace(slots_per_minute: u64) -> String {
    match slots_per_minute {
        0 => bad("less than a slot a minute"),
        few @ ..60 => format!("{few} slots a minute"),
        many => format!("{} slots a second", many / 60),
    }
}
