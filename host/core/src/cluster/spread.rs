//! Where copies and primaries are. A node or zone that has most of the primaries takes the cluster's vote with
//! it: failovers drift there, and planned switches lead away again.

use std::collections::BTreeMap;

use crate::shard::{Member, PodView, Shard};

/// A primary that had better be elsewhere.
pub struct Drift<'a> {
    /// The primary.
    pub from: &'a Member,
    /// Who takes over.
    pub to: &'a Member,
    /// Why, for people.
    pub reason: String,
}

/// What may fail as a whole.
#[derive(Clone, Copy)]
enum Domain {
    Zone,
    Node,
}

impl Domain {
    fn of(self, member: &Member) -> Option<&str> {
        let pod: &PodView = member.pod.as_ref()?;
        match self {
            Self::Zone => pod.zone.as_deref(),
            Self::Node => pod.node.as_deref(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Node => "node",
        }
    }
}

/// The planned switch that has a zone or a node have most of the primaries no more, where there are at least
/// three to be in, if one does. None while a primary is missing, or somebody is asked before it is touched.
pub fn drift<'a>(shards: &[Shard<'a>]) -> Option<Drift<'a>> {
    let may = |shard: &Shard<'_>| {
        let wanted = shard.wanted;
        shard.primary.is_some() && !wanted.paused && !wanted.hibernate && !wanted.supervised
    };
    if !shards.iter().all(may) {
        return None;
    }
    let mut members = shards.iter().flat_map(|shard| shard.members);
    let kind = match members.any(|member| Domain::Zone.of(member).is_some()) {
        true => Domain::Zone,
        false => Domain::Node,
    };
    away(shards, kind)
}

fn away<'a>(shards: &[Shard<'a>], kind: Domain) -> Option<Drift<'a>> {
    let mut primaries: BTreeMap<&str, usize> = BTreeMap::new();
    for shard in shards {
        for member in shard.members.iter().filter(|member| member.pod.is_some()) {
            // Of one that is nowhere yet nothing is known.
            let count = primaries.entry(kind.of(member)?).or_default();
            *count += usize::from(shard.is_primary(member));
        }
    }
    let is_most = |count: usize| count * 2 > shards.len();
    let (crowded, count) = primaries.iter().find(|(_, count)| is_most(**count))?;
    if primaries.len() < 3 {
        return None;
    }
    let there = |shard: &&Shard<'a>| shard.primary.and_then(|p| kind.of(p)) == Some(*crowded);
    let switches = shards.iter().filter(there).flat_map(|shard| {
        let from = shard.primary;
        let able = shard.members.iter().filter(move |to| {
            from.is_some_and(|from| to.ordinal != from.ordinal && !to.is_away(from))
                && to.can_write()
                && shard.wanted.keeps(to.ordinal)
        });
        able.filter_map(move |to| {
            let others = primaries_at(shards, kind, kind.of(to)?);
            (!is_most(others + 1)).then_some((others, from?, to))
        })
    });
    let (_, from, to) = switches.min_by_key(|(others, ..)| *others)?;
    let (word, all) = (kind.word(), shards.len());
    Some(Drift {
        from,
        to,
        reason: format!("{word} {crowded} has {count} of {all} primaries"),
    })
}

fn primaries_at(shards: &[Shard<'_>], kind: Domain, domain: &str) -> usize {
    let primaries = shards.iter().filter_map(|shard| shard.primary);
    primaries.filter(|p| kind.of(p) == Some(domain)).count()
}

/// Shards of which several copies are on one node, by number: it takes them together.
pub fn together(shards: &[Shard<'_>]) -> Vec<usize> {
    let shared = |shard: &Shard<'_>| {
        let nodes = shard.members.iter().filter_map(|m| Domain::Node.of(m));
        let mut nodes: Vec<&str> = nodes.collect();
        nodes.sort_unstable();
        nodes.windows(2).any(|pair| pair.first() == pair.get(1))
    };
    let all = shards.iter().enumerate();
    all.filter(|(_, shard)| shared(shard))
        .map(|(at, _)| at)
        .collect()
}
