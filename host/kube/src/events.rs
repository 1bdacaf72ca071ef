//! Kubernetes Events about our objects.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::warn;

/// The API server refuses a longer note.
const NOTE_BYTES: usize = 1024;

/// Whether an Event reports the ordinary course or something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The ordinary course.
    Normal,
    /// Something to look at.
    Warning,
}

/// Publishes Events; repeats are counted by the shared recorder instead of piling up.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events reported by `controller`, from the replica called `instance`.
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let reporter = Reporter {
            controller: controller.to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Publishes one Event. A failure is logged: an Event never stands in the way of the work.
    pub async fn publish(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_: match severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: reason.to_owned(),
            note: Some(truncated(note).to_owned()),
            action: reason.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            warn!(%error, reason, "Event could not be published");
        }
    }
}

/// The longest beginning of `note` that the API server takes, cut at a character.
fn truncated(note: &str) -> &str {
    let mut end = note.len().min(NOTE_BYTES);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let note = "é".repeat(600);
        assert_eq!(truncated(&note).len(), 1024);
        assert_eq!(truncated(&format!("a{note}")).len(), 1023);
        assert_eq!(truncated("short"), "short");
    }
}
