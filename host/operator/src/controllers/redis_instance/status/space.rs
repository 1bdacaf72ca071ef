//! What conditions say of volumes that are full, or nearly so.

use hera_api::conditions::{degraded, ready};
use hera_core::agent::{RefusedWrites, Space};
use hera_core::instance::{ShortOfSpace, Verdict};

/// Reason and words of `Ready` while the primary refuses writes.
pub fn not_ready(pod: &str, refused: &RefusedWrites) -> (&'static str, String) {
    match refused.full {
        true => {
            let words = format!(
                "the volume of {pod} is full{}, and its server refuses writes: {}; reads work. Set \
                 spec.persistence.size higher",
                free(refused),
                refused.words
            );
            (ready::VOLUME_FULL, words)
        }
        false => {
            let words = format!(
                "the server of {pod} refuses writes{}: {}; reads work. The log of the pod says more",
                free(refused),
                refused.words
            );
            (ready::WRITES_REFUSED, words)
        }
    }
}

/// True for the reasons of [`not_ready`].
pub fn refuses_writes(reason: &str) -> bool {
    matches!(reason, ready::VOLUME_FULL | ready::WRITES_REFUSED)
}

/// In steps: nothing that traffic drives is in the status.
fn free(refused: &RefusedWrites) -> String {
    refused
        .free_below_mib
        .map_or(String::new(), |mib| format!(" (less than {mib} MiB free)"))
}

/// What keeps pods from writing: a reason of `Degraded`, and words.
pub fn full(verdict: &Verdict) -> Option<(&'static str, String)> {
    let all = &verdict.short_of_space;
    let unwritten = each(all, |short| {
        let words = short.volume.state_error.as_ref()?;
        Some(format!("{} cannot write its own state: {words}", short.pod))
    });
    if let Some(words) = unwritten {
        return Some((degraded::STATE_NOT_WRITTEN, words));
    }
    let full = each(all, |short| match &short.volume.refused_writes {
        Some(refused) if refused.full => {
            let (pod, free) = (&short.pod, free(refused));
            Some(format!(
                "the volume of {pod} is full{free}: {}",
                refused.words
            ))
        }
        None if short.volume.space == Space::Full => {
            Some(format!("the volume of {} is full", short.pod))
        }
        _ => None,
    });
    if let Some(words) = full {
        let words = format!("{words}. Set spec.persistence.size higher");
        return Some((degraded::VOLUME_FULL, words));
    }
    let refused = each(all, |short| {
        let refused = short.volume.refused_writes.as_ref()?;
        Some(format!("{}{}: {}", short.pod, free(refused), refused.words))
    });
    refused.map(|words| (degraded::WRITES_REFUSED, words))
}

/// The early warning: a reason of `Degraded`, and words.
pub fn nearly_full(verdict: &Verdict) -> Option<(&'static str, String)> {
    let low = |short: &ShortOfSpace| (short.volume.space == Space::Low).then(|| short.pod.clone());
    let mut pods = verdict.short_of_space.iter().filter_map(low).peekable();
    pods.peek()?;
    let words = format!(
        "less is free on the volume of {} than the file takes that holds the data, which is written anew \
         beside the old one: set spec.persistence.size higher",
        pods.collect::<Vec<_>>().join(", ")
    );
    Some((degraded::VOLUME_NEARLY_FULL, words))
}

fn each(all: &[ShortOfSpace], say: impl Fn(&ShortOfSpace) -> Option<String>) -> Option<String> {
    let words: Vec<_> = all.iter().filter_map(say).collect();
    (!words.is_empty()).then(|| words.join("; "))
}
