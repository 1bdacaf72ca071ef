//! Of which histories a log without a gap is: by that a base is part of it, or is not.

use serde::{Deserialize, Serialize};

use super::log::Parent;

/// So many histories are told; older ones are left out.
pub const UNBROKEN: usize = 16;

/// Where a history is part of a log without a gap. Offsets go on from one history to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unbroken {
    /// The history.
    pub id: String,
    /// From behind this offset on.
    pub from: u64,
    /// Up to this offset, where another one went on; none of the present one.
    pub to: Option<u64>,
}

impl Unbroken {
    /// True if the log goes on from a base that has so much of a history.
    pub fn has(&self, id: &str, offset: u64) -> bool {
        self.id == id && self.from <= offset && self.to.is_none_or(|to| offset <= to)
    }

    /// The same log once a history goes on from its last one at this offset.
    pub fn then(mut parts: Vec<Self>, id: &str, at: u64) -> Vec<Self> {
        let from = parts.last().map_or(at, |last| last.from);
        // What is behind it is lost, of those before the last one too.
        for part in &mut parts {
            part.to = Some(part.to.map_or(at, |to| to.min(at)));
        }
        parts.push(Self {
            id: id.to_owned(),
            from,
            to: None,
        });
        let older = parts.len().saturating_sub(UNBROKEN);
        parts.split_off(older)
    }

    /// Those of a log that is without a gap from behind an offset on, and of this history now. `parents` is what was
    /// noted: what the history goes on from, what that one does, and so on.
    pub fn line(from: u64, id: &str, parents: &[Parent]) -> Vec<Self> {
        let ids = parents.iter().map(|parent| parent.id.as_str());
        let mut ids: Vec<&str> = std::iter::once(id).chain(ids).collect();
        let first = Self {
            id: ids.pop().unwrap_or(id).to_owned(),
            from,
            to: None,
        };
        let next = ids.into_iter().zip(parents).rev();
        next.fold(vec![first], |parts, (id, parent)| {
            Self::then(parts, id, parent.at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_part_of_a_log_up_to_where_another_history_went_on() {
        let first = Unbroken {
            id: "a".to_owned(),
            from: 100,
            to: None,
        };
        let whole = vec![first];
        let has = |parts: &[Unbroken], id: &str, offset: u64| {
            let mut parts = parts.iter();
            parts.any(|part| part.has(id, offset))
        };
        assert!(has(&whole, "a", 100) && has(&whole, "a", u64::MAX));
        assert!(!has(&whole, "a", 99) && !has(&whole, "b", 200));
        let once = Unbroken::then(whole, "b", 500);
        assert!(has(&once, "a", 500) && has(&once, "b", 501));
        assert!(!has(&once, "a", 501), "the failover lost it");
        // A replica that goes on with the new history may be behind.
        assert!(has(&once, "b", 400) && !has(&once, "b", 99));
        let twice = Unbroken::then(once, "c", 450);
        assert!(has(&twice, "a", 450) && has(&twice, "b", 450) && has(&twice, "c", 451));
        assert!(!has(&twice, "a", 500) && !has(&twice, "b", 451));
        let many = (0_u64..40).fold(twice, |parts, at| {
            Unbroken::then(parts, &format!("d{at}"), 1_000 + at)
        });
        assert_eq!(many.len(), UNBROKEN);
        assert!(has(&many, "d39", 9_000) && !has(&many, "a", 450));
    }

    #[test]
    fn a_log_without_a_gap_is_of_the_histories_that_went_on() {
        let part = |id: &str, to| Unbroken {
            id: id.to_owned(),
            from: 100,
            to,
        };
        let noted = |id: &str, at| Parent {
            v: 1,
            id: id.to_owned(),
            at,
            unix_ms: 1,
        };
        assert_eq!(Unbroken::line(100, "a", &[]), [part("a", None)]);
        assert_eq!(
            Unbroken::line(100, "c", &[noted("b", 700), noted("a", 500)]),
            [part("a", Some(500)), part("b", Some(700)), part("c", None)]
        );
        assert_eq!(
            Unbroken::line(100, "c", &[noted("b", 400), noted("a", 500)]),
            [part("a", Some(400)), part("b", Some(400)), part("c", None)]
        );
    }
}
