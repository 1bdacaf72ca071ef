//! What a planned change may do with a pod.

use super::member::{AgentView, Member};
use super::pod::{NodeState, PodView};
use super::step::Target;
use crate::agent::{Role, ServerState};

impl Member {
    /// A claim that is being deleted lives as long as its pod: the data would go with it.
    pub fn would_lose_volume(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.deleting)
    }

    /// What it has goes with its pod as long as its claim says so.
    pub fn goes_with_its_claim(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.goes_with_pod)
    }

    /// True if its pod has ended for good, and may go.
    pub fn is_finished(&self) -> bool {
        let finished = |pod: &PodView| pod.finished && !pod.deleting;
        self.pod.as_ref().is_some_and(finished) && !self.would_lose_volume()
    }

    /// True if nothing of it has run: no node takes the pod, or its image cannot be pulled.
    pub fn never_ran(&self) -> bool {
        let idle = |pod: &PodView| {
            let no_image = |(reason, _): &(String, String)| reason.contains("Image");
            pod.unschedulable.is_some() || pod.waiting.as_ref().is_some_and(no_image)
        };
        self.agent.status().is_none() && self.pod.as_ref().is_some_and(idle)
    }

    /// True if its server may serve although nobody hears it: what is unknown is not acted upon.
    pub fn may_serve(&self) -> bool {
        let Some(pod) = &self.pod else {
            return false;
        };
        let could = pod.waiting.is_none() && !pod.terminated && !pod.finished;
        match &self.agent {
            AgentView::Connected(status) => status.role == Role::Unknown && self.is_running(),
            AgentView::Unreachable(_) => could,
            AgentView::Absent => could && pod.ip.is_some(),
        }
    }

    /// True if its server runs, reads its data, or is down on purpose; or if nobody can tell.
    pub fn may_run(&self) -> bool {
        let is_lost = self.pod.as_ref().is_some_and(|pod| {
            matches!(
                pod.node_state,
                NodeState::NotReady | NodeState::OutOfService
            )
        });
        let runs = match &self.agent {
            AgentView::Connected(status) => !matches!(
                status.server,
                ServerState::Starting | ServerState::BackOff { .. }
            ),
            AgentView::Absent | AgentView::Unreachable(_) => self.may_serve(),
        };
        is_lost || runs
    }

    /// Why a pod is to be made anew.
    pub fn why_outdated(&self, revision: &str) -> Option<String> {
        let pod = self.pod.as_ref().filter(|pod| !pod.deleting)?;
        if pod.revision.as_deref() != Some(revision) {
            return Some("the spec asks for another pod".to_owned());
        }
        let pending = match &self.agent {
            AgentView::Connected(status) => &status.config.pending_restart,
            AgentView::Absent | AgentView::Unreachable(_) => return None,
        };
        (!pending.is_empty())
            .then(|| format!("the server takes {} only at its start", pending.join(", ")))
    }

    /// True if its pod is of this revision, and stays.
    pub fn is_of(&self, revision: &str) -> bool {
        let pod = self.pod.as_ref().filter(|pod| !pod.deleting);
        pod.is_some_and(|pod| pod.revision.as_deref() == Some(revision))
    }

    /// It, as the target of a step.
    pub fn target(&self) -> Target {
        Target {
            name: self.name().to_owned(),
            uid: self.uid().to_owned(),
        }
    }
}
