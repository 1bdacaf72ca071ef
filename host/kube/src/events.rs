//! Kubernetes Events about our objects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::warn;

/// The API server refuses a longer note.
const NOTE_BYTES: usize = 1024;
/// What is said again within this is counted as a repeat: as long as a recorder remembers.
const REPEATED_WITHIN: Duration = Duration::from_secs(6 * 60);

/// Whether an Event reports the ordinary course or something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The ordinary course.
    Normal,
    /// Something to look at.
    Warning,
}

/// Publishes Events; repeats are counted instead of piling up.
#[derive(Clone)]
pub struct Events {
    client: Client,
    reporter: Reporter,
    /// It takes all Events of a reason for repeats of the first, and goes on showing the words of that.
    recorder: Recorder,
    /// By note, with when each was used last.
    recorders: Arc<Mutex<HashMap<String, (Recorder, Instant)>>>,
}

impl Events {
    /// Events reported by `controller`, from the replica called `instance`.
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let reporter = Reporter {
            controller: controller.to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter.clone()),
            client,
            reporter,
            recorders: Arc::default(),
        }
    }

    /// Publishes what was done. Other words are another deed.
    pub async fn publish_deed(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
    ) {
        let recorder = self.recorder(truncated(note));
        publish(&recorder, about, severity, reason, note).await;
    }

    /// Publishes how something stands. Where only the words change, as those of a wait do, it is a
    /// repeat.
    pub async fn publish_state(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
    ) {
        publish(&self.recorder, about, severity, reason, note).await;
    }

    fn recorder(&self, note: &str) -> Recorder {
        let now = Instant::now();
        let mut recorders = self
            .recorders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        recorders.retain(|_, (_, used)| now.duration_since(*used) < REPEATED_WITHIN);
        let made = || Recorder::new(self.client.clone(), self.reporter.clone());
        let known = recorders.entry(note.to_owned());
        let (recorder, used) = known.or_insert_with(|| (made(), now));
        *used = now;
        recorder.clone()
    }
}

/// A failure is logged: an Event never stands in the way of the work.
async fn publish(
    recorder: &Recorder,
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
    if let Err(error) = recorder.publish(&event, about).await {
        warn!(%error, reason, "Event could not be published");
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
    use std::convert::Infallible;

    use http::{Method, Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::Value;

    use super::*;

    /// What an API server is sent: whether it is a new Event, and the note.
    type Sent = Arc<Mutex<Vec<(bool, String)>>>;

    /// Takes every Event.
    fn api_server(sent: Sent) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let sent = sent.clone();
            async move {
                let is_new = request.method() == Method::POST;
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let event: Value = serde_json::from_slice(&body).unwrap();
                let note = event["note"].as_str().unwrap().to_owned();
                sent.lock().unwrap().push((is_new, note));
                Ok::<_, Infallible>(Response::new(Body::from(body)))
            }
        });
        Client::new(service, "shop")
    }

    #[tokio::test]
    async fn a_deed_is_counted_by_its_words_and_a_state_by_its_reason() {
        let sent = Sent::default();
        let events = Events::new(api_server(sent.clone()), "hera", "one");
        let about = ObjectReference {
            name: Some("cache".to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectReference::default()
        };
        for note in ["cache-0 leads", "cache-1 leads", "cache-0 leads"] {
            let severity = Severity::Normal;
            events
                .publish_deed(&about, severity, "Promoted", note)
                .await;
        }
        for note in ["3 s are left", "2 s are left"] {
            let severity = Severity::Warning;
            events
                .publish_state(&about, severity, "NoPrimary", note)
                .await;
        }
        let expected = [
            (true, "cache-0 leads"),
            (true, "cache-1 leads"),
            (false, "cache-0 leads"),
            (true, "3 s are left"),
            (false, "3 s are left"),
        ];
        let expected = expected.map(|(is_new, note)| (is_new, note.to_owned()));
        assert_eq!(*sent.lock().unwrap(), expected);
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let note = "é".repeat(600);
        assert_eq!(truncated(&note).len(), 1024);
        assert_eq!(truncated(&format!("a{note}")).len(), 1023);
        assert_eq!(truncated("short"), "short");
    }
}
