//! Which backups stay by themselves, whatever log there is.

use std::collections::BTreeSet;

use super::{Doubt, check_clock};
use crate::backup::Keep;

/// The backups that stay, of those that there are: each with its name and the instant that it holds, in milliseconds
/// since 1970. A log may need more of them: [`needed`](super::needed) has these and those.
///
/// # Errors
///
/// [`Doubt`]: none may go.
pub fn needed_simple(
    held: &[(String, u64)],
    keep: &Keep,
    kept: &BTreeSet<String>,
    now_unix_ms: u64,
) -> Result<BTreeSet<String>, Doubt> {
    check_clock(held.iter().map(|(_, instant)| *instant), now_unix_ms)?;
    Ok(stay(held, keep, kept, now_unix_ms))
}

/// The last ones, those that are kept, those of the window, and the one that it begins with.
pub(super) fn stay(
    held: &[(String, u64)],
    keep: &Keep,
    kept: &BTreeSet<String>,
    now_unix_ms: u64,
) -> BTreeSet<String> {
    let mut newest: Vec<&(String, u64)> = held.iter().collect();
    newest.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    // Whatever was ordered, nobody is left without any.
    let last = usize::try_from(keep.last.max(1)).unwrap_or(usize::MAX);
    let of_window = match keep.for_ms {
        Some(for_ms) => {
            let begins = now_unix_ms.saturating_sub(for_ms);
            let later = newest.iter().filter(|(_, instant)| *instant > begins);
            later.count().saturating_add(1)
        }
        None => 0,
    };
    let stay = newest.iter().take(last.max(of_window));
    let kept = held.iter().filter(|(id, _)| kept.contains(id));
    stay.copied()
        .chain(kept)
        .map(|(id, _)| id.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn held(hours: &[u64]) -> Vec<(String, u64)> {
        let named = hours.iter().map(|hour| (format!("b{hour}"), hour * HOUR));
        named.collect()
    }

    fn stays(hours: &[u64], for_hours: Option<u64>, last: u32, kept: &[&str]) -> Vec<String> {
        let keep = Keep {
            for_ms: for_hours.map(|hours| hours * HOUR),
            last,
        };
        let kept = kept.iter().map(|id| (*id).to_owned()).collect();
        let stay = needed_simple(&held(hours), &keep, &kept, 100 * HOUR).unwrap();
        stay.into_iter().collect()
    }

    #[test]
    fn the_window_needs_those_in_it_and_the_one_that_it_begins_with() {
        let hours = [70, 80, 95, 89, 99];
        assert_eq!(stays(&hours, Some(10), 1, &[]), ["b89", "b95", "b99"]);
        assert_eq!(stays(&hours, Some(11), 1, &[]), ["b89", "b95", "b99"]);
        assert_eq!(
            stays(&hours, Some(12), 1, &[]),
            ["b80", "b89", "b95", "b99"]
        );
        assert_eq!(stays(&hours, Some(1_000), 1, &[]).len(), 5);
    }

    #[test]
    fn the_last_ones_and_those_that_somebody_keeps_stay_whatever_their_age() {
        let hours = [10, 20, 30, 40];
        assert_eq!(stays(&hours, Some(1), 2, &[]), ["b30", "b40"]);
        assert_eq!(stays(&hours, None, 2, &[]), ["b30", "b40"]);
        assert_eq!(stays(&hours, None, 1, &["b10", "b7"]), ["b10", "b40"]);
        assert_eq!(stays(&hours, None, 0, &[]), ["b40"]);
        assert_eq!(stays(&[], Some(1), 2, &["b10"]), [""; 0]);
    }

    #[test]
    fn a_clock_that_is_behind_lets_nothing_go() {
        let stays = |now| needed_simple(&held(&[50]), &Keep::default(), &BTreeSet::new(), now);
        assert!(stays(50 * HOUR - 60_000).is_ok());
        let doubt = stays(50 * HOUR - 61_000).unwrap_err();
        assert!(doubt.to_string().contains("61 s"), "{doubt}");
    }
}
