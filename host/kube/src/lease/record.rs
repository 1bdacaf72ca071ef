//! What stands on the Lease, read and written.

use hera_core::term;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;
use kube::api::ObjectMeta;

use super::decide::Record;
use super::{ANNOTATION_TERM, ANNOTATION_TERMS_LOST, DURATION, LeaseName};

/// What the decision needs of it. A Lease of an earlier release has no annotation: its transitions count
/// then. They reach no further than `i32::MAX`, and one that was led has some.
pub(super) fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let transitions = spec
        .lease_transitions
        .and_then(|count| u64::try_from(count).ok())
        .unwrap_or(0);
    let text = lease.annotations().get(ANNOTATION_TERM);
    let written = text
        .and_then(|text| text.trim().parse().ok())
        .filter(|term| term::is_term(*term));
    let reach = u64::from(i32::MAX.unsigned_abs());
    let damaged = match (text, written) {
        // Both are written at once: who set one of them back may have forgotten the other.
        (_, Some(term)) => term < transitions,
        (Some(_), None) => true,
        (None, None) => transitions == 0 || transitions == reach,
    };
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        term: written.unwrap_or(0).max(transitions),
        damaged,
        renewal: lease.resource_version().unwrap_or_default(),
    }
}

/// True where terms may have been given that nobody remembers.
pub(super) fn is_lost(lease: &Lease) -> bool {
    lease.annotations().contains_key(ANNOTATION_TERMS_LOST)
}

/// The Lease as `holder` writes it in place of the one that was read: its `resourceVersion` goes along.
pub(super) fn lease_of(
    live: Option<&Lease>,
    name: &LeaseName,
    holder: &str,
    term: u64,
    lost: bool,
) -> Lease {
    let now = Timestamp::now();
    let before = live
        .and_then(|lease| lease.spec.clone())
        .unwrap_or_default();
    let same_holder = before.holder_identity.as_deref() == Some(holder);
    let mut annotations = live
        .map(|lease| lease.annotations().clone())
        .unwrap_or_default();
    annotations.insert(ANNOTATION_TERM.to_owned(), term.to_string());
    if lost {
        annotations
            .entry(ANNOTATION_TERMS_LOST.to_owned())
            .or_insert_with(|| now.to_string());
    }
    Lease {
        metadata: ObjectMeta {
            name: Some(name.name.clone()),
            namespace: Some(name.namespace.clone()),
            resource_version: live.and_then(ResourceExt::resource_version),
            labels: live.and_then(|lease| lease.metadata.labels.clone()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            // In step with the term as far as it reaches, for an operator of an earlier release.
            lease_transitions: Some(i32::try_from(term).unwrap_or(i32::MAX)),
            acquire_time: before
                .acquire_time
                .filter(|_| same_holder)
                .or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(transitions: Option<i32>, term: Option<&str>) -> Lease {
        let term = term.map(|term| (ANNOTATION_TERM.to_owned(), term.to_owned()));
        Lease {
            metadata: ObjectMeta {
                annotations: Some(term.into_iter().collect()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                lease_transitions: transitions,
                ..LeaseSpec::default()
            }),
        }
    }

    fn read(transitions: Option<i32>, term: Option<&str>) -> (u64, bool) {
        let record = record_of(&lease(transitions, term));
        (record.term, record.damaged)
    }

    #[test]
    fn a_lease_of_an_earlier_release_has_its_transitions_for_a_term() {
        assert_eq!(read(Some(7), None), (7, false));
    }

    #[test]
    fn an_attacked_lease_of_an_earlier_release_does_not_tell_all() {
        assert_eq!(read(Some(i32::MAX), None), (2_147_483_647, true));
        assert_eq!(read(None, None), (0, true), "made by hand");
    }

    #[test]
    fn the_term_goes_further_than_the_transitions_do() {
        let name = LeaseName {
            namespace: "hera-system".to_owned(),
            name: "hera-operator".to_owned(),
        };
        let written = lease_of(None, &name, "a", 3_000_000_000, false);
        let transitions = written.spec.as_ref().and_then(|s| s.lease_transitions);
        assert_eq!(transitions, Some(i32::MAX));
        let record = record_of(&written);
        assert_eq!((record.term, record.damaged), (3_000_000_000, false));
        assert!(!is_lost(&written));
    }

    #[test]
    fn what_somebody_wrote_over_the_term_is_no_lower_term_and_no_number_that_is_none() {
        assert_eq!(read(Some(7), Some("3")), (7, true));
        assert_eq!(read(Some(7), Some("soon")), (7, true));
        assert_eq!(read(Some(7), Some("18446744073709551614")), (7, true));
        assert_eq!(read(Some(7), Some("4294967296")), (7, true));
        assert_eq!(read(Some(7), Some("-1")), (7, true));
        assert_eq!(read(Some(-7), Some("9")), (9, false));
    }

    #[test]
    fn that_terms_were_lost_stays_on_the_lease_and_so_does_what_others_wrote() {
        let name = LeaseName {
            namespace: "hera-system".to_owned(),
            name: "hera-operator".to_owned(),
        };
        let mut first = lease_of(None, &name, "a", 1, true);
        let annotations = first.metadata.annotations.get_or_insert_default();
        annotations.insert("other".to_owned(), "stays".to_owned());
        let next = lease_of(Some(&first), &name, "b", 2, false);
        assert!(is_lost(&next));
        assert_eq!(
            next.annotations().get("other").map(String::as_str),
            Some("stays")
        );
        assert_eq!(record_of(&next).term, 2);
    }
}
