use super::{Candidate, GivenUp, MemberList};
use crate::shard::{Record, Stall, Target, Wait};
use serde::{Deserialize, Serialize};

/// One thing to do. Steps are idempotent; carrying one out twice is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "do")]
pub enum Step {
    /// Point the client Service at this address, or at nothing.
    SetEndpoint {
        /// The primary's address.
        ip: Option<String>,
    },
    /// Point the Service of replicas at these addresses.
    SetReplicas {
        /// Sorted.
        ips: Vec<String>,
    },
    /// Give the agent the configuration.
    PushConfig(Target),
    /// Give the agent the users, or confirm those it has.
    PushAcl(Target),
    /// Write down the lists of data pods that the primary may go by, before agents are told the last.
    WriteLists {
        /// Oldest first.
        lists: Vec<MemberList>,
    },
    /// Write down who may be the primary still: the others are known to be out of it.
    WriteCandidates {
        /// The latest first.
        candidates: Vec<Candidate>,
    },
    /// Write on a volume claim what is known of its data.
    WriteRecord {
        /// Name of the claim.
        claim: String,
        /// What is to stand there.
        record: Record,
    },
    /// Have the agent note on the volume whether a scale-down leaves its copy behind.
    MarkLeft {
        /// The pod.
        pod: Target,
        /// It is left behind.
        left: bool,
    },
    /// Tell the agent who the data pods are.
    PushMembers(Target),
    /// Make the server the primary.
    Promote {
        /// The pod.
        pod: Target,
        /// Its epoch.
        epoch: u64,
        /// Who may be the primary from now on, to be written down before.
        candidates: Vec<Candidate>,
    },
    /// Make the server a replica.
    Follow {
        /// The pod.
        pod: Target,
        /// Epoch of the primary.
        epoch: u64,
        /// Uid of the primary's pod.
        primary_uid: String,
        /// Address of the primary.
        ip: String,
        /// Lineage of the primary's data; empty if it begins with the primary.
        lineage: String,
        /// What is lost by that.
        gives_up: Option<GivenUp>,
    },
    /// Have the agent kill its server and keep it down.
    Fence {
        /// The pod.
        pod: Target,
        /// The last epoch that is to go.
        epoch: u64,
        /// Only if a script keeps the server busy then.
        #[serde(default)]
        busy: bool,
    },
    /// Have the agent start a server that is kept down, to see what its copy is worth.
    Start(Target),
    /// Have the agent promise not to vouch for primaries up to this epoch.
    Promise {
        /// The pod.
        pod: Target,
        /// The epoch.
        epoch: u64,
    },
    /// Let another server take over without losing a write (redis-facts §2.4 A2).
    HandOver {
        /// The primary.
        from: Target,
        /// The replica that takes over.
        to: Target,
        /// Address of the replica.
        ip: String,
        /// Epoch of the replica as the primary.
        epoch: u64,
        /// Who may be the primary from now on, to be written down before.
        candidates: Vec<Candidate>,
    },
    /// Have the agent of a primary whose pod ends stop at once: nobody is left who could take over.
    Leave(Target),
    /// Delete the pod; its StatefulSet makes it anew. With `HandOver`, `Leave` and `Fence` the
    /// disruptive steps.
    DeletePod(Target),
    /// Delete the pod of a node that is out of service, without waiting for its kubelet: nothing of
    /// it runs.
    DeleteDeadPod(Target),
}

impl Step {
    /// True if clients or redundancy feel it.
    pub fn is_disruptive(&self) -> bool {
        matches!(
            self,
            Self::DeletePod(_)
                | Self::DeleteDeadPod(_)
                | Self::HandOver { .. }
                | Self::Leave(_)
                | Self::Fence { .. }
        )
    }

    /// True if no later step of the plan may be taken unless this one was.
    pub fn is_first_of_all(&self) -> bool {
        match self {
            Self::Promote { .. } | Self::WriteLists { .. } | Self::WriteCandidates { .. } => true,
            // Once data may be there, its claim is not taken for an empty one.
            Self::WriteRecord { record, .. } => {
                matches!(record, Record::Data(lineage) if lineage.epoch == 0)
            }
            _ => false,
        }
    }

    /// Its name in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SetEndpoint { .. } => "set-endpoint",
            Self::SetReplicas { .. } => "set-replicas",
            Self::PushConfig(_) => "push-config",
            Self::PushAcl(_) => "push-acl",
            Self::WriteLists { .. } => "write-lists",
            Self::WriteCandidates { .. } => "write-candidates",
            Self::WriteRecord { .. } => "write-record",
            Self::MarkLeft { .. } => "mark-left",
            Self::PushMembers(_) => "push-members",
            Self::Promote { .. } => "promote",
            Self::Follow { .. } => "follow",
            Self::Fence { .. } => "fence",
            Self::Start(_) => "start",
            Self::Promise { .. } => "promise",
            Self::HandOver { .. } => "hand-over",
            Self::Leave(_) => "leave",
            Self::DeletePod(_) => "delete-pod",
            Self::DeleteDeadPod(_) => "delete-dead-pod",
        }
    }
}

/// A step and why it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// The step.
    pub step: Step,
    /// Why, for logs and Events.
    pub reason: String,
}

/// A copy of the data that a person may choose, where nothing recorded says which is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// Its pod.
    pub pod: String,
    /// What an approval of this copy names.
    pub digest: String,
    /// Keys in all databases.
    pub keys: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// When its files were last written, in milliseconds since 1970; 0 if that is not known.
    pub written_unix_ms: u64,
    /// The epoch of its data; 0 if none is recorded.
    pub epoch: u64,
    /// A scale-down left it behind.
    pub left: bool,
}

/// What to do now, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The steps; at most one is disruptive, and it is the last.
    pub steps: Vec<PlannedStep>,
    /// What nothing can be done about yet, for people: why there is no primary, or what a change of
    /// the spec waits for.
    pub waiting_for: Option<String>,
    /// Digest of the step that waits for somebody to approve it; of the question, where there are
    /// `choices`.
    pub to_approve: Option<String>,
    /// The copies of which somebody is asked to choose one. None is promoted, and none overwritten, before.
    #[serde(default)]
    pub choices: Vec<Choice>,
    /// A step that waits for longer than it should.
    pub stalled: Option<Stall>,
    /// Why what somebody asks for by annotation is not done.
    pub refused: Option<String>,
}

impl Plan {
    pub(super) fn push(&mut self, step: Step, reason: impl Into<String>) {
        self.steps.push(PlannedStep {
            step,
            reason: reason.into(),
        });
    }

    pub(super) fn wait(&mut self, wait: Wait) {
        self.stalled = wait.stalled;
        if wait.to_approve.is_some() {
            self.to_approve = wait.to_approve;
        }
        self.waiting_for = Some(wait.words);
    }

    /// The lists of data pods that it writes down, if it does.
    pub fn lists(&self) -> Option<&[MemberList]> {
        self.steps.iter().find_map(|planned| match &planned.step {
            Step::WriteLists { lists } => Some(lists.as_slice()),
            _ => None,
        })
    }

    /// True if it promotes somebody.
    pub fn promotes(&self) -> bool {
        let promotes = |planned: &PlannedStep| matches!(planned.step, Step::Promote { .. });
        self.steps.iter().any(promotes)
    }

    /// True if the plan has a disruptive step.
    pub fn is_disruptive(&self) -> bool {
        self.steps
            .iter()
            .any(|planned| planned.step.is_disruptive())
    }
}
