//! What is written down before it is acted upon, because the next leader may hear no agent that
//! remembers (design §6): who is to be promoted, and which lists of data pods agents are told. It
//! stands on the StatefulSet, which nobody else has a reason to write.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hera_api::meta::ANNOTATION_LINEAGE;
use hera_core::instance::{Candidate, MemberList, drop_any};
use hera_core::shard::Record;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::site::Site;
use crate::controllers::outcome::PassError;
use crate::controllers::pods::term_floor;
use crate::controllers::pods::written::{in_place_of, only_on, written};

/// Annotation: epoch and uid of the pod, of each that may be the primary.
const CANDIDATES: &str = "cache.hera.io/candidates";
/// The same under the name that it had before: what an earlier operator wrote counts until this one writes.
const CANDIDATES_BEFORE: &str = "cache.hera.io/crown";
/// Annotation: the lists as JSON.
const MEMBERS: &str = "cache.hera.io/members";

const TERM_FLOOR: &str = term_floor::ANNOTATION;

/// What this pass wrote: it is read only once, at the beginning.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Written>);

#[derive(Debug, Default)]
struct Written {
    /// On the StatefulSet, by annotation.
    on_set: BTreeMap<&'static str, String>,
    /// On claims, by name.
    on_claims: BTreeMap<String, Record>,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this pass wrote on a claim, if it did.
pub fn record(site: &Site<'_>, claim: &str) -> Option<Record> {
    site.notes.lock().on_claims.get(claim).cloned()
}

/// Writes down on a claim what is known of its data, in place of what was read.
///
/// # Errors
/// When the API server does not take it, or somebody wrote something else meanwhile.
pub async fn write_record(site: &Site<'_>, claim: &str, record: &Record) -> Result<(), PassError> {
    let Some(text) = record.text() else {
        return Ok(());
    };
    let mut live = site.live.set.claims.values();
    // Whose another is, nobody has seen.
    let Some(live) = live.find(|live| live.name_any() == claim) else {
        return Ok(());
    };
    let read = live.annotations().get(ANNOTATION_LINEAGE).cloned();
    let known = self::record(site, claim).map_or(read, |record| record.text());
    let mut patch = in_place_of(ANNOTATION_LINEAGE, known.as_deref(), &text);
    if live.metadata.annotations.is_none() && known.is_none() {
        let path = PointerBuf::from_tokens(["metadata", "annotations"]);
        let add = AddOperation {
            path,
            value: json!({}),
        };
        patch.0.insert(0, PatchOperation::Add(add));
    }
    only_on(live, &mut patch);
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(site.shared.client.clone(), site.owner.namespace);
    let (params, patch) = (PatchParams::default(), Patch::Json::<()>(patch));
    let write = claims.patch(claim, &params, &patch);
    written::<PersistentVolumeClaim>(claim, ANNOTATION_LINEAGE, write).await?;
    let mut notes = site.notes.lock();
    notes.on_claims.insert(claim.to_owned(), record.clone());
    Ok(())
}

/// What stands there, for all that this pass knows.
fn known(site: &Site<'_>, annotation: &str) -> Option<String> {
    let live = |set: &StatefulSet| set.annotations().get(annotation).cloned();
    let written = site.notes.lock().on_set.get(annotation).cloned();
    written.or_else(|| site.live.set.stateful_set.as_ref().and_then(live))
}

/// Who may be the primary.
pub fn candidates(site: &Site<'_>) -> Vec<Candidate> {
    let both = [CANDIDATES, CANDIDATES_BEFORE].map(|name| known(site, name).unwrap_or_default());
    both.iter().flat_map(|text| read_candidates(text)).collect()
}

fn read_candidates(text: &str) -> Vec<Candidate> {
    let read = |candidate: &str| {
        let (epoch, uid) = candidate.trim().split_once(' ')?;
        Some(Candidate {
            epoch: epoch.parse().ok()?,
            uid: uid.to_owned(),
        })
    };
    text.split(',').filter_map(read).collect()
}

fn show_candidates(candidates: &[Candidate]) -> String {
    let shown = candidates
        .iter()
        .map(|candidate| format!("{} {}", candidate.epoch, candidate.uid));
    shown.collect::<Vec<_>>().join(", ")
}

/// The lists that the primary may go by. Lists that cannot be read count as none.
pub fn lists(site: &Site<'_>) -> Vec<MemberList> {
    let text = known(site, MEMBERS);
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// Writes down who may be the primary from now on.
///
/// # Errors
/// When the API server does not take it: then nobody is promoted.
pub async fn write_candidates(site: &Site<'_>, candidates: &[Candidate]) -> Result<(), PassError> {
    write(site, CANDIDATES, show_candidates(candidates)).await
}

/// By how much the terms of this instance lie above the Lease's. What cannot be read, or is none, counts
/// as none.
pub fn term_floor(site: &Site<'_>) -> u64 {
    term_floor::read(known(site, TERM_FLOOR).as_deref())
}

/// Writes down under which terms agents are about to be spoken to.
///
/// # Errors
/// When the API server does not take it: then they are not.
pub async fn write_term_floor(site: &Site<'_>, floor: u64) -> Result<(), PassError> {
    write(site, TERM_FLOOR, floor.to_string()).await
}

/// Writes down what agents are about to be told.
///
/// # Errors
/// When the API server does not take it: then nobody is told.
pub async fn write_lists(site: &Site<'_>, lists: &[MemberList]) -> Result<(), PassError> {
    let drops = drop_any(&self::lists(site), lists);
    let note = || {
        if drops {
            let leaders = &site.shared.leaders;
            leaders.note_change(&site.instance(), site.term);
        }
    };
    // Also before: it may be written though no answer comes.
    note();
    write(site, MEMBERS, json!(lists).to_string()).await?;
    note();
    Ok(())
}

/// Only in place of what was read: what a leader of the past sent and the network delivers late must
/// not undo what its successor wrote down. And only on the StatefulSet that was read: another of its name is
/// somebody else's.
async fn write(site: &Site<'_>, annotation: &'static str, text: String) -> Result<(), PassError> {
    let Some(set) = &site.live.set.stateful_set else {
        let words = "there is no StatefulSet of this object's".to_owned();
        return Err(PassError::WrittenMeanwhile { annotation, words });
    };
    let sets: Api<StatefulSet> = Api::namespaced(site.shared.client.clone(), site.owner.namespace);
    let mut patch = in_place_of(annotation, known(site, annotation).as_deref(), &text);
    let before = known(site, CANDIDATES_BEFORE).filter(|text| !text.is_empty());
    if let Some(before) = before.filter(|_| annotation == CANDIDATES) {
        patch
            .0
            .extend(in_place_of(CANDIDATES_BEFORE, Some(&before), "").0);
        let mut notes = site.notes.lock();
        notes.on_set.insert(CANDIDATES_BEFORE, String::new());
    }
    only_on(set, &mut patch);
    let name = site.owner.name.pods(None).stateful_set();
    let (params, patch) = (PatchParams::default(), Patch::Json::<()>(patch));
    let write = sets.patch(&name, &params, &patch);
    written::<StatefulSet>(&name, annotation, write).await?;
    site.notes.lock().on_set.insert(annotation, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_read_as_they_were_written() {
        let candidate = |epoch, uid: &str| Candidate {
            epoch,
            uid: uid.to_owned(),
        };
        let both = [candidate(8, "b"), candidate(7, "a")];
        assert_eq!(read_candidates(&show_candidates(&both)), both);
        assert_eq!(read_candidates("7 a"), [candidate(7, "a")]);
        assert_eq!(read_candidates(""), []);
    }

    #[test]
    fn what_another_wrote_meanwhile_stays() {
        let written = |there: &str| {
            let mut set =
                json!({"metadata": {"annotations": {CANDIDATES: there, "other": "stays"}}});
            let patch = in_place_of(CANDIDATES, Some("7 a"), "8 b");
            json_patch::patch(&mut set, &patch).map(|()| set)
        };
        let expected = json!({"metadata": {"annotations": {CANDIDATES: "8 b", "other": "stays"}}});
        assert_eq!(written("7 a").ok(), Some(expected));
        assert!(written("9 c").is_err());
    }

    #[test]
    fn where_nothing_was_read_nothing_may_be_there() {
        let patch = serde_json::to_value(in_place_of(CANDIDATES, None, "8 b")).ok();
        let path = "/metadata/annotations/cache.hera.io~1candidates";
        let expected = json!([
            {"op": "test", "path": path, "value": null},
            {"op": "add", "path": path, "value": "8 b"},
        ]);
        assert_eq!(patch, Some(expected));
    }
}
