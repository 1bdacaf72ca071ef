//! What the API server refuses, in words that stay the same while it does.

use hera_api::RedisInstanceStatus;
use hera_api::names::ObjectName;
use hera_kube::Refusal;

/// More are only counted.
const TOLD: usize = 3;

/// Words for a condition of type `type_` with this reason. While nothing but figures in them changes, as
/// what a quota says is used, or the port from which a webhook was called, they stay as they were: else
/// every attempt would write the status.
pub fn say(refusals: &[Refusal], last: &RedisInstanceStatus, type_: &str, reason: &str) -> String {
    let told = refusals.iter().take(TOLD).map(Refusal::to_string);
    let mut words = told.collect::<Vec<_>>().join("; ");
    if let Some(more) = refusals.len().checked_sub(TOLD).filter(|more| *more > 0) {
        words.push_str(&format!("; and {more} more"));
    }
    let mut conditions = last.conditions.iter();
    let before = conditions.find(|c| c.type_ == type_ && c.reason == reason);
    match before {
        Some(before) if is_same(refusals, &before.message, &words) => before.message.clone(),
        _ => words,
    }
}

fn is_same(refusals: &[Refusal], before: &str, now: &str) -> bool {
    let mut told = refusals.iter().take(TOLD);
    told.all(|refusal| before.contains(&format!("{} {}: ", refusal.kind, refusal.name)))
        && without_figures(before) == without_figures(now)
}

/// With one sign for each word that has a digit in it.
fn without_figures(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !c.is_alphanumeric());
    let marked = words.map(|word| match word.contains(|c: char| c.is_ascii_digit()) {
        true => format!("#{}", word.trim_start_matches(char::is_alphanumeric)),
        false => word.to_owned(),
    });
    marked.collect()
}

/// The object of the instance called `name` among them without which clients are not led to the primary.
pub fn of_the_way(refusals: &[Refusal], name: &ObjectName) -> Option<Refusal> {
    let leads = |refusal: &&Refusal| match refusal.kind.as_str() {
        "EndpointSlice" => refusal.name == name.endpoint_slice(),
        "Service" => refusal.missing && refusal.name == name.service(),
        _ => false,
    };
    refusals.iter().find(leads).cloned()
}

#[cfg(test)]
mod tests {
    use hera_api::Kind;

    use hera_api::conditions::{condition, degraded};
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn refusal(kind: &str, name: &str, words: &str) -> Refusal {
        Refusal {
            kind: kind.to_owned(),
            name: name.to_owned(),
            words: words.to_owned(),
            missing: true,
        }
    }

    fn quota(name: &str, used: u32) -> Refusal {
        let words = format!("exceeded quota: small, used: {used}, limited: 1");
        refusal("PersistentVolumeClaim", name, &words)
    }

    fn said(refusals: &[Refusal], before: &str) -> String {
        let (type_, reason) = (degraded::TYPE, degraded::APPLY_FAILED);
        let written = condition(type_, true, reason, before, None, Timestamp::UNIX_EPOCH);
        let last = RedisInstanceStatus {
            conditions: vec![written],
            ..RedisInstanceStatus::default()
        };
        say(refusals, &last, type_, reason)
    }

    #[test]
    fn what_differs_in_figures_alone_is_said_as_before() {
        let before = said(&[quota("data-cache-1", 1)], "");
        assert_eq!(
            before,
            "PersistentVolumeClaim data-cache-1: exceeded quota: small, used: 1, limited: 1"
        );
        assert_eq!(said(&[quota("data-cache-1", 7)], &before), before);
    }

    #[test]
    fn another_object_or_other_words_are_said() {
        let before = said(&[quota("data-cache-1", 1)], "");
        let other = quota("data-cache-2", 1);
        assert_eq!(
            said(std::slice::from_ref(&other), &before),
            other.to_string()
        );
        let denied = refusal(
            "PersistentVolumeClaim",
            "data-cache-1",
            "denied by a webhook",
        );
        assert_eq!(
            said(std::slice::from_ref(&denied), &before),
            denied.to_string()
        );
    }

    #[test]
    fn many_are_counted() {
        let many: Vec<_> = (0..5)
            .map(|n| refusal("Secret", &format!("s{n}"), "no"))
            .collect();
        let expected = "Secret s0: no; Secret s1: no; Secret s2: no; and 2 more";
        assert_eq!(said(&many, ""), expected);
    }

    #[test]
    fn clients_are_led_by_the_service_that_is_there_and_its_endpoints() {
        let name = ObjectName::new(Kind::RedisInstance, "cache").unwrap();
        let leads = |refusal: Refusal| of_the_way(&[refusal], &name).is_some();
        assert!(leads(refusal("EndpointSlice", "cache-primary", "no")));
        assert!(leads(refusal("Service", "cache", "no")));
        assert!(!leads(refusal("Service", "cache-replicas", "no")));
        assert!(!leads(Refusal {
            missing: false,
            ..refusal("Service", "cache", "no")
        }));
    }
}
