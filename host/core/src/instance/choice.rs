//! The question which copy of the data is right, for a person to answer.

use super::copies::Copy;
use super::plan::Choice;
use super::{Observation, Plan, Wanted};
use crate::digest::short_hex;
use crate::shard::Member;

/// Copies of which a person may choose one, and why.
pub(super) struct Question<'a> {
    /// What is not known, for people.
    pub words: String,
    pub among: Vec<&'a Member>,
    /// Not before nobody led for so many milliseconds: most of what is missing comes back.
    pub after_ms: u64,
}

/// The copy that somebody has chosen of these. If nobody has, it is asked.
pub(super) fn chosen<'a>(
    wanted: &Wanted,
    seen: &Observation,
    question: &Question<'a>,
    plan: &mut Plan,
) -> Option<&'a Member> {
    let Question {
        words,
        among,
        after_ms,
    } = question;
    let copies: Vec<Copy<'a>> = among.iter().filter_map(|member| Copy::of(member)).collect();
    let digests: Vec<String> = copies.iter().map(digest).collect();
    let approved = wanted.pods.approved.as_ref();
    let mut pairs = copies.iter().zip(&digests);
    if let Some((copy, _)) = pairs.find(|(_, digest)| Some(*digest) == approved) {
        return Some(copy.member);
    }
    plan.waiting_for = Some(words.clone());
    if copies.is_empty() || seen.remembered.leaderless_ms < *after_ms {
        return None;
    }
    plan.waiting_for = Some(format!(
        "{words}, and nothing recorded says which is right: nothing is promoted or overwritten before \
         somebody chooses (kubectl hera approve NAME --copy POD)"
    ));
    plan.to_approve = Some(short_hex(digests.join(" ").as_bytes()));
    plan.choices = copies
        .iter()
        .zip(digests)
        .map(|(copy, digest)| Choice {
            pod: copy.member.label(),
            digest,
            keys: copy.position.keys,
            bytes: copy.position.bytes,
            written_unix_ms: copy.position.written_unix_ms,
            epoch: copy.epoch(),
            left: copy.member.is_left(),
        })
        .collect();
    None
}

/// Of what the person saw: with other data it says nothing.
fn digest(copy: &Copy<'_>) -> String {
    let (memory, at) = (copy.memory(), copy.position);
    let said = format!(
        "copy {} {} {} {} {} {} {}",
        copy.member.ordinal,
        memory.lineage,
        memory.epoch,
        memory.primary_uid,
        at.keys,
        at.bytes,
        at.written_unix_ms
    );
    short_hex(said.as_bytes())
}
