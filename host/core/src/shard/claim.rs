//! A volume claim, and what stands on it about the data of its volume.

use serde::{Deserialize, Serialize};

use super::member::Member;

/// A volume claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimView {
    /// Its name.
    pub name: String,
    /// Requested size in bytes.
    pub requested: u64,
    /// Size in bytes that the volume has; none while unbound.
    pub capacity: Option<u64>,
    /// Its storage class, if one is named and known to be missing.
    pub missing_class: Option<String>,
    /// Being deleted.
    pub deleting: bool,
    /// That of a temporary pod.
    pub temporary: bool,
    /// Goes when its pod does.
    pub goes_with_pod: bool,
    /// Somebody lent it: its size is not the spec's.
    #[serde(default)]
    pub adopted: bool,
    /// What stands on it about its data.
    #[serde(default)]
    pub record: Record,
}

/// What stands on a claim about its data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// Nothing: the claim of an earlier release, or one that somebody made. It may hold anything.
    #[default]
    Unknown,
    /// It was made from a template, and no agent was ever heard on it.
    New,
    /// An agent was heard on it.
    Data(Lineage),
}

/// Which history the data of a volume is of, as the agent told it last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lineage {
    /// [`Memory::lineage`](crate::agent::Memory::lineage).
    pub lineage: String,
    /// The epoch of the data; 0 before it was promoted or in sync with a primary.
    pub epoch: u64,
    /// Uid of the pod that was the primary of that epoch.
    pub primary_uid: String,
    /// This volume was the primary's then.
    pub led: bool,
    /// A scale-down left it behind: its data lives on elsewhere.
    pub left: bool,
    /// The claim was [`Record::New`] when its first agent was heard.
    pub fresh: bool,
}

/// How [`Record::New`] is written.
const NEW: &str = "new";

impl Record {
    /// As it stands in an annotation. What cannot be read says nothing.
    pub fn read(text: Option<&str>) -> Self {
        match text {
            Some(NEW) => Self::New,
            Some(text) => serde_json::from_str(text).map_or(Self::Unknown, Self::Data),
            None => Self::Unknown,
        }
    }

    /// For an annotation; none of what is not known.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Unknown => None,
            Self::New => Some(NEW.to_owned()),
            Self::Data(lineage) => serde_json::to_string(lineage).ok(),
        }
    }

    /// Which copy of two is the later by what stands on their claims; lower than any other if nothing
    /// does.
    pub fn rank(&self) -> (u64, bool) {
        match self {
            Self::Unknown | Self::New => (0, false),
            Self::Data(lineage) => (lineage.epoch, lineage.led),
        }
    }

    /// True if its volume certainly has no data.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::New => true,
            Self::Unknown => false,
            Self::Data(lineage) => lineage.epoch == 0 && lineage.fresh,
        }
    }

    /// True if a scale-down left it behind.
    pub fn is_left(&self) -> bool {
        matches!(self, Self::Data(lineage) if lineage.left)
    }
}

impl Member {
    /// True if a scale-down left its copy behind, by the volume or by the claim.
    pub fn is_left(&self) -> bool {
        let on_claim = self.claim.as_ref().is_some_and(|c| c.record.is_left());
        let status = self.agent.status();
        on_claim || status.is_some_and(|status| status.memory.left == Some(true))
    }

    /// The rank of its copy by what stands on the claim.
    pub(crate) fn recorded(&self) -> (u64, bool) {
        let claim = self.claim.as_ref();
        claim.map_or((0, false), |claim| claim.record.rank())
    }
}
